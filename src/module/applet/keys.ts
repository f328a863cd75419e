import type { SigningKey } from '../../crypto/provider.ts';
import type { KeyAlgorithm } from '../protocol.ts';

/** A private key inside the module. It signs at once. */
export interface ModuleKey extends SigningKey {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  sign(scheme: number, data: Uint8Array): Uint8Array;
}

/** What the applet asks of whoever does private-key arithmetic for it. */
export interface ModuleKeys {
  /** A new private key, PKCS#8 DER. */
  generate(algorithm: KeyAlgorithm): Uint8Array;
  /** @throws TrellisError when it is no PKCS#8 of a kind that can sign a handshake */
  load(pkcs8: Uint8Array): ModuleKey;
}

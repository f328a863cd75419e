import type { PublicKey } from '../crypto/provider.ts';

/** Who the peer is, as judged from its certificates; the handshake goes on only with one of these. */
export interface PeerIdentity {
  /** DER certificates as the peer sent them, end entity first. */
  readonly chain: readonly Uint8Array[];
  /** Key of the end entity's certificate; CertificateVerify must be made with it. */
  readonly publicKey: PublicKey;
  readonly authorized: boolean;
  /** Why not, when not authorized. */
  readonly authorizationError?: Error | undefined;
}

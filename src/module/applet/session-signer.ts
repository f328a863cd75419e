import type { CryptoProvider } from '../../crypto/provider.ts';
import type { Binding } from '../../formats/binding.ts';
import { Status } from '../apdu/status.ts';
import type { ModuleKey } from './keys.ts';
import { Refused } from './refused.ts';
import { checkSignedAttributes, checkSignedInfo, type ExpectedBinding } from './signature-check.ts';
import { SignatureNumbers } from './signature-numbers.ts';

/** Signs for TLS Sign with the key of a session's identity: objects that are bound to that session, no number twice. */
export class SessionSigner {
  readonly #crypto: CryptoProvider;
  readonly #key: () => ModuleKey;
  readonly #expected: ExpectedBinding;
  readonly #numbers = new SignatureNumbers();

  /** @param key of the identity. @throws Refused 6985, when it is called, for an identity that has none */
  constructor(crypto: CryptoProvider, key: () => ModuleKey, expected: ExpectedBinding) {
    this.#crypto = crypto;
    this.#key = key;
    this.#expected = expected;
  }

  /**
   * Signs signedAttrs of this session (RFC 5652 §5.4) and nothing else.
   * @param attributes the SET OF Attribute, DER, that is to be signed
   */
  attributes(scheme: number, attributes: Uint8Array): Uint8Array {
    return this.#sign(scheme, attributes, checkSignedAttributes);
  }

  /** The same for XML signatures. @param binding which the SignedInfo has the digest of */
  signedInfo(scheme: number, binding: Uint8Array, signedInfo: Uint8Array): Uint8Array {
    return this.#sign(scheme, signedInfo, (_, expected) =>
      checkSignedInfo(this.#crypto, { scheme, binding, signedInfo }, expected),
    );
  }

  /** Numbers below this one have gone to objects without a signature, or to one whose signature comes later. */
  leaveOpen(next: number): void {
    this.#numbers.leaveOpen(next);
  }

  #sign(
    scheme: number,
    data: Uint8Array,
    check: (data: Uint8Array, expected: ExpectedBinding) => Binding,
  ): Uint8Array {
    const key = this.#key();
    const { sequence } = check(data, this.#expected);
    if (!this.#numbers.isFree(sequence)) throw new Refused(Status.notPermitted);
    if (!key.schemes.includes(scheme)) throw new Refused(Status.wrongParameters);
    this.#numbers.take(sequence);
    return key.sign(scheme, data);
  }
}

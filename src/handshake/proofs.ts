import type { CryptoProvider } from '../crypto/provider.ts';
import { schemeById, schemeFitsKey } from '../crypto/schemes.ts';
import { TlsError } from '../errors/errors.ts';
import type { CertificateVerify } from '../messages/authentication.ts';
import { concat } from '../wire/writer.ts';
import type { PeerIdentity } from '../x509/verify.ts';

/*
 * Proof objects. Only the checks in this file construct them, and the states that need a fact proven
 * take the object, so no path through the handshake can forget a check.
 */

/** The peer's Finished had the right verify_data (RFC 8446 §4.4.4). */
export class FinishedVerified {
  readonly #proof = true;
  private constructor() {
    void this.#proof;
  }

  /** @throws TlsError ERR_TLS_BAD_FINISHED */
  static check(crypto: CryptoProvider, expected: Uint8Array, received: Uint8Array): FinishedVerified {
    if (!crypto.equal(expected, received)) {
      throw new TlsError('ERR_TLS_BAD_FINISHED', "The peer's Finished does not match this handshake");
    }
    return new FinishedVerified();
  }
}

/** Who the peer is has been settled: by signature, by a ticket from such a session, or as anonymous client. */
export class PeerAuthenticated {
  readonly peer: PeerIdentity | undefined;
  private constructor(peer: PeerIdentity | undefined) {
    this.peer = peer;
  }

  /**
   * Checks CertificateVerify (RFC 8446 §4.4.3).
   * @param signed transcript hash up to the message before it
   * @param accepted the schemes that we offered
   * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER, ERR_TLS_BAD_SIGNATURE
   */
  static bySignature(
    crypto: CryptoProvider,
    peer: PeerIdentity,
    signer: 'client' | 'server',
    signed: Uint8Array,
    { scheme: id, signature }: CertificateVerify,
    accepted: readonly number[],
  ): PeerAuthenticated {
    const scheme = schemeById(id);
    if (scheme === undefined || !scheme.handshake || !accepted.includes(id)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        `CertificateVerify uses scheme 0x${id.toString(16)}, not offered`,
      );
    }
    if (!schemeFitsKey(scheme, peer.publicKey)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        `CertificateVerify uses ${scheme.name}, which is not for this key`,
      );
    }
    const input = signatureInput(signer, signed);
    if (!crypto.verify(scheme.algorithm, peer.publicKey, input, signature)) {
      throw new TlsError('ERR_TLS_BAD_SIGNATURE', "The signature in the peer's CertificateVerify is wrong");
    }
    return new PeerAuthenticated(peer);
  }

  /**
   * Server: the binder proves that the client holds the ticket's PSK (RFC 8446 §4.2.11.2).
   * @param peer who the client was when the ticket was issued, judged again
   * @throws TlsError ERR_TLS_BAD_BINDER
   */
  static byBinder(
    crypto: CryptoProvider,
    expected: Uint8Array,
    received: Uint8Array,
    peer: PeerIdentity | undefined,
  ): PeerAuthenticated {
    if (!crypto.equal(expected, received)) {
      throw new TlsError('ERR_TLS_BAD_BINDER', "The binder of the client's ticket is wrong");
    }
    return new PeerAuthenticated(peer);
  }

  /**
   * Client: the server selected our ticket. That it knows the PSK is proven by its Finished, which every path to an
   * established session requires.
   * @param peer who the server was when it issued the ticket, judged again
   */
  static byResumption(peer: PeerIdentity): PeerAuthenticated {
    return new PeerAuthenticated(peer);
  }

  /** A client that was not asked for a certificate, or was free not to show one. */
  static anonymousClient(): PeerAuthenticated {
    return new PeerAuthenticated(undefined);
  }
}

/** What a CertificateVerify signs: 64 spaces, a context string, a zero byte, the transcript hash (§4.4.3). */
export function signatureInput(signer: 'client' | 'server', transcript: Uint8Array): Uint8Array {
  return concat([SIGNATURE_PREFIX[signer], transcript]);
}

const utf8 = new TextEncoder();
const SIGNATURE_PREFIX = {
  client: utf8.encode(`${' '.repeat(64)}TLS 1.3, client CertificateVerify\0`),
  server: utf8.encode(`${' '.repeat(64)}TLS 1.3, server CertificateVerify\0`),
};

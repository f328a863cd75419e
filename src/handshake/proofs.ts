import type { CryptoProvider } from '../crypto/provider.ts';
import { LEGACY_SCHEMES, type Scheme, schemeById, schemeFitsKey } from '../crypto/schemes.ts';
import { TlsError } from '../errors/errors.ts';
import type { CertificateVerify } from '../messages/authentication.ts';
import type { DigitallySigned } from '../messages/tls12.ts';
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

  /** The handshake ran elsewhere, in an engine that does not go on without this check, and which is trusted with the keys. */
  static elsewhere(): FinishedVerified {
    return new FinishedVerified();
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
    if (scheme === undefined || !scheme.handshake || !accepted.includes(id)) throw notOffered(id);
    if (!schemeFitsKey(scheme, peer.publicKey)) throw notForThisKey(scheme);
    const input = signatureInput(signer, signed);
    if (!crypto.verify(scheme.algorithm, peer.publicKey, input, signature)) throw badSignature();
    return new PeerAuthenticated(peer);
  }

  /**
   * Checks a signature of a TLS 1.2 handshake: of ServerKeyExchange (RFC 8422 §5.4) or CertificateVerify (RFC 5246
   * §7.4.8). Here RSASSA-PKCS1-v1_5 is allowed, and the scheme says nothing of the curve (RFC 8446 §4.2.3).
   * @param input what is signed
   * @param signed without a scheme before TLS 1.2: there the kind of key says it (RFC 4346 §7.4.3, RFC 8422 §5.4)
   * @param accepted the schemes that we offered
   * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER, ERR_TLS_BAD_SIGNATURE
   */
  static bySignature12(
    crypto: CryptoProvider,
    peer: PeerIdentity,
    input: Uint8Array,
    { scheme: id, signature }: DigitallySigned,
    accepted: readonly number[],
  ): PeerAuthenticated {
    if (id === undefined) return PeerAuthenticated.#byLegacySignature(crypto, peer, input, signature);
    const scheme = schemeById(id);
    if (scheme === undefined || !accepted.includes(id)) throw notOffered(id);
    if (scheme.keyKind !== peer.publicKey.kind) throw notForThisKey(scheme);
    if (!crypto.verify(scheme.algorithm, peer.publicKey, input, signature)) throw badSignature();
    return new PeerAuthenticated(peer);
  }

  static #byLegacySignature(
    crypto: CryptoProvider,
    peer: PeerIdentity,
    input: Uint8Array,
    signature: Uint8Array,
  ): PeerAuthenticated {
    const { publicKey } = peer;
    const scheme = LEGACY_SCHEMES.find(({ keyKind }) => keyKind === publicKey.kind);
    if (scheme === undefined) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        `The peer has a key of kind ${publicKey.kind}, which cannot sign before TLS 1.2`,
      );
    }
    if (!crypto.verify(scheme.algorithm, publicKey, input, signature)) throw badSignature();
    return new PeerAuthenticated(peer);
  }

  /**
   * Client: the premaster secret was encrypted to this server. That it could decrypt it is proven by its Finished (RFC 5246
   * §F.1.1.2).
   */
  static byRsaKeyExchange(peer: PeerIdentity): PeerAuthenticated {
    return new PeerAuthenticated(peer);
  }

  /**
   * Server: the binder proves that the client holds the PSK (RFC 8446 §4.2.11.2).
   * @param peer who the client was when the ticket was issued, judged again; `undefined` for an external PSK
   * @throws TlsError ERR_TLS_BAD_BINDER
   */
  static byBinder(
    crypto: CryptoProvider,
    expected: Uint8Array,
    received: Uint8Array,
    peer: PeerIdentity | undefined,
  ): PeerAuthenticated {
    if (!crypto.equal(expected, received)) {
      throw new TlsError('ERR_TLS_BAD_BINDER', "The binder of the client's ticket or key is wrong");
    }
    return new PeerAuthenticated(peer);
  }

  /**
   * Client: the server selected our ticket. That it knows the PSK is proven by its Finished, which every path to an
   * established session requires.
   * @param peer who the server was when it issued the ticket, judged again; `undefined` where an external key said that
   */
  static byResumption(peer: PeerIdentity | undefined): PeerAuthenticated {
    return new PeerAuthenticated(peer);
  }

  /**
   * Client: the server selected an external key of ours. That it holds the key too is proven by its Finished. Who it is
   * follows from whom the key was given to; there is no certificate.
   */
  static byExternalPsk(): PeerAuthenticated {
    return new PeerAuthenticated(undefined);
  }

  /**
   * TLS 1.2: the session that is resumed was with this peer. That it has the master secret is proven by its Finished.
   * @param peer who the peer was in the first handshake, judged again; `undefined` for an anonymous client
   */
  static bySession12(peer: PeerIdentity | undefined): PeerAuthenticated {
    return new PeerAuthenticated(peer);
  }

  /** As `FinishedVerified.elsewhere`. @param peer who it is, judged here */
  static elsewhere(peer: PeerIdentity | undefined): PeerAuthenticated {
    return new PeerAuthenticated(peer);
  }

  /** A client that was not asked for a certificate, or was free not to show one. */
  static anonymousClient(): PeerAuthenticated {
    return new PeerAuthenticated(undefined);
  }
}

function notOffered(id: number): TlsError {
  return new TlsError(
    'ERR_TLS_ILLEGAL_PARAMETER',
    `The peer signed with scheme 0x${id.toString(16).padStart(4, '0')}, which was not offered`,
  );
}

function notForThisKey({ name }: Scheme): TlsError {
  return new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `The peer signed with ${name}, which is not for its key`);
}

function badSignature(): TlsError {
  return new TlsError('ERR_TLS_BAD_SIGNATURE', "The peer's signature of the handshake is wrong");
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

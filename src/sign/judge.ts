import type { CryptoProvider } from '../crypto/provider.ts';
import { equalBytes } from '../der/bytes.ts';
import { CertificateError } from '../errors/errors.ts';
import type { SignerIdentity, SignerJudge } from '../formats/format.ts';
import type { Certificate } from '../x509/certificate.ts';
import type { TrustStore } from '../x509/trust-store.ts';
import { type PeerIdentity, VerifiedPeer, verifyPeer } from '../x509/verify.ts';

/**
 * Judges signers of one session. A path that was found good stays so as long as all its certificates are valid: each
 * object asks again, and thousands of objects have one signer.
 *
 * @param trust without it, only the peer of the handshake is known
 */
export function sessionJudge(
  crypto: CryptoProvider,
  trust: TrustStore | SignerJudge | undefined,
  peer: PeerIdentity | undefined,
): SignerJudge {
  if (typeof trust === 'function') return trust;
  let last: { readonly identity: SignerIdentity; readonly from: number; readonly until: number } | undefined;
  return (chain, now) => {
    const leaf = chain[0] as Uint8Array;
    const isKnown =
      last !== undefined && now >= last.from && now <= last.until && equalBytes(last.identity.leaf.raw, leaf);
    if (last !== undefined && isKnown) return last.identity;
    const identity =
      trust === undefined
        ? fromHandshake(leaf, now, peer)
        : verifyPeer(crypto, chain, { purpose: 'signer', trust, now });
    const from = Math.max(...identity.path.map(({ notBefore }) => notBefore));
    const until = Math.min(...identity.path.map(lastMoment));
    last = { identity, from, until };
    return identity;
  };
}

function fromHandshake(leaf: Uint8Array, now: number, peer: PeerIdentity | undefined): SignerIdentity {
  if (peer === undefined || !VerifiedPeer.is(peer) || !equalBytes(peer.leaf.raw, leaf)) {
    throw new CertificateError(
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'The signer is not a verified peer of this handshake; give the option trust to accept others',
    );
  }
  for (const [depth, certificate] of peer.path.entries()) {
    // Written so that a time that is no number is in no certificate's validity.
    if (!(now >= certificate.notBefore))
      throw new CertificateError('CERT_NOT_YET_VALID', `${certificate} is not valid yet`, depth);
    if (!(now <= lastMoment(certificate)))
      throw new CertificateError('CERT_HAS_EXPIRED', `${certificate} has expired since the handshake`, depth);
  }
  return peer;
}

/** RFC 5280 §4.1.2.5: notAfter means all of its second. Unix milliseconds. */
function lastMoment({ notAfter }: Certificate): number {
  return notAfter + 999;
}

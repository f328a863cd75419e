import { CertificateError } from '../errors/errors.ts';
import { CertificateType } from '../wire/codepoints.ts';
import type { PeerIdentity } from '../x509/verify.ts';
import { acceptedTypes, judgeRawKey } from './certificate-types.ts';
import type { ClientConfig, PeerVerifier, ServerConfig } from './config.ts';
import type { KeptPeer } from './session.ts';

export function keptOf(peer: PeerIdentity | undefined): KeptPeer {
  const peerChain = peer?.chain ?? [];
  if (peer === undefined || peerChain.length > 0) return { peerChain };
  return { peerChain, peerKey: peer.publicKey.spki };
}

export const hasShownNothing = ({ peerChain, peerKey }: KeptPeer): boolean =>
  peerChain.length === 0 && peerKey === undefined;

/**
 * The peer of a session by what is trusted now.
 * @throws CertificateError also where its kind of credential is no longer taken
 */
export function judgeKept(
  config: ClientConfig | ServerConfig,
  { peerChain, peerKey }: KeptPeer,
  context: Parameters<PeerVerifier>[1],
): PeerIdentity {
  const type = peerKey === undefined ? CertificateType.x509 : CertificateType.raw_public_key;
  if (!acceptedTypes(config).includes(type))
    throw new CertificateError('CERT_REJECTED', 'The session began with a type of certificate not taken now');
  if (peerKey === undefined) return config.verifyPeer(peerChain, context);
  return judgeRawKey(config.verifyRawKey, [peerKey]);
}

/**
 * A server: the client of a session, once more.
 * @returns nothing where it would be refused now, and a full handshake has to settle that
 */
export function judgeKeptClient(
  config: ServerConfig,
  kept: KeptPeer,
  now: number,
): { readonly peer: PeerIdentity } | undefined {
  try {
    const schemes = config.certificateSchemes ?? config.schemes;
    return { peer: judgeKept(config, kept, { now, serverName: undefined, schemes }) };
  } catch (error) {
    if (error instanceof CertificateError) return undefined;
    throw error;
  }
}

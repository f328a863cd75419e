import type { Role } from '../../connection/sub-protocol.ts';
import { isRsaKeyExchange, suite12ById } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import type { ClientConfig, PeerVerifier, ServerConfig } from '../../handshake/config.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { type AgreedSession, attestedPeer } from './information.ts';

/**
 * Who the peer of a session in a module is.
 * @param verifyPeer judges with anchors of the host's own; absent: as the module has judged
 * @throws CertificateError; TlsError ERR_TLS_CERTIFICATE_REQUIRED
 */
export function judgePeer(
  role: Role,
  config: ClientConfig | ServerConfig,
  { peerPath, pskIdentity, serverName, suite }: AgreedSession,
  verifyPeer: PeerVerifier | undefined,
  now: number,
): PeerIdentity | undefined {
  if (peerPath.length === 0) {
    // Who has proven to hold a key of the identity is not asked for a certificate, as everywhere.
    if (pskIdentity === undefined) requireAnonymous(config);
    return undefined;
  }
  const { crypto, schemes } = config;
  const keyUse = keyUseOf(suite);
  const name = 'identities' in config ? config.serverName : serverName;
  if (verifyPeer !== undefined) return verifyPeer(peerPath, { now, serverName: name, schemes, keyUse });
  const purpose = role === 'client' ? 'server' : 'client';
  return attestedPeer(crypto, peerPath, { purpose, serverName: name, now });
}

/** Whether clients are asked for certificates is the identity's policy, in the module; the host's is not weaker for it. */
function requireAnonymous(config: ClientConfig | ServerConfig): void {
  if ('identities' in config || config.clientCertificate !== 'require') return;
  throw new TlsError(
    'ERR_TLS_CERTIFICATE_REQUIRED',
    'The client has shown no certificate; does the identity in the module ask for one (identity add --client-cert)?',
  );
}

/** Where the server has no key exchange but the RSA one, its key decrypts (RFC 5246 §7.4.2). */
function keyUseOf({ id }: AgreedSession['suite']): 'encipherment' | undefined {
  const suite = suite12ById(id);
  return suite !== undefined && isRsaKeyExchange(suite) ? 'encipherment' : undefined;
}

import type { CryptoProvider } from '../../crypto/provider.ts';
import { SCHEMES } from '../../crypto/schemes.ts';
import { DEFAULT_TLS13_SUITES } from '../../crypto/suites.ts';
import { DEFAULT_TLS12_SUITES } from '../../crypto/suites12.ts';
import type { ClientConfig, PeerVerifier, ServerConfig } from '../../handshake/config.ts';
import { NamedGroup, ProtocolVersion } from '../../wire/codepoints.ts';
import { referenceName } from '../../x509/names.ts';
import { verifyPeer } from '../../x509/verify.ts';
import { ClientCertificate } from '../protocol.ts';
import { MAX_RETRANSMIT_TIMEOUT, type OpenRequest } from './open.ts';
import type { IdentityRecord, PersistentState } from './persistent.ts';
import { findPsk } from './psks.ts';

/** As everywhere (docs/defaults.md). */
export const MODULE_GROUPS: readonly number[] = [
  NamedGroup.x25519,
  NamedGroup.secp256r1,
  NamedGroup.secp384r1,
];
export const MODULE_SUITES = DEFAULT_TLS13_SUITES;
const MAX_FRAGMENT = 16_384;

/** What the module's engine is to do: the identity's key, certificates and anchors, and what Open asked for. */
export function engineConfig(
  crypto: CryptoProvider,
  state: PersistentState,
  identity: IdentityRecord,
  request: OpenRequest,
): ClientConfig | ServerConfig {
  const { serverName, datagrams } = request;
  const speaks = (...versions: readonly number[]) => versions.some((v) => request.versions.includes(v));
  const reference = serverName === undefined ? undefined : referenceName(serverName);
  const judge: PeerVerifier = (chain, { now, schemes }) =>
    verifyPeer(crypto, chain, {
      purpose: request.role === 'client' ? 'server' : 'client',
      trust: state.trust(identity),
      now,
      name: request.role === 'client' ? reference : undefined,
      allowedSchemes: schemes,
    });
  const common = {
    crypto,
    suites: speaks(ProtocolVersion.tls13, ProtocolVersion.dtls13) ? MODULE_SUITES : [],
    // Bindings to the session need a master secret that is bound to the handshake (RFC 7627).
    tls12: speaks(ProtocolVersion.tls12, ProtocolVersion.dtls12)
      ? { suites: DEFAULT_TLS12_SUITES, requireExtendedMasterSecret: true }
      : undefined,
    groups: MODULE_GROUPS,
    schemes: SCHEMES.map(({ id }) => id),
    verifyPeer: judge,
    // The module has no clock: the host keeps the time, and drops the session.
    handshakeTimeout: 0,
    maxFragment: MAX_FRAGMENT,
    padTo: 1,
    // The host cuts flights of DTLS 1.2, and keeps the time.
    datagrams:
      datagrams === undefined
        ? undefined
        : {
            mtu: datagrams.mtu,
            initialTimeout: datagrams.timeout,
            maxTimeout: MAX_RETRANSMIT_TIMEOUT,
            wholeMessages: true,
          },
    keylog: () => false,
  };
  const identities =
    identity.privateKey === undefined || identity.chain.length === 0
      ? []
      : [{ chain: identity.chain, key: state.key(identity) }];
  // RFC 5216 §2.1, RFC 9190 §2.1.1: EAP-TLS authenticates by certificates; PSKs SHALL NOT be used except for resumption.
  const psks = request.mode === 'method' ? [] : identity.psks;
  if (request.role === 'client') {
    return {
      ...common,
      serverName,
      sendServerName: reference?.kind === 'dns',
      keyShares: MODULE_GROUPS.slice(0, 1),
      alpnProtocols: request.alpnProtocols,
      identities,
      psks,
      // Nobody's certificate would be good enough: it is not even asked for.
      requirePsk: psks.length > 0 && identity.anchors.length === 0,
      session: undefined,
      compatibility: true,
    };
  }
  const [selected] = request.alpnProtocols;
  return {
    ...common,
    selectIdentities: () => identities,
    ...(psks.length === 0 ? {} : { findPsk: (offered: Uint8Array) => findPsk(psks, offered) }),
    ...(selected === undefined
      ? {}
      : { selectProtocol: (offered) => (offered.includes(selected) ? selected : undefined) }),
    clientCertificate: POLICY[identity.clientCertificate] ?? 'require',
    certificateAuthorities: state.trust(identity).anchors.map(({ subject }) => subject.raw),
  };
}

const POLICY: Readonly<Record<number, ServerConfig['clientCertificate']>> = {
  [ClientCertificate.none]: 'none',
  [ClientCertificate.request]: 'request',
  [ClientCertificate.require]: 'require',
};

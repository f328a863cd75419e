import { isCbc, isRsaKeyExchange, type Suite12 } from '../../crypto/suites12.ts';
import type { Extension } from '../../messages/extensions.ts';
import { ExtensionType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { ClientConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { judgeKept } from '../kept-peer.ts';
import type { ExternalPsk } from '../psk.ts';
import { type Protocol12, spokenProtocols12, suitesOf } from './protocol.ts';
import type { ClientSession12 } from './session.ts';
import { requiresExtendedMasterSecret, UNCOMPRESSED_POINTS } from './shared.ts';

/** A session of TLS 1.2 or before that we offer, and who the server of it was. */
export interface OfferedSession12 {
  readonly session: ClientSession12;
  /** `undefined` where an external key says who it is. */
  readonly peer: PeerIdentity | undefined;
}

/** The key for TLS 1.2: the first that was not imported, which would bind it to TLS 1.3 (RFC 9258 §5.1). */
export function psk12(config: ClientConfig): ExternalPsk | undefined {
  return config.psks?.find(({ binder }) => binder === 'external');
}

/** The suites of TLS 1.2 and before that we can go on with, in any version or in one. */
export function offeredSuites12(config: ClientConfig, protocol?: Protocol12): readonly Suite12[] {
  const protocols = protocol === undefined ? spokenProtocols12(config) : [protocol];
  const usable = protocols.map((candidate) => suitesOf(config, candidate));
  const suites = (config.tls12?.suites ?? []).filter((suite) => usable.some((list) => list.includes(suite)));
  const withKey = psk12(config) !== undefined;
  return suites.filter(({ authentication }) =>
    authentication === 'psk' ? withKey : config.requirePsk !== true,
  );
}

/** What ClientHello says for TLS 1.2 and before alone. */
export function extensions12(config: ClientConfig, session: ClientSession12 | undefined): Extension[] {
  const encryptThenMac = { type: ExtensionType.encrypt_then_mac, body: NOTHING };
  return [
    ...(offeredSuites12(config).some(isCbc) ? [encryptThenMac] : []),
    { type: ExtensionType.ec_point_formats, body: UNCOMPRESSED_POINTS },
    { type: ExtensionType.extended_master_secret, body: NOTHING },
    // An empty renegotiated_connection: this is the first handshake (RFC 5746 §3.4).
    { type: ExtensionType.renegotiation_info, body: Uint8Array.of(0) },
    // Empty: we take tickets (RFC 5077 §3.2).
    ...(config.takesTickets === false
      ? []
      : [{ type: ExtensionType.session_ticket, body: session?.ticket ?? NOTHING }]),
  ];
}

/** The configured session, if it can still be offered: fresh, for this name, its server still to be trusted. */
export function offerableSession12(config: ClientConfig, io: HandshakeIO): OfferedSession12 | undefined {
  const { session, serverName, tls12 } = config;
  if (session === undefined || !('masterSecret' in session) || tls12 === undefined) return undefined;
  const age = io.now - session.createdAt;
  const protocol = spokenProtocols12(config).find(({ version }) => version === session.version);
  if (
    session.serverName !== serverName ||
    (config.takesTickets === false && session.ticket.length > 0) ||
    age < 0 ||
    age >= session.lifetime * 1000 ||
    protocol === undefined ||
    !suitesOf(config, protocol).includes(session.suite) ||
    (requiresExtendedMasterSecret(tls12, protocol) && !session.extendedMasterSecret)
  ) {
    return undefined;
  }
  const { pskIdentity } = session;
  if (pskIdentity !== undefined) {
    const isGiven =
      config.psks?.some(
        ({ identity, binder }) => binder === 'external' && io.crypto.equal(identity, pskIdentity),
      ) ?? false;
    return isGiven ? { session, peer: undefined } : undefined;
  }
  if (config.requirePsk === true) return undefined;
  try {
    const schemes = config.certificateSchemes ?? config.schemes;
    const keyUse = isRsaKeyExchange(session.suite) ? 'encipherment' : undefined;
    const context = { now: io.now, serverName, schemes, keyUse } as const;
    return { session, peer: judgeKept(config, session, context) };
  } catch {
    // The certificate of then is not good enough now; a full handshake shows the server's present one.
    return undefined;
  }
}

const NOTHING = new Uint8Array(0);

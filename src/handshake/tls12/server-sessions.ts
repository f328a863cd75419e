import { isCbc } from '../../crypto/suites12.ts';
import { DecodeError, TlsError } from '../../errors/errors.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { ServerConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { hasShownNothing, judgeKeptClient } from '../kept-peer.ts';
import type { CheckedClientHello12 } from './client-hello-check.ts';
import { type Protocol12, permitsCbc, suitesOf } from './protocol.ts';
import { parseState12, type SessionState12 } from './session.ts';

/** Bytes of a session id that we make: as many as there may be, so that none can be guessed (RFC 5246 §7.4.1.3). */
export const SESSION_ID_LENGTH = 32;

/** A session of ours that is good for this ClientHello. */
export interface UsableSession {
  readonly state: SessionState12;
  /** The client of it, judged again; `undefined` for a client without certificate. */
  readonly peer: PeerIdentity | undefined;
}

/**
 * The session that the client asks to resume, by ticket or by id, if we can and may; anything wrong means a full
 * handshake (RFC 5246 §7.4.1.2, RFC 5077 §3.4).
 * @throws TlsError ERR_TLS_HANDSHAKE_FAILURE for the one thing that must not be passed over (RFC 7627 §5.3)
 */
export function findSession(
  config: ServerConfig,
  protocol: Protocol12,
  checked: CheckedClientHello12,
  io: HandshakeIO,
): UsableSession | undefined {
  const state = storedState(config, checked, io);
  if (state === undefined || !mayResume(config, protocol, state, checked, io)) return undefined;
  if (state.extendedMasterSecret !== checked.extendedMasterSecret) {
    if (!state.extendedMasterSecret) return undefined;
    // RFC 7627 §5.3: the client had it then and does not offer it now: MUST abort.
    throw new TlsError(
      'ERR_TLS_HANDSHAKE_FAILURE',
      'The client resumes a session with extended_master_secret, and does not offer it now',
    );
  }
  const judged = judgeAgain(config, state, io);
  return judged === undefined ? undefined : { state, peer: judged.peer };
}

function storedState(
  config: ServerConfig,
  { hello, ticket }: CheckedClientHello12,
  io: HandshakeIO,
): SessionState12 | undefined {
  const { tickets, sessions } = config;
  // RFC 5077 §3.4: the ticket is what counts when there is one.
  const bytes =
    ticket !== undefined && ticket.length > 0
      ? tickets?.keys.openBytes(io.crypto, ticket)
      : hello.legacySessionId.length === SESSION_ID_LENGTH
        ? sessions?.store.get(hello.legacySessionId)
        : undefined;
  if (bytes === undefined) return undefined;
  try {
    return parseState12(bytes);
  } catch (error) {
    // Of TLS 1.3, or of another version of this program under the same keys.
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function mayResume(
  config: ServerConfig,
  protocol: Protocol12,
  state: SessionState12,
  { hello, serverName, encryptThenMac }: CheckedClientHello12,
  io: HandshakeIO,
): boolean {
  const age = io.now - state.createdAt;
  const lifetime = config.tickets?.lifetime ?? config.sessions?.lifetime ?? 0;
  return (
    age >= 0 &&
    age <= lifetime * 1000 &&
    // RFC 6066 §3: a session is resumed under its own name only.
    state.serverName === serverName &&
    state.version === protocol.version &&
    // The suite that a full handshake would take: what is better now shall not have to wait for the session's end.
    state.suite ===
      suitesOf(config, protocol).find(
        (suite) =>
          suite.authentication === state.suite.authentication &&
          suite.ephemeral === state.suite.ephemeral &&
          hello.cipherSuites.includes(suite.id) &&
          (!isCbc(suite) || permitsCbc(config, encryptThenMac)),
      )
  );
}

/** The client's certificates may have expired, its key may be known no more, or this server may ask for more than it did then. */
function judgeAgain(
  config: ServerConfig,
  state: SessionState12,
  io: HandshakeIO,
): { peer: PeerIdentity | undefined } | undefined {
  if (state.suite.authentication === 'psk') {
    const { pskIdentity } = state;
    const known = pskIdentity === undefined ? undefined : config.findPsk?.(pskIdentity);
    return known?.binder === 'external' ? { peer: undefined } : undefined;
  }
  if (config.clientCertificate === 'none') return { peer: undefined };
  // A client may stay without certificate unless one is required.
  if (hasShownNothing(state)) {
    return config.clientCertificate === 'require' ? undefined : { peer: undefined };
  }
  return judgeKeptClient(config, state, io.now);
}

import type { HashName } from '../../crypto/provider.ts';
import type { PskIdentity } from '../../messages/extensions.ts';
import type { ClientConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { judgeKept } from '../kept-peer.ts';
import { type BinderLabel, EarlySecret } from '../key-schedule.ts';
import { PeerAuthenticated } from '../proofs.ts';
import { type ClientSession, sessionIsFresh } from '../session.ts';
import { versionNumbers } from '../versions.ts';

/** A key that we offer, its key schedule begun. */
export interface OfferedPsk {
  readonly identity: PskIdentity;
  /** It serves only suites with this hash (RFC 8446 §4.2.11). */
  readonly hash: HashName;
  readonly binder: BinderLabel;
  readonly earlySecret: EarlySecret;
  /** The session that gave it; `undefined` for an external key. */
  readonly session: ClientSession | undefined;
  /** What it says of the server when that selects it. */
  readonly authenticated: PeerAuthenticated;
}

/** Tickets first: their servers are authenticated by certificate, and they cost the server no look-up. */
export function offeredPsksOf(config: ClientConfig, io: HandshakeIO): readonly OfferedPsk[] {
  const ticket = offerableTicket(config, io);
  const external = (config.psks ?? [])
    .filter(({ hash }) => config.suites.some((suite) => suite.hash === hash))
    .map(
      ({ identity, key, hash, binder }): OfferedPsk => ({
        // §4.2.11: obfuscated_ticket_age SHOULD be 0 for identities established externally.
        identity: { identity, obfuscatedTicketAge: 0 },
        hash,
        binder,
        earlySecret: new EarlySecret(io.crypto, hash, key),
        session: undefined,
        authenticated: PeerAuthenticated.byExternalPsk(),
      }),
    );
  return ticket === undefined ? external : [ticket, ...external];
}

/** The configured session, if it can still be offered: fresh, for this name, its server still to be trusted. */
function offerableTicket(config: ClientConfig, io: HandshakeIO): OfferedPsk | undefined {
  const { session, serverName, crypto } = config;
  if (session === undefined || !('psk' in session)) return undefined;
  if (session.version !== versionNumbers(config).tls13) return undefined;
  if (!sessionIsFresh(session, io.now) || session.serverName !== serverName) return undefined;
  const { hash } = session.suite;
  if (!config.suites.some((suite) => suite.hash === hash)) return undefined;
  const authenticated = judgeAgain(config, session, io);
  if (authenticated === undefined) return undefined;
  return {
    identity: {
      identity: session.ticket,
      obfuscatedTicketAge: (io.now - session.receivedAt + session.ageAdd) % 2 ** 32,
    },
    hash,
    binder: 'resumption',
    earlySecret: new EarlySecret(crypto, hash, session.psk),
    session,
    authenticated,
  };
}

/** What says now who the server of the session is; `undefined` when nothing does any more. */
function judgeAgain(
  config: ClientConfig,
  session: ClientSession,
  { crypto, now }: HandshakeIO,
): PeerAuthenticated | undefined {
  const { pskIdentity } = session;
  if (pskIdentity !== undefined) {
    const isGiven = config.psks?.some(({ identity }) => crypto.equal(identity, pskIdentity)) ?? false;
    return isGiven ? PeerAuthenticated.byResumption(undefined) : undefined;
  }
  if (config.requirePsk === true) return undefined;
  try {
    const schemes = config.certificateSchemes ?? config.schemes;
    const { serverName } = config;
    return PeerAuthenticated.byResumption(judgeKept(config, session, { now, serverName, schemes }));
  } catch {
    // The certificate of then is not good enough now; a full handshake shows the server's present one.
    return undefined;
  }
}

import type { CryptoProvider } from '../../crypto/provider.ts';
import type { Suite } from '../../crypto/suites.ts';
import { maxEarlyDataSize } from '../../messages/extensions.ts';
import { buildNewSessionTicket } from '../../messages/post-handshake.ts';
import { CertificateType, ExtensionType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { identitiesOfType } from '../certificate-types.ts';
import type { ServerConfig } from '../config.ts';
import type { Agreement13 } from '../established.ts';
import type { HandshakeIO } from '../io.ts';
import { hasShownNothing, judgeKeptClient, keptOf } from '../kept-peer.ts';
import { type BinderLabel, EarlySecret, resumptionPsk } from '../key-schedule.ts';
import type { TicketState } from '../tickets.ts';
import { versionNumbers } from '../versions.ts';
import { type CheckedClientHello, chooseSuite } from './client-hello-check.ts';
import { greaseExtension } from './grease.ts';
import { chooseIdentity } from './shared.ts';

/** Identities of one ClientHello that are looked at before we fall back to a full handshake: bounds the work. */
export const MAX_PSKS_TRIED = 4;

/** A ticket or an external key that is good for this ClientHello; its binder is still to be checked. */
export interface UsablePsk {
  readonly index: number;
  readonly suite: Suite;
  readonly binder: BinderLabel;
  readonly earlySecret: EarlySecret;
  /** What was in the ticket; `undefined` for an external key. */
  readonly ticket: TicketState | undefined;
  /** The client that got the ticket, judged again; `undefined` for a client without certificate. */
  readonly peer: PeerIdentity | undefined;
  readonly identity: Uint8Array;
}

/**
 * What we can and may use of the keys that a client offers (RFC 8446 §4.2.11): the first, or of external keys the one that
 * comes first here. Anything wrong means a full handshake.
 */
export function findUsablePsk(
  config: ServerConfig,
  checked: CheckedClientHello,
  io: Surroundings,
): UsablePsk | undefined {
  const tried = checked.psks?.identities.slice(0, MAX_PSKS_TRIED) ?? [];
  let best: (UsablePsk & { readonly preference: number }) | undefined;
  for (const [index, { identity }] of tried.entries()) {
    const ticket = best === undefined ? usableTicket(config, checked, identity, io) : undefined;
    if (ticket !== undefined) return { index, identity, ...ticket };
    const found = usableKey(config, checked, identity, io);
    if (found !== undefined && (best === undefined || found.preference < best.preference))
      best = { index, identity, ...found };
  }
  if (best !== undefined && config.preferCertificate === true && suitsCertificate(config, checked))
    return undefined;
  return best;
}

/** Whether a certificate could be shown to this client. */
function suitsCertificate(
  { selectIdentities }: ServerConfig,
  { schemes, authorities, certificateTypes, serverName }: CheckedClientHello,
): boolean {
  const types = certificateTypes.server ?? [CertificateType.x509];
  const shown = types.flatMap((type) => identitiesOfType(selectIdentities(serverName), type));
  return chooseIdentity(shown, schemes ?? [], authorities) !== undefined;
}

/** Short enough for a cookie. */
const FINGERPRINT_LENGTH = 16;

/** By which an identity is known again. */
export function keyFingerprint(crypto: CryptoProvider, identity: Uint8Array): Uint8Array {
  return crypto.digest('sha256', identity).subarray(0, FINGERPRINT_LENGTH);
}

/** What is needed to judge a key. */
type Surroundings = Pick<HandshakeIO, 'crypto' | 'now'>;

type Found = Omit<UsablePsk, 'index' | 'identity'>;

function usableTicket(
  config: ServerConfig,
  checked: CheckedClientHello,
  identity: Uint8Array,
  io: Surroundings,
): Found | undefined {
  const ticket = config.tickets?.keys.open(io.crypto, identity);
  if (ticket === undefined || !mayResume(config, ticket, checked, io)) return undefined;
  const judged = judgeAgain(config, ticket, io);
  if (judged === undefined) return undefined;
  // §4.2.11: a key is bound to its hash, and not to the suite.
  const suite = chooseSuite(config, checked);
  const { psk } = ticket;
  const earlySecret = new EarlySecret(io.crypto, suite.hash, psk);
  return { suite, binder: 'resumption', earlySecret, ticket, peer: judged.peer };
}

/** An external key, with the best suite that has its hash. */
function usableKey(
  config: ServerConfig,
  { hello }: CheckedClientHello,
  identity: Uint8Array,
  io: Surroundings,
): (Found & { readonly preference: number }) | undefined {
  const psk = config.findPsk?.(identity);
  if (psk === undefined) return undefined;
  const suite = config.suites.find(({ id, hash }) => hash === psk.hash && hello.cipherSuites.includes(id));
  if (suite === undefined) return undefined;
  const earlySecret = new EarlySecret(io.crypto, psk.hash, psk.key);
  const { binder, preference = Number.POSITIVE_INFINITY } = psk;
  return { suite, binder, earlySecret, ticket: undefined, peer: undefined, preference };
}

function mayResume(
  config: ServerConfig,
  state: TicketState,
  checked: CheckedClientHello,
  io: Surroundings,
): boolean {
  const age = io.now - state.issuedAt;
  const lifetime = (config.tickets?.lifetime ?? 0) * 1000;
  return (
    age >= 0 &&
    age <= lifetime &&
    state.version === versionNumbers(config).tls13 &&
    state.serverName === checked.serverName &&
    config.suites.includes(state.suite) &&
    checked.hello.cipherSuites.includes(state.suite.id) &&
    // What is better now shall not have to wait for the session's end.
    state.suite.hash === chooseSuite(config, checked).hash
  );
}

/** The client's certificates may have expired, its external key may be known no more, or this server may ask for more than it did when it issued the ticket. */
function judgeAgain(
  config: ServerConfig,
  state: TicketState,
  io: Surroundings,
): { peer: PeerIdentity | undefined } | undefined {
  if (state.pskIdentity !== undefined) {
    return config.findPsk?.(state.pskIdentity) === undefined ? undefined : { peer: undefined };
  }
  if (hasShownNothing(state)) {
    // It was asked, or need not be asked: a client may stay without certificate unless one is required.
    return config.clientCertificate === 'require' ? undefined : { peer: undefined };
  }
  if (config.clientCertificate === 'none') return { peer: undefined };
  return judgeKeptClient(config, state, io.now);
}

/**
 * Sends `tickets.count` NewSessionTicket messages (RFC 8446 §4.6.1), each with a PSK of its own; after a resumption one, to
 * take the place of the ticket that was used.
 */
export function issueTickets(
  config: ServerConfig,
  { version, suite, serverName, alpnProtocol, resumed, pskIdentity }: Agreement13,
  resumptionSecret: Uint8Array,
  peer: PeerIdentity | undefined,
  io: HandshakeIO,
): void {
  const { tickets } = config;
  if (tickets === undefined) return;
  const count = resumed ? Math.min(tickets.count, 1) : tickets.count;
  for (let i = 0; i < count; i++) {
    const nonce = Uint8Array.of(i);
    const psk = resumptionPsk(io.crypto, suite.hash, resumptionSecret, nonce);
    const [a, b, c, d] = io.crypto.randomBytes(4) as unknown as [number, number, number, number];
    const ageAdd = ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
    const maxBytes = tickets.earlyData?.maxBytes;
    const early = maxBytes === undefined ? undefined : { maxBytes, ageAdd, alpnProtocol };
    const state = { version, suite, psk, issuedAt: io.now, serverName, pskIdentity, early, ...keptOf(peer) };
    const ticket = tickets.keys.seal(io.crypto, state);
    if (ticket === undefined) return;
    const extensions = config.grease === true ? [greaseExtension(io.crypto)] : [];
    if (maxBytes !== undefined)
      extensions.push({ type: ExtensionType.early_data, body: maxEarlyDataSize.build(maxBytes) });
    io.send(buildNewSessionTicket({ lifetime: tickets.lifetime, ageAdd, nonce, ticket, extensions }));
  }
}

import { describe, expect, test } from 'vitest';
import type { Role } from '../../src/connection/sub-protocol.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { LEGACY_SUITES } from '../../src/crypto/suites12.ts';
import type { ClientConfig, Identity, ServerConfig } from '../../src/handshake/config.ts';
import type { ResumableSession } from '../../src/handshake/resumable-session.ts';
import { ContentType, HandshakeType, NamedGroup, ProtocolVersion } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { verifyRawKey } from '../../src/x509/raw-key.ts';
import {
  clientConfig,
  clientIdentity,
  ONLY_TLS12,
  replacedTickets,
  serverConfig,
  testIdentity,
  testTickets,
} from '../setup/engine-config.ts';
import { expectFound, expectUnharmed, NOTHING, withBody } from '../setup/faults.ts';
import { type Cargo, Pair, peerOf, splitMessages, type Tamper } from '../setup/pair.ts';

/*
 * Every handshake message in every state. The states are not listed: each scenario is played once, and each message of it
 * was awaited by some state. Then it is played again for each of these and each type of message, with a message of that
 * type in its place. What the state does not await must be unexpected_message, whatever is in it (RFC 8446 §4, RFC 5246
 * §7.4), and nobody may come to believe that the session stands.
 */

interface Scenario {
  readonly name: string;
  readonly client?: Partial<ClientConfig>;
  readonly server?: Partial<ServerConfig> | undefined;
  /** Plays it a second time, with the session of the first. */
  readonly resumes?: boolean;
  /** The server of the first time, where it is another. */
  readonly earlier?: Partial<ServerConfig>;
}

const identity = testIdentity();
const askForCertificate = {
  client: { identities: [clientIdentity] },
  server: { clientCertificate: 'require', tickets: testTickets },
} as const;

const rsaIdentity = testIdentity('rsa');
const RSA_12 = { suites: LEGACY_SUITES, requireExtendedMasterSecret: true } as const;

/** Both sides show a raw public key (RFC 7250), and take no other. */
const bareKey = (): Identity & { readonly spki: Uint8Array } => {
  const { chain, key } = testIdentity();
  return { chain: [], key, spki: Uint8Array.from(chain[0] as Uint8Array) };
};
const rawServer = bareKey();
const rawClient = bareKey();
const rawKeysOf = (spki: Uint8Array) => ({
  verifyRawKey: (shown: Uint8Array) => verifyRawKey(nodeCrypto, shown, [spki]),
  rawKeysOnly: true,
});
const RAW_KEYS = {
  client: { ...rawKeysOf(rawServer.spki), identities: [rawClient] },
  server: {
    ...rawKeysOf(rawClient.spki),
    selectIdentities: () => [rawServer],
    clientCertificate: 'require',
  },
} as const;

const RETRY = { groups: [NamedGroup.secp256r1] };

/** The client offers to show a certificate whenever it is asked. */
const offering = { identities: [clientIdentity], postHandshakeAuth: true };
const ON_REQUEST: Scenario = { name: 'TLS 1.3, post-handshake authentication', client: offering };

const TLS13: readonly Scenario[] = [
  { name: 'TLS 1.3' },
  { name: 'TLS 1.3, client certificate', ...askForCertificate },
  { name: 'TLS 1.3, HelloRetryRequest', server: RETRY },
  { name: 'TLS 1.3, resumption', server: { tickets: testTickets }, resumes: true },
  { name: 'TLS 1.3, raw public keys', ...RAW_KEYS },
  ON_REQUEST,
];

const TLS12: readonly Scenario[] = [
  { name: 'TLS 1.2', client: ONLY_TLS12, server: ONLY_TLS12 },
  {
    name: 'TLS 1.2, client certificate and ticket',
    client: { ...ONLY_TLS12, ...askForCertificate.client },
    server: { ...ONLY_TLS12, ...askForCertificate.server },
  },
  {
    name: 'TLS 1.2, resumption',
    client: ONLY_TLS12,
    server: { ...ONLY_TLS12, tickets: testTickets },
    resumes: true,
  },
  {
    name: 'TLS 1.2, resumption under a key that was replaced',
    client: ONLY_TLS12,
    server: { ...ONLY_TLS12, tickets: replacedTickets },
    resumes: true,
    earlier: { ...ONLY_TLS12, tickets: testTickets },
  },
  {
    name: 'TLS 1.2, raw public keys',
    client: { ...ONLY_TLS12, ...RAW_KEYS.client },
    server: { ...ONLY_TLS12, ...RAW_KEYS.server },
  },
];

/** The states are those of TLS 1.2; what is said in them differs. */
const LEGACY = {
  legacy: ['tls1.0', 'tls1.1', 'rsa', 'cbc'],
  tls12: { suites: LEGACY_SUITES, requireExtendedMasterSecret: true, newest: ProtocolVersion.tls11 },
} as const;
const OLDER: readonly Scenario[] = [
  {
    name: 'TLS 1.0, client certificate and ticket',
    client: {
      ...ONLY_TLS12,
      ...askForCertificate.client,
      legacy: ['tls1.0', 'cbc'],
      tls12: { ...ONLY_TLS12.tls12, newest: ProtocolVersion.tls10 },
    },
    server: { ...ONLY_TLS12, ...askForCertificate.server, legacy: ['tls1.0', 'cbc'] },
  },
  {
    name: 'TLS 1.1, RSA key exchange',
    client: { ...ONLY_TLS12, ...LEGACY },
    server: { ...ONLY_TLS12, ...LEGACY, selectIdentities: () => [rsaIdentity] },
  },
  {
    name: 'TLS 1.2, RSA key exchange, client certificate',
    client: { ...ONLY_TLS12, ...LEGACY, ...askForCertificate.client, tls12: RSA_12 },
    server: {
      ...ONLY_TLS12,
      ...LEGACY,
      clientCertificate: 'require',
      selectIdentities: () => [rsaIdentity],
      tls12: RSA_12,
    },
  },
];

/** What a client says when it is asked after the handshake. */
const CERTIFIED: readonly number[] = [
  HandshakeType.certificate,
  HandshakeType.certificate_verify,
  HandshakeType.finished,
];
const DECLINED: readonly number[] = [HandshakeType.certificate, HandshakeType.finished];

/** One that both versions know, one that no registry does. */
const TYPES: Readonly<Record<string, number>> = { ...HandshakeType, unassigned: 99 };

const nameOf = (type: number): string =>
  Object.entries(TYPES).find(([, value]) => value === type)?.[0] ?? `${type}`;

/** A place in a scenario: the nth thing that one side says before the session stands. */
interface Place {
  readonly from: Role;
  readonly nth: number;
  /** The type of message awaited there; `undefined` for ChangeCipherSpec. */
  readonly awaited: number | undefined;
}

const play = (scenario: Scenario, session: ResumableSession | undefined, tamper: Tamper): Pair =>
  new Pair({
    client: clientConfig({ ...scenario.client, session }),
    server: serverConfig({ selectIdentities: () => [identity], ...scenario.server }),
    tamper,
  }).run();

/** Calls `at` for each message and ChangeCipherSpec, in the order of each side, and puts in its place what it returns. */
function walk(at: (place: Place) => Uint8Array | undefined): Tamper {
  const said: Record<Role, number> = { client: 0, server: 0 };
  return ({ from, type, content }) => {
    const look = (awaited: number | undefined) => at({ from, nth: said[from]++, awaited });
    if (type === ContentType.change_cipher_spec) {
      const message = look(undefined);
      return message === undefined ? undefined : inOneRecord([message]);
    }
    if (type !== ContentType.handshake) return undefined;
    const before: Uint8Array[] = [];
    for (const { type: awaited, raw } of splitMessages(content)) {
      const message = look(awaited);
      // What would follow in the same record goes too: the receiver has ended by then.
      if (message !== undefined) return inOneRecord([...before, message]);
      before.push(raw);
    }
    return undefined;
  };
}

const inOneRecord = (messages: readonly Uint8Array[]): readonly Cargo[] => [
  { type: ContentType.handshake, content: concat(messages) },
];

/** The session of a first run, for scenarios that resume one. */
function sessionFor(scenario: Scenario): ResumableSession | undefined {
  if (!scenario.resumes) return undefined;
  const pair = play({ ...scenario, server: scenario.earlier ?? scenario.server }, undefined, () => undefined);
  return pair.client.events.flatMap((event) => (event.type === 'ticket' ? [event.session] : []))[0];
}

/** TLS 1.3's ChangeCipherSpec is dropped unread, so no state awaits it. */
const isState = (scenario: Scenario, { awaited }: Place): boolean =>
  awaited !== undefined || !TLS13.includes(scenario);

/** Beside the message that came: what the state would have taken as well. */
function alsoAwaited(scenario: Scenario, { from, awaited }: Place): readonly number[] {
  // RFC 8446 §4.3.2, RFC 5246 §7.4.4: the server may ask for a certificate first, or not.
  if (from === 'server' && TLS13.includes(scenario) && awaited === HandshakeType.certificate) {
    return [HandshakeType.certificate_request];
  }
  if (from === 'server' && awaited === HandshakeType.server_hello_done) {
    return [HandshakeType.certificate_request];
  }
  if (awaited === HandshakeType.certificate_request) {
    return [HandshakeType.certificate, HandshakeType.server_hello_done];
  }
  return [];
}

describe.each([...TLS13, ...TLS12, ...OLDER])('$name', (scenario) => {
  const session = sessionFor(scenario);
  const places: Place[] = [];
  const clean = play(
    scenario,
    session,
    walk((place) => {
      // What comes once the receiver is connected (tickets) is no handshake any more.
      if (isState(scenario, place) && !(TLS13.includes(scenario) && isTicket(place))) places.push(place);
      return undefined;
    }),
  );

  test('is played to its end', () => {
    expectUnharmed(clean);
    expect(clean.server.connection.info?.resumed).toBe(scenario.resumes ?? false);
    expect(places.length).toBeGreaterThan(3);
  });

  const cases = places.flatMap((place) =>
    Object.values(TYPES)
      .filter((type) => type !== place.awaited && !alsoAwaited(scenario, place).includes(type))
      .map((type) => ({ ...place, type, sent: nameOf(type), state: nameOf(place.awaited ?? -1) })),
  );

  test.each(cases)('$from says $sent where $state is due', ({ from, nth, type }) => {
    const to = peerOf[from];
    // Hardly any message may be empty: who looked inside before looking at the type would say decode_error.
    const tamper = walk((place) =>
      place.from === from && place.nth === nth ? withBody(type, NOTHING) : undefined,
    );
    const pair = play(scenario, session, tamper);
    expectFound(pair, to, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    expect(pair[to].connected).toBe(false);
  });

  describe('once the session stands', () => {
    const after: Readonly<Record<Role, readonly number[]>> = TLS13.includes(scenario)
      ? {
          // RFC 8446 §4.6: what may come after the handshake.
          client: [
            HandshakeType.new_session_ticket,
            HandshakeType.key_update,
            // §4.6.2: from a server whose client has offered it.
            ...(scenario === ON_REQUEST ? [HandshakeType.certificate_request] : []),
          ],
          server: [HandshakeType.key_update],
        }
      : // RFC 5246 §7.4.1.1: requests to renegotiate, which are refused with a warning.
        { client: [HandshakeType.hello_request], server: [HandshakeType.client_hello] };

    const late = (['client', 'server'] as const).flatMap((to) =>
      Object.entries(TYPES)
        .filter(([, type]) => !after[to].includes(type))
        .map(([sent, type]) => ({ to, sent, type })),
    );

    test.each(late)('$sent to the $to', ({ to, type }) => {
      const pair = play(scenario, session, () => undefined);
      pair.inject(peerOf[to], { type: ContentType.handshake, content: withBody(type, NOTHING) }).run();
      expectFound(pair, to, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    });
  });
});

/*
 * RFC 8446 §4.6.2: the server asks once the session stands. Each message of the answer was awaited, and is played again with
 * each other type in its place.
 */
describe.each([
  { answer: 'a certificate', client: offering, says: CERTIFIED },
  { answer: 'none', client: { ...offering, identities: [] }, says: DECLINED },
])('a client that was asked after the handshake and answers with $answer', ({ client, says }) => {
  /** The nth message of the answer, with what `change` makes of it in its place. */
  const ask = (change: (nth: number) => Uint8Array | undefined): Pair => {
    let nth = 0;
    const pair = play({ ...ON_REQUEST, client }, undefined, ({ from, epoch, type, content }) => {
      if (from !== 'client' || epoch !== 'application' || type !== ContentType.handshake) return undefined;
      const messages: Uint8Array[] = [];
      for (const { raw, type: said } of splitMessages(content)) {
        expect(said).toBe(says[nth]);
        const changed = change(nth++);
        messages.push(changed ?? raw);
        // What would follow goes too: the server has ended by then.
        if (changed !== undefined) break;
      }
      return inOneRecord(messages);
    });
    pair.server.connection.requestCertificate();
    return pair.run();
  };

  test('is believed', () => {
    let heard = 0;
    const pair = ask((nth) => {
      heard = nth + 1;
      return undefined;
    });
    expectUnharmed(pair);
    expect(heard).toBe(says.length);
    expect(pair.server.events.filter(({ type }) => type === 'authenticated').length).toBe(1);
  });

  const cases = says.flatMap((awaited, nth) =>
    Object.entries(TYPES)
      .filter(([, type]) => type !== awaited)
      // §4.6.3: a KeyUpdate may come before the answer, though not inside it.
      .filter(([, type]) => type !== HandshakeType.key_update || nth > 0)
      .map(([sent, type]) => ({ sent, type, nth, state: nameOf(awaited) })),
  );
  test.each(cases)('says $sent where $state is due', ({ nth, type }) => {
    const pair = ask((place) => (place === nth ? withBody(type, NOTHING) : undefined));
    expectFound(pair, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
    expect(pair.server.connection.info?.peer).toBeUndefined();
  });
});

test('a client that has offered it reads what is in a CertificateRequest after the handshake', () => {
  const pair = play(ON_REQUEST, undefined, () => undefined);
  const request = withBody(HandshakeType.certificate_request, NOTHING);
  pair.inject('server', { type: ContentType.handshake, content: request }).run();
  expectFound(pair, 'client', 'ERR_TLS_DECODE', 'decode_error');
});

function isTicket({ awaited }: Place): boolean {
  return awaited === HandshakeType.new_session_ticket;
}

import { Connection } from '../src/connection/connection.ts';
import { nodeCrypto } from '../src/crypto/node/provider.ts';
import type { ClientConfig, ServerConfig } from '../src/handshake/config.ts';
import { EarlyDataGuard } from '../src/handshake/early-data-guard.ts';
import { importPsk, TARGET_HASHES } from '../src/handshake/psk.ts';
import { TicketKeys } from '../src/handshake/tickets.ts';
import { compressionFor } from '../src/node/certificate-compression.ts';
import { RecordLayer } from '../src/record/tls/record-layer.ts';
import { verifyRawKey } from '../src/x509/raw-key.ts';
import { clientConfig, ONLY_TLS12, serverConfig, serverIdentity } from '../test/setup/engine-config.ts';
import { CannotOpen, Pair, START, splitMessages, type Tamper } from '../test/setup/pair.ts';
import { mutate, Random } from './mutate.ts';
import type { Target } from './target.ts';

/** Whole connections: noise from a stranger, and faults of a peer that has the keys. */

interface Kind {
  readonly suffix: string;
  readonly client: Partial<ClientConfig>;
  readonly server: Partial<ServerConfig>;
}

const ticketKeys = new TicketKeys(new Uint8Array(48).fill(3));
const tickets = { keys: ticketKeys, lifetime: 3600, count: 2 };
const TLS13: Kind = { suffix: '', client: {}, server: { tickets } };
const TLS12: Kind = { suffix: '-12', client: ONLY_TLS12, server: { ...ONLY_TLS12, tickets } };

/** The records in clear that a client or a server of ours sends in a handshake. */
export function recordsOf(role: 'client' | 'server', { client, server }: Kind = TLS13): Uint8Array[] {
  const sent: Uint8Array[] = [];
  const pair = new Pair({
    client: clientConfig({ ...client, identities: [serverIdentity] }),
    server: serverConfig({ ...server, clientCertificate: 'request' }),
    tamper: (record) => {
      if (record.from === role && record.epoch === 'clear') {
        const { type, content } = record;
        sent.push(Uint8Array.of(type, 3, 3, content.length >> 8, content.length & 0xff, ...content));
      }
      return undefined;
    },
  });
  pair.run();
  return sent;
}

/** Bodies of the TLS 1.2 messages of this type that both sides send in clear. */
export function bodies12(type: number, kind: Partial<Kind> = {}): Uint8Array[] {
  const roles = ['client', 'server'] as const;
  return roles
    .flatMap((role) => recordsOf(role, { ...TLS12, ...kind }))
    .filter(([content]) => content === 22)
    .flatMap((record) => splitMessages(record.subarray(5)))
    .filter((message) => message.type === type)
    .map(({ raw }) => raw.subarray(4));
}

/** A stranger's bytes: they may end the handshake, and never complete it. */
function noiseTarget(role: 'client' | 'server', kind: Kind): Target {
  return {
    name: `connection-${role}${kind.suffix}`,
    seeds: () => recordsOf(role === 'client' ? 'server' : 'client', kind),
    run(input) {
      const connection =
        role === 'client'
          ? Connection.client(clientConfig(kind.client), START)
          : Connection.server(serverConfig(kind.server), START);
      connection.receive(input, START);
      const { wanted } = connection;
      if (wanted?.kind === 'signature')
        connection.provide(wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array, START);
      connection.transmit();
      connection.receiveEnd();
      for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
        if (event.type === 'connected') throw new Error('A handshake was completed by noise');
        if (event.type === 'error' && event.error.code === 'ERR_TLS_INTERNAL')
          throw event.error.cause ?? event.error;
      }
    },
  };
}

/**
 * A hostile peer that has the keys: two connections, and the content of one record after another goes wrong under
 * the right protection. The input chooses which and how.
 */
function protectedTarget(name: string, makeKind: () => Kind): Target {
  let kind: Kind | undefined;
  const pairOf = (early: Uint8Array, tamper?: Tamper): Pair => {
    kind ??= makeKind();
    const pair = new Pair({
      client: clientConfig({ identities: [serverIdentity], ...kind.client }),
      server: serverConfig({ clientCertificate: 'request', ...kind.server }),
      ...(tamper && { tamper }),
    });
    const { connection } = pair.client;
    if (connection.earlyDataLeft > 0) connection.sendEarly(early.subarray(0, connection.earlyDataLeft));
    return pair;
  };
  return {
    name,
    seeds() {
      const { client, server } = pairOf(Uint8Array.of(1)).run();
      if (!client.connected || !server.connected)
        throw new Error('The two do not agree without a fault', { cause: client.error ?? server.error });
      return [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(0, 0, 0, 0)];
    },
    run(input) {
      const random = new Random(input.reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 7));
      const first = random.below(6);
      const pair = pairOf(input, ({ nth, type, content }) =>
        nth < first || content.length === 0 ? undefined : [{ type, content: mutate([content], random) }],
      );
      try {
        pair.run();
      } catch (error) {
        if (!(error instanceof CannotOpen)) throw error;
      }
      for (const { error } of [pair.client, pair.server]) {
        if (error?.code === 'ERR_TLS_INTERNAL') throw error.cause ?? error;
      }
    },
  };
}

/** A session to resume, with early data. */
function resumption(): Kind {
  // One that remembers no ticket, for there is only one to resume with.
  const newGuard = () => new EarlyDataGuard(START - 3_600_000);
  const earlyData = {
    maxBytes: 100,
    firstUse: () => newGuard().firstUse(nodeCrypto, nodeCrypto.randomBytes(32), START, START),
  };
  const server = { tickets: { ...tickets, earlyData }, clientCertificate: 'none' as const };
  const [session] = new Pair({ client: clientConfig(), server: serverConfig(server) }).run().client.tickets;
  return { suffix: '', client: { session, earlyData: true }, server };
}

/** All that TLS 1.3 has beyond the plain handshake, agreed on by both sides. */
function everyOption(): Kind {
  const certificateCompression = compressionFor(['brotli', 'zlib']);
  const more = { ocspResponse: new Uint8Array(300), scts: [new Uint8Array(100)] };
  // With something to compress; one object, by which its compressed message is kept.
  const identity = { ...serverIdentity, ...more, chain: [...serverIdentity.chain, new Uint8Array(4000)] };
  const both = { certificateCompression, recordSizeLimit: 1000 };
  const alpnProtocols = ['h2', 'http/1.1'];
  return {
    suffix: '',
    client: {
      ...both,
      alpnProtocols,
      requestOcsp: true,
      requestScts: true,
      grease: true,
      postHandshakeAuth: true,
    },
    server: {
      ...both,
      tickets,
      selectIdentities: () => [identity],
      selectProtocol: () => 'h2',
      certificateAuthorities: [Uint8Array.of(0x30, 0)],
    },
  };
}

/** A key that both sides were given, and raw public keys beside it, of which the peer makes what it likes. */
function sharedKey(): Kind {
  const psk = {
    identity: new TextEncoder().encode('a client'),
    key: new Uint8Array(32).fill(1),
    context: new Uint8Array(3),
    hash: 'sha256',
  } as const;
  const imported = TARGET_HASHES.map((hash) => importPsk(nodeCrypto, psk, hash));
  const spki = serverIdentity.chain[0] as Uint8Array;
  const raw = {
    verifyRawKey: (key: Uint8Array) => verifyRawKey(nodeCrypto, key, [spki]),
    identities: [{ ...serverIdentity, spki }],
  };
  const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;
  return {
    suffix: '',
    client: { ...raw, psks: imported },
    server: {
      verifyRawKey: raw.verifyRawKey,
      tickets,
      selectIdentities: () => raw.identities,
      findPsk: (identity) => imported.find((one) => same(one.identity, identity)),
    },
  };
}

export const CONNECTION_TARGETS: readonly Target[] = [
  ...[TLS13, TLS12].flatMap((kind) => [noiseTarget('client', kind), noiseTarget('server', kind)]),
  protectedTarget('connection-protected', () => TLS13),
  protectedTarget('connection-protected-12', () => TLS12),
  protectedTarget('connection-early-data', resumption),
  protectedTarget('connection-options', everyOption),
  protectedTarget('connection-shared-key', sharedKey),
  {
    name: 'record-layer',
    seeds: () => [...recordsOf('client'), ...recordsOf('server')],
    run(input) {
      const records = new RecordLayer(nodeCrypto, { maxFragment: 2 ** 14, padTo: 1 });
      for (let at = 0; at < input.length; at += 11) {
        records.feed(input.subarray(at, at + 11));
        while (records.next() !== undefined);
        records.settle();
      }
    },
  },
];

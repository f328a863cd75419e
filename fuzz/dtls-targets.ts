import { DtlsConnection } from '../src/connection/dtls-connection.ts';
import { COOKIE_SECRET_LENGTH, DtlsGreeter } from '../src/connection/dtls-greeter.ts';
import {
  buildAck,
  buildFragment,
  buildNewConnectionId,
  buildRequestConnectionId,
  parseAck,
  parseFragments,
  parseNewConnectionId,
  parseRequestConnectionId,
} from '../src/messages/dtls.ts';
import { buildHelloVerifyRequest, parseHelloVerifyRequest, peekClientHello } from '../src/messages/hello.ts';
import { concat } from '../src/wire/writer.ts';
import { ADDRESS, DtlsPair, LATENCY, perfect } from '../test/setup/dtls-pair.ts';
import {
  clientConfig,
  ONLY_TLS12,
  serverConfig,
  serverIdentity,
  testTickets,
} from '../test/setup/engine-config.ts';
import { START } from '../test/setup/pair.ts';
import { recordsOf } from './connection-targets.ts';
import { mutate, Random } from './mutate.ts';
import { type Target, tryAll } from './target.ts';

/** Datagrams from a stranger, into everything that takes them. */

interface Kind {
  readonly suffix: string;
  readonly only: Partial<typeof ONLY_TLS12>;
}

const KINDS: readonly Kind[] = [
  { suffix: '', only: {} },
  { suffix: '-12', only: ONLY_TLS12 },
];

function pairOf({ only }: Kind, network = perfect): DtlsPair {
  return new DtlsPair({
    client: clientConfig({ ...only, identities: [serverIdentity] }),
    server: serverConfig({ ...only, clientCertificate: 'request', tickets: testTickets }),
    network,
  });
}

/** Every datagram that this side sends in a handshake. */
function datagramsOf(role: 'client' | 'server', kind: Kind): Uint8Array[] {
  return pairOf(kind).run()[role].sent;
}

/** Noise may end a handshake, and never completes one; whatever it is, only so many datagrams answer it. */
function noiseTarget(role: 'client' | 'server', kind: Kind): Target {
  return {
    name: `dtls-${role}${kind.suffix}`,
    seeds: () => datagramsOf(role === 'client' ? 'server' : 'client', kind),
    run(input) {
      const connection =
        role === 'client'
          ? DtlsConnection.client(clientConfig(kind.only), START)
          : DtlsConnection.server(serverConfig({ ...kind.only, tickets: testTickets }), START);
      connection.transmit();
      // Whole, and then as two datagrams.
      const half = input.length >> 1;
      for (const piece of [input, input.subarray(0, half), input.subarray(half)]) {
        connection.receive(piece, START);
        const { wanted } = connection;
        if (wanted?.kind === 'signature')
          connection.provide(wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array, START);
      }
      connection.handleTimeout(connection.nextTimeout() ?? START);
      if (connection.transmit().length > MAX_ANSWERS) throw new Error('One datagram brought too many');
      connection.receiveEnd();
      for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
        if (event.type === 'connected') throw new Error('A handshake was completed by noise');
        if (event.type === 'error' && event.error.code === 'ERR_TLS_INTERNAL')
          throw event.error.cause ?? event.error;
      }
    },
  };
}
/** Flights of the handshake at the default MTU, sent a few times over. */
const MAX_ANSWERS = 32;

/** Never throws, and never says more than three times what it was told. */
function greeterTarget(kind: Kind): Target {
  const greeter = new DtlsGreeter(serverConfig(kind.only), new Uint8Array(COOKIE_SECRET_LENGTH).fill(9));
  return {
    name: `dtls-greeter${kind.suffix}`,
    seeds() {
      const client = DtlsConnection.client(clientConfig(kind.only), START);
      const [first] = client.transmit() as [Uint8Array];
      const greeting = greeter.greet(first, ADDRESS, START);
      if (greeting.kind === 'reply') client.receive(greeting.datagram, START);
      return [first, ...client.transmit()];
    },
    run(input) {
      const greeting = greeter.greet(input, ADDRESS, START);
      if (greeting.kind === 'reply' && greeting.datagram.length > 3 * input.length)
        throw new Error('An answer is longer than three times the question');
    },
  };
}

/** Somebody on the path bends copies of what two peers say: what arrives is what was sent. */
function pathTarget(kind: Kind): Target {
  return {
    name: `dtls-path${kind.suffix}`,
    seeds: () => [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(0, 0, 0, 0)],
    run(input) {
      const random = new Random(input.reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 7));
      const pair = pairOf(kind, (bytes) => [
        { after: LATENCY, bytes },
        { after: random.below(3 * LATENCY), bytes: mutate([bytes], random) },
      ]);
      pair.run();
      if (pair.client.connected && pair.server.connected) {
        for (const { connection, error } of [pair.client, pair.server]) {
          if (error === undefined) connection.send(SENT);
        }
        pair.run();
      }
      for (const { data, error } of [pair.client, pair.server]) {
        if (data.length > 1 || data.some((got) => got !== 'sent'))
          throw new Error('Data was forged or doubled');
        if (error?.code === 'ERR_TLS_INTERNAL') throw error.cause ?? error;
      }
    },
  };
}
const SENT = new TextEncoder().encode('sent');

const body = (message: Uint8Array): Uint8Array => message.subarray(4);

/** What only datagrams carry: fragments, ACK, connection IDs, cookies. */
const messageTarget: Target = {
  name: 'dtls-messages',
  seeds: () => {
    const fragment = { type: 1, length: 40, messageSeq: 3, offset: 10, body: new Uint8Array(20) };
    const hello = recordsOf('client').map((record) => record.subarray(9));
    return [
      concat([buildFragment(fragment), buildFragment({ ...fragment, offset: 30, body: new Uint8Array(10) })]),
      buildAck([
        { epoch: 2, sequence: 0 },
        { epoch: 3, sequence: 7 },
      ]),
      body(buildNewConnectionId({ cids: [new Uint8Array(8), Uint8Array.of(1)], immediate: true })),
      body(buildRequestConnectionId(3)),
      body(buildHelloVerifyRequest(new Uint8Array(32))),
      ...hello,
    ];
  },
  run(input) {
    const readers = [parseFragments, parseAck, parseNewConnectionId, parseRequestConnectionId];
    tryAll(input, [...readers, parseHelloVerifyRequest, peekClientHello]);
  },
};

export const DTLS_TARGETS: readonly Target[] = [
  ...KINDS.flatMap((kind) => [
    noiseTarget('client', kind),
    noiseTarget('server', kind),
    greeterTarget(kind),
    pathTarget(kind),
  ]),
  messageTarget,
];

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Role, SubProtocolLink } from '../../../src/connection/sub-protocol.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { Identity } from '../../../src/handshake/config.ts';
import {
  type SentMessage,
  type SignClientOptions,
  type Signing,
  type SignServerOptions,
  signClient,
  signServer,
} from '../../../src/sign/index.ts';
import { SEQUENCE_WINDOW, SequenceWindow } from '../../../src/sign/sequence-window.ts';
import { concat } from '../../../src/wire/writer.ts';
import { verifyPeer } from '../../../src/x509/verify.ts';
import { DtlsPair, LATENCY, type Network } from '../../setup/dtls-pair.ts';
import { clientConfig, ONLY_TLS12, serverConfig } from '../../setup/engine-config.ts';
import { bytes, CLIENT, MemoryArchive, owner, SERVER, SignSide, TRUST } from './kit.ts';

/** TLS Sign over DTLS: one object is one datagram, which may be lost, overtaken or doubled. */

const TLS_SIGN = 29;
const VERSIONS = [
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const;

interface Setup {
  readonly only?: object;
  readonly client?: SignClientOptions;
  readonly server?: SignServerOptions;
  readonly clientIdentity?: Identity | null;
  readonly mtu?: number;
}

/** A pair that signs, with archives in memory. */
class DatagramSigners {
  readonly pair: DtlsPair;
  readonly client: SignSide;
  readonly server: SignSide;
  readonly archives = { client: new MemoryArchive(), server: new MemoryArchive() };
  /** What each side has sealed as `tls_sign`, and the way to seal something else. */
  readonly sealed = { client: [] as Uint8Array[], server: [] as Uint8Array[] };
  readonly links: Partial<Record<Role, SubProtocolLink>> = {};

  constructor({ only = {}, client = {}, server = {}, clientIdentity = CLIENT, mtu = 1232 }: Setup = {}) {
    const made: { client?: Signing; server?: Signing } = {};
    const datagrams = { mtu, initialTimeout: 1000, maxTimeout: 60_000 };
    const judge =
      (purpose: 'client' | 'server') =>
      (chain: readonly Uint8Array[], { now }: { now: number }) =>
        verifyPeer(nodeCrypto, chain, { purpose, trust: TRUST, now });
    const factory = (role: Role) => (): Signing => {
      const { archives } = this;
      const signing =
        role === 'client'
          ? signClient({ archive: archives.client, ...client })(role)
          : signServer({ archive: archives.server, ...server })(role);
      made[role] = signing;
      const start = signing.start.bind(signing);
      signing.start = (link) => {
        this.links[role] = link;
        start({
          ...link,
          send: (type, content) => {
            this.sealed[role].push(new Uint8Array(content));
            link.send(type, content);
          },
        });
      };
      return signing;
    };
    this.pair = new DtlsPair({
      client: clientConfig({
        ...only,
        datagrams,
        identities: clientIdentity === null ? [] : [clientIdentity],
        verifyPeer: judge('server'),
      }),
      server: serverConfig({
        ...only,
        datagrams,
        selectIdentities: () => [SERVER],
        clientCertificate: clientIdentity === null ? 'none' : 'require',
        verifyPeer: judge('client'),
      }),
      clientProtocols: [factory('client')],
      serverProtocols: [factory('server')],
    });
    const none = () => undefined;
    this.client = new SignSide('client', () => made.client, none);
    this.server = new SignSide('server', () => made.server, none);
    this.run();
  }

  /** Answers what is wanted, flushes and carries, until nothing moves. */
  run(): this {
    for (let moved = true; moved; ) {
      moved = false;
      this.pair.run();
      for (const side of [this.client, this.server]) moved = this.#turn(side) || moved;
    }
    return this;
  }

  send(
    from: Role,
    data: string | Uint8Array,
    options: { receipt?: boolean; sign?: boolean } = {},
  ): SentMessage {
    const content = typeof data === 'string' ? bytes(data) : data;
    return this[from].session.send(content, options, this.pair.now);
  }

  /** A record of the client's that its signing has not made. */
  inject(content: Uint8Array): this {
    this.links.client?.send(TLS_SIGN, content);
    return this.run();
  }

  #turn(side: SignSide): boolean {
    const session = side.protocol()?.session;
    if (session === undefined) return false;
    let moved = false;
    for (let wanted = session.nextWanted(); wanted !== undefined; wanted = session.nextWanted()) {
      moved = true;
      const { now } = this.pair;
      if (wanted.kind === 'verification') {
        const check = wanted.begin(now);
        const isGood = check && nodeCrypto.verify(check.algorithm, check.key, check.data, check.signature);
        wanted.conclude(isGood ?? true, now);
      } else if (wanted.kind === 'signature') {
        wanted.provide(wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array, now);
      } else if (wanted.kind === 'persisted') {
        const archive = this.archives[side.role];
        const ref = archive.addSession(wanted.session);
        const object = wanted.entry.object as Uint8Array;
        wanted.provide(archive.add({ ...wanted.entry, object, session: ref }), now);
      }
    }
    for (let event = session.nextEvent(); event !== undefined; event = session.nextEvent())
      moved = side.events.push(event) > 0;
    if (session.hasOutput) moved = true;
    session.flush();
    return moved;
  }

  rows(role: Role): string[] {
    return this.archives[role].entries.map(
      ({ direction, kind, status, sequence, reason }) =>
        `${direction} ${kind} ${sequence} ${status}${reason === undefined ? '' : ` ${reason}`}`,
    );
  }

  expectFatal(code: string, alert: string): void {
    expect(this.pair.server.error).toMatchObject({ code, alert });
    expect(this.pair.client.error).toMatchObject({ code: `ERR_TLS_ALERT_${alert.toUpperCase()}` });
  }
}

/** Loses these of the datagrams that leave from now on, by their number. */
function losing(...lost: number[]): Network {
  let count = 0;
  return (datagram) => (lost.includes(count++) ? [] : [{ after: LATENCY, bytes: datagram }]);
}

describe.each(VERSIONS)('%s', (_protocol, only) => {
  test('a message and its receipt, without certificates in them, archived on both sides', () => {
    const signers = new DatagramSigners({ only });
    expect([signers.client.session.isOn, signers.client.session.peerIsOn]).toEqual([true, true]);
    signers.send('client', 'I order one boat');
    signers.run();
    expect(signers.server.texts).toEqual(['I order one boat']);
    expect(signers.server.messages[0]?.signer?.leaf.raw).toEqual(
      new Uint8Array(CLIENT.chain[0] as Uint8Array),
    );
    expect(signers.client.receipts).toHaveLength(1);
    expect(signers.rows('client')).toEqual(['sent data 0 unverified', 'received receipt 0 verified']);
    expect(signers.rows('server')).toEqual(['received data 0 verified', 'sent receipt 0 unverified']);
    const leaf = Buffer.from(CLIENT.chain[0] as Uint8Array).toString('hex');
    for (const content of signers.sealed.client) {
      expect(Buffer.from(content).toString('hex')).not.toContain(leaf);
    }
    // TLSSigntext has the version of DTLS.
    expect([...(signers.sealed.client[0]?.subarray(2, 3) ?? [])]).toEqual([0xfe]);
  });

  test('what is lost is missing on the other side, and nothing else happens', () => {
    const signers = new DatagramSigners({ only });
    signers.pair.network = losing(1, 2);
    for (const text of ['a', 'b', 'c', 'd']) signers.send('client', text, { receipt: false });
    signers.run();
    expect(signers.server.texts).toEqual(['a', 'd']);
    expect(signers.pair.server.error).toBeUndefined();
    // They may be on their way as long as the session goes on.
    expect(signers.rows('server')).toEqual(['received data 0 verified', 'received data 3 verified']);
    signers.pair.client.connection.close();
    signers.run();
    expect(signers.rows('server').at(-1)).toBe('received data 1 missing numbers 1 to 2');
    expect(signers.archives.server.entries.at(-1)?.object).toBeUndefined();
  });

  test('what is overtaken and what is doubled comes once, and nothing is missing', () => {
    const signers = new DatagramSigners({ only });
    let count = 0;
    signers.pair.network = (datagram) => {
      const after = LATENCY * (10 - count++);
      return [
        { after, bytes: datagram },
        { after: after + 1, bytes: datagram },
      ];
    };
    for (const text of ['a', 'b', 'c']) signers.send('client', text, { receipt: false });
    signers.run();
    expect(signers.server.texts).toEqual(['c', 'b', 'a']);
    expect(signers.server.messages.map(({ sequence }) => sequence)).toEqual([2, 1, 0]);
    signers.pair.client.connection.close();
    signers.run();
    expect(signers.rows('server').filter((row) => row.includes('missing'))).toEqual([]);
  });

  test('a receipt that is lost is awaited no longer than the caller wants', () => {
    const signers = new DatagramSigners({ only });
    signers.pair.network = losing(1);
    const message = signers.send('client', 'a');
    signers.run();
    expect(signers.server.texts).toEqual(['a']);
    expect([signers.client.receipts.length, signers.client.session.pendingReceipts]).toEqual([0, 1]);
    signers.client.session.forgo(message);
    signers.run();
    expect(signers.client.lost).toEqual([{ message, code: 'ERR_SIGN_NO_RECEIPT' }]);
    // The session goes on, and a second try has its receipt.
    signers.send('client', 'a');
    signers.run();
    expect(signers.client.receipts).toHaveLength(1);
    signers.pair.client.connection.close();
    signers.run();
    expect(signers.client.lost).toHaveLength(1);
  });

  test('a number that its signer has used twice is bad_sign', () => {
    const signers = new DatagramSigners({ only });
    signers.send('client', 'a', { receipt: false });
    signers.run();
    signers.inject(signers.sealed.client[0] as Uint8Array);
    signers.expectFatal('ERR_SIGN_BINDING_MISMATCH', 'bad_sign');
    expect(signers.rows('server').at(-1)).toContain('rejected ERR_SIGN_BINDING_MISMATCH');
  });
});

test('forgone receipts that come all the same are archived', () => {
  const signers = new DatagramSigners();
  let held: Uint8Array | undefined;
  signers.pair.network = (datagram, from) => {
    if (from === 'server' && held === undefined) {
      held = datagram;
      return [];
    }
    return [{ after: LATENCY, bytes: datagram }];
  };
  const message = signers.send('client', 'a');
  signers.run();
  signers.client.session.forgo(message);
  signers.run();
  signers.pair.inject('server', held as Uint8Array);
  signers.run();
  expect(signers.rows('client')).toEqual(['sent data 0 unverified', 'received receipt 0 verified']);
  expect(signers.pair.client.error).toBeUndefined();
});

test('receipts that never come do not stop the sender, and what it remembers of them is bounded', () => {
  const maxPendingReceipts = 4;
  const signers = new DatagramSigners({ client: { maxPendingReceipts } });
  signers.pair.network = (datagram, from) => (from === 'server' ? [] : [{ after: LATENCY, bytes: datagram }]);
  for (let i = 0; i < 10; i++) {
    const message = signers.send('client', `${i}`);
    signers.run();
    signers.client.session.forgo(message);
    signers.run();
  }
  expect(signers.server.texts).toHaveLength(10);
  expect(signers.client.lost).toHaveLength(10);
  expect(signers.client.session.pendingReceipts).toBeLessThanOrEqual(maxPendingReceipts);
});

test.each(['p256', 'p384', 'ed25519', 'rsa2048'] as const)(
  'what does not fit is refused before it has a number, and what just fits arrives: %s',
  (kind) => {
    const signers = new DatagramSigners({ clientIdentity: owner('alice', { kind }), mtu: 1400 });
    const limit = signers.links.client?.maxDatagramSize as number;
    const refused = (length: number): string | undefined => {
      try {
        signers.send('client', new Uint8Array(length), { receipt: false });
        return undefined;
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_SIGN_TOO_LARGE' });
        return (error as Error).message;
      }
    };
    const message = refused(limit);
    expect(message).toContain(`at most ${limit} fit`);
    const excess = Number(/send (\d+) bytes less/.exec(message ?? '')?.[1]);
    // A length that is written with a byte less may leave a little more room.
    expect(refused(limit - excess + 8)).toBeDefined();
    expect(refused(limit - excess)).toBeUndefined();
    signers.run();
    expect(signers.server.messages.map(({ sequence, content }) => [sequence, content.length])).toEqual([
      [0, limit - excess],
    ]);
    const [object] = signers.sealed.client as [Uint8Array];
    expect(object.length).toBeLessThanOrEqual(limit);
  },
);

test('a receipt that no datagram holds is not sent, and the message is kept all the same', () => {
  const signers = new DatagramSigners({ mtu: 1400 });
  // The tree head goes into the receipt.
  signers.archives.server.head = new Uint8Array(1300);
  signers.send('client', 'a');
  signers.run();
  expect(signers.server.texts).toEqual(['a']);
  expect(signers.sealed.server).toEqual([]);
  expect(signers.pair.server.error).toBeUndefined();
  expect(signers.server.messages[0]).toMatchObject({ receiptRequested: true, acknowledged: false });
  expect(signers.server.messages[0]?.receiptError).toMatchObject({ code: 'ERR_SIGN_TOO_LARGE' });
});

test('a key of RSA-4096 is told what to do: its receipts fit no datagram', () => {
  const clientIdentity = owner('alice', { kind: 'rsa4096' });
  // On a path of 1,000 bytes not even an object without content does.
  const narrow = new DatagramSigners({ clientIdentity, mtu: 1000 });
  expect(() => narrow.send('client', 'a')).toThrow(
    expect.objectContaining({ code: 'ERR_SIGN_TOO_LARGE', message: expect.stringContaining('P-256') }),
  );
  const signers = new DatagramSigners({ clientIdentity });
  // As long as that of a real archive.
  signers.archives.client.head = new Uint8Array(120);
  signers.send('server', 'b');
  signers.run();
  expect(signers.client.texts).toEqual(['b']);
  expect(signers.client.messages[0]?.acknowledged).toBe(false);
  expect(signers.client.messages[0]?.receiptError).toMatchObject({
    code: 'ERR_SIGN_TOO_LARGE',
    message: expect.stringContaining('P-256'),
  });
  expect(signers.sealed.client).toEqual([]);
  expect([signers.pair.client.error, signers.pair.server.error]).toEqual([undefined, undefined]);
});

test('data that travel unsigned have their receipts too', () => {
  const signers = new DatagramSigners({ client: { types: ['delivery'] }, clientIdentity: null });
  signers.send('client', 'a');
  signers.run();
  expect(signers.server.texts).toEqual(['a']);
  expect(signers.client.receipts).toHaveLength(1);
});

test('plain datagrams go on beside signed ones, unless they are demanded', () => {
  const beside = new DatagramSigners();
  beside.pair.client.connection.send(bytes('plain'));
  beside.send('client', 'signed');
  beside.run();
  expect([beside.pair.server.data, beside.server.texts]).toEqual([['plain'], ['signed']]);
  const demanding = new DatagramSigners({
    client: { types: ['origin'] },
    server: { types: ['origin'], policy: 'require', demand: true },
  });
  demanding.pair.client.connection.send(bytes('plain'));
  demanding.run();
  demanding.expectFatal('ERR_SIGN_UNSIGNED', 'bad_sign');
});

test('what would have to arrive is not there: switches, streams, other signers', () => {
  const signers = new DatagramSigners();
  const { session } = signers.client;
  session.on();
  const unavailable = expect.objectContaining({ code: 'ERR_SIGN_UNAVAILABLE' });
  expect(() => session.off()).toThrow(unavailable);
  expect(() => session.stream({})).toThrow(unavailable);
  const other = new DatagramSigners({ client: { signer: owner('bob') } });
  expect(other.client.session.isOn).toBe(false);
  expect(() => other.client.session.on()).toThrow(unavailable);
  expect(() => other.send('client', 'a')).toThrow(unavailable);
  const nobody = new DatagramSigners({ clientIdentity: null });
  expect(() => nobody.send('client', 'a')).toThrow(unavailable);
});

describe('a peer that breaks the rules', () => {
  const first = (signers: DatagramSigners): Uint8Array => {
    signers.pair.network = (datagram, from) =>
      from === 'client' ? [] : [{ after: LATENCY, bytes: datagram }];
    signers.send('client', 'a', { receipt: false });
    signers.run();
    signers.pair.network = (datagram) => [{ after: LATENCY, bytes: datagram }];
    return new Uint8Array(signers.sealed.client[0] as Uint8Array);
  };
  const flagged = (text: Uint8Array, flags: number): Uint8Array => {
    const copy = new Uint8Array(text);
    copy[1] = flags;
    return copy;
  };
  const damaged = (text: Uint8Array): Uint8Array => {
    const copy = new Uint8Array(text);
    copy[copy.length - 1] = (copy[copy.length - 1] as number) ^ 1;
    return copy;
  };

  test.each<[string, (text: Uint8Array) => Uint8Array, string, string]>([
    ['TLSSignOnOff', () => Uint8Array.of(1), 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message'],
    ['two objects', (text) => concat([text, text]), 'ERR_TLS_DECODE', 'decode_error'],
    ['less than an object', (text) => text.subarray(0, -1), 'ERR_TLS_DECODE', 'decode_error'],
    ['less than a header', (text) => text.subarray(0, 5), 'ERR_TLS_DECODE', 'decode_error'],
    ['the flag M', (text) => flagged(text, 0x40), 'ERR_TLS_DECODE', 'decode_error'],
    ['an unknown flag', (text) => flagged(text, 0x08), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
    ['a signature that is none', damaged, 'ERR_SIGN_BAD_SIGNATURE', 'bad_sign'],
    [
      'another receipt flag than was signed',
      (text) => flagged(text, 0x20),
      'ERR_SIGN_RECEIPT_MISMATCH',
      'bad_sign',
    ],
  ])('%s', (_name, change, code, alert) => {
    const signers = new DatagramSigners();
    signers.inject(change(first(signers)));
    signers.expectFatal(code, alert);
    expect(signers.server.messages).toEqual([]);
  });

  test('certificate_sign', () => {
    const signers = new DatagramSigners();
    signers.links.client?.sendHandshake(240, new Uint8Array(8));
    signers.run();
    signers.expectFatal('ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('an object of another session', () => {
    const [one, other] = [new DatagramSigners(), new DatagramSigners()];
    other.inject(first(one));
    other.expectFatal('ERR_SIGN_BINDING_MISMATCH', 'bad_sign');
  });
});

describe('the window of numbers', () => {
  test('whatever comes, each number is taken once, told as missing once, or came too late', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 6 * SEQUENCE_WINDOW }), { maxLength: 100 }),
        (sequences) => {
          const window = new SequenceWindow();
          // How often each was taken, or told as missing.
          const settled = new Map<number, number>();
          const settle = (sequence: number): void =>
            void settled.set(sequence, (settled.get(sequence) ?? 0) + 1);
          const note = (isOver: boolean): void => {
            for (const { from, to } of window.gaps(isOver))
              for (let sequence = from; sequence <= to; sequence++) settle(sequence);
          };
          let newest = -1;
          let wrong = 0;
          for (const sequence of sequences) {
            const known = settled.has(sequence);
            if (window.take(sequence) === 'new') settle(sequence);
            else if (!known) wrong++;
            newest = Math.max(newest, sequence);
            note(false);
          }
          note(true);
          expect(wrong).toBe(0);
          expect(settled.size).toBe(newest + 1);
          expect([...settled.values()].every((times) => times === 1)).toBe(true);
          expect(window.next).toBe(newest + 1);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('a jump costs one entry, however far', () => {
    const window = new SequenceWindow();
    window.take(0);
    window.take(2 ** 40);
    expect(window.gaps()).toEqual([{ from: 1, to: 2 ** 40 - SEQUENCE_WINDOW }]);
    expect(window.take(5)).toBe('late');
    expect(window.take(2 ** 40)).toBe('repeated');
    expect(window.gaps(true)).toEqual([{ from: 2 ** 40 - SEQUENCE_WINDOW + 1, to: 2 ** 40 - 1 }]);
  });
});

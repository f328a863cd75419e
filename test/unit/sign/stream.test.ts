import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { SignatureError } from '../../../src/errors/errors.ts';
import { startVerification } from '../../../src/formats/cms/verify-stream.ts';
import type { ReceivedStream, SentStream, SignWanted } from '../../../src/sign/index.ts';
import { STREAM_BUFFER } from '../../../src/sign/limits.ts';
import {
  bytes,
  legible,
  MemoryArchive,
  owner,
  readAll,
  SERVER,
  SignPair,
  START,
  sha256,
  TRUST,
  text,
} from './kit.ts';

const archives = () => ({ client: new MemoryArchive(), server: new MemoryArchive() });
const facts = ({ entries }: MemoryArchive) =>
  entries.map(({ direction, kind, status, reason, sequence }) => [direction, kind, status, reason, sequence]);

describe('a streamed message', () => {
  test('comes in pieces, is verified at its end, kept, and acknowledged', () => {
    const { client, server } = archives();
    client.head = bytes('head of the client');
    const pair = new SignPair({ client: { archive: client }, server: { archive: server } });
    const order = pair.stream('client', ['three ', 'chairs']);
    const [stream] = pair.server.streams;
    expect(stream).toMatchObject({ sequence: 0, application: '', contentType: 23, receiptRequested: true });
    expect(text(readAll(stream))).toBe('three chairs');
    expect(pair.server.verdicts).toEqual([]);
    expect(pair.server.session.isBusy).toBe(true);
    pair.pair.now += 600_000;
    order.end(pair.now);
    pair.run();
    pair.expectUnharmed();
    const [verdict] = pair.server.verdicts;
    // It took ten minutes: signed at its end, and judged then.
    expect(verdict).toMatchObject({ signingTime: START + 600_000, acknowledged: true, record: 0 });
    expect(verdict?.signer.leaf.subject.toString()).toBe('CN=alice');
    expect(verdict?.verified).toMatchObject({ contentLength: 12, receiptRequested: true });
    expect(verdict?.verified.binding).toMatchObject({ sequence: 0, treeHead: client.head });
    expect(verdict?.verified.binding.peer).toEqual(sha256(SERVER.chain[0] as Uint8Array));
    expect(pair.client.receipts).toMatchObject([{ message: order, receipt: { sequence: 0 } }]);
    expect(pair.server.session.isBusy).toBe(false);
    expect(pair.server.session.paused).toBe(false);

    const content = { length: 12, digest: sha256(bytes('three chairs')) };
    const shared = { kind: 'data', sequence: 0, format: 'pkcs7', flags: 1 | 4 };
    expect(client.entries[0]).toMatchObject({ ...shared, direction: 'sent', status: 'unverified' });
    expect(server.entries[0]).toMatchObject({ ...shared, direction: 'received', status: 'verified' });
    for (const { entries } of [client, server]) {
      expect(legible(entries[0]?.content ?? {})).toEqual(legible(content));
      expect(entries[0]?.object).toEqual(client.entries[0]?.object);
      expect(new Uint8Array(entries[0]?.objectDigest ?? [])).toEqual(
        sha256(entries[0]?.object as Uint8Array),
      );
    }
    expect(facts(client)[1]).toEqual(['received', 'receipt', 'verified', undefined, 0]);
    // Years later, from the archive alone.
    const again = startVerification(nodeCrypto);
    again.write(server.entries[0]?.object as Uint8Array);
    expect(new Uint8Array(again.end({ trust: TRUST, now: START }).contentDigest)).toEqual(content.digest);
  });

  test('can be empty, and can be without a receipt', () => {
    const { client, server } = archives();
    const pair = new SignPair({ client: { archive: client }, server: { archive: server } });
    const empty = pair.stream('client', [], false);
    empty.end(pair.now);
    pair.run();
    pair.expectUnharmed();
    expect(pair.server.verdicts).toMatchObject([{ acknowledged: false, verified: { contentLength: 0 } }]);
    expect(pair.client.events.map(({ type }) => type)).toContain('sent');
    expect(pair.client.receipts).toEqual([]);
    expect(server.entries).toHaveLength(1);
  });

  test.each(['p256', 'p384', 'ed25519', 'rsa2048'] as const)('is signed by a key of kind %s', (kind) => {
    const pair = new SignPair({
      clientIdentity: owner(kind, { kind }),
      client: { archive: new MemoryArchive() },
    });
    pair.stream('client', [kind]).end(pair.now);
    pair.run();
    pair.expectUnharmed();
    expect(text(readAll(pair.server.streams[0]))).toBe(kind);
    expect(pair.server.verdicts).toHaveLength(1);
    expect(pair.client.receipts).toHaveLength(1);
  });

  test('at any cut of the stream', () => {
    const content = new Uint8Array(200_000).map((_, i) => i * i);
    const pair = new SignPair({ pair: { delivery: { seed: 7 } } });
    const stream = pair.stream('client', [
      content.subarray(0, 1),
      content.subarray(1, 70_001),
      content.subarray(70_001),
    ]);
    stream.end(pair.now);
    pair.run();
    pair.expectUnharmed();
    expect(readAll(pair.server.streams[0])).toEqual(content);
    expect(pair.server.verdicts).toHaveLength(1);
  });

  test('that nobody reads is verified, kept and acknowledged', () => {
    const pair = new SignPair({ server: { archive: new MemoryArchive() } });
    const sent = pair.stream('client', ['one ']);
    const [stream] = pair.server.streams;
    stream?.drop();
    sent.write(bytes('two'));
    sent.end(pair.now);
    pair.run();
    expect(readAll(stream)).toHaveLength(0);
    expect(pair.server.verdicts).toMatchObject([{ verified: { contentLength: 7 } }]);
    expect(pair.client.receipts).toHaveLength(1);
  });

  test('needs pkcs7, a signature, and signing to be on', () => {
    const codeOf = (call: () => unknown) => {
      try {
        call();
      } catch (error) {
        return (error as { code: string }).code;
      }
      return undefined;
    };
    for (const format of ['smime', 'xmldsig'] as const) {
      const { client } = new SignPair({ client: { formats: [format] } });
      client.session.on();
      expect(codeOf(() => client.session.stream({}))).toBe('ERR_SIGN_UNAVAILABLE');
    }
    const { client } = new SignPair();
    expect(codeOf(() => client.session.stream({}))).toBe('ERR_SIGN_UNAVAILABLE');
    client.session.on();
    expect(codeOf(() => client.session.stream({ sign: false }))).toBe('ERR_SIGN_UNAVAILABLE');
    const stream = client.session.stream({});
    stream.end(START);
    expect(codeOf(() => stream.write(bytes('more')))).toBe('ERR_TLS_INTERNAL');
    expect(codeOf(() => stream.end(START))).toBe('ERR_TLS_INTERNAL');
  });
});

describe('between the pieces', () => {
  test('receipts come and go, and what else is said or switched waits for the end', () => {
    const pair = new SignPair();
    const { session } = pair.client;
    const stream = pair.stream('client', ['first ']);
    const later = pair.say('client', 'later');
    session.off();
    session.on();
    const second = session.stream({ receipt: false });
    const last = pair.say('client', 'last');
    expect(later.sequence).toBe(-1);
    pair.say('server', 'meanwhile');
    pair.run();
    expect(pair.client.texts).toEqual(['meanwhile']);
    expect(pair.server.receipts).toMatchObject([{ receipt: { sequence: 1 } }]);
    expect(pair.server.messages).toEqual([]);
    expect(second.wantsMore).toBe(false);
    stream.write(bytes('second'));
    stream.end(pair.now);
    pair.run();
    expect(pair.server.texts).toEqual(['later']);
    expect(second.wantsMore).toBe(true);
    second.end(pair.now);
    pair.run();
    pair.expectUnharmed();
    expect(pair.server.texts).toEqual(['later', 'last']);
    expect([stream, later, second, last].map(({ sequence }) => sequence)).toEqual([0, 2, 3, 4]);
    expect(pair.server.events.map(({ type }) => type).filter((type) => type !== 'content')).toEqual([
      'switch',
      'stream',
      'sent',
      'receipt',
      // Switches are told at once, and here all of it has come at once.
      'switch',
      'switch',
      'verdict',
      'message',
      'stream',
      'verdict',
      'message',
    ]);
  });

  test('what was said before a stream leaves before it, although its signature comes later', () => {
    const held: SignWanted[] = [];
    const pair = new SignPair({
      hold: (wanted, role) => role === 'client' && wanted.kind === 'signature' && held.push(wanted) > 0,
    });
    pair.say('client', 'before');
    const stream = pair.client.session.stream({});
    pair.run();
    expect(stream.wantsMore).toBe(false);
    pair.answer(held[0] as SignWanted, pair.client.session);
    pair.run();
    expect(stream.wantsMore).toBe(true);
    expect(pair.server.events.map(({ type }) => type)).toEqual(['switch', 'message', 'stream']);
  });
});

describe('bounds', () => {
  const mebibyte = new Uint8Array(1 << 20).fill(7);

  test('reading stops while the reader or the archive is behind, and goes on', () => {
    const stored: Extract<SignWanted, { kind: 'stored' }>[] = [];
    const pair = new SignPair({
      server: { archive: new MemoryArchive() },
      hold: (wanted, role) => role === 'server' && wanted.kind === 'stored' && stored.push(wanted) > 0,
    });
    const sent = pair.stream('client', [mebibyte]);
    const [stream] = pair.server.streams;
    // It waits twice: for the reader, and for the archive, which has got the first piece alone.
    expect(pair.server.session.paused).toBe(true);
    expect(stored).toHaveLength(1);
    expect(readAll(stream)).toHaveLength(mebibyte.length);
    expect(pair.server.session.paused).toBe(false);
    sent.write(mebibyte);
    pair.run();
    expect(readAll(stream)).toHaveLength(mebibyte.length);
    expect(pair.server.session.paused).toBe(true);
    stored[0]?.provide();
    // All that has come meanwhile, in one go.
    pair.run();
    expect(stored).toHaveLength(2);
    expect(stored[1]?.pieces.reduce((sum, { length }) => sum + length, 0)).toBeGreaterThan(
      STREAM_BUFFER - 20_000,
    );
    expect(pair.server.session.paused).toBe(true);
    stored[1]?.provide();
    expect(pair.server.session.paused).toBe(false);
  });

  test('of what waits for its reader', () => {
    const pair = new SignPair();
    const woken: boolean[] = [];
    const { session } = pair.server;
    const stream = pair.stream('client', [mebibyte, mebibyte]);
    expect(session.paused).toBe(false);
    stream.write(bytes('one byte more'));
    pair.run();
    expect(session.paused).toBe(true);
    session.onWake(() => woken.push(true));
    pair.server.streams[0]?.read();
    expect(woken.length).toBeGreaterThan(1);
    expect(session.paused).toBe(false);
    expect(STREAM_BUFFER).toBe(2 * mebibyte.length);
  });

  test('a sender is told when more is wanted, and not before all of it has left and is stored', () => {
    const stored: Extract<SignWanted, { kind: 'stored' }>[] = [];
    const pair = new SignPair({
      client: { archive: new MemoryArchive() },
      hold: (wanted, role) => role === 'client' && wanted.kind === 'stored' && stored.push(wanted) > 0,
    });
    pair.client.session.on();
    const stream = pair.client.session.stream({});
    const drained = () => pair.client.events.filter(({ type }) => type === 'drain').length;
    pair.run();
    expect([stream.wantsMore, drained()]).toEqual([false, 0]);
    stored.pop()?.provide();
    pair.run();
    expect([stream.wantsMore, drained()]).toEqual([true, 1]);
    stream.write(mebibyte);
    pair.run();
    expect([stream.wantsMore, drained()]).toEqual([false, 1]);
    while (stored.length > 0) {
      stored.pop()?.provide();
      pair.run();
    }
    expect([stream.wantsMore, drained()]).toEqual([true, 2]);
  });

  test('pieces of one byte cost what they hold', () => {
    const pair = new SignPair();
    const stream = pair.stream('client', Array(3000).fill(Uint8Array.of(1)));
    const [received] = pair.server.streams;
    const first = received?.read();
    expect(first?.bytes.length).toBeGreaterThan(2000);
    stream.end(pair.now);
    pair.run();
    pair.expectUnharmed();
  });
});

describe('that comes to nothing', () => {
  const torn = (act: (pair: SignPair, stream: SentStream) => void) => {
    const { client, server } = archives();
    const pair = new SignPair({ client: { archive: client }, server: { archive: server } });
    const stream = pair.stream('client', ['half of ']);
    act(pair, stream);
    pair.run();
    return { pair, client, server, stream };
  };

  test('because its sender gives it up: the session ends, and both keep what it was', () => {
    const { pair, client, server, stream } = torn(({ now }, sent) => sent.abort(new Error('disk'), now));
    pair.expectFound('client', 'ERR_TLS_INTERNAL', 'internal_error');
    expect(pair.client.lost).toEqual([{ message: stream, code: 'ERR_TLS_CLOSED' }]);
    expect(facts(client)).toEqual([['sent', 'data', 'rejected', 'ERR_SIGN_INCOMPLETE', 0]]);
    expect(facts(server)).toEqual([['received', 'data', 'rejected', 'ERR_SIGN_INCOMPLETE', 0]]);
    expect(server.entries[0]?.object).toEqual(client.entries[0]?.object);
    expect(text(server.entries[0]?.object)).toContain('half of ');
    expect(pair.server.broken).toEqual(['ERR_SIGN_INCOMPLETE']);
  });

  test('because its sender says goodbye', () => {
    const { pair, client, server } = torn(({ pair: { client } }) => client.connection.close());
    pair.expectFound('server', 'ERR_SIGN_INCOMPLETE', 'bad_sign');
    expect(facts(client)).toEqual([['sent', 'data', 'rejected', 'ERR_SIGN_INCOMPLETE', 0]]);
    expect(facts(server)).toEqual([['received', 'data', 'rejected', 'ERR_SIGN_INCOMPLETE', 0]]);
    expect(pair.server.broken).toEqual(['ERR_SIGN_INCOMPLETE']);
    expect(pair.server.verdicts).toEqual([]);
  });

  test('because its receiver cannot take it', () => {
    const { pair, server } = torn(({ server: { streams, session }, now }) => {
      const error = new SignatureError('ERR_SIGN_TOO_LARGE', 'more than I can hold');
      session.refuse(streams[0] as ReceivedStream, error, now);
    });
    pair.expectFound('server', 'ERR_SIGN_TOO_LARGE', 'bad_sign');
    expect(facts(server)).toEqual([['received', 'data', 'rejected', 'ERR_SIGN_TOO_LARGE', 0]]);
    expect(pair.server.broken).toEqual(['ERR_SIGN_TOO_LARGE']);
  });

  test('because its connection to the network is gone', () => {
    const { pair, client, server } = torn(({ pair: { server } }) => server.connection.receiveEnd());
    expect(facts(server)).toEqual([['received', 'data', 'rejected', 'ERR_SIGN_INCOMPLETE', 0]]);
    expect(pair.server.broken).toEqual(['ERR_SIGN_INCOMPLETE']);
    expect(facts(client)).toEqual([]);
  });

  test('because it never had its turn: nobody else is harmed', () => {
    const pair = new SignPair();
    const first = pair.stream('client', ['first']);
    const second = pair.client.session.stream({});
    second.abort(Object.assign(new Error('no'), { code: 'ENOENT' }), pair.now);
    pair.say('client', 'after');
    first.end(pair.now);
    pair.run();
    pair.expectUnharmed();
    expect(pair.client.lost).toEqual([{ message: second, code: 'ENOENT' }]);
    expect(pair.server.texts).toEqual(['after']);
    expect(pair.client.session.pendingReceipts).toBe(0);
  });

  test('because the archive fails', () => {
    const pair = new SignPair({
      server: { archive: new MemoryArchive() },
      hold: (wanted, role) => {
        if (role === 'client' || wanted.kind !== 'stored') return false;
        wanted.fail(new Error('disk full'));
        return true;
      },
    });
    pair.stream('client', ['lost']);
    pair.expectFound('server', 'ERR_TLS_INTERNAL', 'internal_error');
    expect(pair.server.verdicts).toEqual([]);
  });
});

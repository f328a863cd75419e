import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError, TlsError } from '../../../src/errors/errors.ts';
import type { MultiplexedConnection, MuxClientOptions, MuxServerOptions } from '../../../src/mux/index.ts';
import { DATAGRAM_BUFFER, PAIR_IDLE } from '../../../src/mux/limits.ts';
import { ascii, frame, join, Pair, sentBy, thrown } from './pair.ts';

const DNS = { name: 'dns', port: 53 };
const SIZE = 1_200;
const FIRST = 49_152;

function dtls(client: MuxClientOptions = {}, server: Partial<MuxServerOptions> = {}): Pair {
  return new Pair(client, { mode: 'ports', applications: [DNS], ...server }, SIZE);
}

function all(connection: MultiplexedConnection): string[] {
  const datagrams: string[] = [];
  for (let one = connection.read(); one !== undefined; one = connection.read())
    datagrams.push(Buffer.from(one).toString('latin1'));
  return datagrams;
}

/** A flow that the server has seen. */
function opened(pair = dtls()) {
  const near = pair.client.session.open('dns');
  near.write(ascii('hello'));
  pair.settle();
  const far = pair.server.events().find(({ type }) => type === 'connection')?.connection;
  if (far === undefined) throw new Error('the server saw nothing');
  expect(all(far)).toEqual(['hello']);
  return { pair, near, far };
}

describe('ports mode over DTLS', () => {
  it('says nothing at the opening, and one frame in one record for each datagram', () => {
    const pair = dtls();
    const near = pair.client.session.open('dns');
    expect(sentBy(pair.client)).toEqual([]);
    near.write(ascii('one'));
    near.write(ascii(''));
    expect(pair.client.sent.records).toHaveLength(2);
    expect(sentBy(pair.client)).toEqual([`${FIRST}>53:one`, `${FIRST}>53:`]);
  });

  it('answers along the pair, empty datagrams included', () => {
    const { pair, near, far } = opened();
    far.write(ascii(''));
    far.write(ascii('answer'));
    pair.settle();
    expect(all(near)).toEqual(['', 'answer']);
    expect(near.ended).toBe(false);
  });

  it('the largest datagram is what is left of a record behind the header', () => {
    const { near } = opened();
    expect(near.datagrams).toMatchObject({ inStream: false, takesEmpty: true, maxSize: SIZE - 6 });
  });

  it('survives whatever is lost, repeated or reordered on the way', () => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 9 }), { maxLength: 30 }), (order) => {
        const { pair, near, far } = opened();
        for (let n = 0; n < 10; n++) near.write(ascii(`datagram ${n}`));
        const records = [...pair.client.sent.records];
        pair.client.sent.records.length = 0;
        for (const n of order) pair.server.receive(records[n] as Uint8Array);
        expect(all(far)).toEqual(order.map((n) => `datagram ${n}`));
      }),
    );
  });

  it('takes several frames of one record', () => {
    const pair = dtls();
    pair.server.receive(join(frame(1, 53, 'a'), frame(2, 53, 'b'), frame(1, 53, 'c')));
    const flows = pair.server
      .events()
      .flatMap((event) => (event.type === 'connection' ? [event.connection] : []));
    expect(flows.map(all)).toEqual([['a', 'c'], ['b']]);
  });

  it.each([
    ['a header that is cut', frame(1, 53, 'abc').subarray(0, 5)],
    ['data that are cut', frame(1, 53, 'abc').subarray(0, 8)],
  ])('%s is malformed: no frame spans records', (_what, content) => {
    expect(thrown(() => dtls().server.receive(content))).toBeInstanceOf(DecodeError);
  });

  it.each([
    [0, 53],
    [53, 0],
    [0, 0],
  ])('ports %i and %i are illegal', (source, destination) => {
    const error = thrown(() => dtls().server.receive(frame(source, destination, 'x')));
    expect(error).toBeInstanceOf(TlsError);
    expect(error).toMatchObject({ code: 'ERR_TLS_ILLEGAL_PARAMETER' });
  });

  it('drops what it does not serve, and what a client did not ask for', () => {
    const pair = dtls();
    pair.server.receive(frame(1, 54, 'x'));
    pair.client.receive(frame(53, 1, 'x'));
    for (const side of [pair.client, pair.server]) {
      expect(side.events()).toEqual([]);
      expect(side.session.connections).toBe(0);
      expect(side.session.stats().refused).toBe(1);
    }
  });

  it('looks once at a pair that is refused, until it has been silent', () => {
    const pair = dtls();
    pair.server.receive(frame(1, 53, 'x'));
    pair.server.events()[0]?.connection.refuse();
    pair.server.receive(frame(1, 53, 'x'));
    expect(pair.server.events()).toEqual([]);
    expire(pair, 2);
    pair.server.receive(frame(1, 53, 'x'));
    expect(pair.server.events().map(({ type }) => type)).toEqual(['connection', 'readable']);
  });

  it('ends a pair that was silent, and frees its port', () => {
    const { pair, near, far } = opened();
    expire(pair, 2);
    for (const [side, connection] of [
      [pair.client, near],
      [pair.server, far],
    ] as const) {
      expect(side.events()).toEqual([{ type: 'readable', connection }]);
      expect(connection.ended).toBe(true);
      expect(side.session.connections).toBe(0);
    }
    expect(thrown(() => near.write(ascii('late')))).toMatchObject({ code: 'ERR_TLS_CLOSED' });
  });

  it('keeps a pair in which something moves, in either direction', () => {
    const { pair, far } = opened();
    for (let n = 0; n < 5; n++) {
      far.write(ascii('tick'));
      pair.settle();
      expire(pair, 1);
    }
    expect(pair.client.session.connections).toBe(1);
    expect(pair.server.session.connections).toBe(1);
  });

  it('bounds pairs, what waits for one reader, and what waits for all', () => {
    const pair = dtls({}, { maxConnections: 3, sessionBudget: 400_000 });
    for (let port = 1; port <= 5; port++) pair.server.receive(frame(port, 53, 'x'));
    expect(pair.server.session.connections).toBe(3);
    for (let n = 0; n < 1_000; n++) pair.server.receive(frame(1, 53, new Uint8Array(1_000)));
    for (let n = 0; n < 1_000; n++) pair.server.receive(frame(2, 53, new Uint8Array(1_000)));
    const [first, second] = pair.server
      .events()
      .flatMap((event) => (event.type === 'connection' ? [event.connection] : []));
    expect(first?.unread).toBeLessThanOrEqual(DATAGRAM_BUFFER);
    expect(pair.server.session.stats().unread).toBeLessThanOrEqual(400_000);
    expect(first?.dropped).toBeGreaterThan(700);
    expect(second?.dropped).toBeGreaterThan(700);
    expect(pair.server.session.paused).toBe(false);
    for (const one of [first, second]) if (one !== undefined) all(one);
    // The third has its one byte still.
    expect(pair.server.session.stats().unread).toBeLessThan(200);
  });

  it('fails every connection when the session ends, and refuses new ones', () => {
    const { pair, near } = opened();
    pair.client.protocol.closed(undefined);
    expect(pair.client.events()).toMatchObject([
      { type: 'failed', connection: near, error: { code: 'ERR_MUX_SESSION_CLOSED' } },
    ]);
    expect(thrown(() => pair.client.session.open('dns'))).toMatchObject({ code: 'ERR_MUX_SESSION_CLOSED' });
  });

  it('channel mode is refused: it needs a stream', () => {
    const error = thrown(() => new Pair({ mode: 'channels' }, { applications: [DNS] }, SIZE));
    expect(error).toMatchObject({ code: 'ERR_TLS_ILLEGAL_PARAMETER' });
  });

  it('unknown applications and a server that opens are told what is wrong', () => {
    const pair = dtls();
    expect(thrown(() => pair.client.session.open('ntp'))).toMatchObject({
      code: 'ERR_MUX_UNKNOWN_APPLICATION',
    });
    expect(thrown(() => pair.server.session.open('dns'))).toMatchObject({ code: 'ERR_TLS_OPTION' });
  });
});

/** Lets so many times of idleness pass on both sides. */
function expire(pair: Pair, times: number): void {
  for (; times > 0; times--) {
    for (const side of [pair.client, pair.server]) {
      const at = side.session.nextTimeout(side.now);
      if (at === undefined) continue;
      expect(at - side.now).toBeLessThanOrEqual(PAIR_IDLE);
      side.now = at;
      side.session.handleTimeout(at);
    }
  }
}

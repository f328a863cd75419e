import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError } from '../../../src/errors/errors.ts';
import {
  carriesDatagrams,
  DATAGRAM_MAX,
  DatagramReader,
  prefixDatagram,
} from '../../../src/mux/datagrams/datagrams.ts';
import type { MultiplexedConnection } from '../../../src/mux/index.ts';
import { DATAGRAM_BUFFER } from '../../../src/mux/limits.ts';
import { frame, Pair, sentBy } from './pair.ts';

const u8 = (...values: number[]): Uint8Array => Uint8Array.from(values);

const DNS = { name: 'dns/udp', port: 53 };

function pair(): Pair {
  return new Pair({}, { applications: [DNS] });
}

function all(connection: MultiplexedConnection): Uint8Array[] {
  const datagrams: Uint8Array[] = [];
  for (let one = connection.read(); one !== undefined; one = connection.read()) datagrams.push(one);
  return datagrams;
}

describe('names', () => {
  it.each([
    ['dns/udp', true],
    ['dns', false],
    ['/udp', false],
    ['udp', false],
    ['dns/udp2', false],
  ])('%s: %s', (name, expected) => expect(carriesDatagrams(name)).toBe(expected));
});

describe('ports mode over TLS', () => {
  it('sends each datagram as one frame, and keeps boundaries', () => {
    const { client, near, far, settle } = opened(pair());
    near.write(u8(1, 2));
    near.write(u8(3));
    expect(sentBy(client)).toEqual(['49152>53:\u0001\u0002', '49152>53:\u0003']);
    near.write(u8(4, 5, 6));
    near.write(u8(7));
    settle();
    expect(all(far)).toEqual([u8(4, 5, 6), u8(7)]);
  });

  it('carries datagrams that are longer than a record', () => {
    const { near, far, settle } = opened(pair());
    const long = new Uint8Array(DATAGRAM_MAX).map((_, at) => at * 7);
    const edge = new Uint8Array(16_380).fill(3);
    near.write(long);
    near.write(edge);
    near.write(u8(9));
    settle();
    expect(all(far)).toEqual([long, edge, u8(9)]);
    expect(far.unread).toBe(0);
  });

  it('keeps boundaries however the stream of frames is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { minLength: 1, maxLength: 12 }),
        fc.integer({ min: 1, max: 17 }),
        (datagrams, cut) => {
          const { near, far, pair: both } = opened(pair());
          for (const datagram of datagrams) near.write(datagram);
          both.client.push();
          both.deliver(both.client, () => cut);
          expect(all(far)).toEqual(datagrams);
        },
      ),
    );
  });

  it('drops what nobody reads, beyond the bound, and the session goes on', () => {
    const { near, far, settle, pair: both } = opened(pair());
    const size = 1_000;
    for (let sent = 0; sent < 2 * DATAGRAM_BUFFER; sent += size) near.write(new Uint8Array(size));
    settle();
    expect(far.dropped).toBeGreaterThan(0);
    expect(far.unread).toBeLessThanOrEqual(DATAGRAM_BUFFER);
    expect(both.server.session.paused).toBe(false);
    const received = all(far);
    expect(received.length + far.dropped).toBe(Math.ceil((2 * DATAGRAM_BUFFER) / size));
    expect(far.unread).toBe(0);
    expect(both.server.session.stats().unread).toBe(0);
    near.write(u8(1));
    settle();
    expect(all(far)).toEqual([u8(1)]);
  });

  it('counts small datagrams by what they cost', () => {
    const { near, far, settle } = opened(pair());
    for (let n = 0; n < 10_000; n++) near.write(u8(1));
    settle();
    expect(all(far).length).toBeLessThan(DATAGRAM_BUFFER / 100);
    expect(far.dropped).toBeGreaterThan(0);
  });

  it('a frame that ends in the middle of an abandoned datagram does not reach the next one', () => {
    const both = pair();
    const whole = frame(40_000, 53, 'abcdef');
    both.server.receive(whole.subarray(0, 9));
    const [opening] = both.server.events();
    opening?.connection.abort();
    both.server.receive(whole.subarray(9));
    both.server.receive(frame(40_001, 53, 'xyz'));
    const next = both.server.events().find(({ type }) => type === 'connection')?.connection;
    expect(next && all(next).map((one) => Buffer.from(one).toString())).toEqual(['xyz']);
  });
});

describe('prefixed datagrams', () => {
  it('come out as they went in, however they are cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 12 }),
        fc.integer({ min: 1, max: 50 }),
        (datagrams, cut) => {
          const stream = Buffer.concat(datagrams.map(prefixDatagram));
          const reader = new DatagramReader();
          const out: Uint8Array[] = [];
          for (let at = 0; at < stream.length; at += cut)
            reader.push(stream.subarray(at, at + cut), (one) => out.push(new Uint8Array(one)));
          expect(out).toEqual(datagrams);
        },
      ),
    );
  });

  it('a length that no datagram has is malformed', () => {
    const reader = new DatagramReader();
    expect(() => reader.push(u8(0xff, 0xff, 0), () => {})).toThrow(DecodeError);
  });
});

function opened(both: Pair) {
  const { near, far } = both.open('dns/udp');
  return { pair: both, client: both.client, near, far, settle: () => both.settle() };
}

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type DemoResult, runDemo } from '../../demo/demo.ts';
import { newObservation, RecordCounter } from '../../demo/observer.ts';
import { ROOT } from '../../scripts/root.mjs';
import { run } from './tunnel-kit.ts';

const SMALL = { requests: 20, bytes: 4 * 1_048_576 };

describe('the demo', () => {
  it('npm run demo -- --json exits 0 with one handshake and a matching checksum', {
    timeout: 120_000,
  }, async () => {
    const demo = await run(
      process.execPath,
      [join(ROOT, 'scripts', 'run-ts.mjs'), 'demo/main.ts', '--json'],
      {
        limit: 100_000,
      },
    );
    expect(demo.code, demo.stderr).toBe(0);
    const result: DemoResult = JSON.parse(demo.stdout);
    expect(result).toMatchObject({ ok: true, handshakes: 1, checksumOk: true });
    expect(result.trellis).toMatchObject({ handshakes: 1, tcpConnections: 1, ports: 1, pages: 200 });
    expect(result.separate).toMatchObject({ handshakes: 202, tcpConnections: 202, ports: 3, pages: 200 });
    expect(result.trellis.bytes).toBeGreaterThan(256 * 1_048_576);
    expect(result.claims.every(({ held }) => held)).toBe(true);
  });

  it('sees two handshakes when there are two sessions, and then does not claim one', async () => {
    const result = await runDemo({ ...SMALL, sessions: 2 });
    expect(result).toMatchObject({ ok: false, handshakes: 2, checksumOk: true });
    expect(result.claims.filter(({ held }) => !held).map(({ claim }) => claim)).toEqual([
      'all of it was one handshake',
      'all of it was one TCP connection to one port',
    ]);
  });

  it('prints a table for people', async () => {
    const words = [
      join(ROOT, 'scripts', 'run-ts.mjs'),
      'demo/main.ts',
      '--bytes',
      '1048576',
      '--requests',
      '5',
    ];
    const { code, stdout, stderr } = await run(process.execPath, words, { limit: 60_000 });
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/yes {2}5 concurrent HTTP requests/);
    expect(stdout).toMatch(/handshakes +1 +7\n/);
    expect(stdout).toContain('Every claim held.');
    expect(stdout).not.toContain('\u001b');
  });
});

describe('the relay of the demo', () => {
  const record = (type: number, body: Buffer): Buffer =>
    Buffer.concat([Buffer.from([type, 3, 3, body.length >> 8, body.length & 0xff]), body]);
  const message = (type: number, body: Buffer): Buffer =>
    Buffer.concat([Buffer.from([type, 0, body.length >> 8, body.length & 0xff]), body]);
  const hello = (random: Buffer): Buffer =>
    message(2, Buffer.concat([Buffer.from([3, 3]), random, randomBytes(40)]));
  const retry = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex');
  it('counts the same however the bytes are cut', () => {
    const second = hello(randomBytes(32));
    const stream = Buffer.concat([
      record(22, hello(retry)),
      record(20, Buffer.from([1])),
      record(22, second.subarray(0, 30)),
      record(22, second.subarray(30)),
      record(23, randomBytes(16_401)),
      record(23, randomBytes(20)),
      record(21, randomBytes(2)),
    ]);
    fc.assert(
      fc.property(fc.array(fc.nat({ max: stream.length }), { maxLength: 50 }), (cuts) => {
        const seen = newObservation();
        const counter = new RecordCounter(seen);
        const points = [0, ...cuts.sort((a, b) => a - b), stream.length];
        for (let i = 1; i < points.length; i++) counter.see(stream.subarray(points[i - 1], points[i]));
        expect(seen).toMatchObject({
          records: 7,
          bytes: stream.length,
          clientHellos: 0,
          helloRetryRequests: 1,
          serverHellos: 1,
          strangeBytes: 0,
        });
        expect(Object.fromEntries(seen.recordsByType)).toEqual({ 20: 1, 21: 1, 22: 3, 23: 2 });
        expect([seen.recordsBySize.get(64), seen.recordsBySize.get(16_401)]).toEqual([5, 1]);
      }),
    );
  });

  it('counts hellos, also one that is cut over two records', () => {
    const seen = newObservation();
    const split = hello(randomBytes(32));
    new RecordCounter(seen).see(
      Buffer.concat([record(22, split.subarray(0, 9)), record(22, split.subarray(9))]),
    );
    new RecordCounter(seen).see(record(22, message(1, randomBytes(200))));
    expect(seen).toMatchObject({ clientHellos: 1, serverHellos: 1, helloRetryRequests: 0 });
  });

  it('knows what is not TLS', () => {
    for (const bytes of [
      Buffer.from('GET / HTTP/1.1\r\n'),
      record(24, randomBytes(10)),
      record(23, randomBytes(16_641)),
    ]) {
      const seen = newObservation();
      new RecordCounter(seen).see(bytes);
      expect(seen.strangeBytes).toBe(bytes.length);
      expect(seen.records).toBe(0);
    }
  });
});

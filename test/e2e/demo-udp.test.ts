import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Ear, makeFrame } from '../../demo/udp/call.ts';
import { newDatagramObservation, observe } from '../../demo/udp/lossy-relay.ts';
import { runUdpDemo, type UdpDemoResult } from '../../demo/udp/udp-demo.ts';
import { ROOT } from '../../scripts/root.mjs';
import { run } from './tunnel-kit.ts';

/** A busy machine takes seconds for each of the processes that are started. */
const LIMIT = 120_000;
const SMALL = { requests: 10, frames: 300, bytes: 20_480 };
const demo = [join(ROOT, 'scripts', 'run-ts.mjs'), 'demo/main.ts', '--udp'];

describe('the demo over UDP', () => {
  it('npm run demo -- --udp --json exits 0: one handshake, one five-tuple', { timeout: LIMIT }, async () => {
    const { code, stdout, stderr } = await run(process.execPath, [...demo, '--json'], { limit: LIMIT });
    expect(code, stderr + stdout).toBe(0);
    const result: UdpDemoResult = JSON.parse(stdout);
    expect(result.claims.filter(({ held }) => !held)).toEqual([]);
    expect(result.claims).toHaveLength(8);
    expect(result).toMatchObject({
      ok: true,
      handshakes: 1,
      fiveTuples: 1,
      names: { asked: 200, answered: 200 },
      call: { sent: { caller: 2_000 } },
      file: { blocks: 256 },
    });
    expect(result.towardsGateway.lost).toBeGreaterThan(50);
    expect(result.towardsClient.lost).toBeGreaterThan(50);
    // What nobody sends again is missing: the loss was real.
    expect(result.call.heard.called.received).toBeLessThan(2_000);
    // ClientHello, HelloRetryRequest, ClientHello, ServerHello; the relay loses the last one.
    expect(result.clearRecords).toBeGreaterThan(4);
  });

  it('sees two handshakes when there are two sessions, and then does not claim one', {
    timeout: LIMIT,
  }, async () => {
    const result = await runUdpDemo({ ...SMALL, sessions: 2 });
    expect(result).toMatchObject({ ok: false, handshakes: 2, fiveTuples: 2 });
    expect(result.claims.filter(({ held }) => !held).map(({ claim }) => claim)).toEqual([
      'all of it was one handshake',
      'all of it was one five-tuple',
    ]);
  });

  it('does not claim losses where there are none', { timeout: LIMIT }, async () => {
    const result = await runUdpDemo({ ...SMALL, share: 0 });
    expect(result.claims.filter(({ held }) => !held).map(({ claim }) => claim)).toEqual([
      'the path lost 5 % of the datagrams in each direction',
    ]);
    expect(result.call.heard).toEqual({
      caller: { received: 300, broken: 0, doubled: 0 },
      called: { received: 300, broken: 0, doubled: 0 },
    });
  });

  it('refuses to go with --sign, and says what there is', { timeout: LIMIT }, async () => {
    const refused = await run(process.execPath, [...demo, '--sign'], { limit: LIMIT });
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('--udp does not go with --sign');
    const help = await run(process.execPath, [...demo, '--help'], { limit: LIMIT });
    expect(help.code).toBe(0);
    expect(help.stdout).toContain('npm run demo -- --udp');
  });
});

describe('the ear of a call', () => {
  it('knows broken and doubled frames', () => {
    const ear = new Ear();
    const frame = makeFrame(7);
    ear.hear(frame);
    ear.hear(makeFrame(8));
    ear.hear(frame);
    const changed = Buffer.from(frame);
    changed.writeUInt8((changed[20] ?? 0) ^ 1, 20);
    ear.hear(changed);
    ear.hear(frame.subarray(0, -1));
    ear.hear(Buffer.alloc(0));
    expect(ear.heard).toEqual({ received: 2, broken: 3, doubled: 1 });
  });
});

describe('the relay of the demo over UDP', () => {
  const RETRY = 'cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c';
  const record = (type: number, body: Buffer, epoch = 0): Buffer => {
    const header = Buffer.from([type, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 1, 0, 0]);
    header.writeUInt16BE(body.length, 11);
    return Buffer.concat([header, body]);
  };
  const hello = (type: number, random: string, offset = 0): Buffer => {
    const head = Buffer.alloc(12);
    head[0] = type;
    head.writeUIntBE(offset, 6, 3);
    return record(22, Buffer.concat([head, Buffer.from([0xfe, 0xfd]), Buffer.from(random, 'hex')]));
  };
  const protectedRecord = Buffer.from([0x2e, 0, 1, 0, 3, 9, 9, 9]);

  it('knows one handshake with messages sent again from two', () => {
    const seen = newDatagramObservation();
    const [a, b] = ['aa'.repeat(32), 'bb'.repeat(32)];
    expect(observe(hello(1, a), 'gateway', seen)).toBe(true);
    observe(hello(2, RETRY), 'client', seen);
    observe(hello(1, a), 'gateway', seen);
    observe(Buffer.concat([hello(2, b), protectedRecord]), 'client', seen);
    observe(hello(2, b), 'client', seen);
    // Not where a hello begins.
    observe(hello(1, b, 100), 'gateway', seen);
    expect(observe(protectedRecord, 'gateway', seen)).toBe(false);
    expect(seen).toMatchObject({ clientHellos: 2, serverHellos: 2, helloRetryRequests: 1, clearRecords: 6 });
    expect([[...seen.clientRandoms], [...seen.serverRandoms]]).toEqual([[a], [b]]);
    expect([seen.strangeDatagrams, seen.readableDatagrams]).toEqual([0, 0]);
    observe(hello(2, a), 'client', seen);
    expect(seen.serverRandoms.size).toBe(2);
  });

  it('knows what is not DTLS, and what can be read', () => {
    const strange = [
      Buffer.from([22]),
      Buffer.from('GET / HTTP/1.1\r\n'),
      record(22, Buffer.alloc(9), 1),
      record(27, Buffer.alloc(9)),
      record(22, Buffer.alloc(9)).subarray(0, -1),
      makeFrame(0),
    ];
    for (const datagram of strange) {
      const seen = newDatagramObservation();
      expect(observe(datagram, 'gateway', seen)).toBe(false);
      expect(seen).toMatchObject({ strangeDatagrams: 1, clearRecords: 0 });
    }
    const seen = newDatagramObservation();
    observe(Buffer.concat([protectedRecord, makeFrame(0)]), 'client', seen);
    expect(seen).toMatchObject({ strangeDatagrams: 0, readableDatagrams: 1 });
  });
});

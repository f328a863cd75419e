import { createPrivateKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { saysExtendedLengths } from '../../../src/module/apdu/atr.ts';
import { Tracer } from '../../../src/module/apdu/trace.ts';
import { MAX_TLS_MESSAGE } from '../../../src/module/eap/fragments.ts';
import { buildEapTls } from '../../../src/module/eap/packet.ts';
import { Instruction, MODULE_AID } from '../../../src/module/protocol.ts';
import { type Card, cardWith, EapHost, openState, utf8 } from './kit.ts';

const { processEap, encrypt, decrypt } = Instruction;

/** @param algorithm of the client's key: P-256, or 4 for RSA-2048 */
function connected(size: number, algorithm = 1) {
  const client = cardWith({ kind: 'client', algorithm }).verifyUser();
  const server = cardWith({ kind: 'server' }).verifyUser();
  const a = new EapHost(client, client.open({ fragmentSize: size }), 'client', size);
  const b = new EapHost(server, server.open({ role: 'server', fragmentSize: size }), 'server', size);
  const hello = a.start();
  b.start();
  b.exchange(processEap, 0, a.exchange(processEap, 0, b.exchange(processEap, 0, hello)));
  return { client, server, a, b };
}

function worksOn(card: Card): void {
  card.ok(Instruction.resetState, 0x10, 0);
  expect(new EapHost(card, card.open(), 'client').start().length).toBeGreaterThan(100);
}

/** Places in a client's conversation where a packet may come. */
const PLACES: Record<string, () => { card: Card; host: EapHost; ins: number }> = {
  'before the start': () => {
    const card = cardWith().verifyUser();
    return { card, host: new EapHost(card, card.open(), 'client'), ins: processEap };
  },
  'while fragments leave': () => {
    const card = cardWith().verifyUser();
    const host = new EapHost(card, card.open({ fragmentSize: 50 }), 'client');
    host.packet(processEap, 0, Uint8Array.of(0x20));
    return { card, host, ins: processEap };
  },
  'where the server is awaited': () => {
    const card = cardWith().verifyUser();
    const host = new EapHost(card, card.open(), 'client');
    host.start();
    return { card, host, ins: processEap };
  },
  'in an open session': () => {
    const { client, a } = connected(4000);
    return { card: client, host: a, ins: decrypt };
  },
};

describe.each(Object.entries(PLACES))('flags of EAP-TLS in every combination, %s', (_name, make) => {
  it('are answered a status word, and the module works on', () => {
    for (let flags = 0; flags < 256; flags += 1) {
      // Reserved bits are ignored; all of them once, and none, are enough to see that.
      if ((flags & 0x1f) !== 0 && (flags & 0x1f) !== 0x1f) continue;
      for (const rest of [[], [0, 0, 0, 0], [0, 0, 0, 9, 1, 2, 3], [0xff, 0xff, 0xff, 0xff, 1], [1, 2]]) {
        const { card, host, ins } = make();
        const packet = host.wrap(13, Uint8Array.of(flags, ...rest));
        const { status, data } = card.send(ins, host.handle << 1, 0, packet);
        const label = `${flags.toString(16)} ${rest.join(',')}: ${status.toString(16)}`;
        expect([0x9000, 0x6a80, 0x6985], label).toContain(status);
        if (status !== 0x9000) expect(data, label).toHaveLength(0);
        worksOn(card);
      }
    }
  }, 60_000);
});

describe('fragments that do not end', () => {
  it.each([32, 4000, 60_000])('are given up at the bound, in packets of %d bytes', (size) => {
    const { card, host } = (PLACES['where the server is awaited'] as (typeof PLACES)[string])();
    const data = new Uint8Array(size - 6);
    const fragment = buildEapTls({ total: undefined, more: true, start: false, data });
    let taken = 0;
    for (;;) {
      const { status } = card.send(processEap, host.handle << 1, 0, host.wrap(13, fragment));
      if (status !== 0x9000) {
        expect(status).toBe(0x6a80);
        break;
      }
      taken += data.length;
      expect(taken).toBeLessThanOrEqual(MAX_TLS_MESSAGE);
    }
    expect(taken + data.length).toBeGreaterThan(MAX_TLS_MESSAGE);
    worksOn(card);
  });

  it('that lie about their total are refused with the first byte too many', () => {
    const { card, host } = (PLACES['where the server is awaited'] as (typeof PLACES)[string])();
    const say = (total: number | undefined, more: boolean, length: number) =>
      card.send(
        processEap,
        host.handle << 1,
        0,
        host.wrap(13, buildEapTls({ total, more, start: false, data: new Uint8Array(length) })),
      ).status;
    expect(say(100, true, 60)).toBe(0x9000);
    expect(say(undefined, true, 41)).toBe(0x6a80);
    expect(say(100, true, 60)).toBe(0x9000);
    expect(say(undefined, false, 39)).toBe(0x6a80);
    expect(say(MAX_TLS_MESSAGE + 1, true, 60)).toBe(0x6a80);
    worksOn(card);
  });
});

describe('answers and traces of a whole life', () => {
  it('have no byte string of a key, of a PIN or of clear text', () => {
    const { client, server, a, b } = connected(200, 4);
    const clear = 'clear text that nobody else shall read';
    b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8(clear)));
    client.verifyOperator();
    const needles: Buffer[] = [Buffer.from('12345678'), Buffer.from(clear)];
    for (const card of [client, server]) {
      for (const { privateKey } of openState(card.storage).identities) {
        const der = Buffer.from(privateKey ?? []);
        const jwk = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' });
        for (const part of ['d', 'p', 'q', 'dp', 'dq', 'qi'] as const) {
          const value = Buffer.from((jwk[part] as string | undefined) ?? '', 'base64url');
          for (let at = 0; at + 12 <= value.length; at += 4) needles.push(value.subarray(at, at + 12));
        }
      }
    }
    expect(needles.length).toBeGreaterThan(150);
    for (const card of [client, server]) {
      const tracer = new Tracer();
      const lines = card.dialogue.map(({ command, response }) =>
        JSON.stringify(tracer.describe(command, response)),
      );
      const trace = Buffer.from(lines.join('\n'));
      const said = Buffer.concat(card.dialogue.map(({ response }) => response));
      for (const needle of needles) {
        // Who asks for clear text is given it.
        if (!needle.equals(Buffer.from(clear))) expect(said.includes(needle)).toBe(false);
        expect(trace.includes(needle)).toBe(false);
        expect(trace.includes(needle.toString('hex'))).toBe(false);
      }
    }
    client.ok(Instruction.select, 4, 0, MODULE_AID);
  }, 30_000);
});

describe('an answer to reset', () => {
  it('is asked for extended lengths, however it is cut off', () => {
    const atr = Buffer.from('3b8a80018073c021c054524c5331', 'hex');
    expect(saysExtendedLengths(atr)).toBe(true);
    expect(saysExtendedLengths(Buffer.from('3b8a800180738021805452', 'hex'))).toBe(false);
    expect(saysExtendedLengths(Buffer.from('3b00', 'hex'))).toBe(false);
    for (let length = 0; length < 9; length++)
      expect(saysExtendedLengths(atr.subarray(0, length))).toBe(false);
  });
});

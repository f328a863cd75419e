import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError } from '../../../src/errors/errors.ts';
import { CommandJoiner, MAX_CHAINED_DATA, ResponseQueue } from '../../../src/module/apdu/chaining.ts';
import {
  type Command,
  encodeCommand,
  encodeResponse,
  parseCommand,
  parseResponse,
} from '../../../src/module/apdu/command.ts';
import { moreStatus, parseStatus, Status, statusError } from '../../../src/module/apdu/status.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const byte = fc.integer({ min: 0, max: 255 });

describe('command APDUs', () => {
  it.each([
    ['case 1', '00 A4 04 00', '', 0],
    ['case 2', '00 C0 00 00 10', '', 16],
    ['case 2, Le 256', '00 C0 00 00 00', '', 256],
    ['case 3', '00 A4 04 00 02 3F00', '3F00', 0],
    ['case 4', '00 A4 04 00 02 3F00 00', '3F00', 256],
    ['case 2 extended', '00 C0 00 00 00 0100', '', 256],
    ['case 2 extended, Le 65,536', '00 C0 00 00 00 0000', '', 65_536],
    ['case 3 extended', '00 A4 04 00 00 0002 3F00', '3F00', 0],
    ['case 4 extended', '00 A4 04 00 00 0002 3F00 0000', '3F00', 65_536],
    ["the seed's Reset-State", 'A0 19 10 00 00 01', '', 1],
  ])('%s', (_name, bytes, data, le) => {
    const command = parseCommand(hex(bytes));
    expect(Buffer.from(command.data).toString('hex').toUpperCase()).toBe(data);
    expect(command.le).toBe(le);
  });

  it.each([
    ['no header', '00 A4 04'],
    ['Lc beyond the end', '00 A4 04 00 03 3F00'],
    ['bytes after Le', '00 A4 04 00 01 3F 00 00'],
    ['extended Lc beyond the end', '00 A4 04 00 00 0003 3F00'],
    ['half an extended Le', '00 A4 04 00 00 0002 3F00 00'],
    ['an extended Lc of zero with Le', '00 A4 04 00 00 0000 0000'],
  ])('refuses %s', (_name, bytes) => {
    expect(() => parseCommand(hex(bytes))).toThrow(DecodeError);
  });

  it('reads back what it writes, in both forms', () => {
    const command = (maxData: number, maxLe: number) =>
      fc.record({
        cla: byte,
        ins: byte,
        p1: byte,
        p2: byte,
        data: fc.uint8Array({ maxLength: maxData }),
        le: fc.integer({ min: 0, max: maxLe }),
      });
    fc.assert(
      fc.property(command(255, 256), (c: Command) => {
        expect(parseCommand(encodeCommand(c, 'short'))).toEqual(c);
      }),
    );
    fc.assert(
      fc.property(command(3000, 65_536), (c: Command) => {
        expect(parseCommand(encodeCommand(c, 'extended'))).toEqual(c);
      }),
    );
  });

  it('reads or refuses any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        try {
          const { data } = parseCommand(bytes);
          expect(data.length).toBeLessThanOrEqual(bytes.length);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
    );
  });
});

describe('answers', () => {
  it('reads back what it writes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 0, max: 0xffff }), (data, status) => {
        expect(parseResponse(encodeResponse({ data, status }))).toEqual({ data, status });
      }),
    );
  });

  it('refuses an answer without status', () => {
    expect(() => parseResponse(hex('90'))).toThrow(DecodeError);
  });

  it('knows its status words', () => {
    for (const [kind, value] of Object.entries(Status)) expect(parseStatus(value)).toEqual({ kind });
    expect(parseStatus(0x6110)).toEqual({ kind: 'more', available: 16 });
    expect(parseStatus(0x9f00)).toEqual({ kind: 'more', available: 256 });
    expect(parseStatus(0x63c2)).toEqual({ kind: 'pinWrong', triesLeft: 2 });
    expect(parseStatus(0x6283)).toEqual({ kind: 'other', value: 0x6283 });
    expect(moreStatus(0xa0, 300)).toBe(0x9f00);
    expect(moreStatus(0xa0, 7)).toBe(0x9f07);
    expect(moreStatus(0x00, 255)).toBe(0x61ff);
  });

  it('makes errors of them that say what to do', () => {
    expect(statusError(0x63c2, 'Verify')).toMatchObject({ code: 'ERR_MODULE_PIN_WRONG', triesLeft: 2 });
    expect(statusError(0x63c2, 'Verify').message).toContain('2 tries are left');
    expect(statusError(0x6983, 'Verify').code).toBe('ERR_MODULE_PIN_BLOCKED');
    expect(statusError(0x6982, 'Open').code).toBe('ERR_MODULE_NOT_PERMITTED');
    expect(statusError(0x6a83, 'Open').code).toBe('ERR_MODULE_NOT_FOUND');
    expect(statusError(0x6a84, 'Open').code).toBe('ERR_MODULE_NO_ROOM');
    expect(statusError(0x6d00, 'Open').code).toBe('ERR_MODULE_UNSUPPORTED');
    expect(statusError(0x6f00, 'Open')).toMatchObject({ code: 'ERR_MODULE_STATUS', status: 0x6f00 });
  });
});

describe('chaining', () => {
  const command = (over: Partial<Command>): Command => ({
    cla: 0xa0,
    ins: 0xda,
    p1: 1,
    p2: 0,
    data: new Uint8Array(0),
    le: 0,
    ...over,
  });
  const sessionBit = (c: Command) =>
    c.ins === 0x80 ? { p1: c.p1 & 0xfe, more: (c.p1 & 1) !== 0 } : undefined;

  it('joins by the bit of CLA, however the data is cut', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 1, maxLength: 8 }), (pieces) => {
        const joiner = new CommandJoiner(sessionBit);
        for (const [i, data] of pieces.entries()) {
          const last = i === pieces.length - 1;
          const joined = joiner.push(command({ cla: last ? 0xa0 : 0xb0, data, le: last ? 256 : 0 }));
          if (!last) expect(joined).toEqual({ kind: 'more' });
          else expect(joined).toEqual({ kind: 'whole', command: command({ data: join(pieces), le: 256 }) });
        }
      }),
    );
  });

  it('joins by the bit of P1 where there is one', () => {
    const joiner = new CommandJoiner(sessionBit);
    expect(joiner.push(command({ ins: 0x80, p1: 3, data: hex('01') }))).toEqual({ kind: 'more' });
    expect(joiner.push(command({ ins: 0x80, p1: 2, data: hex('02') }))).toEqual({
      kind: 'whole',
      command: command({ ins: 0x80, p1: 2, data: hex('0102') }),
    });
  });

  it('gives a chain up for another command', () => {
    const joiner = new CommandJoiner(sessionBit);
    joiner.push(command({ cla: 0xb0, data: hex('01') }));
    expect(joiner.push(command({ ins: 0xca }))).toMatchObject({ kind: 'whole', command: { ins: 0xca } });
    expect(joiner.push(command({ data: hex('02') }))).toMatchObject({ command: { data: hex('02') } });
  });

  it('owns what it has taken', () => {
    const joiner = new CommandJoiner(sessionBit);
    const buffer = Buffer.from('01', 'hex');
    joiner.push(command({ cla: 0xb0, data: buffer }));
    buffer[0] = 9;
    expect(joiner.push(command({ data: hex('02') }))).toMatchObject({ command: { data: hex('0102') } });
  });

  it('ends at its bound', () => {
    const joiner = new CommandJoiner(sessionBit);
    const data = new Uint8Array(MAX_CHAINED_DATA);
    expect(joiner.push(command({ cla: 0xb0, data }))).toEqual({ kind: 'more' });
    expect(joiner.push(command({ data: hex('01') }))).toEqual({ kind: 'tooLong' });
    expect(joiner.push(command({ data: hex('02') }))).toMatchObject({ command: { data: hex('02') } });
  });

  it('gives the rest of an answer in pieces', () => {
    const queue = new ResponseQueue();
    queue.set(hex('010203'));
    expect(queue.take(2)).toEqual(hex('0102'));
    expect(queue.length).toBe(1);
    expect(queue.take(9)).toEqual(hex('03'));
    expect(queue.take(9)).toHaveLength(0);
  });
});

function join(pieces: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(pieces.flatMap((piece) => [...piece]));
}

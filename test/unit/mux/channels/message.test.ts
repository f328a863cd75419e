import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { AlertDescription } from '../../../../src/errors/alerts.ts';
import { alertFor } from '../../../../src/errors/errors.ts';
import {
  type ControlMessage,
  decodeControl,
  encodeControl,
  MessageType,
  messageLength,
  writeAcknowledgment,
  writeDataHeader,
  writeShort,
} from '../../../../src/mux/channels/message.ts';
import { MessageReader } from '../../../../src/mux/channels/reader.ts';
import { ascii, hex, join, thrown } from '../pair.ts';

const REQUEST: ControlMessage = {
  type: MessageType.RequestEstablishmentChannel,
  sender: 0x0102,
  window: 0x1_0000,
  maxPacket: 0x4000,
  source: { address: '10.0.0.1', port: 5555 },
  destination: { address: 'ssh', port: 0 },
};

/** Each message, and its bytes by hand from the table in docs/multiplexing.md. */
const MESSAGES: [string, ControlMessage, string][] = [
  [
    'RequestEstablishmentChannel',
    REQUEST,
    '01 0102 00010000 00004000 08 31302e302e302e31 15b3 03 737368 0000',
  ],
  [
    'RequestEstablishmentSuccess',
    {
      type: MessageType.RequestEstablishmentSuccess,
      sender: 2,
      receiver: 3,
      window: 2 ** 32 - 1,
      maxPacket: 1,
    },
    '02 0002 0003 ffffffff 00000001',
  ],
  [
    'RequestEchecChannel',
    { type: MessageType.RequestEchecChannel, sender: 0xfffe, error: 'né' },
    '03 fffe 0003 6ec3a9',
  ],
  [
    'RequestEchecChannel without words',
    { type: MessageType.RequestEchecChannel, sender: 4, error: '' },
    '03 0004 0000',
  ],
  ['CloseChannel', { type: MessageType.CloseChannel, channel: 0xfffe_0001 }, '04 fffe0001'],
  ['ConfirmationCloseChannel', { type: MessageType.ConfirmationCloseChannel, channel: 5 }, '05 00000005'],
  [
    'Acknowledgment',
    { type: MessageType.Acknowledgment, channel: 0x8000_0001, freeSpace: 0xffff_ffff },
    '07 80000001 ffffffff',
  ],
  ['EndOfData', { type: MessageType.EndOfData, channel: 0x0002_0003 }, '08 00020003'],
];

describe('messages', () => {
  it.each(MESSAGES)('%s is written and read as the table has it', (_name, message, bytes) => {
    expect(encodeControl(message)).toEqual(hex(bytes));
    expect(decodeControl(hex(bytes))).toEqual(message);
    expect(messageLength(hex(bytes), 0, hex(bytes).length)).toBe(hex(bytes).length);
  });

  it.each(MESSAGES)(
    '%s ends exactly: a byte less and a byte more are decode_error',
    (_name, _message, bytes) => {
      const whole = hex(bytes);
      for (let length = 1; length < whole.length; length++) {
        const error = thrown(() => decodeControl(whole.subarray(0, length)));
        expect(error).toMatchObject({ code: 'ERR_TLS_DECODE' });
        expect(messageLength(whole, 0, length)).toBeGreaterThan(length);
      }
      const error = thrown(() => decodeControl(join(whole, hex('00'))));
      expect(error).toMatchObject({ code: 'ERR_TLS_DECODE' });
      expect(alertFor(error)).toBe(AlertDescription.decode_error);
    },
  );

  it.each([
    ['a source address without bytes', '01 0102 00010000 00004000 00 15b3 03 737368 0000'],
    ['a destination address without bytes', '01 0102 00010000 00004000 01 31 15b3 00 0000'],
    ['an error that is not UTF-8', '03 0002 0002 c328'],
    ['type 0', '00 00000000'],
    ['type 9', '09 00000000'],
  ])('%s is decode_error', (_what, bytes) => {
    const error = thrown(() => decodeControl(hex(bytes)));
    expect(error).toMatchObject({ code: 'ERR_TLS_DECODE' });
    expect(alertFor(error)).toBe(AlertDescription.decode_error);
  });

  it('of a type that does not exist nobody knows the length: decode_error', () => {
    for (const type of [0, 9, 255]) {
      expect(thrown(() => messageLength(Uint8Array.of(type), 0, 1))).toMatchObject({
        code: 'ERR_TLS_DECODE',
      });
    }
  });

  it('writes the short ones in place', () => {
    const out = new Uint8Array(30);
    let at = writeShort(out, 1, MessageType.EndOfData, 0xfffe_0001);
    at = writeAcknowledgment(out, at, 0x8001_0002, 0x8000_0000);
    expect(writeDataHeader(out, at, 3, 70_000)).toBe(24);
    expect(out).toEqual(hex('00 08 fffe0001 07 80010002 80000000 06 00000003 00011170 000000000000'));
  });
});

describe('MessageReader', () => {
  type Found = ControlMessage | { channel: number; length: number; data: string };

  /** Everything in a stream that comes in the given pieces. */
  function read(pieces: readonly Uint8Array[]): Found[] {
    const reader = new MessageReader();
    const found: Found[] = [];
    let data: { channel: number; length: number; data: string } | undefined;
    for (const piece of pieces) {
      reader.push(piece);
      while (reader.next()) {
        if (reader.control !== undefined) {
          found.push(reader.control);
          continue;
        }
        if (reader.starts) {
          data = { channel: reader.channel, length: reader.length, data: '' };
          found.push(data);
        }
        if (data !== undefined) data.data += Buffer.from(reader.piece).toString('latin1');
      }
    }
    expect(reader.midMessage).toBe(false);
    return found;
  }

  const stream = join(
    ...MESSAGES.map(([, , bytes]) => hex(bytes)),
    hex('06 00020003 00000005'),
    ascii('hello'),
    hex('06 00020003 00000000'),
    hex('06 fffe0001 00000001 21'),
  );
  const expected: Found[] = [
    ...MESSAGES.map(([, message]) => message),
    { channel: 0x0002_0003, length: 5, data: 'hello' },
    { channel: 0x0002_0003, length: 0, data: '' },
    { channel: 0xfffe_0001, length: 1, data: '!' },
  ];

  it('finds the same in whatever pieces the stream comes', () => {
    expect(read([stream])).toEqual(expected);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }), (lengths) => {
        const pieces: Uint8Array[] = [];
        for (let at = 0, i = 0; at < stream.length; i++) {
          const length = lengths[i % lengths.length] as number;
          pieces.push(stream.subarray(at, at + length));
          at += length;
        }
        expect(read(pieces)).toEqual(expected);
      }),
    );
  });

  it('gives data as views, without waiting for the rest of the message', () => {
    const reader = new MessageReader();
    const record = join(hex('06 00020003 000186a0'), new Uint8Array(1000));
    reader.push(record);
    expect(reader.next()).toBe(true);
    expect(reader).toMatchObject({ channel: 0x0002_0003, length: 100_000, starts: true });
    expect(reader.piece.buffer).toBe(record.buffer);
    expect(reader.piece.length).toBe(1000);
    expect(reader.next()).toBe(false);
    reader.push(new Uint8Array(10));
    expect(reader.next()).toBe(true);
    expect(reader.starts).toBe(false);
    expect(reader.midMessage).toBe(true);
  });

  it('takes an error of 65,535 bytes that comes byte by byte', () => {
    const error = 'x'.repeat(65_535);
    const bytes = join(hex('03 0002 ffff'), ascii(error));
    const reader = new MessageReader();
    let found: ControlMessage | undefined;
    for (const byte of bytes) {
      reader.push(Uint8Array.of(byte));
      while (reader.next()) found = reader.control;
    }
    expect(found).toEqual({ type: MessageType.RequestEchecChannel, sender: 2, error });
  });
});

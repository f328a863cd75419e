import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError, TlsError } from '../../../src/errors/errors.ts';
import { FragmentReceiver, FragmentSender, MAX_TLS_MESSAGE } from '../../../src/module/eap/fragments.ts';
import {
  ACKNOWLEDGEMENT,
  buildEap,
  buildEapTls,
  EapCode,
  type EapTls,
  EapType,
  parseEap,
  parseEapTls,
} from '../../../src/module/eap/packet.ts';

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const byte = fc.integer({ min: 0, max: 255 });
const tls = (over: Partial<EapTls>): EapTls => ({ ...ACKNOWLEDGEMENT, ...over });

describe('EAP packets', () => {
  it('reads a start request', () => {
    const packet = parseEap(hex('01 07 0006 0D 20'));
    expect(packet).toEqual({ code: EapCode.request, identifier: 7, type: EapType.tls, data: hex('20') });
    expect(parseEapTls(hex('20'))).toEqual(tls({ start: true }));
  });

  it('reads back what it writes', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(1, 2),
        byte,
        byte,
        fc.uint8Array({ maxLength: 99 }),
        (code, identifier, type, data) => {
          const packet = { code: code as 1 | 2, identifier, type, data };
          expect(parseEap(buildEap(packet))).toEqual(packet);
        },
      ),
    );
    for (const code of [EapCode.success, EapCode.failure]) {
      expect(parseEap(buildEap({ code, identifier: 3 }))).toEqual({ code, identifier: 3 });
    }
  });

  it('ignores padding of the link (RFC 3748 §4)', () => {
    expect(parseEap(hex('03 01 0004 FFFF'))).toEqual({ code: EapCode.success, identifier: 1 });
  });

  it.each([
    ['nothing', ''],
    ['half a header', '01 07 00'],
    ['a length beyond the end', '01 07 0007 0D 20'],
    ['a length below a header', '01 07 0003 0D 20'],
    ['a request without type', '01 07 0004'],
    ['a success with data', '03 07 0005 00'],
    ['code 0', '00 07 0004'],
    ['code 5', '05 07 0005 01'],
  ])('refuses %s', (_name, bytes) => {
    expect(() => parseEap(hex(bytes))).toThrow(DecodeError);
  });

  it.each([
    ['no flags', ''],
    ['half a length', '80 0000 01'],
  ])('refuses EAP-TLS with %s', (_name, bytes) => {
    expect(() => parseEapTls(hex(bytes))).toThrow(DecodeError);
  });

  it('reads back every combination of flags, and ignores the reserved ones', () => {
    fc.assert(
      fc.property(
        fc.option(fc.integer({ min: 0, max: 0xffff_ffff }), { nil: undefined }),
        fc.boolean(),
        fc.boolean(),
        fc.uint8Array({ maxLength: 40 }),
        fc.integer({ min: 0, max: 31 }),
        (total, more, start, data, reserved) => {
          const bytes = buildEapTls({ total, more, start, data });
          bytes[0] = (bytes[0] as number) | reserved;
          expect(parseEapTls(bytes)).toEqual({ total, more, start, data });
        },
      ),
    );
  });
});

describe('fragments', () => {
  it('carry any message at any size, each in a packet of that size at most', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2000 }), fc.integer({ min: 32, max: 900 }), (message, size) => {
        const sender = new FragmentSender(message, size);
        const receiver = new FragmentReceiver();
        let received: Uint8Array | undefined;
        for (let nth = 0; !sender.done; nth++) {
          const packet = sender.next();
          const bytes = buildEapTls(packet);
          expect(buildEap({ code: 1, identifier: 0, type: 13, data: bytes }).length).toBeLessThanOrEqual(
            size,
          );
          expect(packet.more).toBe(!sender.done);
          // RFC 5216 §2.1.5: the length on the first fragment of several, on no other.
          expect(packet.total).toBe(nth === 0 && packet.more ? message.length : undefined);
          received = receiver.push(parseEapTls(bytes));
          expect(received === undefined).toBe(packet.more);
        }
        expect(received).toEqual(message);
        expect(receiver.pending).toBe(false);
      }),
    );
  });

  it.each([31, 65_536, 50.5])('has no packets of %d bytes', (size) => {
    expect(() => new FragmentSender(hex('01'), size)).toThrow(TlsError);
  });

  const refusals: [string, EapTls[]][] = [
    ['more bytes than announced', [tls({ total: 2, data: hex('010203') })]],
    ['fewer bytes than announced', [tls({ total: 4, data: hex('010203') })]],
    ['a fragment after the last byte', [tls({ total: 2, more: true, data: hex('0102') })]],
    [
      'another total',
      [tls({ total: 4, more: true, data: hex('01') }), tls({ total: 5, data: hex('020304') })],
    ],
    ['a total that comes late', [tls({ more: true, data: hex('01') }), tls({ total: 2, data: hex('02') })]],
    ['a fragment without data', [tls({ more: true })]],
    ['start in the middle', [tls({ more: true, data: hex('01') }), tls({ start: true })]],
    ['a total above the bound', [tls({ total: MAX_TLS_MESSAGE + 1, more: true, data: hex('01') })]],
    ['a total of 4 GiB', [tls({ total: 0xffff_ffff, more: true, data: hex('01') })]],
  ];
  it.each(refusals)('refuses %s, and takes a new message after it', (_name, packets) => {
    const receiver = new FragmentReceiver();
    const last = packets.at(-1) as EapTls;
    for (const packet of packets.slice(0, -1)) receiver.push(packet);
    expect(() => receiver.push(last)).toThrow(DecodeError);
    expect(receiver.push(tls({ data: hex('07') }))).toEqual(hex('07'));
  });

  it('ends a message that never ends at its bound', () => {
    const receiver = new FragmentReceiver(100);
    const piece = tls({ more: true, data: new Uint8Array(30) });
    for (let i = 0; i < 3; i++) expect(receiver.push(piece)).toBeUndefined();
    expect(() => receiver.push(piece)).toThrow(DecodeError);
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { toHex } from '../../../src/der/bytes.ts';
import {
  type Der,
  encodeDer,
  enumerated,
  integer,
  octetString,
  sequence,
  utf8String,
} from '../../../src/der/writer.ts';
import { DecodeError, NotDerError, TlsError } from '../../../src/errors/errors.ts';
import { type Binding, checkBinding, decodeBinding, encodeBinding } from '../../../src/formats/binding.ts';
import {
  decodeUnsignedObject,
  encodeUnsignedObject,
  referenceToUnsigned,
} from '../../../src/formats/unsigned.ts';
import { binding, expectRefused } from './kit.ts';

const anyBinding: fc.Arbitrary<Binding> = fc.record({
  version: fc.constant(1 as const),
  role: fc.constantFrom('client' as const, 'server' as const),
  kind: fc.constantFrom('data' as const, 'receipt' as const),
  sequence: fc.maxSafeNat(),
  contentType: fc.integer({ min: 0, max: 255 }),
  application: fc.string({ maxLength: 40, unit: 'grapheme' }),
  peer: fc.oneof(fc.constant(new Uint8Array(0)), fc.uint8Array({ minLength: 32, maxLength: 32 })),
  sessionBinding: fc.uint8Array({ minLength: 32, maxLength: 32 }),
  treeHead: fc.uint8Array({ maxLength: 200 }),
});

const zeros = new Uint8Array(32);
const fields = (): Der[] => [
  integer(1),
  enumerated(0),
  enumerated(1),
  integer(5),
  integer(23),
  utf8String('orders'),
  octetString(zeros),
  octetString(zeros),
  octetString(new Uint8Array(0)),
];
const withField = (index: number, value: Der): Uint8Array =>
  encodeDer(sequence(...fields().map((field, i) => (i === index ? value : field))));

describe('binding', () => {
  it('is the DER of tls-sign.md section 3', () => {
    const value = binding({
      kind: 'receipt',
      role: 'server',
      sequence: 128,
      application: 'é',
      peer: new Uint8Array(0),
    });
    expect(toHex(encodeBinding(value))).toBe(
      `303a${'020101'}${'0a0101'}${'0a0101'}${'02020080'}${'020117'}${'0c02c3a9'}${'0400'}0420${toHex(value.sessionBinding)}0400`,
    );
  });

  it('comes back, and has one encoding', () => {
    fc.assert(
      fc.property(anyBinding, (value) => {
        const encoded = encodeBinding(value);
        expect(decodeBinding(encoded)).toEqual(value);
        expect(encodeBinding(decodeBinding(encoded))).toEqual(encoded);
      }),
    );
  });

  it('owns its bytes', () => {
    const encoded = encodeBinding(binding());
    const decoded = decodeBinding(encoded);
    encoded.fill(0);
    expect(decoded).toEqual(binding());
  });

  it.each([
    ['version 2', withField(0, integer(2))],
    ['role 2', withField(1, enumerated(2))],
    ['kind 2', withField(2, enumerated(2))],
    ['role as INTEGER', withField(1, integer(0))],
    ['a negative sequence number', withField(3, integer(-1))],
    ['a sequence number of 2^53', withField(3, integer(2n ** 53n))],
    ['content type 256', withField(4, integer(256))],
    ['an application that is no UTF8String', withField(5, octetString(new Uint8Array(0)))],
    ['an application of 256 bytes', withField(5, utf8String('x'.repeat(256)))],
    ['a peer of 31 bytes', withField(6, octetString(new Uint8Array(31)))],
    ['a session binding of 31 bytes', withField(7, octetString(new Uint8Array(31)))],
    ['a tree head of 2049 bytes', withField(8, octetString(new Uint8Array(2049)))],
    ['a field more', encodeDer(sequence(...fields(), integer(0)))],
    ['a field less', encodeDer(sequence(...fields().slice(0, -1)))],
    ['bytes after it', Uint8Array.of(...encodeDer(sequence(...fields())), 0)],
    ['nothing', new Uint8Array(0)],
  ])('refuses %s', (_, encoded) => {
    expect(() => decodeBinding(encoded)).toThrow(DecodeError);
  });

  it('tells what is not DER', () => {
    const encoded = encodeDer(sequence(...fields()));
    expect(encoded[1]).toBeLessThan(0x80);
    const longer = Uint8Array.of(0x30, 0x81, ...encoded.subarray(1));
    expect(() => decodeBinding(longer)).toThrow(NotDerError);
  });

  it.each<[string, Partial<Binding>]>([
    ['sequence', { sequence: -1 }],
    ['sequence', { sequence: 2 ** 53 }],
    ['sequence', { sequence: 0.5 }],
    ['contentType', { contentType: 256 }],
    ['application', { application: 'é'.repeat(128) }],
    ['peer', { peer: new Uint8Array(20) }],
    ['sessionBinding', { sessionBinding: new Uint8Array(0) }],
    ['treeHead', { treeHead: new Uint8Array(2049) }],
  ])('is not made with a %s out of bounds', (_, fieldsOut) => {
    expect(() => encodeBinding(binding(fieldsOut))).toThrow(TlsError);
  });

  it.each<[keyof Binding, Partial<Binding>]>([
    ['role', { role: 'server' }],
    ['kind', { kind: 'receipt' }],
    ['sequence', { sequence: 8 }],
    ['contentType', { contentType: 28 }],
    ['application', { application: 'orders' }],
    ['peer', { peer: new Uint8Array(0) }],
    ['sessionBinding', { sessionBinding: zeros }],
    ['treeHead', { treeHead: Uint8Array.of(1) }],
  ])('is compared field by field: %s', (field, expected) => {
    checkBinding(binding(), binding());
    expectRefused(() => checkBinding(binding(), expected), 'ERR_SIGN_BINDING_MISMATCH', field);
    expectRefused(
      () => checkBinding(binding(), { ...binding(), ...expected }),
      'ERR_SIGN_BINDING_MISMATCH',
      field,
    );
  });
});

describe('unsigned object', () => {
  it('comes back', () => {
    fc.assert(
      fc.property(anyBinding, fc.uint8Array({ maxLength: 300 }), (value, content) => {
        expect(decodeUnsignedObject(encodeUnsignedObject({ binding: value, content }))).toEqual({
          binding: value,
          content,
        });
      }),
    );
  });

  it('is referred to by its digest', () => {
    const object = encodeUnsignedObject({ binding: binding(), content: Uint8Array.of(1) });
    expect(referenceToUnsigned(nodeCrypto, object)).toEqual({
      kind: 'unsigned',
      objectDigest: nodeCrypto.digest('sha256', object),
      receiptRequested: true,
    });
  });

  it('refuses whatever is not one', () => {
    const object = encodeUnsignedObject({ binding: binding(), content: Uint8Array.of(1) });
    expectRefused(() => decodeUnsignedObject(object.subarray(0, -1)), 'ERR_SIGN_MALFORMED');
    expectRefused(() => decodeUnsignedObject(Uint8Array.of(...object, 0)), 'ERR_SIGN_MALFORMED');
    expectRefused(() => decodeUnsignedObject(Uint8Array.of(0x30, 0x80, 0, 0)), 'ERR_SIGN_NOT_DER');
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        expect(() => decodeUnsignedObject(bytes)).toThrow(/The object cannot be read/);
      }),
    );
  });
});

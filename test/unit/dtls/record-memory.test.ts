import { expect, test } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { suiteById } from '../../../src/crypto/suites.ts';
import { datagramKeys } from '../../../src/handshake/key-schedule.ts';
import { recordBytes } from '../../../src/record/dtls/frames.ts';
import { Sealer13 } from '../../../src/record/dtls/protection.ts';
import { ClearSealer } from '../../../src/record/dtls/protection12.ts';
import { DatagramRecords } from '../../../src/record/dtls/record-layer.ts';
import { ContentType, ProtocolVersion } from '../../../src/wire/codepoints.ts';

/* Whose memory records are in. */

const content = Uint8Array.of(1, 2, 3);
const none = new Uint8Array(0);
const crypto = { ...nodeCrypto, labelPrefix: 'dtls13' as const };
const suite = suiteById(0x1301);
if (suite === undefined) throw new Error('no such suite');
const keys = () => datagramKeys(crypto, suite, new Uint8Array(32).fill(7));

test('a datagram that waits is a copy once the caller has its buffer back', () => {
  const records = new DatagramRecords(nodeCrypto, ProtocolVersion.dtls12);
  const sealer = new ClearSealer(ProtocolVersion.dtls12);
  for (let nth = 0; nth < 2; nth++) {
    const datagram = sealer.seal(ContentType.handshake, content);
    records.feed(datagram);
    records.keep();
    datagram.fill(0);
  }
  expect([records.next()?.content, records.next()?.content]).toEqual([content, content]);
  expect(records.next()).toBeUndefined();
});

test('so is a record that comes before its keys', () => {
  const records = new DatagramRecords(crypto, ProtocolVersion.dtls12);
  const datagram = new Sealer13(crypto, keys(), 2, none).seal(ContentType.handshake, content);
  records.feed(datagram);
  expect(records.next()).toBeUndefined();
  records.keep();
  datagram.fill(0);
  records.setReadKeys(keys(), 2);
  expect(records.next()?.content).toEqual(Buffer.from(content));
});

test('no two records share bytes', () => {
  const pieces = Array.from({ length: 100 }, (_, n) => recordBytes(1 + ((n * 977) % 4_000)).fill(n));
  for (const [n, piece] of pieces.entries()) expect(piece.every((byte) => byte === n)).toBe(true);
});

test.each([0, 1, 200, 2_047, 2_048, 16_384])(
  'what is sealed opens as it was, %i bytes after others',
  (length) => {
    const records = new DatagramRecords(crypto, ProtocolVersion.dtls12);
    records.setReadKeys(keys(), 3);
    const sealer = new Sealer13(crypto, keys(), 3, none);
    const sealed = [new Uint8Array(300).fill(9), new Uint8Array(length).fill(5)].map((data) =>
      sealer.seal(ContentType.application_data, data),
    );
    for (const datagram of sealed) records.feed(datagram);
    expect(records.next()?.content).toEqual(Buffer.alloc(300, 9));
    expect(records.next()).toMatchObject({
      type: ContentType.application_data,
      content: Buffer.alloc(length, 5),
    });
  },
);

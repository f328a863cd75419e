import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { generateP256Key } from '../../../src/crypto/node/generate-key.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { toHex } from '../../../src/der/bytes.ts';
import { DecodeError } from '../../../src/errors/errors.ts';
import {
  DIRECTIONS,
  decodeChain,
  decodeLeaf,
  decodeRevocation,
  decodeSession,
  encodeChain,
  encodeLeaf,
  encodeRevocation,
  encodeSession,
  FORMATS,
  KINDS,
  type LeafFields,
  ROLES,
  STATUSES,
} from '../../../src/evidence/archive/leaf.ts';
import { cleanText } from '../../../src/evidence/archive/prepare.ts';
import { decodeResidue } from '../../../src/evidence/archive/residue.ts';
import { EvidenceError } from '../../../src/evidence/errors.ts';
import {
  archiveId,
  type Checkpoint,
  checkpointBody,
  checkpointsFromFile,
  checkpointToPem,
  decodeCheckpoint,
  decodeTreeHead,
  encodeCheckpoint,
  encodeTreeHead,
  treeHeadOf,
  verifyCheckpoint,
} from '../../../src/evidence/merkle/tree-head.ts';
import { flipBit } from '../../setup/pair.ts';
import { START, sha256, utf8 } from './support.ts';

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const number = fc.maxSafeNat();
const text = fc.string({ unit: 'grapheme', maxLength: 40 }).map(cleanText);

const leaves: fc.Arbitrary<LeafFields> = fc.record({
  direction: fc.constantFrom(...DIRECTIONS),
  kind: fc.constantFrom(...KINDS),
  status: fc.constantFrom(...STATUSES),
  reason: text,
  time: number,
  session: bytes(32),
  sequence: number,
  application: text,
  contentType: fc.integer({ min: 0, max: 255 }),
  format: fc.constantFrom(...FORMATS),
  objectLength: number,
  objectDigest: fc.oneof(bytes(32), bytes(0)),
  contentLength: number,
  contentDigest: fc.oneof(bytes(32), bytes(0)),
  flags: fc.integer({ min: 0, max: 0xffff }),
  treeHead: fc.uint8Array({ maxLength: 200 }),
  target: fc.option(number, { nil: undefined }),
  signerChain: fc.option(bytes(32), { nil: undefined }),
  revocation: fc.option(bytes(32), { nil: undefined }),
  provenance: fc.option(bytes(32), { nil: undefined }),
});

/** Whatever the bytes are, the error is one of these. */
function onlyRefuses(decode: () => unknown): void {
  try {
    decode();
  } catch (error) {
    if (error instanceof DecodeError || error instanceof EvidenceError) return;
    throw error;
  }
}

describe('leaves', () => {
  it('come back as they went in, and there is one encoding of each', () => {
    fc.assert(
      fc.property(leaves, (leaf) => {
        const der = encodeLeaf(leaf);
        expect(decodeLeaf(der)).toEqual(leaf);
        expect(toHex(encodeLeaf(decodeLeaf(der)))).toBe(toHex(der));
      }),
    );
  });

  it('differ when any field does', () => {
    fc.assert(
      fc.property(
        leaves,
        leaves,
        fc.constantFrom(...(Object.keys(sample) as (keyof LeafFields)[])),
        (a, b, field) => {
          const changed = { ...a, [field]: b[field] };
          const isSame = JSON.stringify([a[field]]) === JSON.stringify([b[field]]);
          expect(toHex(encodeLeaf(changed)) === toHex(encodeLeaf(a))).toBe(isSame);
        },
      ),
    );
  });

  it('are refused as DecodeError, whatever is wrong', () => {
    fc.assert(
      fc.property(leaves, fc.nat(), fc.nat({ max: 255 }), (leaf, at, value) => {
        const der = Uint8Array.from(encodeLeaf(leaf));
        der[at % der.length] = value;
        onlyRefuses(() => decodeLeaf(der));
        onlyRefuses(() => decodeLeaf(der.subarray(0, at % der.length)));
      }),
    );
    for (const der of [
      utf8(''),
      encodeLeaf(sample).subarray(1),
      Buffer.concat([encodeLeaf(sample), utf8('x')]),
    ]) {
      expect(() => decodeLeaf(der)).toThrow(DecodeError);
    }
  });
});

describe('sessions and attachments', () => {
  it('come back as they went in', () => {
    const sessions = fc.record({
      role: fc.constantFrom(...ROLES),
      protocol: fc.integer({ min: 0, max: 0xffff }),
      cipherSuite: fc.integer({ min: 0, max: 0xffff }),
      sessionBinding: bytes(32),
      started: number,
      ownName: text,
      peerName: text,
      ownChain: bytes(32),
      peerChain: bytes(32),
    });
    fc.assert(
      fc.property(sessions, (session) => {
        expect(decodeSession(encodeSession(session))).toEqual(session);
      }),
    );
    const chain = [Uint8Array.of(0x30, 0), Uint8Array.of(0x30, 1, 9)];
    expect(decodeChain(encodeChain(chain))).toEqual(chain);
    const revocation = [
      { kind: 'ocsp' as const, der: utf8('a') },
      { kind: 'crl' as const, der: utf8('b') },
    ];
    expect(decodeRevocation(encodeRevocation(revocation))).toEqual(revocation);
  });

  it('are refused as DecodeError, whatever they are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (der) => {
        const residue = (der: Uint8Array) => decodeResidue(der, true);
        for (const decode of [decodeSession, decodeChain, decodeRevocation, residue]) {
          onlyRefuses(() => decode(der));
        }
      }),
    );
    expect(() => decodeChain(new Uint8Array(17 * 1024 * 1024))).toThrow(DecodeError);
    expect(() => decodeChain(encodeChain(Array(33).fill(Uint8Array.of(0x30, 0))))).toThrow(DecodeError);
  });
});

describe('tree heads and checkpoints', () => {
  const { key } = generateP256Key();
  const publicKey = key.publicKey.spki;
  const head = { archive: archiveId(nodeCrypto, publicKey), size: 2 ** 40 + 1, root: sha256('root') };
  const time = START;
  const scheme = key.schemes[0] ?? 0;
  const made: Checkpoint = {
    head,
    time,
    scheme,
    signature: key.sign(scheme, checkpointBody(head, time)),
    publicKey,
  };
  const refused = { code: 'ERR_EVIDENCE_CHECKPOINT' };

  it('come back as they went in, also as a file', () => {
    const back = decodeTreeHead(encodeTreeHead(head));
    expect([back.size, toHex(back.root), toHex(back.archive)]).toEqual([
      head.size,
      toHex(head.root),
      toHex(head.archive),
    ]);
    expect(encodeTreeHead(head).length).toBeLessThan(70);
    verifyCheckpoint(nodeCrypto, decodeCheckpoint(encodeCheckpoint(made)));
    const pem = checkpointToPem(made);
    expect(checkpointsFromFile(utf8(`some words\n${pem}${pem}`))).toHaveLength(2);
    expect(checkpointsFromFile(encodeCheckpoint(made))).toHaveLength(1);
  });

  it('are worth nothing when anything in them is changed', () => {
    const der = encodeCheckpoint(made);
    for (let at = 0; at < der.length; at++) {
      const changed = flipBit(Uint8Array.from(der), at);
      expect(() => verifyCheckpoint(nodeCrypto, decodeCheckpoint(changed))).toThrowError(
        expect.objectContaining(refused),
      );
    }
    for (const wrong of [
      { ...made, publicKey: generateP256Key().key.publicKey.spki },
      { ...made, scheme: 0x0807 },
      { ...made, scheme: 0x9999 },
      { ...made, time: time + 1000 },
      { ...made, head: { ...head, size: 5 } },
    ]) {
      expect(() => verifyCheckpoint(nodeCrypto, wrong)).toThrowError(expect.objectContaining(refused));
    }
  });

  it('are refused, whatever the bytes are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (der) => {
        onlyRefuses(() => decodeTreeHead(der));
        onlyRefuses(() => checkpointsFromFile(der));
        treeHeadOf(der);
      }),
    );
    expect(() => checkpointsFromFile(utf8('nothing'))).toThrowError(expect.objectContaining(refused));
    expect(treeHeadOf(utf8('not one of ours'))).toBeUndefined();
    expect(treeHeadOf(utf8(''))).toBeUndefined();
  });
});

const sample: LeafFields = {
  direction: 'sent',
  kind: 'data',
  status: 'verified',
  reason: '',
  time: START,
  session: sha256('s'),
  sequence: 1,
  application: 'orders',
  contentType: 23,
  format: 'pkcs7',
  objectLength: 5,
  objectDigest: sha256('o'),
  contentLength: 3,
  contentDigest: sha256('c'),
  flags: 1,
  treeHead: utf8(''),
  target: undefined,
  signerChain: undefined,
  revocation: undefined,
  provenance: undefined,
};

import crypto from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hkdfExpand, shortHmac } from '../../../src/crypto/node/hashes.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';

const ofMac = fc.constantFrom('md5', 'sha1', 'sha256', 'sha384', 'sha512');
const ofHash = fc.constantFrom('sha256', 'sha384', 'sha512');
const upTo = (maxLength: number) => fc.uint8Array({ maxLength });

describe('shortHmac', () => {
  it('is HMAC, for keys below and above a block, and messages below and above what is short', () => {
    fc.assert(
      fc.property(ofMac, upTo(300), upTo(2000), (name, key, data) => {
        const expected = crypto.createHmac(name, key).update(data).digest();
        expect(Buffer.from(shortHmac(name, key, data))).toEqual(expected);
      }),
    );
  });

  it('is not changed by the call before it, whose key was longer', () => {
    const short = () => Buffer.from(shortHmac('sha256', Uint8Array.of(1), Uint8Array.of(2))).toString('hex');
    const first = short();
    shortHmac('sha512', new Uint8Array(128).fill(9), new Uint8Array(1024).fill(9));
    expect(short()).toBe(first);
  });

  it('gives memory that the next call leaves alone', () => {
    const first = shortHmac('sha256', Uint8Array.of(1), Uint8Array.of(2));
    const copy = Uint8Array.from(first);
    shortHmac('sha256', Uint8Array.of(3), Uint8Array.of(4));
    expect(first).toEqual(copy);
  });
});

describe('hkdfExpand', () => {
  it('is the second half of HKDF, for any length', () => {
    fc.assert(
      fc.property(
        ofHash,
        upTo(80),
        upTo(80),
        upTo(600),
        fc.integer({ min: 1, max: 300 }),
        (name, ikm, salt, info, length) => {
          const expected = Buffer.from(crypto.hkdfSync(name, ikm, salt, info, length));
          const prk = nodeCrypto.hmac(name, salt, ikm);
          expect(Buffer.from(hkdfExpand(name, prk, info, length))).toEqual(expected);
        },
      ),
    );
  });
});

describe('a running hash', () => {
  it('is that of MD5 and SHA-1 side by side as well', () => {
    const hash = nodeCrypto.hash('md5-sha1');
    hash.update(Uint8Array.of(1, 2));
    const expected = ['md5', 'sha1'].map((name) => crypto.hash(name, Uint8Array.of(1, 2), 'buffer'));
    expect(Buffer.from(hash.snapshot())).toEqual(Buffer.concat(expected));
  });

  it('is of the bytes as they were when they were given', () => {
    const hash = nodeCrypto.hash('sha256');
    const bytes = Uint8Array.of(1, 2);
    hash.update(bytes);
    bytes.fill(9);
    expect(hash.snapshot()).toEqual(nodeCrypto.digest('sha256', Uint8Array.of(1, 2)));
  });

  it('goes on after a snapshot, and a copy goes on by itself', () => {
    fc.assert(
      // Below and above what is kept, and at once as well as bit by bit.
      fc.property(ofHash, upTo(3000), upTo(3000), (name, first, second) => {
        const hash = nodeCrypto.hash(name);
        hash.update(first);
        const copy = hash.copy();
        expect(hash.snapshot()).toEqual(nodeCrypto.digest(name, first));
        hash.update(second);
        expect(hash.snapshot()).toEqual(nodeCrypto.digest(name, Buffer.concat([first, second])));
        expect(copy.snapshot()).toEqual(nodeCrypto.digest(name, first));
        copy.update(first);
        expect(copy.snapshot()).toEqual(nodeCrypto.digest(name, Buffer.concat([first, first])));
      }),
    );
  });
});

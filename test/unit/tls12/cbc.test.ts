import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { isCbc, TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import type { TlsError } from '../../../src/errors/errors.ts';
import { makeOpener12, makeSealer12 } from '../../../src/record/tls/protection12.ts';
import type { Keys12 } from '../../../src/record/tls/record12.ts';
import { ExtensionType } from '../../../src/wire/codepoints.ts';
import { concat } from '../../../src/wire/writer.ts';
import {
  changingClientHello,
  changingServerHello,
  expectAlive,
  expectFound,
  NOTHING,
  setExtension,
} from '../../setup/faults.ts';
import { flipBit } from '../../setup/pair.ts';
import { connect12, TLS12 } from './kit.ts';

/* AES-CBC, with encrypt_then_mac alone (RFC 7366). */

const CBC = TLS12_SUITES.filter(isCbc);
const CERTIFIED = CBC.filter(({ authentication }) => authentication !== 'psk');
const etm = (body: Uint8Array | undefined) => [ExtensionType.encrypt_then_mac, body] as const;
const only = { tls12: { ...TLS12, suites: CERTIFIED } };

describe('encrypt_then_mac', () => {
  test('is what CBC suites are spoken with', () => {
    expectAlive(connect12(only, only));
  });

  test('a server does without CBC where the client does not offer it', () => {
    const tamper = changingClientHello((hello) => setExtension(hello, ...etm(undefined)));
    const pair = connect12(only, {}, { tamper });
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_CIPHER', 'handshake_failure');
  });

  test('a client refuses CBC without it', () => {
    const tamper = changingServerHello((hello) => setExtension(hello, ...etm(undefined)));
    const pair = connect12(only, {}, { tamper });
    expectFound(pair, 'client', 'ERR_TLS_HANDSHAKE_FAILURE', 'handshake_failure');
  });

  test('a client refuses it beside an AEAD', () => {
    const tamper = changingServerHello((hello) => setExtension(hello, ...etm(NOTHING)));
    const pair = connect12({}, {}, { tamper });
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('is empty on both sides', () => {
    const full = etm(Uint8Array.of(0));
    const client = connect12(only, {}, { tamper: changingClientHello((h) => setExtension(h, ...full)) });
    expectFound(client, 'server', 'ERR_TLS_DECODE', 'decode_error');
    const server = connect12(only, {}, { tamper: changingServerHello((h) => setExtension(h, ...full)) });
    expectFound(server, 'client', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('is not offered by a client without CBC', () => {
    const suites = TLS12.suites.filter((suite) => !isCbc(suite));
    const pair = connect12({ tls12: { ...TLS12, suites } }, only);
    expectFound(pair, 'server', 'ERR_TLS_NO_SHARED_CIPHER', 'handshake_failure');
  });
});

describe.each(CBC)('records of $name', (suite) => {
  const { macKeyLength, keyLength, mac, cbc } = suite.protection as Extract<
    typeof suite.protection,
    { cbc: string }
  >;
  const keys: Keys12 = {
    suite,
    macKey: new Uint8Array(macKeyLength).fill(1),
    key: new Uint8Array(keyLength).fill(2),
    iv: NOTHING,
  };
  const sealed = (content: Uint8Array) => {
    const out: Uint8Array[] = [];
    const length = makeSealer12(nodeCrypto, keys, 0x0303).seal(23, content, content.length, out);
    const record = concat(out);
    expect(record.length).toBe(length);
    return record;
  };
  const open = (record: Uint8Array) =>
    makeOpener12(nodeCrypto, keys, 0x0303).open(record.subarray(0, 5), record.subarray(5)).content;
  const fault = (record: Uint8Array) => {
    try {
      open(record);
    } catch (error) {
      return (error as TlsError).code;
    }
    throw new Error('it was taken');
  };
  /** A record whose MAC is right, whatever is in its blocks. */
  const withBlocks = (blocks: Uint8Array) => {
    const iv = new Uint8Array(16);
    const covered = concat([iv, nodeCrypto.encryptCbc(cbc, keys.key, iv, blocks)]);
    const head = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 23, 3, 3, covered.length >> 8, covered.length & 0xff);
    const tag = nodeCrypto.hmac(mac, keys.macKey, concat([head, covered]));
    return concat([Uint8Array.of(23, 3, 3, 0, 0), covered, tag]);
  };

  test.each([0, 1, 15, 16, 17, 2 ** 14])('come back, %i bytes', (length) => {
    const content = new Uint8Array(length).fill(9);
    expect(Buffer.from(open(sealed(content))).equals(content)).toBe(true);
  });

  test('with a bit changed anywhere are refused', () => {
    const record = sealed(Uint8Array.of(1, 2, 3));
    for (let at = 5; at < record.length; at += 7) {
      expect(fault(flipBit(record, at))).toBe('ERR_TLS_BAD_RECORD_MAC');
    }
  });

  test('that are cut are refused', () => {
    const record = sealed(Uint8Array.of(1, 2, 3));
    for (const cut of [1, 16, 32, record.length - 5]) {
      expect(fault(record.subarray(0, record.length - cut))).toBe('ERR_TLS_BAD_RECORD_MAC');
    }
  });

  test('with the longest padding are taken, with a wrong one refused', () => {
    const longest = new Uint8Array(256).fill(255);
    expect(open(withBlocks(longest))).toHaveLength(0);
    expect(fault(withBlocks(flipBit(longest, 3)))).toBe('ERR_TLS_BAD_RECORD_MAC');
    expect(fault(withBlocks(new Uint8Array(16).fill(16)))).toBe('ERR_TLS_BAD_RECORD_MAC');
  });

  test('that hold too much are refused', () => {
    const blocks = new Uint8Array(2 ** 14 + 16).fill(14, 2 ** 14 + 1);
    expect(fault(withBlocks(blocks))).toBe('ERR_TLS_RECORD_OVERFLOW');
  });
});

import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { DEFAULT_TLS13_SUITES, type Suite, suiteById } from '../../../src/crypto/suites.ts';
import { CipherSuite } from '../../../src/wire/codepoints.ts';
import { concat } from '../../../src/wire/writer.ts';
import { clientConfig, serverConfig } from '../../setup/engine-config.ts';
import { expectAlive, expectFound } from '../../setup/faults.ts';
import { flipBit, Pair } from '../../setup/pair.ts';

const counting = (from: number, length: number): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => from + i);

describe('AES-CCM', () => {
  const [key, nonce, aad, plaintext] = [
    counting(0x40, 16),
    counting(0x10, 12),
    counting(0, 20),
    counting(0x20, 24),
  ];
  const names = ['aes-128-ccm', 'aes-256-ccm', 'aes-128-ccm-8', 'aes-256-ccm-8'] as const;

  test('NIST SP 800-38C, example 3', () => {
    const aead = nodeCrypto.aead('aes-128-ccm-8', key);
    const sealed = concat(aead.seal(nonce, aad, plaintext));
    expect(Buffer.from(sealed).toString('hex')).toBe(
      'e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951',
    );
    expect(aead.open(nonce, aad, sealed.subarray(0, -8), sealed.subarray(-8))).toEqual(
      Buffer.from(plaintext),
    );
  });

  test.each(names)('%s opens nothing of which a bit has changed', (name) => {
    const aead = nodeCrypto.aead(name, counting(1, name.startsWith('aes-128') ? 16 : 32));
    const sealed = concat(aead.seal(nonce, aad, plaintext));
    const split = sealed.length - aead.tagLength;
    expect(split).toBe(plaintext.length);
    const open = (bytes: Uint8Array, n = nonce, a = aad) =>
      aead.open(n, a, bytes.subarray(0, split), bytes.subarray(split));
    expect(open(sealed)).toEqual(Buffer.from(plaintext));
    for (let at = 0; at < sealed.length; at++) expect(open(flipBit(sealed, at))).toBeUndefined();
    expect(open(sealed, flipBit(nonce))).toBeUndefined();
    expect(open(sealed, nonce, flipBit(aad))).toBeUndefined();
  });

  test.each([
    [CipherSuite.TLS_AES_128_CCM_SHA256, 16],
    [CipherSuite.TLS_AES_128_CCM_8_SHA256, 8],
  ])('suite 0x%s has tags of %i bytes in its records, and notices a changed bit', (id, tag) => {
    const suites = [suiteById(id) as Suite];
    const pair = new Pair({ client: clientConfig({ suites }), server: serverConfig({ suites }) }).run();
    expectAlive(pair);
    pair.client.connection.send(new Uint8Array(100));
    pair.tamper = () => undefined;
    pair.run();
    expect(pair.sent.client.at(-1)?.length).toBe(5 + 100 + 1 + tag);
    pair.tamper = ({ from }) =>
      from === 'client' ? [{ raw: flipBit(pair.sent.client.at(-1) as Uint8Array) }] : undefined;
    pair.client.connection.send(new Uint8Array(10));
    pair.run();
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
  });

  test('is not offered unless it is asked for', () => {
    expect(DEFAULT_TLS13_SUITES.map(({ name }) => name)).toEqual([
      'TLS_AES_128_GCM_SHA256',
      'TLS_AES_256_GCM_SHA384',
      'TLS_CHACHA20_POLY1305_SHA256',
    ]);
  });
});

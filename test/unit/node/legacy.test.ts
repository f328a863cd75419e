import { describe, expect, test, vi } from 'vitest';
import { hasStreamCipher } from '../../../src/crypto/node/stream-cipher.ts';
import { createSecureContext } from '../../../src/index.ts';
import { parseCiphers } from '../../../src/node/cipher-list.ts';
import { parseLegacy } from '../../../src/node/legacy.ts';

/** Warnings are told a moment after they are made. */
const told = () => new Promise((resolve) => setImmediate(resolve));

/** Warnings that a piece of work makes, without those of what went before. */
async function warningsOf(work: () => void): Promise<string[]> {
  const codes: string[] = [];
  await told();
  const listen = (warning: Error & { code?: string }) => void codes.push(warning.code ?? warning.name);
  process.on('warning', listen);
  try {
    work();
    await told();
  } finally {
    process.off('warning', listen);
  }
  return codes;
}

/** As in a process that has warned of nothing yet: other files of tests have run in this one. */
async function unwarned(): Promise<typeof import('../../../src/index.ts')> {
  vi.resetModules();
  return import('../../../src/index.ts');
}

const option = (message: RegExp) =>
  expect.objectContaining({ code: 'ERR_TLS_OPTION', message: expect.stringMatching(message) });

describe('option legacy', () => {
  test('warns once in the process of each item', async () => {
    const { createSecureContext } = await unwarned();
    const twice = await warningsOf(() => {
      createSecureContext({ legacy: ['tls1.0', 'cbc'] });
      createSecureContext({ legacy: ['tls1.0', 'cbc'] });
    });
    expect(twice).toEqual(['TRELLIS_LEGACY_TLS10', 'TRELLIS_LEGACY_CBC']);
    expect(await warningsOf(() => void createSecureContext({}))).toEqual([]);
  });

  test('refuses what it does not know, and says what it does', () => {
    expect(() => parseLegacy(['ssl3'])).toThrow(option(/'ssl3' is not known.*tls1\.0/));
  });

  test.skipIf(hasStreamCipher('rc4'))('refuses RC4 where Node has none, and says how to have it', () => {
    expect(() => parseLegacy(['rc4'])).toThrow(option(/--openssl-legacy-provider/));
  });

  test('lets versions be named, and the range follow', () => {
    expect(() => createSecureContext({ minVersion: 'TLSv1.1' })).toThrow(option(/legacy: \['tls1\.1'\]/));
    const { legacy, tls12 } = createSecureContext({ legacy: ['tls1.1'], maxVersion: 'TLSv1.1' });
    expect(legacy).toEqual(['tls1.1']);
    expect(tls12?.newest).toBe(0x0302);
    expect(createSecureContext({ legacy: ['tls1.1'], minVersion: 'TLSv1.2' }).legacy).toEqual([]);
  });

  test('knows DTLS 1.0 as what TLS 1.1 is over datagrams', async () => {
    const { createSecureContext } = await unwarned();
    const warned = await warningsOf(() => void createSecureContext({ legacy: ['dtls1.0'] }));
    expect(warned).toContain('TRELLIS_LEGACY_DTLS10');
    const { legacy, tls12 } = createSecureContext({ legacy: ['dtls1.0'], maxVersion: 'TLSv1.1' });
    expect([legacy, tls12?.newest]).toEqual([['dtls1.0'], 0x0302]);
    expect(tls12?.suites.map(({ name }) => name)).toContain('ECDHE-RSA-AES128-SHA');
    expect(createSecureContext({ legacy: ['dtls1.0'], minVersion: 'TLSv1.2' }).legacy).toEqual([]);
    expect(() => createSecureContext({ legacy: ['dtls1.0'], minVersion: 'TLSv1' })).toThrow(
      option(/'tls1\.0'/),
    );
  });

  test('puts its suites behind all others, where nothing else is said', () => {
    const names = (...legacy: Parameters<typeof parseCiphers>[1] & object) =>
      parseCiphers(undefined, legacy).suites12.map(({ name }) => name);
    expect(names()).not.toContain('AES128-SHA');
    expect(names('rsa')).toContain('AES128-GCM-SHA256');
    expect(names('rsa').indexOf('AES128-SHA')).toBeGreaterThan(
      names('rsa').indexOf('ECDHE-RSA-AES128-GCM-SHA256'),
    );
    expect(names('tls1.0')).toContain('ECDHE-RSA-AES128-SHA');
    expect(names('cbc')).not.toContain('DES-CBC3-SHA');
    expect(names('rsa', 'cbc')).toContain('DES-CBC3-SHA');
  });

  test('is what the error of a list asks for', () => {
    expect(() => parseCiphers('AES128-SHA')).toThrow(option(/AES128-SHA needs the option legacy: \['rsa'\]/));
    expect(parseCiphers('AES128-SHA', ['rsa']).suites12.map(({ name }) => name)).toEqual(['AES128-SHA']);
    expect(parseCiphers('kRSA+AESGCM', ['rsa']).suites12).toHaveLength(2);
  });
});

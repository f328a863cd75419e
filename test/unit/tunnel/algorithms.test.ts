import { expect, it } from 'vitest';
import { algorithms } from '../../../src/tunnel/sessions.ts';

it('passes on what can work', () => {
  expect(
    algorithms({ maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-GCM-SHA256', groups: 'P-384' }),
  ).toEqual({
    minVersion: undefined,
    maxVersion: 'TLSv1.2',
    ciphers: 'ECDHE-RSA-AES128-GCM-SHA256',
    ecdhCurve: 'P-384',
  });
});

it.each([
  [{ groups: 'P-999' }, /^Option groups: 'P-999'/],
  [{ ciphers: 'RC4-SHA' }, /^Option ciphers: .*names no suite/],
  [{ ciphers: 'TLS_AES_128_GCM_SHA256', maxVersion: 'TLSv1.2' }, /for the versions that are allowed/],
  [{ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.2' }, /above maxVersion/],
] as const)('says what cannot: %j', (options, message) => {
  expect(() => algorithms(options)).toThrow(
    expect.objectContaining({ code: 'ERR_TUNNEL_OPTION', message: expect.stringMatching(message) }),
  );
});

import { describe, expect, it } from 'vitest';
import { DEFAULT_TLS13_SUITES } from '../../../src/crypto/suites.ts';
import { DEFAULT_TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import { parseCiphers } from '../../../src/node/cipher-list.ts';

const names = (list: string) => {
  const { suites, suites12 } = parseCiphers(list);
  return [...suites, ...suites12].map(({ name }) => name);
};
const DEFAULT_12 = DEFAULT_TLS12_SUITES.map(({ name }) => name);

const CERTIFIED = DEFAULT_12.filter((name) => !name.includes('PSK'));

describe('a cipher list', () => {
  it('is the default when it is absent', () => {
    expect(parseCiphers(undefined)).toEqual({
      suites: DEFAULT_TLS13_SUITES,
      suites12: DEFAULT_TLS12_SUITES,
    });
  });

  it("takes OpenSSL's and IANA's names, keeps the order and drops doubles", () => {
    expect(
      names(
        'TLS_CHACHA20_POLY1305_SHA256:ECDHE-RSA-AES256-GCM-SHA384:TLS_AES_128_GCM_SHA256,' +
          'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 tls_chacha20_poly1305_sha256:ECDHE-RSA-AES256-GCM-SHA384',
      ),
    ).toEqual([
      'TLS_CHACHA20_POLY1305_SHA256',
      'TLS_AES_128_GCM_SHA256',
      'ECDHE-RSA-AES256-GCM-SHA384',
      'ECDHE-ECDSA-AES128-GCM-SHA256',
    ]);
  });

  it('takes class words, of what is on by default', () => {
    expect(names('HIGH:!aNULL:!MD5')).toEqual(DEFAULT_12);
    expect(names('ECDHE')).toEqual(CERTIFIED);
    expect(names('EECDH+AESGCM:EECDH+CHACHA20')).toEqual(CERTIFIED);
    expect(names('ECDHE+aECDSA+AES256')).toEqual(['ECDHE-ECDSA-AES256-GCM-SHA384']);
    expect(names('DEFAULT:!PSK:!CHACHA20:!aRSA:!AES256')).toEqual(['ECDHE-ECDSA-AES128-GCM-SHA256']);
  });

  it('gives what is off by default to those who name it', () => {
    expect(names('aECDSA+AESCCM8')).toEqual(['ECDHE-ECDSA-AES128-CCM8', 'ECDHE-ECDSA-AES256-CCM8']);
    expect(names('kPSK+AESGCM')).toEqual(['PSK-AES128-GCM-SHA256', 'PSK-AES256-GCM-SHA384']);
    expect(names('ECDHE-ECDSA-AES128-CCM')).toEqual(['ECDHE-ECDSA-AES128-CCM']);
  });

  it('takes away, for now or for good, and moves to the end', () => {
    const [first, ...others] = DEFAULT_12;
    expect(names(`DEFAULT:-${first}:${first}`)).toEqual([...others, first]);
    expect(names(`DEFAULT:!${first}:${first}`)).toEqual(others);
    expect(names(`!${first}:DEFAULT`)).toEqual(others);
    expect(names(`DEFAULT:+${first}`)).toEqual([...others, first]);
  });

  it('switches a version off that it names no suite of', () => {
    expect(parseCiphers('ECDHE-RSA-AES128-GCM-SHA256').suites).toEqual([]);
    expect(parseCiphers('TLS_AES_128_GCM_SHA256').suites12).toEqual([]);
  });

  it('passes over what it does not know, and says so when nothing is left', () => {
    expect(names('DHE-RSA-AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256:@SECLEVEL=2')).toHaveLength(1);
    expect(() => parseCiphers('RC4-SHA:DES-CBC3-SHA')).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_OPTION', message: expect.stringMatching(/names no suite/) }),
    );
  });
});

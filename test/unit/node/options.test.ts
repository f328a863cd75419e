import { describe, expect, it } from 'vitest';
import {
  parseAlpn,
  parseGroups,
  parseSignatureSchemes,
  parseVersions,
  requireSupported,
  sniFor,
} from '../../../src/node/options.ts';
import { NamedGroup, SignatureScheme } from '../../../src/wire/codepoints.ts';

const optionError = (text: RegExp) =>
  expect.objectContaining({ code: 'ERR_TLS_OPTION', message: expect.stringMatching(text) });

function thrownBy(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

describe('ecdhCurve', () => {
  it('takes the names of OpenSSL and of RFC 8446', () => {
    expect(parseGroups('P-256:X25519:secp384r1:prime256v1:P-521')).toEqual([
      NamedGroup.secp256r1,
      NamedGroup.x25519,
      NamedGroup.secp384r1,
      NamedGroup.secp521r1,
    ]);
    expect(parseGroups('auto')).toBeUndefined();
  });

  it('names what it does not know', () => {
    expect(thrownBy(() => parseGroups('X25519:brainpoolP256r1'))).toEqual(optionError(/brainpoolP256r1/));
  });
});

describe('sigalgs', () => {
  it('takes both spellings', () => {
    expect(parseSignatureSchemes('ECDSA+SHA256:RSA-PSS+SHA384:ed25519:rsa_pkcs1_sha256')).toEqual([
      SignatureScheme.ecdsa_secp256r1_sha256,
      SignatureScheme.rsa_pss_rsae_sha384,
      SignatureScheme.rsa_pss_pss_sha384,
      SignatureScheme.ed25519,
      SignatureScheme.rsa_pkcs1_sha256,
    ]);
  });

  it('names what it does not know', () => {
    expect(thrownBy(() => parseSignatureSchemes('DSA+SHA1'))).toEqual(optionError(/DSA\+SHA1/));
  });
});

describe('ALPNProtocols', () => {
  it('takes names and the wire form', () => {
    expect(parseAlpn(['h2', 'http/1.1'])).toEqual(['h2', 'http/1.1']);
    expect(parseAlpn(Buffer.from('\x02h2\x08http/1.1'))).toEqual(['h2', 'http/1.1']);
    expect(parseAlpn([])).toBeUndefined();
  });

  it('refuses what RFC 7301 §3.1 does not allow', () => {
    expect(thrownBy(() => parseAlpn(['']))).toEqual(optionError(/1 to 255/));
    expect(thrownBy(() => parseAlpn(['x'.repeat(256)]))).toEqual(optionError(/1 to 255/));
    expect(thrownBy(() => parseAlpn(Buffer.from('\x05h2')))).toEqual(optionError(/past the end/));
    expect(thrownBy(() => parseAlpn(Buffer.from('\x00')))).toEqual(optionError(/1 to 255/));
  });
});

describe('versions', () => {
  it('takes TLS 1.2 and 1.3, both by default', () => {
    expect(parseVersions(undefined, undefined)).toEqual({ min: 0x0303, max: 0x0304 });
    expect(parseVersions('TLSv1.3', 'TLSv1.3')).toEqual({ min: 0x0304, max: 0x0304 });
    expect(parseVersions(undefined, 'TLSv1.2')).toEqual({ min: 0x0303, max: 0x0303 });
  });

  it('refuses what is too old, unknown or empty, and says so', () => {
    expect(thrownBy(() => parseVersions('TLSv1', undefined))).toEqual(optionError(/minVersion.*RFC 8996/));
    expect(thrownBy(() => parseVersions(undefined, 'TLSv1.1'))).toEqual(optionError(/maxVersion.*RFC 8996/));
    expect(thrownBy(() => parseVersions('SSLv3', undefined))).toEqual(optionError(/no version/));
    expect(thrownBy(() => parseVersions('TLSv1.3', 'TLSv1.2'))).toEqual(optionError(/above maxVersion/));
  });
});

describe('SNI', () => {
  it.each([
    ['example.test', 'example.test'],
    ['example.test.', 'example.test'],
    ['127.0.0.1', undefined],
    ['::1', undefined],
    ['fe80::1%eth0', undefined],
    ['', undefined],
  ])('%j gives %j (RFC 6066 §3)', (host, name) => {
    expect(sniFor(host)).toBe(name);
  });
});

describe('options of node:tls that are absent', () => {
  it.each(['pfx', 'pskCallback', 'privateKeyEngine', 'secureProtocol'])('%s is refused', (name) => {
    expect(thrownBy(() => requireSupported({ [name]: 'x' }))).toEqual(optionError(new RegExp(name)));
    expect(() => requireSupported({ [name]: undefined })).not.toThrow();
  });

  it('are passed over when nothing depends on them', () => {
    expect(() =>
      requireSupported({ enableTrace: false, minDHSize: 1024, honorCipherOrder: true, toString: 1 }),
    ).not.toThrow();
  });
});

import net from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encodeName } from '../../../src/der/name.ts';
import { ConnectionError } from '../../../src/errors/errors.ts';
import { formatIp, parseIp } from '../../../src/x509/ip.ts';
import {
  directoryName,
  dnsName,
  emailAddress,
  hostName,
  ipAddress,
  subjectAltName,
  uri,
} from '../../../src/x509/issue.ts';
import { checkServerName, matchesDnsId, referenceName } from '../../../src/x509/names.ts';
import { replacing, server, without } from './pki.ts';

describe('referenceName', () => {
  it.each([
    ['www.example.com', 'www.example.com'],
    ['WWW.Example.COM', 'www.example.com'],
    ['www.example.com.', 'www.example.com'],
    ['localhost', 'localhost'],
    ['under_score.example', 'under_score.example'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['BÜCHER.example', 'xn--bcher-kva.example'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['中文。example', 'xn--fiq228c.example'],
  ])('%j is DNS %j', (host, name) => {
    expect(referenceName(host)).toEqual({ kind: 'dns', name });
  });

  it.each([
    ['192.0.2.1', [192, 0, 2, 1]],
    ['::1', [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
    ['fe80::1%eth0', [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]],
  ])('%j is an address', (host, bytes) => {
    expect(referenceName(host)).toEqual({ kind: 'ip', address: Uint8Array.from(bytes) });
  });

  it.each([
    '',
    '.',
    'a..b',
    'a b',
    '*.example.com',
    '-a.example',
    'a'.repeat(64),
    'é/../',
    'a\u0000b',
    'é:1',
    'é@b',
    '１２７.0.0.1/',
    `${'a.'.repeat(127)}aa`,
  ])('%j is neither', (host) => {
    expect(() => referenceName(host)).toThrow(ConnectionError);
    expect(() => referenceName(host)).toThrow(expect.objectContaining({ code: 'ERR_TLS_OPTION' }));
  });
});

describe('DNS-ID (RFC 9525 §6.3)', () => {
  it.each([
    ['example.com', 'example.com'],
    ['EXAMPLE.com', 'example.com'],
    ['localhost', 'localhost'],
    ['*.example.com', 'foo.example.com'],
    ['*.Example.com', 'foo.example.com'],
    ['*.example.com', 'xn--bcher-kva.example.com'],
    ['xn--bcher-kva.example.com', 'xn--bcher-kva.example.com'],
  ])('%j matches %j', (presented, reference) => {
    expect(matchesDnsId(presented, reference)).toBe(true);
  });

  it.each([
    ['example.com', 'example2.com'],
    ['abc.example.com', 'def.example.com'],
    ['example.com', 'abc.example.com'],
    ['abc.example.com', 'example.com'],
    ['*.example.com', 'example.com'],
    ['*.example.com', 'foo.bar.example.com'],
    ['*.example.com', '.example.com'],
    ['foo*.example.com', 'foobar.example.com'],
    ['*foo.example.com', 'barfoo.example.com'],
    ['f*o.example.com', 'foo.example.com'],
    ['foo.*.example.com', 'foo.bar.example.com'],
    ['*.*.example.com', 'foo.bar.example.com'],
    ['xn--*-1b3c148a.example.com', 'xn--bliss-1b3c148a.example.com'],
    ['*.com', 'example.com'],
    ['*', 'example.com'],
    ['*', 'com'],
    ['*.', 'com'],
    ['*..com', 'a.com'],
    ['example.com.', 'example.com'],
    ['example.com\u0000.evil.example', 'example.com'],
    ['example.com ', 'example.com'],
    ['', ''],
    ['*.example.com', '*.example.com'],
  ])('%j does not match %j', (presented, reference) => {
    expect(matchesDnsId(presented, reference)).toBe(false);
  });
});

describe('checkServerName', () => {
  const with_ = (...hosts: string[]) => server('cn.example.com', { hosts }).certificate;
  const check = (certificate: ReturnType<typeof with_>, host: string) => () =>
    checkServerName(certificate, referenceName(host));
  const invalid = (message: RegExp | string) =>
    expect.objectContaining({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      alert: 'bad_certificate',
      message: typeof message === 'string' ? message : expect.stringMatching(message),
    });

  it('any of the names will do', () => {
    const certificate = with_('a.example.com', '*.example.org', '192.0.2.1', '2001:db8::1');
    for (const host of ['a.example.com', 'x.example.org', '192.0.2.1', '2001:DB8:0::1', 'A.EXAMPLE.COM.']) {
      expect(check(certificate, host), host).not.toThrow();
    }
    for (const host of ['b.example.com', 'example.org', '192.0.2.2', '2001:db8::2', '::ffff:192.0.2.1']) {
      expect(check(certificate, host), host).toThrow(
        invalid(
          /is not for .* but for DNS:a.example.com, DNS:\*.example.org, IP Address:192.0.2.1, IP Address:2001:db8::1$/,
        ),
      );
    }
  });

  it('an address is matched by iPAddress only, a DNS name by dNSName only', () => {
    const asDns = server('a', { extensions: replacing(subjectAltName([dnsName('192.0.2.1')])) }).certificate;
    expect(check(asDns, '192.0.2.1')).toThrow(invalid(/not for 192.0.2.1/));
    const bytes = server('a', {
      extensions: replacing(subjectAltName([ipAddress(Buffer.from('a.bc'))])),
    }).certificate;
    expect(check(bytes, 'a.bc')).toThrow(invalid(/not for a.bc/));
  });

  it('the common name is no name of a server', () => {
    const certificate = server('www.example.com', { extensions: without('2.5.29.17') }).certificate;
    expect(check(certificate, 'www.example.com')).toThrow(
      invalid(
        'The certificate (CN=www.example.com) is for no host name or address: it needs a subjectAltName with www.example.com',
      ),
    );
  });

  it('nor are URIs, mailboxes or directory names', () => {
    const names = [
      uri('https://www.example.com'),
      emailAddress('a@www.example.com'),
      directoryName(encodeName([{ CN: 'www.example.com' }])),
    ];
    const certificate = server('a', { extensions: replacing(subjectAltName(names)) }).certificate;
    expect(check(certificate, 'www.example.com')).toThrow(invalid(/for no host name/));
  });

  it('the message stays short', () => {
    const certificate = with_(...Array.from({ length: 50 }, (_, i) => `n${i}.example`));
    expect(check(certificate, 'a.example')).toThrow(invalid(/DNS:n9.example and 40 more$/));
  });
});

describe('hostName', () => {
  it('writes what was asked for', () => {
    expect(hostName('*.Bücher.example')).toEqual(dnsName('*.xn--bcher-kva.example'));
    expect(hostName('::1')).toEqual(ipAddress(parseIp('::1') as Uint8Array));
    expect(() => hostName('a b')).toThrow(ConnectionError);
  });
});

describe('addresses as text', () => {
  it.each([
    '0.0.0.0',
    '255.255.255.255',
    '::',
    '::1',
    '1::',
    '1:2:3:4:5:6:7:8',
    '::ffff:192.0.2.1',
    '1::8',
    '2001:db8:0:1:1:1:1:1',
    '1:2:3:4:5:6:7::',
    '::2:3:4:5:6:7:8',
    '64:ff9b::192.0.2.33',
  ])('%s is one', (text) => {
    expect(net.isIP(text)).toBeGreaterThan(0);
    expect(parseIp(text)).toBeDefined();
  });

  it.each([
    '',
    '1',
    '1.2.3',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    '0x1.2.3.4',
    '1.2.3.4 ',
    '1..2.3',
    ':',
    ':::',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '12345::',
    'g::',
    '::1.2.3',
    '1.2.3.4::',
    '1:2:3:4:5:6:7:1.2.3.4',
    '::1:2:3:4:5:6:7:8',
    ':1:2:3:4:5:6:7',
    '[::1]',
  ])('%j is none', (text) => {
    expect(net.isIP(text)).toBe(0);
    expect(parseIp(text)).toBeUndefined();
  });

  it.each([
    ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['0:0:0:0:0:0:0:0', '::'],
    ['1:0:0:0:0:0:0:0', '1::'],
  ])('%s is written %s (RFC 5952)', (text, written) => {
    expect(formatIp(parseIp(text) as Uint8Array)).toBe(written);
  });

  it('what is written is read back, and Node agrees that it is an address', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ minLength: 4, maxLength: 4 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.array(fc.constantFrom(0, 0, 0, 1), { minLength: 16, maxLength: 16 }).map((b) => Uint8Array.from(b)),
    );
    fc.assert(
      fc.property(bytes, (address) => {
        expect(parseIp(formatIp(address))).toEqual(address);
        expect(net.isIP(formatIp(address))).toBe(address.length === 4 ? 4 : 6);
      }),
    );
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('0', '1', 'f', ':', ':', '.', '::'), maxLength: 16 }),
        (text) => {
          expect(parseIp(text) !== undefined).toBe(net.isIP(text) > 0);
        },
      ),
    );
  });
});

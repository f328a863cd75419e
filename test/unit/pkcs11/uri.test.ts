import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ConnectionError } from '../../../src/errors/errors.ts';
import { Pkcs11Key } from '../../../src/node/pkcs11/open.ts';
import { MAX_URI_LENGTH, parsePkcs11Uri } from '../../../src/node/pkcs11/uri.ts';
import { caught } from './kit.ts';

describe('PKCS #11 URIs (RFC 7512)', () => {
  it('reads what they name', () => {
    const uri =
      'pkcs11:token=Software%20PKCS%2311;manufacturer=Snake%20Oil,%20Inc.;model=v1&2;serial=0a;' +
      'slot-description=d;slot-manufacturer=m;slot-id=327;object=my%c3%a9;id=%00%ff;type=private;' +
      'library-manufacturer=lm;library-description=ld;library-version=3.2?module-path=/a/b.so&pin-source=file:/c/p?n';
    expect(parsePkcs11Uri(uri)).toEqual({
      token: 'Software PKCS#11',
      manufacturer: 'Snake Oil, Inc.',
      model: 'v1&2',
      serial: '0a',
      slotDescription: 'd',
      slotManufacturer: 'm',
      slotId: 327n,
      object: 'myé',
      id: Uint8Array.of(0, 255),
      type: 'private',
      libraryManufacturer: 'lm',
      libraryDescription: 'ld',
      libraryVersion: { major: 3, minor: 2 },
      modulePath: '/a/b.so',
      pinFile: '/c/p?n',
    });
  });

  it('reads what leaves everything open', () => {
    expect(parsePkcs11Uri('pkcs11:')).toEqual({});
    expect(parsePkcs11Uri('PKCS11:?')).toEqual({});
    expect(parsePkcs11Uri('pkcs11:library-version=3')).toEqual({ libraryVersion: { major: 3, minor: 0 } });
    expect(parsePkcs11Uri('pkcs11:?pin-value=a%26b')).toEqual({
      pinValue: new Uint8Array(Buffer.from('a&b')),
    });
  });

  it.each([
    ['file:/p', '/p'],
    ['file:///p', '/p'],
    ['file://localhost/p', '/p'],
    ['p', 'p'],
    ['/p/q', '/p/q'],
    ['file:p', 'p'],
  ])('reads pin-source=%s', (source, path) => {
    expect(parsePkcs11Uri(`pkcs11:?pin-source=${source}`).pinFile).toBe(path);
  });

  it.each([
    ['another scheme', 'pkcs12:token=a'],
    ['nothing', ''],
    ['an attribute without a value', 'pkcs11:token'],
    ['an empty attribute', 'pkcs11:token=a;;object=b'],
    ['an attribute at the end that is empty', 'pkcs11:token=a;'],
    ['an unknown attribute', 'pkcs11:tokens=a'],
    ['an attribute of objects of JavaScript', 'pkcs11:__proto__=a'],
    ['a query attribute in the path', 'pkcs11:module-path=a'],
    ['a path attribute in the query', 'pkcs11:?token=a'],
    ['an attribute twice', 'pkcs11:token=a;token=a'],
    ['a query attribute twice', 'pkcs11:?pin-value=a&pin-value=a'],
    ['a slash in the path', 'pkcs11:token=a/b'],
    ['a blank', 'pkcs11:token=a b'],
    ['a number sign', 'pkcs11:token=a#b'],
    ['half a percent-encoding', 'pkcs11:token=a%4'],
    ['a percent-encoding that is none', 'pkcs11:token=%zz'],
    ['text that is not UTF-8', 'pkcs11:token=%ff'],
    ['a slot that is no number', 'pkcs11:slot-id=1a'],
    ['a slot beyond 64 bits', 'pkcs11:slot-id=18446744073709551616'],
    ['an unknown type', 'pkcs11:type=priv'],
    ['a version that is none', 'pkcs11:library-version=1.'],
    ['a version beyond a byte', 'pkcs11:library-version=1.256'],
    ['a command as source of the PIN', 'pkcs11:?pin-source=|/bin/pin'],
    ['a URL as source of the PIN', 'pkcs11:?pin-source=https://pin'],
    ['another host as source of the PIN', 'pkcs11:?pin-source=file://other'],
    ['an empty source of the PIN', 'pkcs11:?pin-source='],
    ['a zero byte in a path', 'pkcs11:?pin-source=a%00b'],
    ['a PIN and its source', 'pkcs11:?pin-source=a&pin-value=b'],
    ['an empty module', 'pkcs11:?module-path='],
    ['the name of a module', 'pkcs11:?module-name=softhsm2'],
    ['too much', `pkcs11:token=${'a'.repeat(MAX_URI_LENGTH)}`],
  ])('refuses %s', (_, uri) => {
    expect(() => parsePkcs11Uri(uri)).toThrow(expect.objectContaining({ code: 'ERR_TLS_OPTION' }));
  });

  it('gives back what was written, whatever it is', () => {
    const percent = (bytes: Uint8Array) =>
      [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
    const property = fc.property(fc.string({ unit: 'binary' }), fc.uint8Array(), (token, id) => {
      const uri = `pkcs11:id=${percent(id)};token=${percent(Buffer.from(token))}`;
      fc.pre(Buffer.from(token).toString() === token && uri.length <= MAX_URI_LENGTH);
      expect(parsePkcs11Uri(uri)).toEqual({ token, id });
    });
    fc.assert(property);
  });

  it('answers anything with a URI or a ConnectionError, without the PIN in it', () => {
    const part = fc.oneof(
      fc.string(),
      fc.constantFrom(
        'pkcs11:',
        'token=',
        'id=',
        '?',
        '&',
        ';',
        '%',
        '%41',
        'pin-source=',
        '=',
        'slot-id=',
        'file:',
      ),
    );
    const property = fc.property(fc.array(part), (parts) => {
      try {
        parsePkcs11Uri(`pkcs11:${parts.join('')}&pin-value=verysecret`);
      } catch (error) {
        expect(error).toBeInstanceOf(ConnectionError);
        expect(String(error)).not.toContain('verysecret');
      }
    });
    fc.assert(property, { numRuns: 2000 });
  });
});

describe('keys in tokens, before there is one', () => {
  it.each([
    ['no module', 'pkcs11:token=a', 'ERR_TLS_OPTION'],
    ['another kind of object', 'pkcs11:type=cert?module-path=/none.so', 'ERR_TLS_OPTION'],
    ['a module that is not there', 'pkcs11:?module-path=/none.so', 'ERR_MODULE_UNSUPPORTED'],
    ['a file that is no library', `pkcs11:?module-path=${import.meta.filename}`, 'ERR_MODULE_UNSUPPORTED'],
  ])('refuses %s', async (_, uri, code) => {
    expect(await caught(Pkcs11Key.open(uri))).toMatchObject({ code });
  });

  it('refuses a PIN that is given twice', async () => {
    const uri = 'pkcs11:?module-path=/none.so&pin-value=1';
    expect(await caught(Pkcs11Key.open(uri, { pin: '1' }))).toMatchObject({ code: 'ERR_TLS_OPTION' });
  });
});

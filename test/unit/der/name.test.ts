import { describe, expect, it } from 'vitest';
import { encodeName, Name, type RdnInput } from '../../../src/der/name.ts';
import { Oid } from '../../../src/der/oids.ts';
import { Tag } from '../../../src/der/tags.ts';
import {
  type Der,
  encodeDer,
  integer,
  oid,
  primitive,
  sequence,
  setOf,
  utf8String,
} from '../../../src/der/writer.ts';
import { DecodeError } from '../../../src/errors/errors.ts';

const name = (...rdns: RdnInput[]) => new Name(encodeName(rdns));
const attribute = (type: string, value: Der) => sequence(oid(type), value);
const withValue = (value: Der) => new Name(encodeDer(sequence(setOf(attribute(Oid.commonName, value)))));
const string = (tag: number, text: string) => primitive(tag, Uint8Array.from(Buffer.from(text, 'latin1')));

describe('Name', () => {
  it('is written by RFC 4514', () => {
    expect(name({ C: 'FR' }, { O: 'Example, Inc.' }, { CN: 'www' }).toString()).toBe(
      'CN=www,O=Example\\, Inc.,C=FR',
    );
    expect(name({ CN: ' #a"b\\c;<>+ ' }).toString()).toBe('CN=\\ #a\\"b\\\\c\\;\\<\\>\\+\\ ');
    expect(name({ CN: '#a' }).toString()).toBe('CN=\\#a');
    expect(name({ CN: 'a', UID: 'b' }).toString()).toMatch(/^(CN=a\+UID=b|UID=b\+CN=a)$/);
    expect(new Name(encodeDer(sequence(setOf(attribute('1.2.3', integer(5)))))).toString()).toBe(
      '1.2.3=#020105',
    );
    expect(name().toString()).toBe('');
  });

  it('cannot forge lines of a log', () => {
    expect(name({ CN: 'a\n[error] forged\u0000' }).toString()).toBe('CN=a\\0a[error] forged\\00');
  });

  it('survives a malformed name', () => {
    const broken = new Name(Uint8Array.of(0x30, 2, 0x31, 0));
    expect(() => broken.rdns).toThrow(DecodeError);
    expect(broken.toString()).toBe('#30023100');
  });

  it('RFC 5280 §7.1: string type, case and insignificant space do not count', () => {
    const reference = withValue(utf8String('Example  Root'));
    for (const same of [
      withValue(string(Tag.printableString, 'EXAMPLE ROOT')),
      withValue(string(Tag.teletexString, 'example root ')),
      withValue(utf8String(' Example Root')),
      withValue(
        primitive(Tag.bmpString, Uint8Array.from([...'Example Root'].flatMap((c) => [0, c.charCodeAt(0)]))),
      ),
    ]) {
      expect(same.equals(reference), same.toString()).toBe(true);
    }
    expect(withValue(utf8String('É')).equals(withValue(string(Tag.teletexString, 'é')))).toBe(true);
    expect(withValue(utf8String('e\u0301')).equals(withValue(utf8String('\u00e9')))).toBe(true);
  });

  it('and everything else does', () => {
    const reference = name({ O: 'Example' }, { CN: 'Root' });
    for (const other of [
      name({ O: 'Example' }, { CN: 'Root 2' }),
      name({ CN: 'Root' }, { O: 'Example' }),
      name({ O: 'Example' }),
      name({ O: 'Example' }, { CN: 'Root' }, { CN: 'Root' }),
      name({ O: 'Example', CN: 'Root' }),
      name({ O: 'Exam ple' }, { CN: 'Root' }),
      name({ OU: 'Example' }, { CN: 'Root' }),
      name(),
    ]) {
      expect(other.equals(reference), other.toString()).toBe(false);
    }
    // A text that imitates the separators of keys.
    expect(name({ CN: 'a/2.5.4.10=1:b' }).equals(name({ CN: 'a' }, { O: 'b' }))).toBe(false);
    expect(name({ CN: 'a+2.5.4.10=1:b' }).equals(name({ CN: 'a', O: 'b' }))).toBe(false);
  });

  it('values that are no text are compared byte by byte', () => {
    expect(withValue(integer(5)).equals(withValue(integer(5)))).toBe(true);
    expect(withValue(integer(5)).equals(withValue(integer(6)))).toBe(false);
    const invalid = withValue(primitive(Tag.utf8String, Uint8Array.of(0xff)));
    expect(invalid.rdns[0]?.[0]?.text).toBeUndefined();
    expect(invalid.equals(withValue(primitive(Tag.utf8String, Uint8Array.of(0xfe))))).toBe(false);
  });

  it('the order inside a multi-valued RDN does not count', () => {
    const a = encodeDer(attribute(Oid.commonName, utf8String('a')));
    const b = encodeDer(attribute(Oid.organizationName, utf8String('b')));
    const swapped = (x: Uint8Array, y: Uint8Array) =>
      new Name(encodeDer(sequence(primitive(Tag.set, Uint8Array.from([...x, ...y])))));
    expect(swapped(a, b).equals(swapped(b, a))).toBe(true);
  });

  it('refuses empty and oversized RDNs', () => {
    const many = sequence(
      ...Array.from({ length: 65 }, () => setOf(attribute(Oid.commonName, utf8String('a')))),
    );
    const wide = sequence(
      setOf(...Array.from({ length: 17 }, (_, i) => attribute(Oid.commonName, integer(i)))),
    );
    for (const value of [sequence(setOf()), many, wide, sequence(setOf(sequence(oid('1.2.3'))))]) {
      expect(() => new Name(encodeDer(value)).key).toThrow(DecodeError);
    }
  });
});

import { describe, it } from 'vitest';
import { encodeName } from '../../../src/der/name.ts';
import { Oid } from '../../../src/der/oids.ts';
import { type Der, encodeDer, explicit, integer, oid, primitive, sequence } from '../../../src/der/writer.ts';
import type { TlsErrorCode } from '../../../src/errors/errors.ts';
import { parseIp } from '../../../src/x509/ip.ts';
import {
  directoryName,
  dnsName,
  emailAddress,
  ipAddress,
  nameConstraints,
  subjectAltName,
  uri,
} from '../../../src/x509/issue.ts';
import { expectRefused, verify } from './expect.ts';
import { ca, type Identity, replacing, server, without } from './pki.ts';

const ip = (text: string): Der => ipAddress(parseIp(text) as Uint8Array);
const subnet = (address: string, mask: string): Der =>
  ipAddress(Uint8Array.from([...(parseIp(address) as Uint8Array), ...(parseIp(mask) as Uint8Array)]));
const otherName = encodeDer(explicit(0, sequence(oid('1.2.3.4'), explicit(0, integer(1)))));

interface Names {
  readonly permitted?: readonly Der[];
  readonly excluded?: readonly Der[];
  /** Names of the leaf. */
  readonly names?: readonly Der[];
  readonly subject?: Uint8Array;
  readonly critical?: boolean;
}

const EMPTY = encodeName([]);

/** Constraints in the anchor and, the same case, in an intermediate. */
function chains({ permitted = [], excluded = [], names = [], subject = EMPTY, critical = true }: Names) {
  const constraints = nameConstraints(permitted, excluded, critical);
  const san = names.length === 0 ? without(Oid.subjectAltName) : replacing(subjectAltName(names));
  const leafFrom = (issuer: Identity) => server('leaf', { issuer, subject, extensions: san });
  const root = ca('Root', { extensions: (right) => [...right, constraints] });
  const plainRoot = ca('Root');
  const issuer = ca('Issuer', { issuer: plainRoot, extensions: (right) => [...right, constraints] });
  return [
    { chain: [leafFrom(root)], trust: [root] },
    { chain: [leafFrom(issuer), issuer], trust: [plainRoot] },
  ];
}

const accepts = (names: Names) => {
  for (const testCase of chains(names)) verify(testCase);
};
const refuses = (names: Names, code: TlsErrorCode) => {
  for (const testCase of chains(names)) expectRefused(testCase, code);
};

describe('dNSName', () => {
  it.each([
    ['example.com', 'example.com'],
    ['example.com', 'foo.bar.example.com'],
    ['Example.COM', 'www.eXample.com'],
    ['example.com', '*.example.com'],
    ['example.com', '*.foo.example.com'],
    ['.example.com', 'www.example.com'],
    ['.example.com', '*.example.com'],
    ['com', 'example.com'],
    ['', 'anything.example'],
    ['example.com', 'under_score.example.com'],
  ])('%j contains %j', (subtree, name) => {
    accepts({ permitted: [dnsName(subtree)], names: [dnsName(name)] });
    refuses({ excluded: [dnsName(subtree)], names: [dnsName(name)] }, 'EXCLUDED_VIOLATION');
  });

  it.each([
    ['example.com', 'not-example.com'],
    ['example.com', 'example.org'],
    ['example.com', 'com'],
    ['example.com', '*.com.example'],
    ['host.example.com', 'host1.example.com'],
    ['.example.com', 'example.com'],
    ['x.example.com', 'y.example.com'],
    ['foo.bar.example.com', '*.example.com'],
  ])('%j does not contain %j', (subtree, name) => {
    refuses({ permitted: [dnsName(subtree)], names: [dnsName(name)] }, 'PERMITTED_VIOLATION');
    accepts({ excluded: [dnsName(subtree)], names: [dnsName(name)] });
  });

  it('a wildcard is inside only if everything it stands for is (CVE-2025-61727)', () => {
    for (const label of ['bar', 'x']) {
      const one = dnsName(`${label}.example.com`);
      refuses({ excluded: [one], names: [dnsName('*.example.com')] }, 'EXCLUDED_VIOLATION');
      refuses({ permitted: [one], names: [dnsName('*.example.com')] }, 'PERMITTED_VIOLATION');
    }
    refuses({ excluded: [dnsName('example.com')], names: [dnsName('*.com')] }, 'EXCLUDED_VIOLATION');
  });

  it('names that are none lie nowhere', () => {
    for (const name of [
      '.example.com',
      'example.com.',
      'a..example.com',
      'a.*.example.com',
      '*',
      'a b.example.com',
      '',
    ]) {
      refuses({ permitted: [dnsName('')], names: [dnsName(name)] }, 'NAME_CONSTRAINTS_WITHOUT_PROOF');
      refuses(
        { excluded: [dnsName('other.example')], names: [dnsName(name)] },
        'NAME_CONSTRAINTS_WITHOUT_PROOF',
      );
    }
  });
});

describe('iPAddress', () => {
  it.each([
    ['192.0.2.0', '255.255.255.0', '192.0.2.1'],
    ['192.0.2.77', '255.255.255.0', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0', '203.0.113.9'],
    ['192.0.2.1', '255.255.255.255', '192.0.2.1'],
    ['192.0.2.128', '255.255.255.128', '192.0.2.255'],
    ['::1', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', '::1'],
    ['2001:db8::', 'ffff:ffff::', '2001:db8:1::9'],
  ])('%s/%s contains %s', (address, mask, name) => {
    accepts({ permitted: [subnet(address, mask)], names: [ip(name)] });
    refuses({ excluded: [subnet(address, mask)], names: [ip(name)] }, 'EXCLUDED_VIOLATION');
  });

  it.each([
    ['192.0.2.0', '255.255.255.0', '192.0.3.1'],
    ['192.0.2.128', '255.255.255.128', '192.0.2.127'],
    ['2001:db8::', 'ffff:ffff::', '2001:db9::1'],
    ['0.0.0.0', '0.0.0.0', '::1'],
    ['::', '::', '192.0.2.1'],
  ])('%s/%s does not contain %s', (address, mask, name) => {
    refuses({ permitted: [subnet(address, mask)], names: [ip(name)] }, 'PERMITTED_VIOLATION');
    accepts({ excluded: [subnet(address, mask)], names: [ip(name)] });
  });
});

describe('directoryName', () => {
  const subtree = directoryName([{ C: 'FR' }, { O: 'Example' }]);
  const inside = encodeName([{ C: 'FR' }, { O: ' example ' }, { CN: 'www' }]);
  const outside = encodeName([{ O: 'Example' }, { C: 'FR' }]);

  it('constrains the subject', () => {
    accepts({ permitted: [subtree], subject: inside });
    accepts({ excluded: [subtree], subject: outside });
    refuses({ permitted: [subtree], subject: outside }, 'PERMITTED_VIOLATION');
    refuses({ excluded: [subtree], subject: inside }, 'EXCLUDED_VIOLATION');
  });

  it('and directoryNames beside it', () => {
    accepts({ permitted: [subtree], subject: inside, names: [directoryName(inside)] });
    refuses(
      { permitted: [subtree], subject: inside, names: [directoryName(outside)] },
      'PERMITTED_VIOLATION',
    );
    refuses({ excluded: [subtree], subject: outside, names: [directoryName(inside)] }, 'EXCLUDED_VIOLATION');
  });

  it('an empty subject is no name', () => {
    accepts({ permitted: [subtree], names: [dnsName('a.example')] });
  });
});

describe('which names and which certificates', () => {
  it('every name counts', () => {
    refuses(
      { permitted: [dnsName('a.example')], names: [dnsName('a.example'), dnsName('b.example')] },
      'PERMITTED_VIOLATION',
    );
    refuses(
      { excluded: [dnsName('b.example')], names: [dnsName('a.example'), dnsName('b.example')] },
      'EXCLUDED_VIOLATION',
    );
  });

  it('one of several permitted subtrees is enough, one excluded too many', () => {
    const names = [dnsName('a.example'), dnsName('b.example')];
    accepts({ permitted: names, names });
    refuses({ permitted: names, excluded: [dnsName('b.example')], names }, 'EXCLUDED_VIOLATION');
  });

  it('constraints on one kind do not touch the others', () => {
    accepts({ permitted: [subnet('192.0.2.0', '255.255.255.0')], names: [dnsName('a.example')] });
    accepts({ excluded: [subnet('0.0.0.0', '0.0.0.0')], names: [dnsName('a.example')] });
    accepts({ permitted: [dnsName('a.example')], names: [ip('192.0.2.1')] });
  });

  it('constraints that are not critical are honoured', () => {
    refuses(
      { permitted: [dnsName('a.example')], names: [dnsName('b.example')], critical: false },
      'PERMITTED_VIOLATION',
    );
  });

  it.each<[string, Der, Der]>([
    ['rfc822Name', emailAddress('example.com'), emailAddress('a@example.com')],
    ['URI', uri('.example.com'), uri('https://www.example.com/')],
    ['otherName', otherName, otherName],
    ['registeredID', primitive(0x88, Uint8Array.of(42)), primitive(0x88, Uint8Array.of(42))],
  ])('%s cannot be compared: refused if it is constrained and there', (_, subtree, name) => {
    refuses({ permitted: [subtree], names: [name] }, 'NAME_CONSTRAINTS_WITHOUT_PROOF');
    refuses({ excluded: [subtree], names: [name] }, 'NAME_CONSTRAINTS_WITHOUT_PROOF');
    accepts({ permitted: [subtree], excluded: [subtree], names: [dnsName('a.example')] });
    accepts({ permitted: [dnsName('a.example')], names: [name, dnsName('a.example')] });
  });

  it('an emailAddress in the subject counts as rfc822Name (RFC 5280 §4.2.1.10)', () => {
    const subject = encodeName([{ emailAddress: 'a@example.com' }]);
    refuses({ excluded: [emailAddress('example.org')], subject }, 'NAME_CONSTRAINTS_WITHOUT_PROOF');
    accepts({ excluded: [dnsName('example.org')], subject });
  });

  it('intermediates obey too, self-issued ones excepted (§6.1.3 (b))', () => {
    const constraints = nameConstraints([directoryName([{ O: 'Example' }])], []);
    const root = ca('Root', { subject: [{ O: 'Root' }], extensions: (right) => [...right, constraints] });
    const subject = [{ O: 'Example' }, { CN: 'leaf' }];
    const stranger = ca('Stranger', { issuer: root });
    expectRefused(
      { chain: [server('a', { issuer: stranger, subject }), stranger], trust: [root] },
      'PERMITTED_VIOLATION',
      1,
    );
    const selfIssued = ca('Root', { subject: [{ O: 'Root' }], issuer: root });
    verify({ chain: [server('a', { issuer: selfIssued, subject }), selfIssued], trust: [root] });
  });

  it('a self-issued end entity is not excepted', () => {
    const constraints = nameConstraints([dnsName('a.example')], []);
    const root = ca('Root', { extensions: (right) => [...right, constraints] });
    const leaf = server('Root', { issuer: root, hosts: ['b.example'] });
    expectRefused({ chain: [leaf], trust: [root] }, 'PERMITTED_VIOLATION');
  });

  it('constraints below only narrow', () => {
    const both = [dnsName('a.example'), dnsName('b.example')];
    for (const [above, below] of [
      [both, [dnsName('b.example')]],
      [[dnsName('b.example')], both],
    ] as const) {
      const root = ca('Root');
      const first = ca('First', {
        issuer: root,
        extensions: (right) => [...right, nameConstraints(above, [])],
      });
      const second = ca('Second', {
        issuer: first,
        extensions: (right) => [...right, nameConstraints(below, [])],
      });
      const leaf = (name: string) => server(name, { issuer: second, subject: EMPTY });
      verify({ chain: [leaf('b.example'), second, first], trust: [root] });
      expectRefused({ chain: [leaf('a.example'), second, first], trust: [root] }, 'PERMITTED_VIOLATION');
    }
  });

  it('a CA does not constrain itself, nor the leaf anyone', () => {
    const constraints = nameConstraints([directoryName([{ O: 'Example' }])], []);
    const root = ca('Root', { extensions: (right) => [...right, constraints] });
    const subject = [{ O: 'Example' }];
    const leaf = server('a', {
      issuer: root,
      subject,
      extensions: (right) => [...right, nameConstraints([], [directoryName(subject)])],
    });
    verify({ chain: [leaf], trust: [root] });
  });
});

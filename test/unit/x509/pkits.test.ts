import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { encodeName } from '../../../src/der/name.ts';
import { Oid } from '../../../src/der/oids.ts';
import {
  encodeDer,
  explicit,
  implicit,
  integer,
  nullValue,
  octetString,
  oid,
  printableString,
  sequence,
  setOf,
  utf8String,
} from '../../../src/der/writer.ts';
import { CertificateError, type TlsErrorCode } from '../../../src/errors/errors.ts';
import { Crl } from '../../../src/x509/crl.ts';
import { KeyUsage } from '../../../src/x509/extensions.ts';
import {
  basicConstraints,
  directoryName,
  dnsName,
  type ExtensionInput,
  emailAddress,
  keyUsage,
  nameConstraints,
  subjectAltName,
  uri,
} from '../../../src/x509/issue.ts';
import { checkRevocation } from '../../../src/x509/revocation.ts';
import { flipBit } from '../../setup/pair.ts';
import { expectRefused, verify } from './expect.ts';
import {
  ca,
  DAY,
  type Identity,
  type IdentityOptions,
  NOW,
  newKey,
  replacing,
  server,
  without,
} from './pki.ts';
import { type CrlInput, crl } from './revocation-kit.ts';

/*
 * The properties that NIST's PKITS (Public Key Interoperability Test Suite, sections 4.1 to 4.16) tests, on chains of our
 * own: anchor → CA → end entity. Each has its negative twin. Where PKITS leaves something to the application, or we
 * decide otherwise, the decision stands there.
 */

const anchor = ca('Trust Anchor');
const trust = [anchor];

/** A CA below the anchor and an end entity below that, each wrong in whatever way. */
function chainOf(issuing: IdentityOptions = {}, entity: IdentityOptions = {}): Identity[] {
  const issuer = ca('Good CA', { issuer: anchor, ...issuing });
  return [server('ee.test', { issuer, ...entity }), issuer];
}
const accepts = (chain: readonly Identity[]) => expect(verify({ chain, trust }).authorized).toBe(true);
const refuses = (chain: readonly Identity[], code: TlsErrorCode, depth = 0) =>
  expectRefused({ chain, trust }, code, depth);
const between = (notBefore: number, notAfter: number): IdentityOptions => ({
  input: { notBefore, notAfter },
});

describe('4.1 signatures', () => {
  const forged: IdentityOptions = { signature: (right) => flipBit(right) };
  it('valid (4.1.1), and invalid in the CA (4.1.2) or the end entity (4.1.3)', () => {
    accepts(chainOf());
    refuses(chainOf(forged), 'CERT_SIGNATURE_FAILURE', 1);
    refuses(chainOf({}, forged), 'CERT_SIGNATURE_FAILURE');
  });
});

describe('4.2 validity', () => {
  it('not yet (4.2.1, 4.2.2), and no longer (4.2.5, 4.2.6)', () => {
    refuses(chainOf(between(NOW + DAY, NOW + 2 * DAY)), 'CERT_NOT_YET_VALID', 1);
    refuses(chainOf({}, between(NOW + DAY, NOW + 2 * DAY)), 'CERT_NOT_YET_VALID');
    refuses(chainOf(between(NOW - 2 * DAY, NOW - DAY)), 'CERT_HAS_EXPIRED', 1);
    refuses(chainOf({}, between(NOW - 2 * DAY, NOW - DAY)), 'CERT_HAS_EXPIRED');
  });

  it('from before 2000 (4.2.3) and until after 2050 (4.2.8); over since before 2000 (4.2.7)', () => {
    accepts(chainOf({}, between(Date.UTC(1950, 0, 1), Date.UTC(2049, 11, 31))));
    accepts(chainOf({}, between(Date.UTC(1999, 0, 1), Date.UTC(2050, 0, 1))));
    accepts(chainOf({}, between(Date.UTC(1999, 0, 1), Date.UTC(9999, 11, 31, 23, 59, 59))));
    refuses(chainOf({}, between(Date.UTC(1998, 0, 1), Date.UTC(1999, 0, 1))), 'CERT_HAS_EXPIRED');
  });
});

describe('4.3 names', () => {
  const organization = (text: (value: string) => ReturnType<typeof utf8String>, value: string): Uint8Array =>
    encodeDer(sequence(setOf(sequence(oid(Oid.organizationName), text(value)))));
  const named = (subject: Uint8Array, issuerName: Uint8Array): Identity[] =>
    chainOf({ subject }, { issuerName });

  it('that differ do not chain (4.3.1), nor does another order (4.3.2)', () => {
    const issuer = encodeName([{ O: 'Org' }, { CN: 'Good CA' }]);
    accepts(named(issuer, issuer));
    refuses(
      named(issuer, encodeName([{ O: 'Org' }, { CN: 'Good CA Root' }])),
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    );
    refuses(named(issuer, encodeName([{ CN: 'Good CA' }, { O: 'Org' }])), 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });

  it.each([
    ['white space within (4.3.3) and around (4.3.4)', '  Test   Certificates '],
    ['capitals (4.3.5)', 'TEST certificates'],
  ])('that differ in %s chain', (_, spelling) => {
    accepts(
      named(organization(printableString, 'Test Certificates'), organization(printableString, spelling)),
    );
    refuses(
      named(
        organization(printableString, 'Test Certificates'),
        organization(printableString, `${spelling}2`),
      ),
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    );
  });

  it('in UTF8String (4.3.9), rolled over from PrintableString (4.3.10), without regard to case (4.3.11)', () => {
    accepts(named(organization(utf8String, 'Größe'), organization(utf8String, 'Größe')));
    accepts(named(organization(printableString, 'Test'), organization(utf8String, 'Test')));
    accepts(named(organization(utf8String, 'GRÖSSE'), organization(utf8String, 'grösse')));
    refuses(
      named(organization(utf8String, 'Größe'), organization(utf8String, 'Grobe')),
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    );
  });
});

describe('4.4 revocation lists', () => {
  const [entity, issuer] = chainOf() as [Identity, Identity];
  const lists = (ofIssuer: Partial<CrlInput> | undefined, ofAnchor: Partial<CrlInput> = {}): Crl[] => [
    Crl.parse(crl({ issuer: anchor, ...ofAnchor })),
    ...(ofIssuer === undefined ? [] : [Crl.parse(crl({ issuer, ...ofIssuer }))]),
  ];
  const judge = (crls: readonly Crl[]): TlsErrorCode | undefined => {
    try {
      const path = [entity, issuer, anchor].map(({ certificate }) => certificate);
      checkRevocation(nodeCrypto, path, undefined, { ocsp: 'off', crls }, NOW);
    } catch (error) {
      expect(error).toBeInstanceOf(CertificateError);
      return (error as CertificateError).code;
    }
    return undefined;
  };
  const stranger = ca('Good CA', { issuer: anchor });

  it.each<[string, Crl[], TlsErrorCode | undefined]>([
    ['all there, nothing revoked', lists({}), undefined],
    ['4.4.1 a list is missing', lists(undefined), 'UNABLE_TO_GET_CRL'],
    ['4.4.2 the CA is revoked', lists({}, { revoked: [issuer] }), 'CERT_REVOKED'],
    ['4.4.3 the end entity is revoked', lists({ revoked: [entity] }), 'CERT_REVOKED'],
    ['4.4.4 a wrong signature', lists({ signature: (right) => flipBit(right) }), 'CRL_SIGNATURE_FAILURE'],
    [
      '4.4.5 the name of another issuer',
      lists({ issuer: ca('Other CA', { issuer: anchor }) }),
      'UNABLE_TO_GET_CRL',
    ],
    ['4.4.6 the right name and another key', lists({ issuer: stranger }), 'CRL_SIGNATURE_FAILURE'],
    ['4.4.9 an unknown critical extension', lists({ critical: '1.2.3.4' }), 'UNABLE_TO_GET_CRL'],
    ['4.4.11 out of date', lists({ thisUpdate: NOW - 3 * DAY, nextUpdate: NOW - DAY }), 'CRL_HAS_EXPIRED'],
    ['4.14 parts only', lists({ critical: '2.5.29.28' }), 'UNABLE_TO_GET_CRL'],
    ['4.15 changes only', lists({ critical: '2.5.29.27' }), 'UNABLE_TO_GET_CRL'],
    ['4.4.19 signed by a key of its own', lists({ signer: newKey() }), 'CRL_SIGNATURE_FAILURE'],
  ])('%s', (_, crls, code) => {
    expect(judge(crls)).toBe(code);
  });

  it('serial numbers of 20 bytes (4.4.16) are told apart by each byte (4.4.18)', () => {
    const serial = (last: number) => Uint8Array.from({ length: 20 }, (_, i) => (i === 19 ? last : 0x7f));
    const long = (last: number) => server('long', { issuer, input: { serial: serial(last) } });
    const judgeLong = (revoked: Identity) => {
      const path = [long(1), issuer, anchor].map(({ certificate }) => certificate);
      const crls = lists({ revoked: [revoked] });
      return () => checkRevocation(nodeCrypto, path, undefined, { ocsp: 'off', crls }, NOW);
    };
    expect(judgeLong(long(2))).not.toThrow();
    expect(judgeLong(long(1))).toThrow(expect.objectContaining({ code: 'CERT_REVOKED' }));
  });
});

describe('4.5 self-issued certificates', () => {
  it('carry a CA from one key to the next (4.5.1, 4.5.3), and only if its old key vouches (4.5.2)', () => {
    const before = ca('Rolling CA', { issuer: anchor });
    const after = ca('Rolling CA', { issuer: before });
    accepts([server('ee.test', { issuer: after }), after, before]);
    const usurper = ca('Rolling CA', { issuer: ca('Rolling CA') });
    refuses([server('ee.test', { issuer: usurper }), usurper, before], 'CERT_SIGNATURE_FAILURE', 1);
  });
});

describe('4.6 basicConstraints', () => {
  const cas = (...lengths: (number | undefined)[]): Identity[] => {
    const made: Identity[] = [];
    for (const [index, pathLength] of lengths.entries()) {
      const options = { issuer: made[0] ?? anchor, ...(pathLength !== undefined && { pathLength }) };
      made.unshift(ca(`pathLen ${index}`, options));
    }
    return [server('ee.test', { issuer: made[0] as Identity }), ...made];
  };

  it('missing (4.6.1), false and critical (4.6.2), false and not critical (4.6.3)', () => {
    refuses(chainOf({ extensions: without(Oid.basicConstraints) }), 'INVALID_CA', 1);
    refuses(chainOf({ extensions: replacing(basicConstraints(false)) }), 'INVALID_CA', 1);
    refuses(chainOf({ extensions: replacing(basicConstraints(false, undefined, false)) }), 'INVALID_CA', 1);
  });

  it('true and not critical (4.6.4)', () => {
    accepts(chainOf({ extensions: replacing(basicConstraints(true, undefined, false)) }));
  });

  it.each([
    ['4.6.7', [0]],
    ['4.6.13', [6, 4, 1, 0]],
    ['4.6.14', [6, 4, 1, 1]],
  ])('%s: pathLenConstraint %j holds', (_, lengths) => accepts(cas(...lengths)));

  it.each([
    ['4.6.5', [0, undefined], 1],
    ['4.6.9', [6, 0, 0], 1],
    ['4.6.11', [6, 1, 1, 0], 1],
  ] as const)('%s: pathLenConstraint %j does not', (_, lengths, depth) => {
    refuses(cas(...lengths), 'PATH_LENGTH_EXCEEDED', depth);
  });

  it('self-issued CAs do not count (4.6.15), those they certify do (4.6.16)', () => {
    const first = ca('pathLen', { issuer: anchor, pathLength: 0 });
    const rolled = ca('pathLen', { issuer: first, pathLength: 0 });
    accepts([server('ee.test', { issuer: rolled }), rolled, first]);
    const below = ca('Sub CA', { issuer: rolled });
    refuses([server('ee.test', { issuer: below }), below, rolled, first], 'PATH_LENGTH_EXCEEDED', 1);
  });
});

describe('4.7 keyUsage', () => {
  it.each([
    ['4.7.1', true],
    ['4.7.2', false],
  ])('%s: without keyCertSign, critical: %s', (_, critical) => {
    refuses(chainOf({ extensions: replacing(keyUsage(KeyUsage.cRLSign, critical)) }), 'INVALID_CA', 1);
    accepts(chainOf({ extensions: replacing(keyUsage(KeyUsage.keyCertSign, critical)) }));
  });

  it('4.7.3: all of it not critical', () => {
    const usage = KeyUsage.keyCertSign | KeyUsage.cRLSign;
    accepts(chainOf({ extensions: replacing(keyUsage(usage, false)) }));
  });
});

/*
 * The user-initial-policy-set is any-policy and initial-explicit-policy is false: there is no policy that a TLS peer asks
 * for. So certificatePolicies and mappings can refuse nothing, and what could, being critical, is refused as not understood.
 */
describe('4.8 to 4.12 policies, by decision', () => {
  const policies = (...ids: string[]): ExtensionInput => ({
    oid: Oid.certificatePolicies,
    critical: true,
    value: sequence(...ids.map((id) => sequence(oid(id)))),
  });
  const ANY = '2.5.29.32.0';
  const constraint = (tag: number, critical: boolean): ExtensionInput => ({
    oid: '2.5.29.36',
    critical,
    value: sequence(implicit(tag, integer(0))),
  });
  const mappings = (critical: boolean): ExtensionInput => ({
    oid: '2.5.29.33',
    critical,
    value: sequence(sequence(oid('1.2.3.1'), oid('1.2.3.2'))),
  });
  const inhibitAnyPolicy: ExtensionInput = { oid: '2.5.29.54', critical: true, value: integer(0) };
  const withBoth = (ofCa: ExtensionInput[], ofEntity: ExtensionInput[] = []): Identity[] =>
    chainOf({ extensions: replacing(...ofCa) }, { extensions: replacing(...ofEntity) });

  it('4.8: the same, different, any, or none at all: accepted', () => {
    accepts(withBoth([policies('1.2.3.1')], [policies('1.2.3.1')]));
    accepts(withBoth([policies('1.2.3.1')], [policies('1.2.3.2')]));
    accepts(withBoth([policies(ANY)], [policies('1.2.3.2')]));
    accepts(withBoth([policies('1.2.3.1')]));
  });

  it.each([
    ['4.9 requireExplicitPolicy', constraint(0, true)],
    ['4.11 inhibitPolicyMapping', constraint(1, true)],
    ['4.10 policyMappings', mappings(true)],
    ['4.12 inhibitAnyPolicy', inhibitAnyPolicy],
  ])('%s, critical: refused, whether a policy engine would or not', (_, extension) => {
    refuses(withBoth([extension]), 'UNHANDLED_CRITICAL_EXTENSION', 1);
  });

  it('the same not critical ask for nothing', () => {
    accepts(withBoth([mappings(false), constraint(0, false)]));
  });
});

describe('4.13 name constraints', () => {
  const inOrganization = (name: string) => encodeName([{ O: name }, { CN: 'ee' }]);
  const subtree = (name: string) => directoryName([{ O: name }]);
  const constrained = (
    constraints: ExtensionInput,
    names: Parameters<typeof subjectAltName>[0],
    subject = encodeName([]),
  ): Identity[] =>
    chainOf(
      { extensions: replacing(constraints) },
      {
        subject,
        extensions: names.length === 0 ? without(Oid.subjectAltName) : replacing(subjectAltName(names)),
      },
    );

  it('directoryName: permitted (4.13.1, 4.13.2), excluded (4.13.3, 4.13.6)', () => {
    const permitted = nameConstraints([subtree('in')], []);
    accepts(constrained(permitted, [], inOrganization('in')));
    refuses(constrained(permitted, [], inOrganization('out')), 'PERMITTED_VIOLATION');
    const excluded = nameConstraints([], [subtree('out')]);
    accepts(constrained(excluded, [], inOrganization('in')));
    refuses(constrained(excluded, [], inOrganization('out')), 'EXCLUDED_VIOLATION');
  });

  it('excluded within permitted (4.13.10)', () => {
    const both = nameConstraints([subtree('in')], [directoryName([{ O: 'in' }, { OU: 'secret' }])]);
    accepts(constrained(both, [], inOrganization('in')));
    refuses(constrained(both, [], encodeName([{ O: 'in' }, { OU: 'secret' }])), 'EXCLUDED_VIOLATION');
  });

  it('dNSName (4.13.30 to 4.13.33, 4.13.38)', () => {
    const permitted = nameConstraints([dnsName('in.test')], []);
    accepts(constrained(permitted, [dnsName('www.in.test')]));
    refuses(constrained(permitted, [dnsName('mytestin.test')]), 'PERMITTED_VIOLATION');
    const excluded = nameConstraints([], [dnsName('out.test')]);
    accepts(constrained(excluded, [dnsName('www.in.test')]));
    refuses(constrained(excluded, [dnsName('www.out.test')]), 'EXCLUDED_VIOLATION');
  });

  it('rfc822Name (4.13.21 to 4.13.29) and URI (4.13.34 to 4.13.37), by decision: such names are refused, others not', () => {
    for (const [constraint, name] of [
      [emailAddress('in.test'), emailAddress('me@in.test')],
      [uri('in.test'), uri('https://in.test/')],
    ] as const) {
      for (const extension of [nameConstraints([constraint], []), nameConstraints([], [constraint])]) {
        refuses(constrained(extension, [name]), 'NAME_CONSTRAINTS_WITHOUT_PROOF');
        accepts(constrained(extension, [dnsName('in.test')]));
      }
    }
  });

  it('self-issued CAs are excepted, end entities are not (4.13.19, 4.13.20)', () => {
    const name = encodeName([{ O: 'out' }]);
    const first = ca('first', {
      issuer: anchor,
      subject: name,
      extensions: replacing(nameConstraints([subtree('in')], [])),
    });
    const rolled = ca('rolled', { issuer: first, subject: name });
    const entity = (subject: Uint8Array) =>
      server('ee', { issuer: rolled, subject, extensions: without(Oid.subjectAltName) });
    accepts([entity(inOrganization('in')), rolled, first]);
    refuses([entity(name), rolled, first], 'PERMITTED_VIOLATION');
  });
});

describe('4.16 private extensions', () => {
  const unknown = (critical: boolean): ExtensionInput => ({
    oid: '2.16.840.1.101.2.1.12.2',
    critical,
    value: explicit(0, octetString(nullValue())),
  });
  it('unknown ones do no harm (4.16.1) unless they are critical (4.16.2)', () => {
    accepts(chainOf({}, { extensions: replacing(unknown(false)) }));
    refuses(chainOf({}, { extensions: replacing(unknown(true)) }), 'UNHANDLED_CRITICAL_EXTENSION');
  });
});

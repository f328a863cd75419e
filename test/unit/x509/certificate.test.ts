import { X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { Oid } from '../../../src/der/oids.ts';
import { decodePemBlocks } from '../../../src/der/pem.ts';
import { Tag } from '../../../src/der/tags.ts';
import {
  bitString,
  boolean,
  type Der,
  encodeDer,
  explicit,
  generalizedTime,
  integer,
  nullValue,
  octetString,
  oid,
  primitive,
  sequence,
  utcTime,
} from '../../../src/der/writer.ts';
import { CertificateError, DecodeError } from '../../../src/errors/errors.ts';
import { Certificate, MAX_CERTIFICATE_BYTES } from '../../../src/x509/certificate.ts';
import { KeyUsage } from '../../../src/x509/extensions.ts';
import {
  directoryName,
  dnsName,
  type ExtensionInput,
  emailAddress,
  extKeyUsage,
  ipAddress,
  keyUsage,
  nameConstraints,
  prepareCertificate,
  subjectAltName,
  uri,
} from '../../../src/x509/issue.ts';
import { peerCertificateFields } from '../../../src/x509/peer-certificate.ts';
import { encodeSignatureAlgorithm } from '../../../src/x509/signature-algorithm.ts';
import { ca, type IdentityOptions, NOW, replacing, server, without } from './pki.ts';

const withExtensions = (...extensions: ExtensionInput[]) =>
  server('a.example', { extensions: replacing(...extensions) });
const parse = (options: IdentityOptions) => () => {
  const { der } = server('a.example', options);
  Certificate.parse(der).checkWellFormed();
};
const expectMalformed = (run: () => unknown, reason?: RegExp) => {
  let thrown: unknown;
  try {
    run();
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(CertificateError);
  expect(thrown).toMatchObject({ code: 'CERT_MALFORMED', alert: 'bad_certificate' });
  expect((thrown as Error).cause).toBeInstanceOf(DecodeError);
  if (reason !== undefined) expect((thrown as Error).message).toMatch(reason);
};

describe('Certificate.parse', () => {
  it('finds everything that it was issued with', () => {
    const root = ca('Root', { pathLength: 2 });
    const leaf = server('www.example.com', {
      issuer: root,
      input: { serial: 0xab_cdef },
      extensions: replacing(
        subjectAltName([
          dnsName('www.example.com'),
          ipAddress(Uint8Array.of(192, 0, 2, 1)),
          emailAddress('a@example.com'),
          uri('https://example.com/'),
          directoryName([{ CN: 'alias' }]),
          encodeDer(explicit(0, sequence(oid('1.2.3.4'), explicit(0, integer(1))))),
        ]),
      ),
    }).certificate;
    expect(leaf.version).toBe(3);
    expect(leaf.serialHex).toBe('ABCDEF');
    expect(leaf.subject.toString()).toBe('CN=www.example.com');
    expect(leaf.issuer.equals(root.certificate.subject)).toBe(true);
    expect(leaf.notBefore).toBe(NOW - 30 * 86_400_000);
    expect(leaf.notAfter).toBe(NOW + 30 * 86_400_000);
    expect(leaf.signatureAlgorithm).toMatchObject({
      name: 'ecdsaWithSHA256',
      algorithm: { kind: 'ecdsa', hash: 'sha256' },
    });
    expect(leaf.basicConstraints).toEqual({ ca: false, pathLength: undefined });
    expect(leaf.keyUsage).toBe(KeyUsage.digitalSignature);
    expect(leaf.extKeyUsage).toEqual([Oid.serverAuth]);
    expect(leaf.authorityKeyIdentifier).toEqual(root.certificate.subjectKeyIdentifier);
    expect(leaf.subjectAltNames.map((name) => name.kind)).toEqual([
      'dns',
      'ip',
      'email',
      'uri',
      'directory',
      'other',
    ]);
    expect(leaf.unknownCriticalExtensions).toEqual([]);
    expect(leaf.isSelfIssued).toBe(false);
    expect(leaf.extension(Oid.subjectAltName)?.critical).toBe(false);
    expect(root.certificate.basicConstraints).toEqual({ ca: true, pathLength: 2 });
    expect(root.certificate.isSelfIssued).toBe(true);
  });

  it('owns its bytes: a reused receive buffer changes nothing', () => {
    const { der } = server('a.example');
    const buffer = Buffer.from(der);
    const certificate = Certificate.parse(buffer);
    buffer.fill(0);
    expect(certificate.raw).toEqual(der);
    expect(certificate.subject.toString()).toBe('CN=a.example');
  });

  it('agrees with node:crypto about every trust anchor that Node brings', () => {
    for (const pem of tls.rootCertificates) {
      const [der] = decodePemBlocks(pem, 'CERTIFICATE');
      const ours = Certificate.parse(der as Uint8Array);
      ours.checkWellFormed();
      const node = new X509Certificate(pem);
      expect(BigInt(`0x${ours.serialHex}`)).toBe(BigInt(`0x${node.serialNumber}`));
      expect(ours.basicConstraints?.ca ?? false).toBe(node.ca);
      const fields = peerCertificateFields(ours);
      expect(fields.valid_from).toBe(node.validFrom);
      expect(fields.valid_to).toBe(node.validTo);
      expect(Buffer.from(ours.spki)).toEqual(node.publicKey.export({ type: 'spki', format: 'der' }));
    }
  });

  it('remembers critical extensions that it does not know', () => {
    const policyConstraints = '2.5.29.36';
    const { certificate } = withExtensions(
      { oid: '1.2.3.4', critical: true, value: nullValue() },
      { oid: policyConstraints, critical: true, value: nullValue() },
      { oid: '1.2.3.5', critical: false, value: nullValue() },
      { oid: Oid.certificatePolicies, critical: true, value: sequence(sequence(oid('1.2.3'))) },
    );
    expect(certificate.unknownCriticalExtensions).toEqual(['1.2.3.4', policyConstraints]);
  });

  describe('refuses', () => {
    const right = ca('Root');
    const algorithm = encodeSignatureAlgorithm(right.algorithm);
    const build = (...fields: Der[]) =>
      encodeDer(sequence(sequence(...fields), algorithm, bitString(new Uint8Array(70))));
    const validity = sequence(utcTime(NOW), utcTime(NOW));
    const version3 = explicit(0, integer(2));
    const name = right.subject;
    const extension = explicit(3, sequence(sequence(oid('1.2.3'), octetString(nullValue()))));

    it('nothing in the frame these tests use', () => {
      const certificate = Certificate.parse(
        build(version3, integer(1), algorithm, name, validity, name, right.spki, extension),
      );
      expect(certificate.version).toBe(3);
      expect(Certificate.parse(build(integer(1), algorithm, name, validity, name, right.spki)).version).toBe(
        1,
      );
      const ids = [primitive(0x81, Uint8Array.of(0, 1)), primitive(0x82, Uint8Array.of(0, 2))];
      expect(
        Certificate.parse(
          build(explicit(0, integer(1)), integer(1), algorithm, name, validity, name, right.spki, ...ids),
        ).version,
      ).toBe(2);
    });

    it.each<[string, () => Der[]]>([
      [
        'version 1 written out',
        () => [explicit(0, integer(0)), integer(1), algorithm, name, validity, name, right.spki],
      ],
      ['version 4', () => [explicit(0, integer(3)), integer(1), algorithm, name, validity, name, right.spki]],
      ['negative serial', () => [version3, integer(-5), algorithm, name, validity, name, right.spki]],
      [
        'serial of 22 bytes',
        () => [version3, integer(2n ** 170n), algorithm, name, validity, name, right.spki],
      ],
      ['extensions in version 1', () => [integer(1), algorithm, name, validity, name, right.spki, extension]],
      [
        'extensions in version 2',
        () => [explicit(0, integer(1)), integer(1), algorithm, name, validity, name, right.spki, extension],
      ],
      [
        'unique identifiers in version 1',
        () => [integer(1), algorithm, name, validity, name, right.spki, primitive(0x81, Uint8Array.of(0))],
      ],
      [
        'empty extensions',
        () => [version3, integer(1), algorithm, name, validity, name, right.spki, explicit(3, sequence())],
      ],
      [
        'a field too many',
        () => [version3, integer(1), algorithm, name, validity, name, right.spki, extension, nullValue()],
      ],
      ['no validity', () => [version3, integer(1), algorithm, name, sequence(), name, right.spki]],
      [
        'three times',
        () => [
          version3,
          integer(1),
          algorithm,
          name,
          sequence(utcTime(0), utcTime(0), utcTime(0)),
          name,
          right.spki,
        ],
      ],
      ['no key', () => [version3, integer(1), algorithm, name, validity, name]],
    ])('%s', (_, fields) => {
      expectMalformed(() => Certificate.parse(build(...fields())));
    });

    it('two signature algorithms (RFC 5280 §4.1.1.2)', () => {
      const prepared = prepareCertificate(
        { subject: name, issuer: name, publicKeySpki: right.spki, serial: 1, notBefore: NOW, notAfter: NOW },
        { kind: 'ecdsa', hash: 'sha256' },
        { kind: 'ecdsa', hash: 'sha384' },
      );
      expectMalformed(
        () => Certificate.parse(prepared.finish(new Uint8Array(70))),
        /differs from the one that is signed/,
      );
    });

    it('an extension twice (RFC 5280 §4.2)', () => {
      expectMalformed(parse({ extensions: (r) => [...r, keyUsage(1)] }), /extension 2.5.29.15 twice/);
      expectMalformed(
        parse({ extensions: () => [1, 2].map(() => ({ oid: '1.2.3', value: nullValue() })) }),
        /extension 1.2.3 twice/,
      );
    });

    it('more extensions than the bound', () => {
      const many = (n: number) =>
        Array.from({ length: n }, (_, i) => ({ oid: `1.2.3.${i}`, value: nullValue() }));
      expect(parse({ extensions: () => many(64) })).not.toThrow();
      expectMalformed(parse({ extensions: () => many(65) }), /more than 64/);
    });

    it('a certificate above the size bound', () => {
      const big = (length: number) =>
        parse({ extensions: () => [{ oid: '1.2.3', value: new Uint8Array(length) }] });
      expect(big(MAX_CERTIFICATE_BYTES - 1000)).not.toThrow();
      expectMalformed(big(MAX_CERTIFICATE_BYTES), /at most 65536/);
    });

    it('bytes after the certificate, and a certificate that is cut off', () => {
      expectMalformed(() => Certificate.parse(Uint8Array.from([...right.der, 0])));
      expectMalformed(() => Certificate.parse(right.der.subarray(0, -1)));
      expectMalformed(() => Certificate.parse(new Uint8Array(0)));
    });

    it('a signature that is not whole bytes', () => {
      const tbs = right.certificate.tbs;
      expectMalformed(() =>
        Certificate.parse(encodeDer(sequence(tbs, algorithm, bitString(Uint8Array.of(0xf0), 4)))),
      );
    });

    it.each<[string, ExtensionInput]>([
      ['basicConstraints: empty', { oid: Oid.basicConstraints, value: new Uint8Array(0) }],
      [
        'basicConstraints: negative pathLenConstraint',
        { oid: Oid.basicConstraints, value: sequence(boolean(true), integer(-1)) },
      ],
      ['basicConstraints: bytes after it', { oid: Oid.basicConstraints, value: Uint8Array.of(0x30, 0, 0) }],
      [
        'basicConstraints: a third field',
        { oid: Oid.basicConstraints, value: sequence(boolean(true), integer(1), nullValue()) },
      ],
      ['keyUsage: no BIT STRING', { oid: Oid.keyUsage, value: octetString(Uint8Array.of(1)) }],
      ['extKeyUsage: empty (SIZE 1..MAX)', extKeyUsage([])],
      ['extKeyUsage: too many', extKeyUsage(Array.from({ length: 65 }, (_, i) => `1.2.3.${i}`))],
      ['subjectAltName: empty (SIZE 1..MAX)', subjectAltName([])],
      ['subjectAltName: text', { oid: Oid.subjectAltName, value: Buffer.from('www.example.com') }],
      ['subjectAltName: iPAddress of 8 bytes', subjectAltName([ipAddress(new Uint8Array(8))])],
      ['subjectAltName: iPAddress of 5 bytes', subjectAltName([ipAddress(new Uint8Array(5))])],
      [
        'subjectAltName: dNSName that is not ASCII',
        subjectAltName([primitive(0x82, Buffer.from('é.example'))]),
      ],
      ['subjectAltName: unknown kind', subjectAltName([primitive(0x89, new Uint8Array(1))])],
      [
        'subjectAltName: broken directoryName',
        subjectAltName([explicit(4, primitive(0x30, Uint8Array.of(0x31, 0)))]),
      ],
      ['subjectAltName: too many', subjectAltName(Array.from({ length: 2049 }, () => dnsName('a')))],
      ['nameConstraints: empty', nameConstraints([], [])],
      [
        'nameConstraints: NULL subtrees',
        { oid: Oid.nameConstraints, value: sequence(primitive(0x80, new Uint8Array(0))) },
      ],
      [
        'nameConstraints: empty subtrees',
        { oid: Oid.nameConstraints, value: Uint8Array.of(0x30, 4, 0xa0, 0, 0xa1, 0) },
      ],
      [
        'nameConstraints: iPAddress without mask',
        nameConstraints([ipAddress(Uint8Array.of(192, 0, 2, 0))], []),
      ],
      [
        'nameConstraints: mask with a hole',
        nameConstraints([ipAddress(Uint8Array.of(192, 0, 2, 0, 255, 0, 255, 0))], []),
      ],
      ['nameConstraints: wildcard', nameConstraints([dnsName('*.example.com')], [])],
      [
        'nameConstraints: minimum',
        {
          oid: Oid.nameConstraints,
          value: sequence(explicit(0, sequence(dnsName('example.com'), primitive(0x80, Uint8Array.of(1))))),
        },
      ],
      [
        'subjectKeyIdentifier: too long',
        { oid: Oid.subjectKeyIdentifier, value: octetString(new Uint8Array(65)) },
      ],
      [
        'authorityKeyIdentifier: no SEQUENCE',
        { oid: Oid.authorityKeyIdentifier, value: octetString(new Uint8Array(20)) },
      ],
    ])('%s', (_, extension) => {
      expectMalformed(parse({ extensions: replacing(extension) }));
    });

    it('a malformed subject, when it is looked at', () => {
      expectMalformed(parse({ subject: encodeDer(sequence(primitive(Tag.set, new Uint8Array(0)))) }));
    });
  });

  it('takes an explicit FALSE, which is not DER but in use', () => {
    const { certificate } = withExtensions({ oid: Oid.basicConstraints, value: sequence(boolean(false)) });
    expect(certificate.basicConstraints).toEqual({ ca: false, pathLength: undefined });
  });

  it('takes serial zero and GeneralizedTime before 2050, which public trust anchors have', () => {
    expect(server('a', { input: { serial: 0 } }).certificate.serialHex).toBe('00');
    expect(server('a', { input: { notBefore: generalizedTime(NOW) } }).certificate.notBefore).toBe(NOW);
  });

  it('takes 20 bytes of serial, the first with its high bit set (RFC 5280 §4.1.2.2)', () => {
    const serial = new Uint8Array(20).fill(0xff);
    expect(server('a', { input: { serial } }).certificate.serialHex).toBe('FF'.repeat(20));
  });

  it('is without optional extensions when there are none', () => {
    const { certificate } = server('a', { extensions: without('*'), input: { extensions: [] } });
    expect(certificate.basicConstraints).toBeUndefined();
    expect(certificate.subjectAltNames).toEqual([]);
    expect(certificate.nameConstraints).toBeUndefined();
  });
});

describe('peerCertificateFields', () => {
  it('is what node:crypto shows of the same certificate', () => {
    const leaf = server('www.example.com', {
      issuer: ca('Root'),
      subject: [{ C: 'FR' }, { O: 'Example, Inc.' }, { OU: 'one' }, { OU: 'two' }, { CN: 'www.example.com' }],
      hosts: ['www.example.com', '*.example.org', '192.0.2.1', '2001:db8::1'],
    });
    const node = new X509Certificate(leaf.der).toLegacyObject() as unknown as Record<string, unknown>;
    const ours = peerCertificateFields(leaf.certificate);
    expect({ ...ours.subject }).toEqual({ ...(node.subject as object) });
    expect({ ...ours.issuer }).toEqual({ ...(node.issuer as object) });
    expect(ours.valid_from).toBe(node.valid_from);
    expect(ours.valid_to).toBe(node.valid_to);
    expect(ours.serialNumber).toBe(node.serialNumber);
    expect(ours.ext_key_usage).toEqual(node.ext_key_usage);
    expect(ours.ca).toBe(node.ca);
    expect(ours.subjectaltname?.replace('2001:db8::1', '2001:DB8:0:0:0:0:0:1')).toBe(node.subjectaltname);
  });

  it('one name stays one name (CVE-2021-44532)', () => {
    const { certificate } = withExtensions(
      subjectAltName([dnsName('a.example, DNS:b.example'), uri('x\u0000y')]),
    );
    expect(peerCertificateFields(certificate).subjectaltname).toBe(
      'DNS:"a.example, DNS:b.example", URI:"x\\u0000y"',
    );
  });

  it('attributes cannot reach a prototype', () => {
    expect(Object.getPrototypeOf(peerCertificateFields(server('a').certificate).subject)).toBeNull();
  });
});

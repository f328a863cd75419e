import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { Oid } from '../../../src/der/oids.ts';
import { decodePem, encodePem } from '../../../src/der/pem.ts';
import { DecodeError } from '../../../src/errors/errors.ts';
import { Certificate } from '../../../src/x509/certificate.ts';
import { KeyUsage } from '../../../src/x509/extensions.ts';
import { keyIdentifier, prepareCertificate } from '../../../src/x509/issue.ts';
import { certificatesFromPem, TrustStore } from '../../../src/x509/trust-store.ts';
import { ca, client, NOW, newKey, server, sign } from './pki.ts';

describe('issueCertificate', () => {
  it.each(['p256', 'p384', 'ed25519', 'rsa2048', 'rsa-pss'] as const)(
    'node:crypto verifies what a %s key signs',
    (kind) => {
      const root = ca('Root', { kind });
      const leaf = new X509Certificate(server('www.example.com', { issuer: root }).der);
      const issuer = new X509Certificate(root.der);
      expect(leaf.verify(issuer.publicKey)).toBe(true);
      expect(leaf.checkIssued(issuer)).toBe(true);
      expect(leaf.checkHost('www.example.com')).toBe('www.example.com');
      expect(issuer.ca).toBe(true);
    },
  );

  it('makes clients fit for TLS and for CMS', () => {
    const { certificate } = client('someone');
    expect(certificate.extKeyUsage).toEqual([Oid.clientAuth, Oid.emailProtection]);
    expect(certificate.keyUsage).toBe(KeyUsage.digitalSignature | KeyUsage.nonRepudiation);
    expect(certificate.basicConstraints?.ca).toBe(false);
  });

  it('in two halves, for a signature that comes later', () => {
    const key = newKey();
    const prepared = prepareCertificate(
      {
        subject: [{ CN: 'a' }],
        issuer: [{ CN: 'a' }],
        publicKeySpki: key.spki,
        serial: 1,
        notBefore: NOW,
        notAfter: NOW,
      },
      key.algorithm,
    );
    const der = prepared.finish(sign(key, key.algorithm, prepared.tbs));
    expect(Certificate.parse(der).tbs).toEqual(prepared.tbs);
    expect(new X509Certificate(der).verify(new X509Certificate(der).publicKey)).toBe(true);
  });

  it('key identifiers are 160 bits of SHA-256 (RFC 7093 §2)', () => {
    const { spki } = newKey();
    expect(keyIdentifier(nodeCrypto, spki)).toEqual(nodeCrypto.digest('sha256', spki).subarray(0, 20));
  });
});

describe('TrustStore', () => {
  const [a, b] = [ca('A'), ca('B')];
  const pem = [a, b, a].map(({ der }) => encodePem('CERTIFICATE', der)).join('\n');

  it('reads a PEM bundle, each certificate once', () => {
    const store = TrustStore.fromPem(pem);
    expect(store.anchors.map(String)).toEqual(['CN=A', 'CN=B']);
    expect(store.includes(a.certificate)).toBe(true);
    expect(store.includes(ca('A').certificate)).toBe(false);
    expect(store.findBySubject(b.certificate.subject).map(String)).toEqual(['CN=B']);
    expect(store.findBySubject(ca('C').certificate.subject)).toEqual([]);
    expect(certificatesFromPem(pem)).toHaveLength(3);
  });

  it('says what is wrong with it', () => {
    expect(() => TrustStore.fromPem('')).toThrow(DecodeError);
    expect(() => TrustStore.fromPem('')).toThrow(/no CERTIFICATE block found/);
    const broken = pem + encodePem('CERTIFICATE', a.der.subarray(1));
    expect(() => TrustStore.fromPem(broken)).toThrow(
      expect.objectContaining({
        code: 'CERT_MALFORMED',
        message: expect.stringMatching(/^CERTIFICATE block 4: /),
      }),
    );
  });

  it('PEM is what node:crypto writes', () => {
    expect(encodePem('CERTIFICATE', a.der)).toBe(new X509Certificate(a.der).toString());
    expect(decodePem(new X509Certificate(a.der).toString())[0]?.bytes).toEqual(a.der);
  });
});

describe('imports', () => {
  it('verification never reaches the file that issues', () => {
    const seen = new Set<string>();
    const visit = (url: URL): void => {
      if (seen.has(url.pathname)) return;
      seen.add(url.pathname);
      for (const [, path] of readFileSync(url, 'utf8').matchAll(/from '(\.[^']+)'/g))
        visit(new URL(path as string, url));
    };
    visit(new URL('../../../src/x509/verify.ts', import.meta.url));
    const files = [...seen].map((path) => path.slice(path.lastIndexOf('/src/')));
    expect(files).toContain('/src/x509/path.ts');
    expect(files).not.toContain('/src/x509/issue.ts');
  });
});

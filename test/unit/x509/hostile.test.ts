import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { CertificateError } from '../../../src/errors/errors.ts';
import { Certificate } from '../../../src/x509/certificate.ts';
import {
  directoryName,
  dnsName,
  emailAddress,
  ipAddress,
  nameConstraints,
  subjectAltName,
  uri,
} from '../../../src/x509/issue.ts';
import { peerCertificateFields } from '../../../src/x509/peer-certificate.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import { acceptUnverified, verifyPeer } from '../../../src/x509/verify.ts';
import { ca, NOW, replacing, server } from './pki.ts';

/** Whatever a peer sends, the answer is a certificate, a proof, or a CertificateError. */

const root = ca('Root', {
  extensions: (right) => [
    ...right,
    nameConstraints([dnsName('example')], [ipAddress(new Uint8Array(8)), uri('x'), emailAddress('y')]),
  ],
});
const issuer = ca('Issuer', { issuer: root, subject: [{ C: 'FR' }, { O: 'Ex', OU: 'y' }, { CN: 'Issuer' }] });
const leaf = server('a.example', {
  issuer,
  extensions: replacing(subjectAltName([dnsName('a.example'), directoryName([{ CN: 'x' }])])),
});
const trust = new TrustStore([root.certificate]);
const name = { kind: 'dns', name: 'a.example' } as const;

const orCertificateError = (run: () => unknown): boolean => {
  try {
    run();
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(CertificateError);
    return false;
  }
};

/** Everything that looks at a certificate. */
const look = (der: Uint8Array): void => {
  orCertificateError(() => {
    const certificate = Certificate.parse(der);
    String(certificate);
    certificate.serialHex;
    peerCertificateFields(certificate);
    void certificate.isSelfIssued;
    new TrustStore([certificate]).includes(certificate);
  });
  orCertificateError(() =>
    acceptUnverified(nodeCrypto, [der], new CertificateError('CERT_REJECTED', 'test')),
  );
};

type Edit = readonly [at: number, kind: number, value: number];

const edit = (der: Uint8Array, edits: readonly Edit[]): Uint8Array => {
  let bytes = [...der];
  for (const [at, kind, value] of edits) {
    const i = at % bytes.length;
    if (kind === 0) bytes[i] = value;
    else if (kind === 1) bytes[i] = (bytes[i] as number) ^ (1 << (value & 7));
    else if (kind === 2) bytes.splice(i, 1);
    else if (kind === 3) bytes.splice(i, 0, value);
    else bytes = bytes.slice(0, Math.max(1, i));
  }
  return Uint8Array.from(bytes);
};

describe('hostile certificates', () => {
  it('the frame of these tests is right', () => {
    verifyPeer(nodeCrypto, [leaf.der, issuer.der], { purpose: 'server', trust, now: NOW, name });
  });

  it('cut off anywhere', () => {
    for (const { der } of [leaf, issuer, root]) {
      for (let length = 0; length < der.length; length++) {
        expect(orCertificateError(() => Certificate.parse(der.subarray(0, length)))).toBe(false);
      }
    }
  });

  it('with any bit turned: never accepted, never a crash', { timeout: 60_000 }, () => {
    for (let at = 0; at < leaf.der.length; at++) {
      for (const mask of [0x01, 0x20, 0x80]) {
        const changed = Uint8Array.from(leaf.der);
        changed[at] = (changed[at] as number) ^ mask;
        look(changed);
        const options = { purpose: 'server', trust, now: NOW, name } as const;
        expect(orCertificateError(() => verifyPeer(nodeCrypto, [changed, issuer.der], options))).toBe(false);
      }
    }
  });

  it('changed at random', () => {
    const edits = fc.array(fc.tuple(fc.nat(2000), fc.nat(4), fc.nat(255)), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(fc.constantFrom(leaf.der, issuer.der, root.der), edits, (der, changes) => {
        const changed = edit(der, changes);
        look(changed);
        for (const chain of [
          [changed, issuer.der],
          [leaf.der, changed],
          [leaf.der, changed, issuer.der],
        ]) {
          orCertificateError(() =>
            verifyPeer(nodeCrypto, chain, { purpose: 'server', trust, now: NOW, name }),
          );
        }
      }),
      { numRuns: 600 },
    );
  });

  it('random bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        look(bytes);
        expect(orCertificateError(() => Certificate.parse(bytes))).toBe(false);
      }),
    );
  });

  it('changed contents under a valid signature', () => {
    const edits = fc.array(fc.tuple(fc.nat(2000), fc.nat(3), fc.nat(255)), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(edits, (changes) => {
        const extensions = (right: Parameters<ReturnType<typeof replacing>>[0]) =>
          right.map((extension, i) =>
            i === (changes[0]?.[0] ?? 0) % right.length
              ? { ...extension, value: edit(extensionValue(leaf.certificate, extension.oid), changes) }
              : extension,
          );
        const changed = server('a.example', { issuer, key: leaf, extensions });
        look(changed.der);
        orCertificateError(() =>
          verifyPeer(nodeCrypto, [changed.der, issuer.der], { purpose: 'server', trust, now: NOW, name }),
        );
      }),
      { numRuns: 300 },
    );
  });
});

function extensionValue(certificate: Certificate, oid: string): Uint8Array {
  return certificate.extension(oid)?.value ?? new Uint8Array(1);
}

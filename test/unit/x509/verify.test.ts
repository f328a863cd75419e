import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { encodeName } from '../../../src/der/name.ts';
import { Oid } from '../../../src/der/oids.ts';
import { nullValue } from '../../../src/der/writer.ts';
import { CertificateError } from '../../../src/errors/errors.ts';
import { KeyUsage } from '../../../src/x509/extensions.ts';
import { basicConstraints, type ExtensionInput, extKeyUsage, keyUsage } from '../../../src/x509/issue.ts';
import { referenceName } from '../../../src/x509/names.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import { acceptUnverified, UnverifiedPeer, VerifiedPeer, verifyPeer } from '../../../src/x509/verify.ts';
import { expectPath, expectRefused, verify } from './expect.ts';
import { ca, client, DAY, type Identity, NOW, newKey, replacing, server, without } from './pki.ts';

const root = ca('Root');
const intermediate = ca('Intermediate', { issuer: root, pathLength: 0 });
const leaf = server('www.example.com', { issuer: intermediate });
const trust = [root];
const chain = [leaf, intermediate];

/** A leaf under an intermediate that has other extensions than it should. */
const under = (...extensions: ExtensionInput[]): Identity[] => {
  const issuer = ca('Intermediate', { issuer: root, extensions: replacing(...extensions) });
  return [server('www.example.com', { issuer }), issuer];
};
const leafWith = (...extensions: ExtensionInput[]): Identity =>
  server('www.example.com', { issuer: root, extensions: replacing(...extensions) });

describe('a right path', () => {
  it('is found and proven', () => {
    const peer = expectPath({ chain, trust, name: referenceName('www.example.com') }, [
      leaf,
      intermediate,
      root,
    ]);
    expect(peer).toBeInstanceOf(VerifiedPeer);
    expect(VerifiedPeer.is(peer)).toBe(true);
    expect(peer).toMatchObject({ authorized: true, publicKey: { kind: 'ec', curve: 'P-256' } });
    expect(peer.publicKey.spki).toEqual(leaf.spki);
    expect(peer.name).toEqual({ kind: 'dns', name: 'www.example.com' });
  });

  it('for a client', () => {
    const person = client('someone', { issuer: intermediate });
    expectPath({ chain: [person, intermediate], trust, purpose: 'client' }, [person, intermediate, root]);
  });

  it('with the root sent too', () => {
    expectPath({ chain: [leaf, intermediate, root], trust }, [leaf, intermediate, root]);
  });

  it.each(['p256', 'p384', 'p521', 'ed25519', 'rsa2048', 'rsa-pss'] as const)('with %s keys', (kind) => {
    const anchor = ca('Root', { kind });
    const entity = server('www.example.com', { issuer: anchor, kind: kind === 'p521' ? 'p256' : kind });
    expectPath({ chain: [entity], trust: [anchor] }, [entity, anchor]);
  });

  it('whose names differ in case and spaces only (RFC 5280 §7.1)', () => {
    const issuerName = encodeName([{ CN: ' ROOT ' }]);
    const entity = server('www.example.com', { issuer: root, issuerName });
    expectPath({ chain: [entity], trust }, [entity, root]);
  });
});

describe('VerifiedPeer', () => {
  it('cannot be made by others', () => {
    const Anyone = VerifiedPeer as unknown as new (...args: unknown[]) => unknown;
    expect(() => new Anyone(Symbol('proven'), [leaf.certificate], {}, undefined)).toThrow(
      /comes from verifyPeer/,
    );
    expect(VerifiedPeer.is(Object.create(VerifiedPeer.prototype))).toBe(false);
    expect(VerifiedPeer.is({ ...verify({ chain, trust }) })).toBe(false);
    expect(Object.isFrozen(verify({ chain, trust }).path)).toBe(true);
  });
});

describe('paths without a trust anchor, with the codes of node:tls', () => {
  const other = ca('Other Root');

  it('the leaf alone, its issuer unknown', () => {
    expectRefused({ chain: [leaf], trust }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });

  it('the issuer of the intermediate unknown', () => {
    expectRefused({ chain, trust: [other] }, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 1);
  });

  it('a self-signed certificate', () => {
    expectRefused({ chain: [server('www.example.com')], trust }, 'DEPTH_ZERO_SELF_SIGNED_CERT');
  });

  it('a root that was sent and is not trusted', () => {
    expectRefused({ chain: [leaf, intermediate, root], trust: [other] }, 'SELF_SIGNED_CERT_IN_CHAIN', 2);
  });

  it('no trust anchor at all', () => {
    expectRefused({ chain, trust: [] }, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 1);
  });

  it('no certificate', () => {
    expectRefused({ chain: [], trust }, 'ERR_TLS_CERTIFICATE_REQUIRED');
  });

  it('tells what to do', () => {
    const error = expectRefused({ chain: [leaf], trust }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(error.message).toMatch(/CN=Intermediate.*trust anchor \(ca\).*send its intermediate/);
  });
});

describe('signatures', () => {
  it('a signature that was changed', () => {
    const forged = Uint8Array.from(leaf.der);
    forged[forged.length - 5] = (forged[forged.length - 5] as number) ^ 1;
    expectRefused({ chain: [forged, intermediate], trust }, 'CERT_SIGNATURE_FAILURE');
  });

  it('contents that were changed', () => {
    const forged = Uint8Array.from(leaf.der);
    const at = Buffer.from(forged).indexOf('www.example.com');
    forged[at] = 'x'.charCodeAt(0);
    expectRefused({ chain: [forged, intermediate], trust }, 'CERT_SIGNATURE_FAILURE');
  });

  it('an issuer with the right name and another key', () => {
    const impostor = ca('Root');
    expectRefused({ chain, trust: [impostor] }, 'CERT_SIGNATURE_FAILURE', 1);
  });

  it('an intermediate that vouches for itself', () => {
    const impostor = ca('Intermediate', { issuerName: root.subject });
    const victim = server('www.example.com', { issuer: impostor });
    expectRefused({ chain: [victim, impostor], trust }, 'CERT_SIGNATURE_FAILURE', 1);
  });

  it('an empty signature', () => {
    const entity = server('www.example.com', { issuer: root, signature: () => new Uint8Array(0) });
    expectRefused({ chain: [entity], trust }, 'CERT_SIGNATURE_FAILURE');
  });

  it('an algorithm that does not fit the key of the issuer', () => {
    const rsa = ca('RSA Root', { kind: 'rsa2048' });
    const entity = server('www.example.com', {
      issuer: { ...root, subject: rsa.subject, keyId: rsa.keyId },
    });
    expectRefused({ chain: [entity], trust: [rsa] }, 'CERT_SIGNATURE_FAILURE');
  });
});

describe('validity (RFC 5280 §4.1.2.5)', () => {
  const notBefore = NOW - DAY;
  const notAfter = NOW + DAY;
  const entity = server('www.example.com', { issuer: root, input: { notBefore, notAfter } });
  const at = (now: number) => ({ chain: [entity], trust, now });

  it('includes both ends, and all of the last second', () => {
    for (const now of [notBefore, NOW, notAfter, notAfter + 999]) verify(at(now));
  });

  it('not a millisecond before', () => {
    expectRefused(at(notBefore - 1), 'CERT_NOT_YET_VALID');
  });

  it('not a second after', () => {
    expectRefused(at(notAfter + 1000), 'CERT_HAS_EXPIRED');
  });

  it('at no time that is none', () => {
    for (const now of [Number.NaN, Number.NEGATIVE_INFINITY, -1e30])
      expectRefused(at(now), 'CERT_NOT_YET_VALID', 1);
    for (const now of [Number.POSITIVE_INFINITY, 1e30]) expectRefused(at(now), 'CERT_HAS_EXPIRED', 1);
  });

  it('of the intermediate and of the anchor', () => {
    const expired = { input: { notAfter: NOW - DAY } };
    const early = { input: { notBefore: NOW + DAY } };
    for (const [change, code] of [
      [expired, 'CERT_HAS_EXPIRED'],
      [early, 'CERT_NOT_YET_VALID'],
    ] as const) {
      const issuer = ca('Intermediate', { issuer: root, ...change });
      expectRefused({ chain: [server('a', { issuer }), issuer], trust }, code, 1);
      const anchor = ca('Root', change);
      expectRefused({ chain: [server('a', { issuer: anchor })], trust: [anchor] }, code, 1);
    }
  });
});

describe('basicConstraints and keyUsage of issuers', () => {
  it('an issuer that is no CA', () => {
    expectRefused({ chain: under(basicConstraints(false)), trust }, 'INVALID_CA', 1);
  });

  it('an issuer without basicConstraints', () => {
    const issuer = ca('Intermediate', { issuer: root, extensions: without(Oid.basicConstraints) });
    expectRefused({ chain: [server('a', { issuer }), issuer], trust }, 'INVALID_CA', 1);
  });

  it('a server that issues', () => {
    const stolen = server('evil.example', { issuer: leaf });
    expectRefused({ chain: [stolen, leaf, intermediate], trust }, 'INVALID_CA', 1);
  });

  it('basicConstraints that are not critical are honoured', () => {
    verify({ chain: under(basicConstraints(true, undefined, false)), trust });
    expectRefused({ chain: under(basicConstraints(false, undefined, false)), trust }, 'INVALID_CA', 1);
  });

  it('keyUsage without keyCertSign', () => {
    expectRefused({ chain: under(keyUsage(KeyUsage.cRLSign)), trust }, 'INVALID_CA', 1);
    verify({ chain: under(keyUsage(KeyUsage.keyCertSign)), trust });
  });

  it('no keyUsage at all is no limit', () => {
    const issuer = ca('Intermediate', { issuer: root, extensions: without(Oid.keyUsage) });
    verify({ chain: [server('a', { issuer }), issuer], trust });
  });

  it('the same for the anchor', () => {
    const notCa = ca('Root', { extensions: replacing(basicConstraints(false)) });
    expectRefused({ chain: [server('a', { issuer: notCa })], trust: [notCa] }, 'INVALID_CA', 1);
    const noSign = ca('Root', { extensions: replacing(keyUsage(KeyUsage.cRLSign)) });
    expectRefused({ chain: [server('a', { issuer: noSign })], trust: [noSign] }, 'INVALID_CA', 1);
  });

  it('version 1: as an anchor it may issue, as an intermediate not', () => {
    const version1 = { extensions: () => [], input: { version: 1 as const } };
    const anchor = ca('Old Root', version1);
    verify({ chain: [server('a', { issuer: anchor })], trust: [anchor] });
    const issuer = ca('Old Intermediate', { issuer: root, ...version1 });
    expectRefused({ chain: [server('a', { issuer }), issuer], trust }, 'INVALID_CA', 1);
  });

  it('a version 3 anchor without basicConstraints may not', () => {
    const anchor = ca('Root', { extensions: without(Oid.basicConstraints) });
    expectRefused({ chain: [server('a', { issuer: anchor })], trust: [anchor] }, 'INVALID_CA', 1);
  });

  it('a CA may be the end entity', () => {
    const entity = ca('Sub CA', {
      issuer: root,
      extensions: (right) => [
        ...right.filter((e) => e.oid !== Oid.keyUsage),
        keyUsage(KeyUsage.keyCertSign | KeyUsage.digitalSignature),
      ],
    });
    verify({ chain: [entity], trust });
  });
});

describe('pathLenConstraint (RFC 5280 §4.2.1.9)', () => {
  const below = (issuer: Identity, pathLengths: (number | undefined)[]): Identity[] => {
    const cas: Identity[] = [];
    for (const [index, pathLength] of pathLengths.entries()) {
      const options = { issuer: cas[0] ?? issuer, ...(pathLength !== undefined && { pathLength }) };
      cas.unshift(ca(`CA ${index}`, options));
    }
    return [server('a', { issuer: cas[0] ?? issuer }), ...cas];
  };

  it.each([[[0]], [[1]], [[1, 0]], [[1, 5]], [[2, 1, 0]], [[undefined, undefined, 0]]])(
    '%j holds',
    (lengths) => {
      verify({ chain: below(root, lengths), trust });
    },
  );

  it.each([
    [[0, undefined], 1],
    [[0, 0], 1],
    [[1, 0, 0], 1],
    [[1, undefined, undefined], 1],
    [[0, undefined, undefined], 2],
  ])('%j is exceeded at depth %i', (lengths, depth) => {
    expectRefused({ chain: below(root, lengths), trust }, 'PATH_LENGTH_EXCEEDED', depth);
  });

  it('of the anchor', () => {
    const anchor = ca('Root', { pathLength: 0 });
    verify({ chain: below(anchor, []), trust: [anchor] });
    expectRefused({ chain: below(anchor, [undefined]), trust: [anchor] }, 'PATH_LENGTH_EXCEEDED', 1);
  });

  it('self-issued certificates do not count (§6.1.4 (l))', () => {
    const first = ca('CA', { issuer: root, pathLength: 1 });
    const rekeyed = ca('CA', { issuer: first, pathLength: 1 });
    const last = ca('CA 2', { issuer: rekeyed, pathLength: 0 });
    verify({ chain: [server('a', { issuer: last }), last, rekeyed, first], trust });
    const notSelfIssued = ca('CA 1', { issuer: first, pathLength: 1 });
    const tooDeep = ca('CA 2', { issuer: notSelfIssued, pathLength: 0 });
    expectRefused(
      { chain: [server('a', { issuer: tooDeep }), tooDeep, notSelfIssued, first], trust },
      'PATH_LENGTH_EXCEEDED',
      1,
    );
  });

  it('the end entity does not count, CA or not', () => {
    const last = ca('CA', { issuer: root, pathLength: 0 });
    const entity = ca('Sub CA', { issuer: last, extensions: replacing(keyUsage(KeyUsage.digitalSignature)) });
    verify({ chain: [entity, last], trust });
  });
});

describe('purposes', () => {
  it('of the end entity: a client is no server, nor the other way round', () => {
    expectRefused({ chain: [client('someone', { issuer: root })], trust }, 'INVALID_PURPOSE');
    expectRefused({ chain, trust, purpose: 'client' }, 'INVALID_PURPOSE');
    const both = leafWith(extKeyUsage([Oid.clientAuth, Oid.serverAuth]));
    verify({ chain: [both], trust });
    verify({ chain: [both], trust, purpose: 'client' });
  });

  it('no extKeyUsage allows both', () => {
    const any = server('a', { issuer: root, extensions: without(Oid.extKeyUsage) });
    verify({ chain: [any], trust });
    verify({ chain: [any], trust, purpose: 'client' });
  });

  it('anyExtendedKeyUsage: not enough for an end entity, no limit on an issuer', () => {
    expectRefused({ chain: [leafWith(extKeyUsage([Oid.anyExtendedKeyUsage]))], trust }, 'INVALID_PURPOSE');
    verify({ chain: under(extKeyUsage([Oid.anyExtendedKeyUsage])), trust });
  });

  it('extKeyUsage of an issuer limits what lies below', () => {
    verify({ chain: under(extKeyUsage([Oid.serverAuth])), trust });
    expectRefused({ chain: under(extKeyUsage([Oid.clientAuth])), trust }, 'INVALID_PURPOSE', 1);
    expectRefused({ chain: under(extKeyUsage([Oid.emailProtection])), trust }, 'INVALID_PURPOSE', 1);
    const anchor = ca('Root', { extensions: replacing(extKeyUsage([Oid.clientAuth])) });
    expectRefused({ chain: [server('a', { issuer: anchor })], trust: [anchor] }, 'INVALID_PURPOSE', 1);
  });

  it('keyUsage of the end entity allows signing (RFC 8446 §4.4.2.2)', () => {
    expectRefused({ chain: [leafWith(keyUsage(KeyUsage.keyEncipherment))], trust }, 'INVALID_PURPOSE');
    expectRefused({ chain: [leafWith(keyUsage(0))], trust }, 'INVALID_PURPOSE');
    verify({ chain: [leafWith(keyUsage(KeyUsage.digitalSignature | KeyUsage.keyEncipherment))], trust });
    verify({ chain: [server('a', { issuer: root, extensions: without(Oid.keyUsage) })], trust });
  });
});

describe('a signer of data', () => {
  const signer = (chain: readonly Identity[]) => ({ chain, trust, purpose: 'signer' as const });
  const person = (...extensions: ExtensionInput[]) =>
    client('someone', { issuer: root, extensions: replacing(...extensions) });

  it('has one of the purposes that signing has', () => {
    for (const purpose of [Oid.clientAuth, Oid.serverAuth, Oid.emailProtection, Oid.anyExtendedKeyUsage]) {
      verify(signer([person(extKeyUsage([purpose]))]));
    }
    expectRefused(signer([person(extKeyUsage([Oid.timeStamping]))]), 'INVALID_PURPOSE');
    verify(signer([client('someone', { issuer: root, extensions: without(Oid.extKeyUsage) })]));
  });

  it('may sign or commit to contents (RFC 8550 §4.4.2)', () => {
    verify(signer([person(keyUsage(KeyUsage.digitalSignature))]));
    verify(signer([person(keyUsage(KeyUsage.nonRepudiation))]));
    expectRefused(signer([person(keyUsage(KeyUsage.keyEncipherment))]), 'INVALID_PURPOSE');
    expectRefused(
      { ...signer([person(keyUsage(KeyUsage.nonRepudiation))]), purpose: 'client' },
      'INVALID_PURPOSE',
    );
  });

  it('under an issuer that is not limited to something else', () => {
    verify(signer(under(extKeyUsage([Oid.emailProtection]))));
    expectRefused(signer(under(extKeyUsage([Oid.codeSigning]))), 'INVALID_PURPOSE', 1);
  });
});

describe('critical extensions that are not understood (RFC 5280 §4.2)', () => {
  const unknown: ExtensionInput = { oid: '1.3.6.1.4.1.55738.666.1', critical: true, value: nullValue() };

  it('in the leaf, the intermediate, the anchor', () => {
    expectRefused({ chain: [leafWith(unknown)], trust }, 'UNHANDLED_CRITICAL_EXTENSION');
    expectRefused({ chain: under(unknown), trust }, 'UNHANDLED_CRITICAL_EXTENSION', 1);
    const anchor = ca('Root', { extensions: replacing(unknown) });
    expectRefused(
      { chain: [server('a', { issuer: anchor })], trust: [anchor] },
      'UNHANDLED_CRITICAL_EXTENSION',
      1,
    );
  });

  it('but not elsewhere, and not when they are not critical', () => {
    verify({ chain: [leafWith({ ...unknown, critical: false })], trust });
    const unrelated = ca('Unrelated', { extensions: replacing(unknown) });
    verify({ chain: [...chain, unrelated], trust: [root, unrelated] });
  });

  it('a precertificate (RFC 6962 §3.1) is none', () => {
    const poison: ExtensionInput = { oid: '1.3.6.1.4.1.11129.2.4.3', critical: true, value: nullValue() };
    expectRefused({ chain: [leafWith(poison)], trust }, 'UNHANDLED_CRITICAL_EXTENSION');
  });
});

describe('names that certificates must have', () => {
  it('an empty issuer (RFC 5280 §4.1.2.4)', () => {
    const nameless = ca('', { subject: encodeName([]) });
    const entity = server('www.example.com', { issuer: nameless });
    expectRefused({ chain: [entity], trust: [nameless] }, 'CERT_MALFORMED', 1);
  });

  it('an empty subject is fine for an end entity', () => {
    const entity = server('', { issuer: root, subject: encodeName([]), hosts: ['www.example.com'] });
    verify({ chain: [entity], trust, name: referenceName('www.example.com') });
  });

  it('the server name is checked after the path', () => {
    const name = referenceName('other.example.com');
    const error = expectRefused({ chain, trust, name }, 'ERR_TLS_CERT_ALTNAME_INVALID');
    expect(error.message).toBe('The certificate is not for other.example.com but for DNS:www.example.com');
    expectRefused({ chain: [leaf], trust, name }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE');
  });
});

describe('an end entity that is a trust anchor itself', () => {
  const self = server('www.example.com');

  it('is accepted when it is right for its purpose', () => {
    expectPath({ chain: [self], trust: [self], name: referenceName('www.example.com') }, [self]);
    expectPath({ chain: [leaf, intermediate], trust: [leaf] }, [leaf]);
  });

  it('has to obey all the rules for an end entity', () => {
    const name = referenceName('other.example.com');
    expectRefused({ chain: [self], trust: [self], name }, 'ERR_TLS_CERT_ALTNAME_INVALID');
    expectRefused({ chain: [self], trust: [self], now: NOW + 60 * DAY }, 'CERT_HAS_EXPIRED');
    expectRefused({ chain: [self], trust: [self], purpose: 'client' }, 'INVALID_PURPOSE');
    const weak = server('a', { kind: 'rsa1024' });
    expectRefused({ chain: [weak], trust: [weak] }, 'WEAK_KEY');
  });

  it('is this very certificate: another one with its name is not', () => {
    const impostor = server('www.example.com');
    expectRefused({ chain: [impostor], trust: [self] }, 'CERT_SIGNATURE_FAILURE');
    // The same key, not the same certificate, and the one that is trusted is no CA.
    const renewed = server('www.example.com', { key: self });
    expectRefused({ chain: [renewed], trust: [self] }, 'INVALID_CA', 1);
  });
});

describe('an intermediate as trust anchor', () => {
  it('ends the path (unlike node:tls without allowPartialTrustChain)', () => {
    expectPath({ chain: [leaf], trust: [intermediate] }, [leaf, intermediate]);
    expectPath({ chain: [leaf, intermediate, root], trust: [intermediate] }, [leaf, intermediate]);
  });
});

describe('keys', () => {
  it('RSA below 2048 bits, in a leaf and in an issuer', () => {
    expectRefused({ chain: [server('a', { issuer: root, kind: 'rsa1024' })], trust }, 'WEAK_KEY');
    const issuer = ca('Intermediate', { issuer: root, kind: 'rsa1024' });
    expectRefused({ chain: [server('a', { issuer }), issuer], trust }, 'WEAK_KEY', 1);
    const anchor = ca('Root', { kind: 'rsa1024' });
    expectRefused({ chain: [server('a', { issuer: anchor })], trust: [anchor] }, 'WEAK_KEY', 1);
  });

  it('keys that cannot be read', () => {
    const garbage = Uint8Array.from(leaf.spki);
    garbage.fill(0xff, 30);
    const entity = server('a', { issuer: root, key: { ...newKey(), spki: garbage } });
    expectRefused({ chain: [entity], trust }, 'CERT_MALFORMED');
  });
});

describe('bad input', () => {
  it('a malformed leaf', () => {
    expectRefused({ chain: [new Uint8Array(100)], trust }, 'CERT_MALFORMED');
    expectRefused({ chain: [leaf.der.subarray(0, 100), intermediate], trust }, 'CERT_MALFORMED');
  });

  it('a malformed certificate beside the path does no harm, one that is missed is told of', () => {
    verify({ chain: [leaf, new Uint8Array(10), intermediate], trust });
    const broken = intermediate.der.subarray(0, -1);
    const error = expectRefused({ chain: [leaf, broken], trust }, 'CERT_MALFORMED', 1);
    expect(error.message).toMatch(/^Certificate 2 of the chain: /);
  });

  it('more certificates than the bound', () => {
    const many = (n: number) => [leaf, ...Array.from({ length: n - 1 }, () => intermediate)];
    verify({ chain: many(32), trust });
    expectRefused({ chain: many(33), trust }, 'CERT_CHAIN_TOO_LONG');
  });
});

describe('acceptUnverified', () => {
  const refused = new CertificateError('DEPTH_ZERO_SELF_SIGNED_CERT', 'not trusted');

  it('makes an identity that proves nothing', () => {
    const self = server('www.example.com');
    const peer = acceptUnverified(nodeCrypto, [self.der, new Uint8Array(5), root.der], refused);
    expect(peer).toBeInstanceOf(UnverifiedPeer);
    expect(VerifiedPeer.is(peer)).toBe(false);
    expect(peer.authorized).toBe(false);
    expect(peer.authorizationError).toBe(refused);
    expect(peer.path.map((certificate) => certificate.raw)).toEqual([self.der, root.der]);
    expect(peer.publicKey.spki).toEqual(self.spki);
  });

  it('takes a weak key, which the handshake can use', () => {
    const weak = server('a', { kind: 'rsa1024' });
    expect(acceptUnverified(nodeCrypto, [weak.der], refused).publicKey).toMatchObject({
      kind: 'rsa',
      modulusBits: 1024,
    });
  });

  it('needs a certificate that can be read', () => {
    expect(() => acceptUnverified(nodeCrypto, [], refused)).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_CERTIFICATE_REQUIRED' }),
    );
    expect(() => acceptUnverified(nodeCrypto, [new Uint8Array(3)], refused)).toThrow(
      expect.objectContaining({ code: 'CERT_MALFORMED' }),
    );
  });
});

describe('verifyPeer', () => {
  it('takes Buffers, and keeps nothing of them', () => {
    const store = new TrustStore([root.certificate]);
    const buffers = [Buffer.from(leaf.der), Buffer.from(intermediate.der)];
    const options = { purpose: 'server', trust: store, now: NOW } as const;
    const peer = verifyPeer(nodeCrypto, buffers, options);
    for (const buffer of buffers) buffer.fill(0);
    expect(peer.leaf.raw).toEqual(leaf.der);
    expect(verifyPeer(nodeCrypto, [leaf.der, intermediate.der], options).leaf).toBe(peer.leaf);
  });
});

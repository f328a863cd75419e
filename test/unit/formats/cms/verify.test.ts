import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { Oid } from '../../../../src/der/oids.ts';
import { contextConstructed, contextPrimitive, Tag } from '../../../../src/der/tags.ts';
import {
  constructed,
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
  setOf,
  time,
  utcTime,
} from '../../../../src/der/writer.ts';
import { CertificateError, type SignatureErrorCode } from '../../../../src/errors/errors.ts';
import { encodeBinding } from '../../../../src/formats/binding.ts';
import { cmsVerifier } from '../../../../src/formats/cms/verify.ts';
import type { SignerIdentity, VerifyContext } from '../../../../src/formats/format.ts';
import { ForeignObject, VerifiedObject } from '../../../../src/formats/verified.ts';
import { SignatureScheme } from '../../../../src/wire/codepoints.ts';
import { KeyUsage } from '../../../../src/x509/extensions.ts';
import { extKeyUsage, keyUsage } from '../../../../src/x509/issue.ts';
import { TrustStore } from '../../../../src/x509/trust-store.ts';
import { verifyPeer } from '../../../../src/x509/verify.ts';
import { flipBit } from '../../../setup/pair.ts';
import { ca, client, DAY, type IdentityOptions, replacing, sign, without } from '../../x509/pki.ts';
import {
  binding,
  contextFor,
  expectRefused,
  NOW,
  OTHER_BINDINGS,
  root,
  signerOf,
  signerWith,
  type TestSigner,
} from '../kit.ts';
import {
  attribute,
  attributesWith,
  certificateSet,
  digestAlgorithm,
  forge,
  type Parts,
  pss,
  retagged,
  signerInfo,
  signingCertificate,
} from './forge.ts';

const signer = signerOf('P-256');
const other = signerWith('p256', 'ecdsa_secp256r1_sha256', 'Someone else');
const rsa = signerOf('RSA-PSS');
const ed25519 = signerOf('Ed25519');

type Changes = Parameters<typeof forge>[1];

function verify(object: Uint8Array, context: Partial<VerifyContext> = {}): VerifiedObject {
  return cmsVerifier.verifyObject(nodeCrypto, object, contextFor(context));
}

function foreign(object: Uint8Array, context: Partial<VerifyContext> = {}): ForeignObject {
  return cmsVerifier.verifyForeignObject(nodeCrypto, object, contextFor(context));
}

function refused(changes: Changes, code: SignatureErrorCode, field?: string) {
  return expectRefused(() => verify(forge(signer, changes)), code, field);
}

const nested = (depth: number): Der => {
  let value: Der = integer(1);
  for (let i = 0; i < depth; i++) value = sequence(value);
  return value;
};
const UNKNOWN = '1.2.3.4';
const leafHash = octetString(nodeCrypto.digest('sha256', signer.identity.der));

describe('the right one', () => {
  it('is accepted, as a proof', () => {
    const verified = verify(forge(signer));
    expect(verified.content).toEqual(Uint8Array.of(1, 2, 3));
    expect(VerifiedObject.is(verified)).toBe(true);
    expect(VerifiedObject.is({ ...verified })).toBe(false);
    const Constructor = verified.constructor as new (...fields: unknown[]) => unknown;
    expect(() => new Constructor(Symbol('proven'), verified, verified.content)).toThrow(TypeError);
  });

  it('is left as it is, and is not referred to afterwards', () => {
    const object = Buffer.from(forge(signer, { attributes: ({ attributes }) => attributes }));
    const before = Buffer.from(object);
    const verified = verify(object);
    expect(object.equals(before)).toBe(true);
    object.fill(0);
    expect(verified.binding).toEqual(binding());
  });

  it('may have attributes that nobody here knows', () => {
    verify(forge(signer, { attributes: attributesWith([], attribute(UNKNOWN, nested(10), integer(2))) }));
  });

  it('may be empty', () => {
    expect(verify(forge(signer, { content: new Uint8Array(0) })).content).toEqual(new Uint8Array(0));
  });
});

describe('what is signed', () => {
  it.each<[string, string]>([
    [Oid.contentType, 'content-type'],
    [Oid.messageDigest, 'message-digest'],
    [Oid.signingTime, 'signing-time'],
    [Oid.signingCertificateV2, 'signing-certificate-v2'],
    [Oid.binding, 'binding'],
  ])('needs %s', (type, name) => {
    refused({ attributes: attributesWith([type]) }, 'ERR_SIGN_MISSING_ATTRIBUTE', name);
  });

  it('needs attributes at all', () => {
    const bare: Changes = {
      signedAttributes: undefined,
      signature: ({ content }) => sign(signer.identity, { kind: 'ecdsa', hash: 'sha256' }, content),
    };
    refused(bare, 'ERR_SIGN_MISSING_ATTRIBUTE');
    expectRefused(() => foreign(forge(signer, bare)), 'ERR_SIGN_MISSING_ATTRIBUTE');
  });

  it('is data, and says so twice', () => {
    const asReceipt = attributesWith([Oid.contentType], attribute(Oid.contentType, oid(Oid.receipt)));
    for (const run of [verify, foreign]) {
      const relabelled = forge(signer, { attributes: asReceipt });
      expectRefused(() => run(relabelled), 'ERR_SIGN_CONTENT_TYPE_ATTRIBUTE');
      const other = forge(signer, {
        contentType: Oid.receipt,
        attributes: attributesWith([Oid.contentType], attribute(Oid.contentType, oid(Oid.data))),
      });
      expectRefused(() => run(other), 'ERR_SIGN_CONTENT_TYPE_ATTRIBUTE');
      expectRefused(() => run(forge(signer, { contentType: Oid.receipt })), 'ERR_SIGN_WRONG_KIND');
    }
  });

  it('is this content', () => {
    const eContent = explicit(0, octetString(Uint8Array.of(1, 2, 4)));
    refused({ eContent }, 'ERR_SIGN_MESSAGE_DIGEST');
    const truncated = attribute(Oid.messageDigest, octetString(new Uint8Array(31)));
    refused({ attributes: attributesWith([Oid.messageDigest], truncated) }, 'ERR_SIGN_MESSAGE_DIGEST');
  });

  it('is bound to data, not to a receipt', () => {
    refused({ binding: binding({ kind: 'receipt' }) }, 'ERR_SIGN_WRONG_KIND', 'kind');
  });

  it.each(OTHER_BINDINGS)('is bound to what is expected: %s', (field, other) => {
    const object = forge(signer);
    verify(object, { expect: binding() });
    expectRefused(() => verify(object, { expect: other }), 'ERR_SIGN_BINDING_MISMATCH', field);
  });

  it('says nothing twice', () => {
    const twice: [string, Uint8Array][] = [
      [Oid.contentType, attribute(Oid.contentType, oid(Oid.data))],
      [Oid.contentType, attribute(Oid.contentType, oid(Oid.receipt))],
      [Oid.messageDigest, attribute(Oid.messageDigest, octetString(new Uint8Array(32)))],
      [Oid.signingTime, attribute(Oid.signingTime, time(NOW + 1000))],
      [Oid.signingCertificateV2, signingCertificate(sequence(leafHash), sequence(leafHash))],
      [Oid.binding, attribute(Oid.binding, encodeBinding(binding({ sequence: 9 })))],
    ];
    for (const [type, more] of twice)
      refused({ attributes: attributesWith([], more) }, 'ERR_SIGN_DUPLICATE_ATTRIBUTE', type);
    const unknown = [attribute(UNKNOWN, integer(1)), attribute(UNKNOWN, integer(2))];
    refused({ attributes: attributesWith([], ...unknown) }, 'ERR_SIGN_DUPLICATE_ATTRIBUTE', UNKNOWN);
    const two = attribute(
      Oid.messageDigest,
      octetString(new Uint8Array(32)),
      octetString(new Uint8Array(32)),
    );
    const { attributes } = { attributes: attributesWith([Oid.messageDigest], two) };
    refused({ attributes }, 'ERR_SIGN_DUPLICATE_ATTRIBUTE', Oid.messageDigest);
    expectRefused(() => foreign(forge(signer, { attributes })), 'ERR_SIGN_DUPLICATE_ATTRIBUTE');
  });
});

describe('the signature', () => {
  it('is of the certificate’s key', () => {
    const byOther: Changes = {
      signature: ({ signed, algorithm }) => sign(other.identity, algorithm, signed),
    };
    refused(byOther, 'ERR_SIGN_BAD_SIGNATURE');
    expectRefused(() => foreign(forge(signer, byOther)), 'ERR_SIGN_BAD_SIGNATURE');
  });

  it('is over exactly the attributes', () => {
    const changed = attributesWith([Oid.signingTime], attribute(Oid.signingTime, time(NOW + 1000)));
    const { signature } = partsOf({});
    refused({ attributes: changed, signature }, 'ERR_SIGN_BAD_SIGNATURE');
    // Over the [0] that travels, as one might do by mistake.
    refused(
      {
        signature: ({ signed, algorithm }) =>
          sign(signer.identity, algorithm, retagged(signed, contextConstructed(0))),
      },
      'ERR_SIGN_BAD_SIGNATURE',
    );
  });

  it('is not empty, not junk, not endless', () => {
    for (const length of [0, 1, 64, 1024])
      refused({ signature: new Uint8Array(length).fill(0x30) }, 'ERR_SIGN_BAD_SIGNATURE');
    refused({ signature: new Uint8Array(1025) }, 'ERR_SIGN_TOO_LARGE');
  });

  it('is one', () => {
    refused(
      { signerInfos: (p) => setOf(signerInfo(p), signerInfo({ ...p, signature: Uint8Array.of(0) })) },
      'ERR_SIGN_SIGNER_COUNT',
    );
    refused({ signerInfos: setOf() }, 'ERR_SIGN_SIGNER_COUNT');
  });
});

describe('algorithms', () => {
  it.each<[string, TestSigner, Changes]>([
    ['SHA-1', signer, { digestAlgorithm: sequence(oid(Oid.sha1)) }],
    ['an unknown hash', signer, { digestAlgorithm: sequence(oid(UNKNOWN)) }],
    ['another hash outside than inside', signer, { digestAlgorithms: [digestAlgorithm('sha384')] }],
    [
      'another hash inside than outside',
      signer,
      { digestAlgorithm: digestAlgorithm('sha384'), digestAlgorithms: [digestAlgorithm('sha256')] },
    ],
    ['NULL after the hash', signer, { digestAlgorithm: digestAlgorithm('sha256', nullValue()) }],
    [
      'ECDSA with another hash than the digest',
      signer,
      { signatureAlgorithm: sequence(oid(Oid.ecdsaWithSHA384)) },
    ],
    ['P-256 with SHA-384', signer, { algorithm: { kind: 'ecdsa', hash: 'sha384' } }],
    [
      'ECDSA with parameters',
      signer,
      { signatureAlgorithm: sequence(oid(Oid.ecdsaWithSHA256), nullValue()) },
    ],
    [
      'an RSA signature of an EC key',
      signer,
      { signatureAlgorithm: sequence(oid(Oid.rsaEncryption), nullValue()) },
    ],
    ['an EC signature of an RSA key', rsa, { signatureAlgorithm: sequence(oid(Oid.ecdsaWithSHA256)) }],
    ['ecPublicKey, which is no signature', signer, { signatureAlgorithm: sequence(oid(Oid.ecPublicKey)) }],
    [
      'rsaEncryption without NULL',
      signerOf('RSA PKCS#1'),
      { signatureAlgorithm: sequence(oid(Oid.rsaEncryption)) },
    ],
    [
      'RSA with SHA-1',
      signerOf('RSA PKCS#1'),
      { signatureAlgorithm: sequence(oid(Oid.sha1WithRSAEncryption), nullValue()) },
    ],
    ['PSS with another salt', rsa, { signatureAlgorithm: pss('sha256', 'sha256', 20) }],
    ['PSS with another mask', rsa, { signatureAlgorithm: pss('sha256', 'sha384') }],
    ['PSS with another hash', rsa, { signatureAlgorithm: pss('sha384') }],
    ['PSS without parameters', rsa, { signatureAlgorithm: sequence(oid(Oid.rsassaPss)) }],
    ['Ed25519 with SHA-256', ed25519, { hash: 'sha256' }],
    ['Ed25519 with parameters', ed25519, { signatureAlgorithm: sequence(oid(Oid.ed25519), nullValue()) }],
  ])('refuses %s', (_, by, changes) => {
    expectRefused(() => verify(forge(by, changes)), 'ERR_SIGN_UNSUPPORTED_ALGORITHM');
  });

  it('is one hash, in both places', () => {
    const two: Changes = { digestAlgorithms: [digestAlgorithm('sha256'), digestAlgorithm('sha384')] };
    refused(two, 'ERR_SIGN_MALFORMED');
  });

  it('takes sha256WithRSAEncryption for rsaEncryption (RFC 5754 §3.2)', () => {
    const by = signerOf('RSA PKCS#1');
    const signatureAlgorithm = sequence(oid(Oid.sha256WithRSAEncryption), nullValue());
    verify(forge(by, { signatureAlgorithm }));
    const mixed = sequence(oid(Oid.sha384WithRSAEncryption), nullValue());
    expectRefused(() => verify(forge(by, { signatureAlgorithm: mixed })), 'ERR_SIGN_UNSUPPORTED_ALGORITHM');
  });

  it('does not take a key that is for another', () => {
    // RSA-PSS identifiers with an EC key, and a signature of it: nothing but the key is wrong.
    const changes: Changes = { signatureAlgorithm: pss('sha256') };
    refused(changes, 'ERR_SIGN_UNSUPPORTED_ALGORITHM');
    expectRefused(() => foreign(forge(signer, changes)), 'ERR_SIGN_UNSUPPORTED_ALGORITHM');
  });
});

describe('signing-certificate-v2', () => {
  const withId = (...id: Der[]): Changes => ({
    attributes: attributesWith([Oid.signingCertificateV2], signingCertificate(sequence(...id))),
  });
  const { issuer, serialNumber } = signer.identity.certificate;
  const names = sequence(explicit(4, issuer.raw));

  it('is the hash of the certificate', () => {
    const wrong = octetString(nodeCrypto.digest('sha256', other.identity.der));
    refused(withId(wrong), 'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE', 'hash');
    refused(withId(octetString(new Uint8Array(0))), 'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE', 'hash');
    expectRefused(() => foreign(forge(signer, withId(wrong))), 'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE');
  });

  it('tells certificates with one key apart', () => {
    // A second certificate for the same key, with the same issuer and serial number: only the hash can tell.
    const twin = client('Signer’s twin', {
      issuer: root,
      key: signer.identity,
      input: { serial: signer.identity.certificate.serialNumber },
    });
    const object = forge(signer, { certificates: certificateSet([twin.der]) });
    expectRefused(() => verify(object), 'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE', 'hash');
  });

  it('may have another hash, and the issuer', () => {
    const hash = octetString(nodeCrypto.digest('sha384', signer.identity.der));
    verify(forge(signer, withId(digestAlgorithm('sha384'), hash)));
    verify(forge(signer, withId(leafHash, sequence(names, integer(serialNumber)))));
  });

  it('is right about the issuer', () => {
    const code = 'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE';
    refused(withId(leafHash, sequence(names, integer(5))), code, 'issuerSerial');
    const otherName = sequence(explicit(4, signer.identity.subject));
    refused(withId(leafHash, sequence(otherName, integer(serialNumber))), code, 'issuerSerial');
  });

  it('has a hash that is known, and does not write out the default', () => {
    const sha1 = sequence(oid(Oid.sha1));
    refused(withId(sha1, octetString(new Uint8Array(20))), 'ERR_SIGN_UNSUPPORTED_ALGORITHM');
    const written = withId(digestAlgorithm('sha256'), leafHash);
    refused(written, 'ERR_SIGN_NOT_DER');
    expect(ForeignObject.is(foreign(forge(signer, written)))).toBe(true);
  });

  it('is not empty', () => {
    const none = attribute(Oid.signingCertificateV2, sequence(sequence()));
    refused({ attributes: attributesWith([Oid.signingCertificateV2], none) }, 'ERR_SIGN_MALFORMED');
  });
});

describe('signing-time', () => {
  const at = (value: Der): Changes => ({
    attributes: attributesWith([Oid.signingTime], attribute(Oid.signingTime, value)),
  });
  const MINUTE = 60_000;

  it('is within five minutes of the verifier’s clock, where there is one', () => {
    for (const offset of [-5 * MINUTE, 0, 5 * MINUTE]) verify(forge(signer, at(time(NOW + offset))));
    for (const offset of [-5 * MINUTE - 1000, 5 * MINUTE + 1000, -DAY]) {
      const object = forge(signer, at(time(NOW + offset)));
      expectRefused(() => verify(object), 'ERR_SIGN_SIGNING_TIME');
      expect(verify(object, { clockSkew: undefined }).signingTime).toBe(NOW + offset);
    }
  });

  it('is never right where there is no time', () => {
    expectRefused(() => verify(forge(signer), { clockSkew: Number.NaN }), 'ERR_SIGN_SIGNING_TIME');
  });

  it('is in the form of RFC 5652 §11.3', () => {
    refused(at(generalizedTime(NOW)), 'ERR_SIGN_MALFORMED');
    refused(at(primitive(Tag.utcTime, new TextEncoder().encode('2506010000Z'))), 'ERR_SIGN_MALFORMED');
    refused(at(primitive(Tag.utcTime, new TextEncoder().encode('250601000000+0100'))), 'ERR_SIGN_MALFORMED');
    refused(at(octetString(Uint8Array.of(1))), 'ERR_SIGN_MALFORMED');
    verify(forge(signer, at(utcTime(NOW))));
  });
});

describe('the signer', () => {
  const made = (name: string, options: IdentityOptions = {}): TestSigner => {
    const identity = client(name, { issuer: root, ...options });
    return { identity, chain: [identity.der], scheme: SignatureScheme.ecdsa_secp256r1_sha256 };
  };
  const usage = (bits: number) => ({ extensions: replacing(keyUsage(bits)) });
  const purposes = (...oids: string[]) => ({ extensions: replacing(extKeyUsage(oids)) });

  it.each<[string, IdentityOptions]>([
    ['digitalSignature', usage(KeyUsage.digitalSignature)],
    ['contentCommitment', usage(KeyUsage.nonRepudiation)],
    ['any keyUsage', { extensions: without(Oid.keyUsage) }],
    ['any purpose', { extensions: without(Oid.extKeyUsage) }],
    ['clientAuth', purposes(Oid.clientAuth)],
    ['serverAuth', purposes(Oid.serverAuth)],
    ['emailProtection', purposes(Oid.emailProtection)],
    ['anyExtendedKeyUsage', purposes(Oid.anyExtendedKeyUsage)],
  ])('may have a certificate for %s', (name, options) => {
    verify(forge(made(name, options)));
  });

  it.each<[string, IdentityOptions, string]>([
    ['keyEncipherment', usage(KeyUsage.keyEncipherment), 'INVALID_PURPOSE'],
    ['codeSigning', purposes(Oid.codeSigning), 'INVALID_PURPOSE'],
    ['time stamps', purposes(Oid.timeStamping, Oid.ocspSigning), 'INVALID_PURPOSE'],
    ['the past', { input: { notBefore: NOW - 2 * DAY, notAfter: NOW - DAY } }, 'CERT_HAS_EXPIRED'],
    ['the future', { input: { notBefore: NOW + DAY, notAfter: NOW + 2 * DAY } }, 'CERT_NOT_YET_VALID'],
    ['nobody that is trusted', { issuer: ca('Unknown CA') }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['a CA that did not sign it', { signature: (right) => flipBit(right) }, 'CERT_SIGNATURE_FAILURE'],
    [
      'what is not understood',
      { extensions: (right) => [...right, { oid: UNKNOWN, critical: true, value: nullValue() }] },
      'UNHANDLED_CRITICAL_EXTENSION',
    ],
    [
      'below a CA for code',
      {
        issuer: ca('Code CA', {
          issuer: root,
          extensions: (right) => [...right, extKeyUsage([Oid.codeSigning])],
        }),
      },
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    ],
  ])('has no certificate for %s', (name, options, code) => {
    for (const run of [verify, foreign]) {
      const error = expectRefused(() => run(forge(made(name, options))), 'ERR_SIGN_CERTIFICATE', code);
      expect(error.cause).toBeInstanceOf(CertificateError);
    }
  });

  it('is not certified by a CA for something else', () => {
    const issuer = ca('Code CA', {
      issuer: root,
      extensions: (right) => [...right, extKeyUsage([Oid.codeSigning])],
    });
    const below = made('Below', { issuer });
    const object = forge(below, { certificates: certificateSet([below.identity.der, issuer.der]) });
    expectRefused(() => verify(object), 'ERR_SIGN_CERTIFICATE', 'INVALID_PURPOSE');
  });

  it('was valid then, if that is asked for', () => {
    const old = made('Old', { input: { notBefore: NOW - 2 * DAY, notAfter: NOW - DAY } });
    verify(forge(old), { now: NOW - 1.5 * DAY, clockSkew: undefined });
  });

  it('is the announced one', () => {
    const object = forge(signer);
    verify(object, { signerChain: signer.chain });
    expectRefused(() => verify(object, { signerChain: other.chain }), 'ERR_SIGN_WRONG_SIGNER');
    expectRefused(() => verify(object, { signerChain: [] }), 'ERR_SIGN_WRONG_SIGNER');
    expectRefused(() => verify(object, { signerChain: [Uint8Array.of(0x30)] }), 'ERR_SIGN_WRONG_SIGNER');
  });

  it('has a certificate', () => {
    refused({ certificates: undefined }, 'ERR_SIGN_WRONG_SIGNER');
    refused({ certificates: certificateSet(other.chain) }, 'ERR_SIGN_WRONG_SIGNER');
  });

  it('is who was judged', () => {
    const judged = verifyPeer(nodeCrypto, other.chain, {
      purpose: 'signer',
      trust: new TrustStore([root.certificate]),
      now: NOW,
    });
    expectRefused(() => verify(forge(signer), { trust: () => judged }), 'ERR_SIGN_WRONG_SIGNER');
  });

  it('can be judged by someone else, with the chain and the time', () => {
    const asked: [readonly Uint8Array[], number][] = [];
    const identity: SignerIdentity = verifyPeer(nodeCrypto, signer.chain, {
      purpose: 'signer',
      trust: new TrustStore([root.certificate]),
      now: NOW,
    });
    const object = forge(signer, { certificates: certificateSet([signer.identity.der, root.der]) });
    const verified = verify(object, {
      trust: (chain, now) => {
        asked.push([chain, now]);
        return identity;
      },
    });
    expect(verified.signer).toBe(identity);
    expect(asked).toEqual([[[signer.identity.der, root.der], NOW]]);
    const no = () => {
      throw new CertificateError('CERT_REVOKED', 'revoked');
    };
    expectRefused(() => verify(object, { trust: no }), 'ERR_SIGN_CERTIFICATE', 'CERT_REVOKED');
  });
});

describe('form', () => {
  const bytes = forge(signer);
  const replace = (object: Uint8Array, from: Uint8Array, to: Uint8Array): Uint8Array => {
    const at = Buffer.from(object).indexOf(Buffer.from(from));
    expect(at).toBeGreaterThan(0);
    return Buffer.concat([object.subarray(0, at), to, object.subarray(at + from.length)]);
  };

  it.each<[string, Changes]>([
    ['no content (detached)', { eContent: undefined }],
    ['content that is no OCTET STRING', { eContent: explicit(0, sequence()) }],
    ['another ContentInfo', { contentInfoType: Oid.data }],
    ['version 3 for data', { version: 3 }],
    ['a SignerInfo of version 3', { signerVersion: 3 }],
    ['revocation lists', { revocation: constructed(contextConstructed(1), [sequence()]) }],
    [
      'unsigned attributes',
      { unsignedAttributes: constructed(contextConstructed(1), [attribute(UNKNOWN, integer(1))]) },
    ],
    ['a signer named by key', { identifier: primitive(contextPrimitive(0), signer.identity.keyId) }],
    ['an empty set of attributes', { signed: encodeDer(setOf()) }],
    [
      'attributes without end',
      {
        attributes: attributesWith(
          [],
          ...Array.from({ length: 28 }, (_, i) => attribute(`1.2.3.${i}`, integer(i))),
        ),
      },
    ],
    ['an attribute without value', { attributes: attributesWith([], attribute(UNKNOWN)) }],
    ['a binding without value', { attributes: attributesWith([Oid.binding], attribute(Oid.binding)) }],
    [
      'a binding that is none',
      { attributes: attributesWith([Oid.binding], attribute(Oid.binding, sequence())) },
    ],
  ])('refuses %s', (_, changes) => {
    refused(changes, 'ERR_SIGN_MALFORMED');
  });

  it('ends where it ends', () => {
    expectRefused(() => verify(Uint8Array.of(...bytes, 0)), 'ERR_SIGN_MALFORMED');
    for (let length = 0; length < bytes.length; length += 7)
      expectRefused(() => verify(bytes.subarray(0, length)), 'ERR_SIGN_MALFORMED');
  });

  it('is DER: attributes in order', () => {
    const backwards: Changes = {
      signed: ({ attributes }) =>
        encodeDer(constructed(Tag.set, attributes.toSorted(Buffer.compare).reverse())),
    };
    refused(backwards, 'ERR_SIGN_NOT_DER');
    expectRefused(() => foreign(forge(signer, backwards)), 'ERR_SIGN_NOT_DER');
  });

  it('is DER: certificates in order', () => {
    const [low, high] = [signer.identity.der, root.der].toSorted(Buffer.compare) as [Uint8Array, Uint8Array];
    const tag = contextConstructed(0);
    verify(forge(signer, { certificates: constructed(tag, [low, high]) }));
    refused({ certificates: constructed(tag, [high, low]) }, 'ERR_SIGN_NOT_DER');
  });

  it('is DER: lengths', () => {
    const time = attribute(Oid.signingTime, utcTime(NOW));
    const longer = Uint8Array.of(0x30, 0x81, ...time.subarray(1));
    refused({ attributes: attributesWith([Oid.signingTime], longer) }, 'ERR_SIGN_NOT_DER');
    const endless = Uint8Array.of(0x30, 0x80, ...time.subarray(2), 0, 0);
    refused({ attributes: attributesWith([Oid.signingTime], endless) }, 'ERR_SIGN_NOT_DER');
    expectRefused(() => verify(Uint8Array.of(0x30, 0x80, ...bytes.subarray(4), 0, 0)), 'ERR_SIGN_NOT_DER');
    const content = encodeDer(octetString(Uint8Array.of(1, 2, 3)));
    const pieces = Uint8Array.of(0x24, 5, 4, 1, 1, 4, 0);
    expectRefused(() => verify(replace(bytes, content, pieces)), 'ERR_SIGN_MALFORMED');
  });

  it('is DER: attributes that nobody knows', () => {
    const inPieces = Uint8Array.of(0x24, 3, 4, 1, 0);
    refused({ attributes: attributesWith([], attribute(UNKNOWN, inPieces)) }, 'ERR_SIGN_NOT_DER');
    const endless = Uint8Array.of(0x30, 0x80, 0, 0);
    refused({ attributes: attributesWith([], attribute(UNKNOWN, endless)) }, 'ERR_SIGN_NOT_DER');
    const cut = Uint8Array.of(0x30, 5, 2, 1);
    refused({ attributes: attributesWith([], attribute(UNKNOWN, cut)) }, 'ERR_SIGN_MALFORMED');
  });

  it('is not deep', () => {
    verify(forge(signer, { attributes: attributesWith([], attribute(UNKNOWN, nested(16))) }));
    refused({ attributes: attributesWith([], attribute(UNKNOWN, nested(17))) }, 'ERR_SIGN_TOO_DEEP');
    refused({ attributes: attributesWith([], attribute(UNKNOWN, nested(2000))) }, 'ERR_SIGN_TOO_DEEP');
  });

  it('is not huge besides its content', () => {
    const blob = octetString(new Uint8Array(300 * 1024));
    refused({ attributes: attributesWith([], attribute(UNKNOWN, blob)) }, 'ERR_SIGN_TOO_LARGE');
    const many = Array.from({ length: 33 }, (_, i) => encodeDer(sequence(integer(i))));
    refused({ certificates: certificateSet(many) }, 'ERR_SIGN_TOO_LARGE');
    const content = new Uint8Array(3 * 1024 * 1024);
    expect(verify(forge(signer, { content })).contentLength).toBe(content.length);
  });

  it('has certificates that can be read, where they matter', () => {
    const broken = encodeDer(sequence(integer(1)));
    verify(forge(signer, { certificates: certificateSet([signer.identity.der, broken]) }));
    refused({ certificates: certificateSet([broken]) }, 'ERR_SIGN_WRONG_SIGNER');
    refused(
      { certificates: constructed(contextConstructed(0), [constructed(contextConstructed(1), [])]) },
      'ERR_SIGN_MALFORMED',
    );
  });
});

describe('objects that other software made', () => {
  it('need no binding, no signing-certificate-v2 and no time', () => {
    const bare = forge(signer, {
      attributes: attributesWith([Oid.binding, Oid.signingTime, Oid.signingCertificateV2]),
    });
    const object = foreign(bare);
    expect(ForeignObject.is(object)).toBe(true);
    expect(object.signingTime).toBeUndefined();
    expect(object.content).toEqual(Uint8Array.of(1, 2, 3));
    expectRefused(() => verify(bare), 'ERR_SIGN_MISSING_ATTRIBUTE');
  });

  it.each<[string, TestSigner, Changes]>([
    ['NULL after the hash', signer, { digestAlgorithm: digestAlgorithm('sha256', nullValue()) }],
    ['P-256 with SHA-384', signer, { algorithm: { kind: 'ecdsa', hash: 'sha384' } }],
    ['revocation lists', signer, { revocation: constructed(contextConstructed(1), [sequence()]) }],
    [
      'unsigned attributes',
      signer,
      { unsignedAttributes: constructed(contextConstructed(1), [attribute(UNKNOWN, integer(1))]) },
    ],
    [
      'a signer named by key',
      signer,
      { version: 3, signerVersion: 3, identifier: primitive(contextPrimitive(0), signer.identity.keyId) },
    ],
  ])('may have %s', (_, by, changes) => {
    expect(ForeignObject.is(foreign(forge(by, changes)))).toBe(true);
  });

  it('are signed by the key that they name', () => {
    const identifier = primitive(contextPrimitive(0), other.identity.keyId);
    expectRefused(() => foreign(forge(signer, { identifier })), 'ERR_SIGN_WRONG_SIGNER');
    const certificates = certificateSet([signer.identity.der, other.identity.der]);
    expectRefused(
      () => foreign(forge(signer, { identifier, certificates })),
      'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE',
    );
  });
});

/** Of the right object. */
function partsOf(changes: Changes): Parts {
  let parts: Parts | undefined;
  forge(signer, {
    ...changes,
    contentInfoType: (p) => {
      parts = p;
      return p.contentInfoType;
    },
  });
  if (parts === undefined) throw new Error('not forged');
  return parts;
}

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { encodeDer, explicit, integer, sequence } from '../../../../src/der/writer.ts';
import { CertificateError, SignatureError, type SignatureErrorCode } from '../../../../src/errors/errors.ts';
import type { SignerIdentity, VerifyContext } from '../../../../src/formats/format.ts';
import { ForeignObject, VerifiedObject } from '../../../../src/formats/verified.ts';
import { xmlVerifier } from '../../../../src/formats/xml/verify.ts';
import { Certificate } from '../../../../src/x509/certificate.ts';
import { ca, client, DAY, sign } from '../../x509/pki.ts';
import {
  binding,
  contextFor,
  expectRefused,
  KEY_TYPES,
  type KeyType,
  NOW,
  OTHER_BINDINGS,
  root,
  signerOf,
  signerWith,
  type TestSigner,
} from '../kit.ts';
import {
  ASKING,
  BASE64,
  BINDING_TYPE,
  base64,
  type Changes,
  certificateId,
  commitmentTo,
  DS,
  EXCLUSIVE,
  forge,
  formatOf,
  keyInfoOf,
  type Parts,
  partsOf,
  RECEIPT_TYPE,
  reference,
  utf8,
} from './forge.ts';

const signer = signerOf('P-256');
const other = signerWith('p256', 'ecdsa_secp256r1_sha256', 'Someone else');
const rsa = signerOf('RSA PKCS#1');

function verify(object: Uint8Array, context: Partial<VerifyContext> = {}): VerifiedObject {
  return xmlVerifier.verifyObject(nodeCrypto, object, contextFor(context));
}

function foreign(object: Uint8Array, context: Partial<VerifyContext> = {}): ForeignObject {
  return xmlVerifier.verifyForeignObject(nodeCrypto, object, contextFor(context));
}

function refused(changes: Changes, code: SignatureErrorCode, field?: string): SignatureError {
  return expectRefused(() => verify(forge(signer, changes)), code, field);
}

/** Wrong for everybody. */
function refusedAlways(changes: Changes, code: SignatureErrorCode, field?: string): void {
  refused(changes, code, field);
  expectRefused(() => foreign(forge(signer, changes)), code, field);
}

/** The document with something else in it, after the signature was made. */
const replaced =
  (what: string | RegExp, by: string) =>
  ({ document }: Parts): string => {
    const changed = document.replace(what, by);
    if (changed === document) throw new Error(`no ${what} in it`);
    return changed;
  };

describe('the right one', () => {
  it.each(Object.keys(KEY_TYPES) as KeyType[])('is accepted: %s', (type) => {
    const verified = verify(forge(signerOf(type)));
    expect(verified.content).toEqual(Uint8Array.of(1, 2, 3));
    expect(verified.binding).toEqual(binding());
    expect(verified.signingTime).toBe(NOW);
    expect(VerifiedObject.is(verified)).toBe(true);
  });

  it('is not referred to afterwards', () => {
    const object = Buffer.from(forge(signer));
    const verified = verify(object);
    object.fill(0);
    expect(verified.binding).toEqual(binding());
    expect(verified.content).toEqual(Uint8Array.of(1, 2, 3));
  });

  it.each<[string, (parts: Parts) => string]>([
    ['an XML declaration', ({ document }) => `<?xml version="1.0" encoding="UTF-8"?>\n${document}`],
    ['other quotes', replaced(/Algorithm="([^"]*)"/g, "Algorithm = '$1'")],
    ['empty elements', replaced(/(<(?:Transform|DigestMethod|SignatureMethod)[^>]*)><\/[^>]*>/g, '$1 />')],
    ['references', replaced('Id="rd"', 'Id="&#114;&#x64;"')],
    ['namespaces that are not used', replaced('<SignedInfo', '<SignedInfo xmlns:q="urn:q"')],
    ['another order of attributes', replaced(/ (Type="[^"]*") (URI="#b")/, ' $2  $1')],
    ['lines in base64', replaced('<Object Id="d">AQ', '<Object Id="d">\nA\r\n\t Q')],
    ['lines that end in CR LF', replaced(/\n/g, '\r\n')],
  ])('may be spelt with %s', (_, document) => {
    expect(verify(forge(signer, { document })).content).toEqual(Uint8Array.of(1, 2, 3));
  });

  it('may have digests of another hash than the signature', () => {
    for (const hash of ['sha256', 'sha384', 'sha512'] as const) {
      const verified = verify(forge(signer, { hash }));
      const right = nodeCrypto.digest('sha256', Uint8Array.of(1, 2, 3));
      expect(Buffer.from(verified.contentDigest).equals(right)).toBe(true);
    }
  });
});

describe('what is signed', () => {
  it('is this content, binding, and these properties', () => {
    refusedAlways({ document: replaced('>AQID<', '>AQIE<') }, 'ERR_SIGN_MESSAGE_DIGEST', 'data');
    const moved = base64(partsOf(signer, { binding: binding({ sequence: 8 }) }).bindingDer);
    const document = ({ document: right, bindingDer }: Parts) => right.replace(base64(bindingDer), moved);
    refusedAlways({ document }, 'ERR_SIGN_MESSAGE_DIGEST', 'binding');
    const time = replaced(/(<x:SigningTime>....)-../, '$1-05');
    refusedAlways({ document: time }, 'ERR_SIGN_MESSAGE_DIGEST', 'properties');
    const space = replaced('<x:SignedSignatureProperties>', ' <x:SignedSignatureProperties>');
    refusedAlways({ document: space }, 'ERR_SIGN_MESSAGE_DIGEST', 'properties');
  });

  it('is all of SignedInfo', () => {
    const { document, references } = partsOf(signer);
    const [data] = references as [string];
    // Other content with its right digest: only the signature can tell.
    const swapped = reference(partsOf(signer), { id: 'rd', uri: '#d', of: Uint8Array.of(1, 2, 4) });
    const wrong = document.replace(data, swapped).replace('>AQID<', '>AQIE<');
    refusedAlways({ document: wrong }, 'ERR_SIGN_BAD_SIGNATURE');
    refusedAlways({ document: replaced('</SignedInfo>', ' </SignedInfo>') }, 'ERR_SIGN_BAD_SIGNATURE');
    refusedAlways({ document: replaced('<SignedInfo>', '<SignedInfo Id="i">') }, 'ERR_SIGN_BAD_SIGNATURE');
  });

  it.each<[string, Changes, string]>([
    ['SigningTime', { ofSignature: (p) => p.ofSignature.replace(/.*<\/x:SigningTime>/, '') }, 'signing-time'],
    [
      'SigningCertificateV2',
      { ofSignature: (p) => p.ofSignature.replace(/<x:SigningCertificateV2>.*/, '') },
      'SigningCertificateV2',
    ],
    ['CommitmentTypeIndication', { commitment: '' }, 'CommitmentTypeIndication'],
    [
      'the binding',
      {
        formats: '',
        references: (p) => [0, 2].map((i) => p.references[i] as string),
        objects: (p) => [0, 2].map((i) => p.objects[i] as string),
      },
      'binding',
    ],
    [
      'the properties',
      { references: (p) => p.references.slice(0, 2), objects: (p) => p.objects.slice(0, 2) },
      'SigningCertificateV2',
    ],
  ])('needs %s, of us alone', (_, changes, field) => {
    refused(changes, 'ERR_SIGN_MISSING_ATTRIBUTE', field);
    expect(ForeignObject.is(foreign(forge(signer, changes)))).toBe(true);
  });

  it('is bound to data, and says so three times', () => {
    refused({ binding: binding({ kind: 'receipt' }) }, 'ERR_SIGN_WRONG_KIND', 'kind');
    refused({ kind: 'receipt' }, 'ERR_SIGN_WRONG_KIND', 'Type');
    refused(
      { commitment: commitmentTo('ProofOfReceipt') },
      'ERR_SIGN_WRONG_KIND',
      'CommitmentTypeIndication',
    );
  });

  it.each(OTHER_BINDINGS)('is bound to what is expected: %s', (field, other) => {
    const object = forge(signer);
    verify(object, { expect: binding() });
    expectRefused(() => verify(object, { expect: other }), 'ERR_SIGN_BINDING_MISMATCH', field);
  });

  it('says nothing twice', () => {
    const code = 'ERR_SIGN_DUPLICATE_ATTRIBUTE';
    const time = '<x:SigningTime>2025-06-01T00:00:01Z</x:SigningTime>';
    refusedAlways({ ofSignature: (p) => time + p.ofSignature }, code, 'SigningTime');
    const certificates = (p: Parts) =>
      `${p.ofSignature}<x:SigningCertificateV2>${p.cert}</x:SigningCertificateV2>`;
    refusedAlways({ ofSignature: certificates }, code, 'SigningCertificateV2');
    refused({ commitment: (p) => p.commitment + p.commitment }, code, 'CommitmentTypeIndication');
    refusedAlways({ formats: formatOf('#rd') + formatOf('#rd') }, code, 'DataObjectFormat');
    for (const [index, name] of ['data', 'binding', 'properties'].entries()) {
      const twice = (all: readonly string[]) => [...all.slice(0, index + 1), ...all.slice(index)];
      const again = (p: Parts) =>
        twice(p.references).map((r, i) => (i === index ? r.replace(/ Id="..?"/, '') : r));
      refusedAlways({ references: again }, code, name);
    }
  });

  it('is a binding in DER', () => {
    refusedAlways({ bindingDer: Uint8Array.of(0x30, 0) }, 'ERR_SIGN_MALFORMED');
    const { bindingDer } = partsOf(signer);
    refusedAlways({ bindingDer: Uint8Array.of(...bindingDer, 0) }, 'ERR_SIGN_MALFORMED');
    refusedAlways({ bindingDer: Uint8Array.of(0x30, 0x81, ...bindingDer.subarray(1)) }, 'ERR_SIGN_NOT_DER');
  });

  it('knows what it promises', () => {
    expect(
      verify(forge(signer, { commitment: commitmentTo('ProofOfOrigin', ASKING) })).receiptRequested,
    ).toBe(true);
    refused({ commitment: commitmentTo('ProofOfApproval') }, 'ERR_SIGN_MALFORMED');
    const unknown = ASKING.replace('urn:oid:1.2.', 'urn:oid:1.3.');
    refused({ commitment: commitmentTo('ProofOfOrigin', unknown) }, 'ERR_SIGN_MALFORMED');
    refused({ commitment: commitmentTo('ProofOfOrigin', ASKING + ASKING) }, 'ERR_SIGN_MALFORMED');
    const some = '<x:ObjectReference>#rb</x:ObjectReference>';
    const partly = commitmentTo('ProofOfOrigin').replace(/<x:AllSigned.*Objects>/, some);
    refused({ commitment: partly }, 'ERR_SIGN_MALFORMED');
    foreign(forge(signer, { commitment: commitmentTo('ProofOfApproval') }));
  });

  it('describes what is there', () => {
    verify(forge(signer, { formats: '' }));
    refusedAlways({ formats: formatOf('#other') }, 'ERR_SIGN_MALFORMED');
    refusedAlways({ formats: formatOf('rd') }, 'ERR_SIGN_MALFORMED');
  });

  it('may have properties that nobody here knows, of others', () => {
    const more = '<x:SignerRoleV2><x:ClaimedRoles></x:ClaimedRoles></x:SignerRoleV2>';
    const changes: Changes = { ofSignature: (p) => p.ofSignature + more };
    refused(changes, 'ERR_SIGN_MALFORMED');
    foreign(forge(signer, changes));
  });
});

describe('the signature', () => {
  it('is of the certificate’s key', () => {
    const byOther: Changes = { made: (p) => sign(other.identity, p.algorithm, utf8(p.canonicalInfo)) };
    refusedAlways(byOther, 'ERR_SIGN_BAD_SIGNATURE');
  });

  it('is not empty, not junk, not endless', () => {
    for (const length of [0, 1, 63, 64, 65, 1024])
      refusedAlways({ signature: new Uint8Array(length).fill(0x30) }, 'ERR_SIGN_BAD_SIGNATURE');
    refusedAlways({ signature: new Uint8Array(1025) }, 'ERR_SIGN_TOO_LARGE');
    // Zeros satisfy some implementations (CVE-2022-21449).
    refusedAlways({ signature: new Uint8Array(64) }, 'ERR_SIGN_BAD_SIGNATURE');
  });

  it('is r ‖ s, not DER', () => {
    refusedAlways({ signature: (p) => p.made }, 'ERR_SIGN_BAD_SIGNATURE');
  });

  it('is one', () => {
    const another = `<Signature xmlns="${DS}"/>`;
    refusedAlways({ document: replaced('</Signature>', `${another}</Signature>`) }, 'ERR_SIGN_SIGNER_COUNT');
    refusedAlways(
      { document: replaced('<SignatureValue>', `${another}<SignatureValue>`) },
      'ERR_SIGN_SIGNER_COUNT',
    );
    const hidden: Changes = {
      document: replaced('<X509Data>', `<KeyName><b>${another}</b></KeyName><X509Data>`),
    };
    refused(hidden, 'ERR_SIGN_MALFORMED');
    expectRefused(() => foreign(forge(signer, hidden)), 'ERR_SIGN_SIGNER_COUNT');
    refusedAlways({ document: ({ document }) => document + document }, 'ERR_SIGN_MALFORMED');
    refusedAlways(
      { document: ({ document }) => `${document}<Signature xmlns="${DS}"/>` },
      'ERR_SIGN_MALFORMED',
    );
  });

  it('is a Signature', () => {
    refusedAlways({ document: `<Signature/>` }, 'ERR_SIGN_MALFORMED');
    refusedAlways({ document: `<Envelope xmlns="${DS}"/>` }, 'ERR_SIGN_MALFORMED');
    refusedAlways({ document: ({ document }) => `<all>${document}</all>` }, 'ERR_SIGN_MALFORMED');
    refusedAlways({ document: replaced(`xmlns="${DS}"`, 'xmlns="urn:x"') }, 'ERR_SIGN_MALFORMED');
  });
});

describe('algorithms', () => {
  it.each<[string, TestSigner, Changes, string]>([
    [
      'HMAC',
      signer,
      { signatureMethod: 'http://www.w3.org/2001/04/xmldsig-more#hmac-sha256' },
      'SignatureMethod',
    ],
    ['HMAC with SHA-1', signer, { signatureMethod: `${DS}hmac-sha1` }, 'SignatureMethod'],
    ['RSA with SHA-1', rsa, { signatureMethod: `${DS}rsa-sha1` }, 'SignatureMethod'],
    ['DSA', signer, { signatureMethod: `${DS}dsa-sha1` }, 'SignatureMethod'],
    [
      'PSS with parameters',
      rsa,
      { signatureMethod: 'http://www.w3.org/2007/05/xmldsig-more#rsa-pss' },
      'SignatureMethod',
    ],
    ['nothing', signer, { signatureMethod: '' }, 'SignatureMethod'],
    [
      'inclusive canonical form',
      signer,
      { canonicalization: 'http://www.w3.org/TR/2001/REC-xml-c14n-20010315' },
      'CanonicalizationMethod',
    ],
    [
      'canonical form with comments',
      signer,
      { canonicalization: `${EXCLUSIVE}WithComments` },
      'CanonicalizationMethod',
    ],
    ['SHA-1 digests', signer, { references: swap(/http[^"]*sha256/g, `${DS}sha1`) }, 'DigestMethod'],
    [
      'MD5 digests',
      signer,
      { references: swap(/http[^"]*sha256/g, 'http://www.w3.org/2001/04/xmldsig-more#md5') },
      'DigestMethod',
    ],
    [
      'SHA-1 of the certificate',
      signer,
      { cert: (p) => p.cert.replace(/http[^"]*sha256/, `${DS}sha1`) },
      'DigestMethod',
    ],
    [
      'XPath',
      signer,
      { references: swap(BASE64, 'http://www.w3.org/TR/1999/REC-xpath-19991116') },
      'Transform',
    ],
    [
      'XSLT',
      signer,
      { references: swap(BASE64, 'http://www.w3.org/TR/1999/REC-xslt-19991116') },
      'Transform',
    ],
    ['enveloped signatures', signer, { references: swap(BASE64, `${DS}enveloped-signature`) }, 'Transform'],
    ['the canonical form of data', signer, { references: swap(BASE64, EXCLUSIVE) }, 'Transform'],
    ['properties out of base64', signer, { references: swap(EXCLUSIVE, BASE64) }, 'Transform'],
    ['two transforms', signer, { references: swap(/<Transform .*?<\/Transform>/, '$&$&') }, 'Transform'],
    ['no transforms', signer, { references: swap(/<Transform .*?<\/Transform>/, '') }, 'Transform'],
  ])('refuses %s', (_, by, changes, field) => {
    for (const run of [verify, foreign])
      expectRefused(() => run(forge(by, changes)), 'ERR_SIGN_UNSUPPORTED_ALGORITHM', field);
  });

  it.each<[string, TestSigner, Changes]>([
    [
      'P-256 with SHA-384',
      signer,
      { algorithm: { kind: 'ecdsa', hash: 'sha384' }, signature: (p) => p.signature },
    ],
  ])('refuses %s of us, since TLS has no name for it', (_, by, changes) => {
    expectRefused(() => verify(forge(by, changes)), 'ERR_SIGN_UNSUPPORTED_ALGORITHM');
    foreign(forge(by, changes));
  });

  it.each<[string, TestSigner, SignatureMethods]>([
    ['an RSA signature of an EC key', signer, 'rsa-sha256'],
    ['an EC signature of an RSA key', rsa, 'ecdsa-sha256'],
    ['an EC signature of an Ed25519 key', signerOf('Ed25519'), 'ecdsa-sha256'],
  ])('refuses %s', (_, by, method) => {
    const changes: Changes = { signatureMethod: `http://www.w3.org/2001/04/xmldsig-more#${method}` };
    for (const run of [verify, foreign])
      expectRefused(() => run(forge(by, changes)), 'ERR_SIGN_UNSUPPORTED_ALGORITHM');
  });

  it('has no parameters', () => {
    const inside = (name: string, what: string): Changes => ({
      signedInfo: (p) => p.signedInfo.replace(new RegExp(`</${name}>`), `${what}</${name}>`),
    });
    const inclusive = `<e:InclusiveNamespaces xmlns:e="${EXCLUSIVE}" PrefixList="x"></e:InclusiveNamespaces>`;
    refusedAlways(inside('SignatureMethod', '<HMACOutputLength>0</HMACOutputLength>'), 'ERR_SIGN_MALFORMED');
    refusedAlways(inside('CanonicalizationMethod', inclusive), 'ERR_SIGN_MALFORMED');
    refusedAlways(inside('Transform', '<XPath>1</XPath>'), 'ERR_SIGN_MALFORMED');
    refusedAlways(inside('DigestMethod', '<x/>'), 'ERR_SIGN_MALFORMED');
  });

  it('does not take one RSA signature for another', () => {
    const pss = signerOf('RSA-PSS');
    const signatureMethod = 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256';
    const object = forge(pss, { signatureMethod });
    expectRefused(() => verify(object), 'ERR_SIGN_BAD_SIGNATURE');
  });
});

describe('wrapping', () => {
  const evil = '<Object Id="d2">RXZpbA==</Object>';

  it.each<[string, (parts: Parts) => string, SignatureErrorCode, string?]>([
    [
      'another Object before',
      replaced('<Object Id="d">', `${evil}<Object Id="d">`),
      'ERR_SIGN_MALFORMED',
      'URI',
    ],
    ['another Object after', replaced('</Signature>', `${evil}</Signature>`), 'ERR_SIGN_MALFORMED'],
    [
      'the signed Object moved into another',
      replaced(/<Object Id="d">.*?<\/Object>/, '<Object Id="x"><Object Id="d">AQID</Object></Object>'),
      'ERR_SIGN_MALFORMED',
    ],
    [
      'the signed Object moved into KeyInfo',
      ({ document }) =>
        document
          .replace(/<Object Id="d">.*?<\/Object>/, '<Object Id="d2">RXZpbA==</Object>')
          .replace('</KeyInfo>', '<Object Id="d">AQID</Object></KeyInfo>'),
      'ERR_SIGN_MALFORMED',
    ],
    [
      'two Objects with one Id',
      replaced('<Object Id="d">', '<Object Id="d">RXZpbA==</Object><Object Id="d">'),
      'ERR_SIGN_DUPLICATE_ATTRIBUTE',
      'Id',
    ],
    ['an Id on KeyInfo', replaced('<KeyInfo>', '<KeyInfo Id="d">'), 'ERR_SIGN_DUPLICATE_ATTRIBUTE', 'Id'],
    [
      'data and binding in each other’s place',
      ({ document, objects: [data, bound] }) => document.replace(`${data}\n${bound}`, `${bound}\n${data}`),
      'ERR_SIGN_MALFORMED',
      'URI',
    ],
    ['elements in the data', replaced('>AQID<', '><b>AQID</b><'), 'ERR_SIGN_MALFORMED'],
    ['data in pieces', replaced('>AQID<', '>AQ<b/>ID<'), 'ERR_SIGN_MALFORMED'],
    ['text between elements', replaced('<KeyInfo>', 'evil<KeyInfo>'), 'ERR_SIGN_MALFORMED'],
    ['an Object without Id', replaced('<Object Id="d">', '<Object>'), 'ERR_SIGN_MALFORMED'],
    ['an Object in another encoding', replaced(`Encoding="${BASE64}"`, 'Encoding="x"'), 'ERR_SIGN_MALFORMED'],
    [
      'an attribute nobody knows',
      replaced('<Object Id="d">', '<Object Id="d" ID="x">'),
      'ERR_SIGN_MALFORMED',
    ],
    ['properties of another signature', replaced('Target="#s"', 'Target="#t"'), 'ERR_SIGN_MALFORMED'],
    ['a Signature without Id', replaced(' Id="s"', ''), 'ERR_SIGN_MALFORMED'],
    [
      'properties beside properties',
      replaced('</x:QualifyingProperties>', '<x:SignedProperties Id="q"/></x:QualifyingProperties>'),
      'ERR_SIGN_MALFORMED',
    ],
    ['digits that are none', replaced('>AQID<', '>AQI*<'), 'ERR_SIGN_MALFORMED'],
    ['digits without padding', replaced('>AQID<', '>AQI<'), 'ERR_SIGN_MALFORMED'],
  ])('is refused: %s', (name, document, code, field) => {
    refused({ document }, code, field);
    // Others may have more in KeyInfo and beside the properties; neither is taken for anything.
    const run = () => foreign(forge(signer, { document }));
    if (name === 'properties beside properties') expect(run().content).toEqual(Uint8Array.of(1, 2, 3));
    else expectRefused(run, code);
  });

  it.each([
    ['a file', 'file:///etc/passwd'],
    ['the web', 'http://example.com/data'],
    ['something beside', 'data.xml'],
    ['the document as a whole', ''],
    ['an XPointer', "#xpointer(id('d'))"],
    ['the root by an XPointer', '#xpointer(/)'],
    ['nothing', '#'],
  ])('leads nowhere else: %s', (_, uri) => {
    refusedAlways({ references: swap('URI="#d"', `URI="${uri}"`) }, 'ERR_SIGN_MALFORMED', 'URI');
  });

  it('has its References in order, each of a known type', () => {
    const order = (...at: number[]): Changes => ({
      formats: '',
      references: (p) => at.map((i) => p.references[i] as string),
      objects: (p) => at.map((i) => p.objects[i] as string),
    });
    for (const at of [[1, 0, 2], [0, 2, 1], [1, 2], [2]]) refusedAlways(order(...at), 'ERR_SIGN_MALFORMED');
    refusedAlways({ references: [], objects: [] }, 'ERR_SIGN_MALFORMED');
    refusedAlways({ references: swap(BINDING_TYPE, 'urn:x') }, 'ERR_SIGN_MALFORMED');
    refusedAlways({ references: swap(/ URI="#d"/, '') }, 'ERR_SIGN_MALFORMED');
    // Data that pass for a receipt, and a Manifest, whose References nobody would check.
    refusedAlways(
      { references: swap('<Reference Id="rd"', `<Reference Id="rd" Type="${RECEIPT_TYPE}"`) },
      'ERR_SIGN_WRONG_KIND',
      'Type',
    );
    refusedAlways(
      { references: swap('<Reference Id="rd"', `<Reference Id="rd" Type="${DS}Manifest"`) },
      'ERR_SIGN_MALFORMED',
    );
  });
});

describe('SigningCertificateV2', () => {
  const code = 'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE';
  const hashOf = (der: Uint8Array, hash: 'sha256' | 'sha384' | 'sha512' = 'sha256') =>
    nodeCrypto.digest(hash, der);
  const serial = (issuer: Uint8Array, number: bigint | number | Uint8Array) =>
    encodeDer(sequence(sequence(explicit(4, issuer)), integer(number)));

  it('is the hash of the certificate', () => {
    refusedAlways({ cert: certificateId('sha256', hashOf(other.identity.der)) }, code, 'CertDigest');
    refusedAlways({ cert: certificateId('sha256', new Uint8Array(0)) }, code, 'CertDigest');
    for (const hash of ['sha384', 'sha512'] as const)
      verify(forge(signer, { cert: certificateId(hash, hashOf(signer.identity.der, hash)) }));
  });

  it('tells certificates with one key apart', () => {
    const { serialNumber } = signer.identity.certificate;
    const twin = client('Twin', { issuer: root, key: signer.identity, input: { serial: serialNumber } });
    refusedAlways({ keyInfo: keyInfoOf([twin.der]) }, code, 'CertDigest');
    const object = forge(signer, { keyInfo: keyInfoOf([twin.der, signer.identity.der]) });
    expect(verify(object).signer.leaf.raw).toEqual(signer.identity.der);
  });

  it('is right about the issuer', () => {
    const { issuer, serialNumber } = signer.identity.certificate;
    const withSerial = (der: Uint8Array): Changes => ({
      cert: certificateId('sha256', hashOf(signer.identity.der), der),
    });
    verify(forge(signer, withSerial(serial(issuer.raw, serialNumber))));
    refusedAlways(withSerial(serial(issuer.raw, 5)), code, 'IssuerSerialV2');
    refusedAlways(withSerial(serial(signer.identity.subject, serialNumber)), code, 'IssuerSerialV2');
    refusedAlways(withSerial(Uint8Array.of(0x30, 0)), 'ERR_SIGN_MALFORMED');
  });

  it('names someone, and not everyone', () => {
    refusedAlways({ cert: '' }, 'ERR_SIGN_MALFORMED');
    verify(forge(signer, { cert: (p) => p.cert.repeat(32) }));
    refusedAlways({ cert: (p) => p.cert.repeat(33) }, 'ERR_SIGN_MALFORMED');
  });
});

describe('SigningTime', () => {
  const MINUTE = 60_000;
  const at = (time: number) => `${new Date(time).toISOString().slice(0, 19)}Z`;

  it('is within five minutes of the verifier’s clock, where there is one', () => {
    for (const offset of [-5 * MINUTE, 0, 5 * MINUTE])
      verify(forge(signer, { signingTime: at(NOW + offset) }));
    for (const offset of [-5 * MINUTE - 1000, 5 * MINUTE + 1000, -DAY]) {
      const object = forge(signer, { signingTime: at(NOW + offset) });
      for (const run of [verify, foreign]) expectRefused(() => run(object), 'ERR_SIGN_SIGNING_TIME');
      expect(verify(object, { clockSkew: undefined }).signingTime).toBe(NOW + offset);
    }
    expectRefused(() => verify(forge(signer), { clockSkew: Number.NaN }), 'ERR_SIGN_SIGNING_TIME');
  });

  it.each([
    '2025-06-01',
    '2025-06-01T00:00:00',
    '2025-6-1T0:0:0Z',
    '2025-02-29T00:00:00Z',
    '2025-06-01T24:00:00Z',
    '2025-13-01T00:00:00Z',
    '2025-06-01 00:00:00Z',
    '12025-06-01T00:00:00Z',
    '-2025-06-01T00:00:00Z',
    '2025-06-01T00:00:00+15:00',
    '2025-06-01T00:00:00z',
    '',
    'now',
  ])('is a time: not %s', (signingTime) => {
    refusedAlways({ signingTime }, 'ERR_SIGN_MALFORMED');
  });

  it('may be in another zone, of others', () => {
    for (const signingTime of [NOW + 150 * MINUTE, NOW - 60 * MINUTE].map(
      (time, i) => `${at(time).slice(0, 19)}${i === 0 ? '.5+02:30' : '-01:00'}`,
    )) {
      refused({ signingTime }, 'ERR_SIGN_MALFORMED');
      expect(foreign(forge(signer, { signingTime })).signingTime).toBe(NOW);
    }
  });
});

describe('the signer', () => {
  const made = (name: string, options: Parameters<typeof client>[1]): TestSigner => {
    const identity = client(name, { issuer: root, ...options });
    return { ...signer, identity, chain: [identity.der] };
  };

  it.each([
    ['nobody that is trusted', { issuer: ca('Unknown CA') }, 'UNABLE_TO_VERIFY_LEAF_SIGNATURE'],
    ['the past', { input: { notBefore: NOW - 2 * DAY, notAfter: NOW - DAY } }, 'CERT_HAS_EXPIRED'],
    ['the future', { input: { notBefore: NOW + DAY, notAfter: NOW + 2 * DAY } }, 'CERT_NOT_YET_VALID'],
  ] as const)('has no certificate for %s', (name, options, code) => {
    for (const run of [verify, foreign]) {
      const error = expectRefused(() => run(forge(made(name, options))), 'ERR_SIGN_CERTIFICATE', code);
      expect(error.cause).toBeInstanceOf(CertificateError);
    }
  });

  it('has a certificate that can be read', () => {
    const junk = Uint8Array.of(0x30, 0);
    const cert = certificateId('sha256', nodeCrypto.digest('sha256', junk));
    refusedAlways({ keyInfo: keyInfoOf([junk]), cert }, 'ERR_SIGN_CERTIFICATE');
  });

  it('is the one that was announced', () => {
    const object = forge(signer);
    verify(object, { signerChain: signer.chain });
    for (const signerChain of [other.chain, []])
      expectRefused(() => verify(object, { signerChain }), 'ERR_SIGN_WRONG_SIGNER');
    const bare = forge(signer, { keyInfo: '' });
    verify(bare, { signerChain: signer.chain });
    expectRefused(() => verify(bare, { signerChain: other.chain }), 'ERR_SIGN_WRONG_SIGNER');
    expectRefused(() => verify(bare), 'ERR_SIGN_WRONG_SIGNER');
  });

  it('may be judged by someone else, who judges the right one', () => {
    const leaf = Certificate.parse(signer.identity.der);
    const identity = (of: Certificate): SignerIdentity => ({
      leaf: of,
      path: [of],
      publicKey: nodeCrypto.importPublicKey(of.spki),
    });
    const asked: [readonly Uint8Array[], number][] = [];
    const judge = (chain: readonly Uint8Array[], now: number) => {
      asked.push([chain, now]);
      return identity(leaf);
    };
    expect(verify(forge(signer), { trust: judge }).signer.leaf).toBe(leaf);
    expect(asked).toEqual([[[signer.identity.der], NOW]]);
    const wrong = () => verify(forge(signer), { trust: () => identity(other.identity.certificate) });
    expectRefused(wrong, 'ERR_SIGN_WRONG_SIGNER');
  });

  it('does not send too much', () => {
    const many = (n: number): Changes => ({
      keyInfo: keyInfoOf(Array.from({ length: n }, () => signer.identity.der)),
    });
    verify(forge(signer, many(32)));
    refusedAlways(many(33), 'ERR_SIGN_TOO_LARGE');
    const padded = replaced('<KeyInfo>', `${' '.repeat(256 * 1024)}<KeyInfo>`);
    refusedAlways({ document: padded }, 'ERR_SIGN_TOO_LARGE');
  });

  it('may say more about its key, of others', () => {
    const extra = '<KeyName>me</KeyName><X509Data><X509SubjectName>CN=&amp;</X509SubjectName>';
    const changes: Changes = { document: replaced('<X509Data>', extra) };
    refused(changes, 'ERR_SIGN_MALFORMED');
    foreign(forge(signer, changes));
  });
});

describe('receipts', () => {
  const sent = {
    kind: 'signed',
    objectDigest: nodeCrypto.digest('sha256', utf8('what was sent')),
    receiptRequested: true,
  } as const;
  const receipt = (changes: Changes = {}) =>
    forge(signer, { kind: 'receipt', content: sent.objectDigest, ...changes });
  const run = (object: Uint8Array) => xmlVerifier.verifyReceipt(nodeCrypto, object, sent, contextFor());

  it('are for what was sent', () => {
    expect(run(receipt()).acknowledged).toBe(sent);
    const content = nodeCrypto.digest('sha256', utf8('something else'));
    expectRefused(() => run(receipt({ content })), 'ERR_SIGN_RECEIPT_MISMATCH', 'objectDigest');
  });

  it('are for a digest', () => {
    for (const length of [0, 31, 33, 64]) {
      const object = receipt({ content: new Uint8Array(length) });
      expectRefused(() => run(object), 'ERR_SIGN_MALFORMED');
      expectRefused(() => xmlVerifier.acknowledgedDigest(object), 'ERR_SIGN_MALFORMED');
    }
  });

  it('commit to having received, and ask for nothing', () => {
    const origin = receipt({ commitment: commitmentTo('ProofOfOrigin') });
    expectRefused(() => run(origin), 'ERR_SIGN_WRONG_KIND', 'CommitmentTypeIndication');
    const asking = receipt({ commitment: commitmentTo('ProofOfReceipt', ASKING) });
    expectRefused(() => run(asking), 'ERR_SIGN_WRONG_KIND');
  });

  it('are signatures like any other', () => {
    expectRefused(() => run(receipt({ signature: new Uint8Array(64) })), 'ERR_SIGN_BAD_SIGNATURE');
    expectRefused(() => run(receipt({ binding: binding() })), 'ERR_SIGN_WRONG_KIND', 'kind');
    const context = contextFor({ expect: { sequence: 8 } });
    const elsewhere = () => xmlVerifier.verifyReceipt(nodeCrypto, receipt(), sent, context);
    expectRefused(elsewhere, 'ERR_SIGN_BINDING_MISMATCH', 'sequence');
  });
});

describe('hostile documents', () => {
  const hostile: [string, string, SignatureErrorCode][] = [
    ['nothing', '', 'ERR_SIGN_MALFORMED'],
    ['a document type', `<!DOCTYPE Signature>${partsOf(signer).document}`, 'ERR_SIGN_MALFORMED'],
    [
      'an external entity',
      `<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>${replaced('>AQID<', '>&e;<')(partsOf(signer))}`,
      'ERR_SIGN_MALFORMED',
    ],
    [
      'an entity bomb',
      `<!DOCTYPE a [<!ENTITY a "0123456789">${'bcdefgh'.replace(/./g, (c) => `<!ENTITY ${c} "${`&${String.fromCharCode(c.charCodeAt(0) - 1)};`.repeat(10)}">`)}]>` +
        replaced('>AQID<', '>&h;<')(partsOf(signer)),
      'ERR_SIGN_MALFORMED',
    ],
    ['an entity nobody declared', replaced('>AQID<', '>&e;<')(partsOf(signer)), 'ERR_SIGN_MALFORMED'],
    ['a comment in the data', replaced('>AQID<', '>AQ<!-- -->ID<')(partsOf(signer)), 'ERR_SIGN_MALFORMED'],
    ['CDATA', replaced('>AQID<', '><![CDATA[AQID]]><')(partsOf(signer)), 'ERR_SIGN_MALFORMED'],
    ['a style sheet', `<?xml-stylesheet href="x"?>${partsOf(signer).document}`, 'ERR_SIGN_MALFORMED'],
    ['a million elements deep', '<a>'.repeat(1_000_000), 'ERR_SIGN_TOO_DEEP'],
    ['a million elements wide', `<a>${'<b/>'.repeat(1_000_000)}</a>`, 'ERR_SIGN_TOO_LARGE'],
    [
      'a million attributes',
      `<a ${Array.from({ length: 100_000 }, (_, i) => `a${i}=""`).join(' ')}/>`,
      'ERR_SIGN_TOO_LARGE',
    ],
    ['a name without end', `<${'a'.repeat(5_000_000)}`, 'ERR_SIGN_TOO_LARGE'],
    ['a namespace without end', `<a xmlns="${'a'.repeat(5_000_000)}"/>`, 'ERR_SIGN_TOO_LARGE'],
  ];

  it.each(hostile)('are refused: %s', (_, document, code) => {
    refusedAlways({ document }, code);
  });

  it('are refused wherever they end', () => {
    const object = forge(signer);
    for (let length = 0; length < object.length - 1; length += 7)
      expectRefused(() => verify(object.subarray(0, length)), 'ERR_SIGN_MALFORMED');
  });

  it('prove what was signed or nothing, whatever bytes are changed', { timeout: 60_000 }, () => {
    const object = forge(signer);
    const right = verify(object);
    const change = fc.record({
      at: fc.nat(object.length - 1),
      byte: fc.oneof(fc.nat(255), fc.constantFrom(0x20, 0x3c, 0x3e, 0x22, 0x26)),
    });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 3 }), (changes) => {
        const changed = object.slice();
        for (const { at, byte } of changes) changed[at] = byte;
        let verified: VerifiedObject;
        try {
          verified = verify(changed);
        } catch (error) {
          expect(error, String(error)).toBeInstanceOf(SignatureError);
          return;
        }
        // Space outside of what is signed, quotes, prefixes.
        expect(verified.content).toEqual(right.content);
        expect(verified.binding).toEqual(right.binding);
        expect(verified.signingTime).toBe(right.signingTime);
        expect(verified.receiptRequested).toBe(right.receiptRequested);
        expect(verified.signer.leaf.raw).toEqual(right.signer.leaf.raw);
      }),
      { numRuns: 3000 },
    );
  });

  it('cannot have pieces taken out, doubled or moved', { timeout: 60_000 }, () => {
    const { document } = partsOf(signer);
    const right = verify(utf8(document));
    const tags = [...document.matchAll(/</g)].map(({ index }) => index);
    const place = fc.constantFrom(...tags);
    fc.assert(
      fc.property(place, place, place, fc.boolean(), (a, b, target, keep) => {
        const [from, to] = a < b ? [a, b] : [b, a];
        const piece = document.slice(from, to);
        const rest = keep ? document : document.slice(0, from) + document.slice(to);
        const at = Math.min(target, rest.length);
        const changed = utf8(rest.slice(0, at) + piece + rest.slice(at));
        for (const run of [verify, foreign]) {
          try {
            expect(run(changed).content).toEqual(right.content);
          } catch (error) {
            if (!(error instanceof SignatureError)) throw error;
          }
        }
      }),
      { numRuns: 2000 },
    );
  });
});

type SignatureMethods = 'rsa-sha256' | 'ecdsa-sha256';

/** In the References. */
function swap(what: string | RegExp, by: string): (parts: Parts) => readonly string[] {
  return ({ references }) => {
    const changed = references.map((each) => each.replace(what, by));
    if (changed.join() === references.join()) throw new Error(`no ${what} in them`);
    return changed;
  };
}

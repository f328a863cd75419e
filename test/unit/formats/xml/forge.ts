import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import type { HashName, SignatureAlgorithm } from '../../../../src/crypto/provider.ts';
import { schemeById } from '../../../../src/crypto/schemes.ts';
import { type Binding, encodeBinding } from '../../../../src/formats/binding.ts';
import { sign } from '../../x509/pki.ts';
import { binding, NOW, type TestSigner } from '../kit.ts';

/*
 * Makes signatures by hand: right ones, or wrong in whatever way a test asks for. They are spelt in another way than
 * ours (default namespace, another prefix, line ends), and their canonical form is written by hand as well.
 */

export const DS = 'http://www.w3.org/2000/09/xmldsig#';
export const XADES = 'http://uri.etsi.org/01903/v1.3.2#';
export const EXCLUSIVE = 'http://www.w3.org/2001/10/xml-exc-c14n#';
export const BASE64 = 'http://www.w3.org/2000/09/xmldsig#base64';
export const BINDING_TYPE = 'urn:oid:2.25.16673975627316912103693062371879835450';
export const RECEIPT_TYPE = `${BINDING_TYPE}.1`;
export const PROPERTIES_TYPE = 'http://uri.etsi.org/01903#SignedProperties';
export const RECEIPT_REQUEST = 'urn:oid:1.2.840.113549.1.9.16.2.1';

export const DIGESTS: Readonly<Record<HashName, string>> = {
  sha256: 'http://www.w3.org/2001/04/xmlenc#sha256',
  sha384: 'http://www.w3.org/2001/04/xmldsig-more#sha384',
  sha512: 'http://www.w3.org/2001/04/xmlenc#sha512',
};

export interface Parts {
  readonly content: Uint8Array;
  readonly binding: Binding;
  readonly bindingDer: Uint8Array;
  readonly kind: 'data' | 'receipt';
  readonly hash: HashName;
  readonly algorithm: SignatureAlgorithm;
  /** URI. */
  readonly signatureMethod: string;
  readonly signingTime: string;
  /** The element, inside SigningCertificateV2. */
  readonly cert: string;
  readonly ofSignature: string;
  readonly formats: string;
  readonly commitment: string;
  /** SignedProperties as it stands in the document. */
  readonly properties: string;
  /** In canonical form. */
  readonly canonicalProperties: string;
  readonly canonicalization: string;
  readonly references: readonly string[];
  /** As it stands in the document. */
  readonly signedInfo: string;
  readonly canonicalInfo: string;
  /** As the key makes it: ECDSA in DER. */
  readonly made: Uint8Array;
  /** As it is written. */
  readonly signature: Uint8Array;
  readonly keyInfo: string;
  readonly objects: readonly string[];
  readonly document: string;
}

export type Changes = { readonly [K in keyof Parts]?: Parts[K] | ((right: Parts) => Parts[K]) };

/** Parts are computed from those before them, each replaced by what `changes` has for it. */
export function forge(signer: TestSigner, changes: Changes = {}): Uint8Array {
  return new TextEncoder().encode(partsOf(signer, changes).document);
}

export function partsOf(signer: TestSigner, changes: Changes = {}): Parts {
  const parts: Partial<Record<keyof Parts, unknown>> = {};
  const settle = <K extends keyof Parts>(key: K, right: (parts: Parts) => Parts[K]): void => {
    const change = changes[key];
    const soFar = parts as Parts;
    parts[key] = !(key in changes)
      ? right(soFar)
      : typeof change === 'function'
        ? (change as (right: Parts) => Parts[K])({ ...soFar, [key]: right(soFar) })
        : change;
  };
  settle('kind', () => 'data');
  settle('content', () => Uint8Array.of(1, 2, 3));
  settle('binding', (p) => binding({ kind: p.kind }));
  settle('bindingDer', (p) => encodeBinding(p.binding));
  settle('algorithm', () => schemeById(signer.scheme)?.algorithm as SignatureAlgorithm);
  settle('hash', (p) => (p.algorithm.kind === 'ed25519' ? 'sha256' : p.algorithm.hash));
  settle('signatureMethod', (p) => methodOf(p.algorithm));
  settle('signingTime', () => `${new Date(NOW).toISOString().slice(0, 19)}Z`);
  settle('cert', () => certificateId('sha256', nodeCrypto.digest('sha256', signer.identity.der)));
  settle(
    'ofSignature',
    (p) =>
      `<x:SigningTime>${p.signingTime}</x:SigningTime><x:SigningCertificateV2>${p.cert}</x:SigningCertificateV2>`,
  );
  settle('formats', () => ['#rd', '#rb'].map(formatOf).join(''));
  settle('commitment', (p) => commitmentTo(p.kind === 'data' ? 'ProofOfOrigin' : 'ProofOfReceipt'));
  settle(
    'properties',
    (p) =>
      `<x:SignedProperties Id="p">\n<x:SignedSignatureProperties>${p.ofSignature}</x:SignedSignatureProperties>\n` +
      `<x:SignedDataObjectProperties>${p.formats}${p.commitment}</x:SignedDataObjectProperties></x:SignedProperties>`,
  );
  settle('canonicalProperties', (p) =>
    p.properties
      .replace('<x:SignedProperties', `<x:SignedProperties xmlns:x="${XADES}"`)
      .replaceAll('<DigestMethod ', `<DigestMethod xmlns="${DS}" `)
      .replaceAll('<DigestValue>', `<DigestValue xmlns="${DS}">`),
  );
  settle('canonicalization', () => EXCLUSIVE);
  settle('references', (p) => [
    reference(p, { id: 'rd', type: p.kind === 'data' ? undefined : RECEIPT_TYPE, uri: '#d', of: p.content }),
    reference(p, { id: 'rb', type: BINDING_TYPE, uri: '#b', of: p.bindingDer }),
    reference(p, { type: PROPERTIES_TYPE, uri: '#p', of: utf8(p.canonicalProperties), transform: EXCLUSIVE }),
  ]);
  settle(
    'signedInfo',
    (p) =>
      `<SignedInfo>\n<CanonicalizationMethod Algorithm="${p.canonicalization}"></CanonicalizationMethod>\n` +
      `<SignatureMethod Algorithm="${p.signatureMethod}"></SignatureMethod>${p.references.join('\n')}</SignedInfo>`,
  );
  settle('canonicalInfo', (p) => p.signedInfo.replace('<SignedInfo', `<SignedInfo xmlns="${DS}"`));
  settle('made', (p) => sign(signer.identity, p.algorithm, utf8(p.canonicalInfo)));
  settle('signature', (p) => (p.algorithm.kind === 'ecdsa' ? rAndS(p.made, signer) : p.made));
  settle('keyInfo', () => keyInfoOf(signer.chain));
  settle('objects', (p) => [
    `<Object Id="d">${base64(p.content)}</Object>`,
    `<Object Id="b" Encoding="${BASE64}">${base64(p.bindingDer)}</Object>`,
    `<Object><x:QualifyingProperties xmlns:x="${XADES}" Target="#s">${p.properties}</x:QualifyingProperties></Object>`,
  ]);
  settle(
    'document',
    (p) =>
      `<Signature xmlns="${DS}" Id="s">\n${p.signedInfo}<SignatureValue>${base64(p.signature)}</SignatureValue>` +
      `${p.keyInfo}${p.objects.join('\n')}</Signature>\n`,
  );
  return parts as Parts;
}

export function reference(
  { hash }: Pick<Parts, 'hash'>,
  {
    id,
    type,
    uri,
    of,
    transform = BASE64,
  }: { id?: string; type?: string | undefined; uri: string; of: Uint8Array; transform?: string },
): string {
  const named = id === undefined ? '' : ` Id="${id}"`;
  const typed = type === undefined ? '' : ` Type="${type}"`;
  return (
    `<Reference${named}${typed} URI="${uri}"><Transforms><Transform Algorithm="${transform}"></Transform></Transforms>` +
    `<DigestMethod Algorithm="${DIGESTS[hash]}"></DigestMethod>` +
    `<DigestValue>${base64(nodeCrypto.digest(hash, of))}</DigestValue></Reference>`
  );
}

/** `Cert`, with IssuerSerialV2 where there is one. */
export function certificateId(hash: HashName, digest: Uint8Array, issuerSerial?: Uint8Array): string {
  const serial =
    issuerSerial === undefined ? '' : `<x:IssuerSerialV2>${base64(issuerSerial)}</x:IssuerSerialV2>`;
  return (
    `<x:Cert><x:CertDigest><DigestMethod Algorithm="${DIGESTS[hash]}"></DigestMethod>` +
    `<DigestValue>${base64(digest)}</DigestValue></x:CertDigest>${serial}</x:Cert>`
  );
}

export function formatOf(target: string): string {
  return `<x:DataObjectFormat ObjectReference="${target}"><x:MimeType>text/plain</x:MimeType></x:DataObjectFormat>`;
}

export function commitmentTo(what: string, qualifiers = ''): string {
  return (
    `<x:CommitmentTypeIndication><x:CommitmentTypeId><x:Identifier>http://uri.etsi.org/01903/v1.2.2#${what}</x:Identifier>` +
    `</x:CommitmentTypeId><x:AllSignedDataObjects></x:AllSignedDataObjects>${qualifiers}</x:CommitmentTypeIndication>`
  );
}

export const ASKING = `<x:CommitmentTypeQualifiers><x:CommitmentTypeQualifier>${RECEIPT_REQUEST}</x:CommitmentTypeQualifier></x:CommitmentTypeQualifiers>`;

export function keyInfoOf(chain: readonly Uint8Array[]): string {
  const certificates = chain.map((der) => `<X509Certificate>${base64(der)}</X509Certificate>`);
  return `<KeyInfo><X509Data>${certificates.join('')}</X509Data></KeyInfo>`;
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function methodOf(algorithm: SignatureAlgorithm): string {
  switch (algorithm.kind) {
    case 'ecdsa':
      return `http://www.w3.org/2001/04/xmldsig-more#ecdsa-${algorithm.hash}`;
    case 'rsa-pkcs1':
      return `http://www.w3.org/2001/04/xmldsig-more#rsa-${algorithm.hash}`;
    case 'rsa-pss':
      return `http://www.w3.org/2007/05/xmldsig-more#${algorithm.hash}-rsa-MGF1`;
    case 'ed25519':
      return 'http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519';
  }
}

/** SEQUENCE { r INTEGER, s INTEGER } as r ‖ s. */
function rAndS(der: Uint8Array, { identity }: TestSigner): Uint8Array {
  const half = identity.algorithm.kind === 'ecdsa' && identity.algorithm.hash === 'sha384' ? 48 : 32;
  const start = (der[1] as number) > 0x80 ? 3 : 2;
  const middle = start + 2 + (der[start + 1] as number);
  const both = [der.subarray(start + 2, middle), der.subarray(middle + 2)];
  return Buffer.concat(both.map((n) => Buffer.concat([Buffer.alloc(half), n]).subarray(-half)));
}

import type { CryptoProvider, HashName } from '../../crypto/provider.ts';
import type { Scheme } from '../../crypto/schemes.ts';
import { encodeBase64 } from '../../der/base64.ts';
import { encodeUtf8 } from '../../der/text.ts';
import { formatGeneralizedTime } from '../../der/time.ts';
import { DecodeError, SignatureError } from '../../errors/errors.ts';
import { concat } from '../../wire/writer.ts';
import { encodeBinding } from '../binding.ts';
import { MAX_ENVELOPE_BYTES } from '../cms/read.ts';
import type { ObjectMaker, ObjectOptions, ReceiptOptions, Signer, Unsigned } from '../format.ts';
import { signingCertificate } from '../signing-certificate.ts';
import { DIGEST_URI, ecdsaFromDer, signatureUri } from './algorithms.ts';
import {
  BASE64,
  COMMITMENT,
  DS,
  EXCLUSIVE,
  MAX_CONTENT_BYTES,
  RECEIPT_REQUEST,
  REFERENCE_TYPE,
  XADES,
} from './names.ts';

/**
 * Enveloping XML signature (RFC 3275) with the signed properties of XAdES-B (ETSI EN 319 132-1 §6), in the profile of
 * `names.ts`. What is signed is written in exclusive canonical form at once: each part declares its own namespaces.
 * The content must not change before `finish`.
 */
export const xmlMaker: ObjectMaker = {
  format: 'xmldsig',
  prepareObject: (crypto, content, options) => {
    if (content.length > MAX_CONTENT_BYTES)
      throw new SignatureError(
        'ERR_SIGN_TOO_LARGE',
        `${content.length} bytes of content, at most ${MAX_CONTENT_BYTES} fit an XML object; use pkcs7, which can be streamed`,
      );
    return prepare(crypto, content, options, options.receiptRequest ? REQUESTING : DATA);
  },
  prepareReceipt: (crypto, received, options) => {
    if (!received.receiptRequested)
      throw new SignatureError('ERR_SIGN_RECEIPT_MISMATCH', 'The object does not ask for a receipt');
    return prepare(crypto, received.objectDigest, options, RECEIPT);
  },
};

/** What is the same in all objects of a kind. */
interface Kind {
  /** ` Type="…"` of the first Reference. */
  readonly type: string;
  readonly mimeType: string;
  /** CommitmentTypeIndication. */
  readonly commitment: string;
}

/** All of an object that depends on its signer alone, written once. */
interface SignerState {
  readonly scheme: Scheme;
  readonly hash: HashName;
  /** CanonicalizationMethod and SignatureMethod. */
  readonly methods: string;
  /** SigningCertificateV2. */
  readonly signingCertificate: string;
  readonly keyInfo: string;
}

const states = new WeakMap<Signer, SignerState>();

/** Half of what the verifier reads besides the content; the other half is for properties. Characters. */
const MAX_KEY_INFO_LENGTH = MAX_ENVELOPE_BYTES / 2;

const DATA = kindOf(COMMITMENT.data, { isReceipt: false, qualifier: undefined });
const REQUESTING = kindOf(COMMITMENT.data, { isReceipt: false, qualifier: RECEIPT_REQUEST });
const RECEIPT = kindOf(COMMITMENT.receipt, { isReceipt: true, qualifier: undefined });

function prepare(
  crypto: CryptoProvider,
  content: Uint8Array,
  options: Omit<ObjectOptions, 'receiptRequest'>,
  kind: Kind,
): Unsigned {
  const state = stateOf(crypto, options.signer);
  const { scheme, hash } = state;
  const binding = encodeBinding(options.binding);
  const properties = writeProperties(state, options, kind);
  const signedInfo =
    `<ds:SignedInfo xmlns:ds="${DS}">${state.methods}` +
    writeReference('data', kind.type, hash, crypto.digest(hash, content)) +
    writeReference('binding', BINDING_TYPE, hash, crypto.digest(hash, binding)) +
    writeReference('properties', PROPERTIES_TYPE, hash, crypto.digest(hash, encodeUtf8(properties))) +
    '</ds:SignedInfo>';
  return {
    scheme: scheme.id,
    toBeSigned: encodeUtf8(signedInfo),
    finish: (signature) =>
      concat([
        encodeUtf8(
          `<ds:Signature xmlns:ds="${DS}" Id="signature">${signedInfo}<ds:SignatureValue>` +
            `${base64(asWritten(scheme, signature))}</ds:SignatureValue>` +
            `${options.includeCertificates ? state.keyInfo : ''}<ds:Object Encoding="${BASE64}" Id="data">`,
        ),
        encodeBase64(content),
        encodeUtf8(
          `</ds:Object><ds:Object Encoding="${BASE64}" Id="binding">${base64(binding)}</ds:Object>` +
            `<ds:Object><xades:QualifyingProperties xmlns:xades="${XADES}" Target="#signature">${properties}` +
            '</xades:QualifyingProperties></ds:Object></ds:Signature>',
        ),
      ]),
  };
}

const BINDING_TYPE = ` Type="${REFERENCE_TYPE.binding}"`;
const PROPERTIES_TYPE = ` Type="${REFERENCE_TYPE.properties}"`;

/** In canonical form inside of SignedInfo. */
function writeReference(
  target: 'data' | 'binding' | 'properties',
  type: string,
  hash: HashName,
  digest: Uint8Array,
): string {
  const id = target === 'properties' ? '' : ` Id="${target}-reference"`;
  const transform = target === 'properties' ? EXCLUSIVE : BASE64;
  return (
    `<ds:Reference${id}${type} URI="#${target}"><ds:Transforms><ds:Transform Algorithm="${transform}">` +
    `</ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="${DIGEST_URI[hash]}"></ds:DigestMethod>` +
    `<ds:DigestValue>${base64(digest)}</ds:DigestValue></ds:Reference>`
  );
}

/** SignedProperties in canonical form. */
function writeProperties(
  { signingCertificate: certificate }: SignerState,
  { signingTime }: Pick<ReceiptOptions, 'signingTime'>,
  { mimeType, commitment }: Kind,
): string {
  return (
    `<xades:SignedProperties xmlns:xades="${XADES}" Id="properties"><xades:SignedSignatureProperties>` +
    `<xades:SigningTime>${dateTime(signingTime)}</xades:SigningTime>${certificate}` +
    `</xades:SignedSignatureProperties><xades:SignedDataObjectProperties>` +
    `${writeFormat('data', mimeType)}${writeFormat('binding', 'application/octet-stream')}${commitment}` +
    '</xades:SignedDataObjectProperties></xades:SignedProperties>'
  );
}

/** EN 319 132-1 §6.3: XAdES-B has one for each signed data object. */
function writeFormat(target: 'data' | 'binding', mimeType: string): string {
  return (
    `<xades:DataObjectFormat ObjectReference="#${target}-reference"><xades:MimeType>${mimeType}</xades:MimeType>` +
    '</xades:DataObjectFormat>'
  );
}

function kindOf(
  commitment: string,
  { isReceipt, qualifier }: { isReceipt: boolean; qualifier: string | undefined },
): Kind {
  const qualifiers =
    qualifier === undefined
      ? ''
      : `<xades:CommitmentTypeQualifiers><xades:CommitmentTypeQualifier>${qualifier}` +
        '</xades:CommitmentTypeQualifier></xades:CommitmentTypeQualifiers>';
  return {
    type: isReceipt ? ` Type="${REFERENCE_TYPE.acknowledged}"` : '',
    mimeType: 'application/octet-stream',
    commitment:
      `<xades:CommitmentTypeIndication><xades:CommitmentTypeId><xades:Identifier>${commitment}</xades:Identifier>` +
      `</xades:CommitmentTypeId><xades:AllSignedDataObjects></xades:AllSignedDataObjects>${qualifiers}` +
      '</xades:CommitmentTypeIndication>',
  };
}

/** xsd:dateTime. @throws TlsError ERR_TLS_INTERNAL */
function dateTime(milliseconds: number): string {
  return formatGeneralizedTime(milliseconds).replace(/^(....)(..)(..)(..)(..)/, '$1-$2-$3T$4:$5:');
}

/** @throws SignatureError ERR_SIGN_CERTIFICATE, ERR_SIGN_UNSUPPORTED_ALGORITHM, ERR_SIGN_TOO_LARGE */
function stateOf(crypto: CryptoProvider, signer: Signer): SignerState {
  let state = states.get(signer);
  if (state === undefined) {
    state = makeState(crypto, signer);
    states.set(signer, state);
  }
  return state;
}

function makeState(crypto: CryptoProvider, signer: Signer): SignerState {
  const { leaf, scheme } = signingCertificate(crypto, signer);
  const { algorithm } = scheme;
  const certificates = signer.chain.map((der) => `<ds:X509Certificate>${base64(der)}</ds:X509Certificate>`);
  const keyInfo = `<ds:KeyInfo><ds:X509Data>${certificates.join('')}</ds:X509Data></ds:KeyInfo>`;
  if (keyInfo.length > MAX_KEY_INFO_LENGTH)
    throw new SignatureError(
      'ERR_SIGN_TOO_LARGE',
      `The signer's chain has ${keyInfo.length} bytes in XML, at most ${MAX_KEY_INFO_LENGTH} fit an object`,
    );
  return {
    scheme,
    // Ed25519 has no hash of its own to follow.
    hash: algorithm.kind === 'ed25519' ? 'sha256' : algorithm.hash,
    methods:
      `<ds:CanonicalizationMethod Algorithm="${EXCLUSIVE}"></ds:CanonicalizationMethod>` +
      `<ds:SignatureMethod Algorithm="${signatureUri(algorithm)}"></ds:SignatureMethod>`,
    signingCertificate:
      `<xades:SigningCertificateV2><xades:Cert><xades:CertDigest><ds:DigestMethod xmlns:ds="${DS}" ` +
      `Algorithm="${DIGEST_URI.sha256}"></ds:DigestMethod><ds:DigestValue xmlns:ds="${DS}">` +
      `${base64(crypto.digest('sha256', leaf.raw))}</ds:DigestValue></xades:CertDigest></xades:Cert>` +
      '</xades:SigningCertificateV2>',
    keyInfo,
  };
}

/** @throws SignatureError ERR_SIGN_BAD_SIGNATURE for what no ECDSA key makes */
function asWritten({ algorithm, curve }: Scheme, signature: Uint8Array): Uint8Array {
  if (algorithm.kind !== 'ecdsa' || curve === undefined) return signature;
  let written: Uint8Array | undefined;
  try {
    written = ecdsaFromDer(signature, curve);
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
  }
  if (written !== undefined) return written;
  throw new SignatureError(
    'ERR_SIGN_BAD_SIGNATURE',
    `The signing key made no ECDSA signature of ${curve} in DER`,
  );
}

function base64(bytes: Uint8Array): string {
  return ASCII.decode(encodeBase64(bytes));
}

const ASCII = new TextDecoder();

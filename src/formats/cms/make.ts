import type { CryptoProvider } from '../../crypto/provider.ts';
import { Oid } from '../../der/oids.ts';
import { contextConstructed, Tag } from '../../der/tags.ts';
import {
  constructed,
  type Der,
  encodeDer,
  explicit,
  integer,
  octetString,
  oid,
  sequence,
  setOf,
  time,
} from '../../der/writer.ts';
import { SignatureError } from '../../errors/errors.ts';
import { type Binding, encodeBinding } from '../binding.ts';
import type {
  ContentFormat,
  ObjectMaker,
  ObjectOptions,
  ObjectReference,
  ReceiptOptions,
  Unsigned,
} from '../format.ts';
import { encodeReceipt, encodeReceiptRequest } from './ess.ts';
import { attribute, type SignerState, signerState } from './signer-state.ts';

/** What a format puts around a SignedData; see `Envelope` in `verify.ts`. */
export interface Wrapper {
  /** What goes into eContent. @throws SignatureError ERR_SIGN_TOO_LARGE */
  wrap(content: Uint8Array): Uint8Array;
  /** @param contentType OID of its eContentType */
  seal(signedData: Uint8Array, contentType: string): Uint8Array;
}

export function cmsMakerFor(format: ContentFormat, wrapper: Wrapper): ObjectMaker {
  return {
    format,
    prepareObject: (crypto, content, options) => prepareObject(crypto, wrapper, content, options),
    prepareReceipt: (crypto, received, options) => prepareReceipt(crypto, wrapper, received, options),
  };
}

/**
 * CMS SignedData (RFC 5652) with the signed attributes of CAdES-B (ETSI EN 319 122-1 §6), all in DER. The content must
 * not change before `finish`.
 */
export const cmsMaker = cmsMakerFor('pkcs7', {
  wrap: (content) => content,
  seal: (signedData) => signedData,
});

function prepareObject(
  crypto: CryptoProvider,
  wrapper: Wrapper,
  content: Uint8Array,
  options: ObjectOptions,
): Unsigned {
  const state = signerState(crypto, options.signer);
  const wrapped = wrapper.wrap(content);
  const digest = crypto.digest(state.algorithm.hash, wrapped);
  return unsigned(state, wrapper, DATA, wrapped, objectAttributes(state, digest, options), options);
}

/**
 * RFC 2634 §2.4 for a signed object; for an unsigned one, a SignedData over its SHA-256. Both carry the digest of the
 * whole object as an attribute.
 */
function prepareReceipt(
  crypto: CryptoProvider,
  wrapper: Wrapper,
  received: ObjectReference,
  options: ReceiptOptions,
): Unsigned {
  const state = signerState(crypto, options.signer);
  const { ess, objectDigest } = received;
  const acknowledged = attribute(ACKNOWLEDGED_OBJECT, octetString(objectDigest));
  if (received.kind === 'unsigned') {
    const content = wrapper.wrap(objectDigest);
    const digest = crypto.digest(state.algorithm.hash, content);
    const attributes = [...baseAttributes(state, DATA, digest, options), acknowledged];
    return unsigned(state, wrapper, DATA, content, attributes, options);
  }
  if (ess === undefined) {
    throw new SignatureError(
      'ERR_SIGN_RECEIPT_MISMATCH',
      'The object does not ask for a signed receipt (receiptRequest), so RFC 2634 has none for it',
    );
  }
  const { contentType, contentIdentifier, signature, attributesDigest } = ess;
  const receipt = encodeReceipt({ contentType, contentIdentifier, originatorSignature: signature });
  const digest = crypto.digest(state.algorithm.hash, receipt);
  const attributes = [
    ...baseAttributes(state, RECEIPT, digest, options),
    acknowledged,
    attribute(MSG_SIG_DIGEST, octetString(attributesDigest)),
  ];
  return unsigned(state, wrapper, RECEIPT, receipt, attributes, options);
}

/** Signed attributes of a data object, each DER, in no order. */
export function objectAttributes(
  state: SignerState,
  contentDigest: Uint8Array,
  options: Omit<ObjectOptions, 'signer' | 'includeCertificates'>,
): Uint8Array[] {
  const attributes = baseAttributes(state, DATA, contentDigest, options);
  if (options.receiptRequest) {
    const request = encodeReceiptRequest(contentIdentifier(options.binding), state.names);
    attributes.push(attribute(RECEIPT_REQUEST, request));
  }
  return attributes;
}

/** SignedAttributes as they are signed: SET OF in DER, not the [0] that they travel under (RFC 5652 §5.4). */
export function attributesToSign(attributes: readonly Uint8Array[]): Uint8Array {
  return encodeDer(setOf(...attributes));
}

/**
 * SET OF SignerInfo with its one SignerInfo ::= SEQUENCE { version, sid, digestAlgorithm, [0] signedAttrs,
 * signatureAlgorithm, signature }.
 *
 * @param toBeSigned as from `attributesToSign`
 */
export function signerInfos(state: SignerState, toBeSigned: Uint8Array, signature: Uint8Array): Der {
  const signedAttributes = new Uint8Array(toBeSigned);
  signedAttributes[0] = contextConstructed(0);
  return constructed(Tag.set, [
    sequence(
      VERSION_1,
      state.identifier,
      state.algorithm.digestAlgorithm,
      signedAttributes,
      state.algorithm.signatureAlgorithm,
      octetString(signature),
    ),
  ]);
}

const VERSION_1 = encodeDer(integer(1));
const SIGNED_DATA = encodeDer(oid(Oid.signedData));
const MESSAGE_DIGEST = encodeDer(oid(Oid.messageDigest));
const SIGNING_TIME = encodeDer(oid(Oid.signingTime));
const RECEIPT_REQUEST = encodeDer(oid(Oid.receiptRequest));
const MSG_SIG_DIGEST = encodeDer(oid(Oid.msgSigDigest));
const BINDING = encodeDer(oid(Oid.binding));
const ACKNOWLEDGED_OBJECT = encodeDer(oid(Oid.acknowledgedObject));
const CONTENT_TYPE = encodeDer(oid(Oid.contentType));

/** What a SignedData holds. */
interface ContentKind {
  /** OID. */
  readonly contentType: string;
  readonly encoded: Uint8Array;
  /** Of the SignedData (RFC 5652 §5.1). */
  readonly version: Uint8Array;
  /** The attribute content-type. */
  readonly attribute: Uint8Array;
}

const DATA = contentKind(Oid.data, VERSION_1);
const RECEIPT = contentKind(Oid.receipt, encodeDer(integer(3)));

function contentKind(contentType: string, version: Uint8Array): ContentKind {
  const encoded = encodeDer(oid(contentType));
  return { contentType, encoded, version, attribute: attribute(CONTENT_TYPE, encoded) };
}

function baseAttributes(
  state: SignerState,
  kind: ContentKind,
  contentDigest: Uint8Array,
  { binding, signingTime }: Pick<ReceiptOptions, 'binding' | 'signingTime'>,
): Uint8Array[] {
  return [
    kind.attribute,
    signingTimeAttribute(signingTime),
    attribute(MESSAGE_DIGEST, octetString(contentDigest)),
    state.signingCertificate,
    attribute(BINDING, encodeBinding(binding)),
  ];
}

/** All objects of a second have the same one. */
let lastSigningTime: { second: number; attribute: Uint8Array } = {
  second: Number.NaN,
  attribute: new Uint8Array(0),
};

function signingTimeAttribute(milliseconds: number): Uint8Array {
  const second = Math.floor(milliseconds / 1000);
  if (lastSigningTime.second !== second)
    lastSigningTime = { second, attribute: attribute(SIGNING_TIME, time(milliseconds)) };
  return lastSigningTime.attribute;
}

/**
 * RFC 2634 §2.7 wants it unique in the world. Session, direction and sequence number are, and need no randomness:
 * sessionBinding ‖ role ‖ sequence.
 */
export function contentIdentifier({ sessionBinding, role, sequence: number }: Binding): Uint8Array {
  const identifier = new Uint8Array(sessionBinding.length + 9);
  identifier.set(sessionBinding);
  const view = new DataView(identifier.buffer, sessionBinding.length);
  view.setUint8(0, role === 'client' ? 0 : 1);
  view.setBigUint64(1, BigInt(number));
  return identifier;
}

function unsigned(
  state: SignerState,
  wrapper: Wrapper,
  kind: ContentKind,
  content: Uint8Array,
  attributes: readonly Uint8Array[],
  { includeCertificates }: Pick<ReceiptOptions, 'includeCertificates'>,
): Unsigned {
  const toBeSigned = attributesToSign(attributes);
  const signedData = (signature: Uint8Array): Der =>
    sequence(
      kind.version,
      state.digestAlgorithms,
      sequence(kind.encoded, explicit(0, octetString(content))),
      includeCertificates ? state.certificates : undefined,
      signerInfos(state, toBeSigned, signature),
    );
  return {
    scheme: state.algorithm.scheme.id,
    toBeSigned,
    finish: (signature) =>
      wrapper.seal(encodeDer(sequence(SIGNED_DATA, explicit(0, signedData(signature)))), kind.contentType),
  };
}

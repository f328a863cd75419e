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
import type { ObjectMaker, ObjectOptions, ObjectReference, ReceiptOptions, Unsigned } from '../format.ts';
import { encodeReceipt, encodeReceiptRequest } from './ess.ts';
import { attribute, type SignerState, signerState } from './signer-state.ts';

/** CMS SignedData (RFC 5652) with the signed attributes of CAdES-B (ETSI EN 319 122-1 §6), all in DER. */
export const cmsMaker: ObjectMaker = { format: 'pkcs7', prepareObject, prepareReceipt };

/** `content` must not change before `finish`. */
export function prepareObject(crypto: CryptoProvider, content: Uint8Array, options: ObjectOptions): Unsigned {
  const state = signerState(crypto, options.signer);
  const digest = crypto.digest(state.algorithm.hash, content);
  const attributes = objectAttributes(state, digest, options);
  return unsigned(state, DATA, content, attributes, options);
}

/**
 * RFC 2634 §2.4 for a signed object; for an unsigned one, a SignedData over its SHA-256. Both carry the digest of the
 * whole object as an attribute.
 */
export function prepareReceipt(
  crypto: CryptoProvider,
  received: ObjectReference,
  options: ReceiptOptions,
): Unsigned {
  const state = signerState(crypto, options.signer);
  const { ess, objectDigest } = received;
  const acknowledged = attribute(ACKNOWLEDGED_OBJECT, octetString(objectDigest));
  if (received.kind === 'unsigned') {
    const digest = crypto.digest(state.algorithm.hash, objectDigest);
    const attributes = baseAttributes(state, CONTENT_TYPE_DATA, digest, options);
    return unsigned(state, DATA, objectDigest, [...attributes, acknowledged], options);
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
  const attributes = baseAttributes(state, CONTENT_TYPE_RECEIPT, digest, options);
  const msgSigDigest = attribute(MSG_SIG_DIGEST, octetString(attributesDigest));
  return unsigned(state, RECEIPT, receipt, [...attributes, acknowledged, msgSigDigest], options);
}

/** Signed attributes of a data object, each DER, in no order. */
export function objectAttributes(
  state: SignerState,
  contentDigest: Uint8Array,
  options: Omit<ObjectOptions, 'signer' | 'includeCertificates'>,
): Uint8Array[] {
  const attributes = baseAttributes(state, CONTENT_TYPE_DATA, contentDigest, options);
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
  const signedAttributes = toBeSigned.slice();
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

/** What a SignedData holds: its eContentType, and the version that goes with it (RFC 5652 §5.1). */
interface ContentKind {
  readonly version: Uint8Array;
  readonly type: Uint8Array;
}

const VERSION_1 = encodeDer(integer(1));
const DATA: ContentKind = { version: VERSION_1, type: encodeDer(oid(Oid.data)) };
const RECEIPT: ContentKind = { version: encodeDer(integer(3)), type: encodeDer(oid(Oid.receipt)) };

const SIGNED_DATA = encodeDer(oid(Oid.signedData));
const MESSAGE_DIGEST = encodeDer(oid(Oid.messageDigest));
const SIGNING_TIME = encodeDer(oid(Oid.signingTime));
const RECEIPT_REQUEST = encodeDer(oid(Oid.receiptRequest));
const MSG_SIG_DIGEST = encodeDer(oid(Oid.msgSigDigest));
const BINDING = encodeDer(oid(Oid.binding));
const ACKNOWLEDGED_OBJECT = encodeDer(oid(Oid.acknowledgedObject));
const CONTENT_TYPE = encodeDer(oid(Oid.contentType));
const CONTENT_TYPE_DATA = attribute(CONTENT_TYPE, DATA.type);
const CONTENT_TYPE_RECEIPT = attribute(CONTENT_TYPE, RECEIPT.type);

function baseAttributes(
  state: SignerState,
  contentType: Uint8Array,
  contentDigest: Uint8Array,
  { binding, signingTime }: Pick<ReceiptOptions, 'binding' | 'signingTime'>,
): Uint8Array[] {
  return [
    contentType,
    attribute(SIGNING_TIME, time(signingTime)),
    attribute(MESSAGE_DIGEST, octetString(contentDigest)),
    state.signingCertificate,
    attribute(BINDING, encodeBinding(binding)),
  ];
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
  kind: ContentKind,
  content: Uint8Array,
  attributes: readonly Uint8Array[],
  { includeCertificates }: Pick<ReceiptOptions, 'includeCertificates'>,
): Unsigned {
  const toBeSigned = attributesToSign(attributes);
  return {
    scheme: state.algorithm.scheme.id,
    toBeSigned,
    finish: (signature) =>
      encodeDer(
        sequence(
          SIGNED_DATA,
          explicit(
            0,
            sequence(
              kind.version,
              state.digestAlgorithms,
              sequence(kind.type, explicit(0, octetString(content))),
              includeCertificates ? state.certificates : undefined,
              signerInfos(state, toBeSigned, signature),
            ),
          ),
        ),
      ),
  };
}

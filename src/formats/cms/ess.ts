import type { DerReader } from '../../der/reader.ts';
import { contextConstructed, contextPrimitive, Tag } from '../../der/tags.ts';
import { type Der, encodeDer, implicit, integer, octetString, oid, sequence } from '../../der/writer.ts';
import { DecodeError } from '../../errors/errors.ts';

/** Ours have 41 bytes, those of OpenSSL 32; RFC 2634 §2.7 suggests a name, a time and a random number. */
const MAX_CONTENT_IDENTIFIER_BYTES = 256;
/** RFC 2634 §2.7: ub-receiptsTo. */
const MAX_RECEIPTS_TO = 16;

/** ReceiptRequest, RFC 2634 §2.7. Who is to send receipts, and where to, is settled by the session. */
export interface ReceiptRequest {
  readonly contentIdentifier: Uint8Array;
}

/** Receipt, RFC 2634 §2.8. */
export interface Receipt {
  /** OID. */
  readonly contentType: string;
  readonly contentIdentifier: Uint8Array;
  readonly originatorSignature: Uint8Array;
}

/**
 * ReceiptRequest ::= SEQUENCE { signedContentIdentifier OCTET STRING, receiptsFrom CHOICE { [0] INTEGER { allReceipts
 * (0), firstTierRecipients (1) }, [1] SEQUENCE OF GeneralNames }, receiptsTo SEQUENCE OF GeneralNames }
 *
 * @param receiptsTo GeneralNames, DER
 */
export function encodeReceiptRequest(contentIdentifier: Uint8Array, receiptsTo: Der): Uint8Array {
  return encodeDer(sequence(octetString(contentIdentifier), ALL_RECEIPTS, sequence(receiptsTo)));
}

/** @throws DecodeError */
export function readReceiptRequest(reader: DerReader): ReceiptRequest {
  const fields = reader.sequence('receiptRequest');
  const contentIdentifier = readContentIdentifier(fields);
  if (fields.is(contextPrimitive(0))) fields.smallInteger(1, contextPrimitive(0));
  else fields.list(contextConstructed(1), (names) => names.skip(Tag.sequence), 1, MAX_RECEIPTS_TO);
  fields.list(Tag.sequence, (names) => names.skip(Tag.sequence), 1, MAX_RECEIPTS_TO);
  fields.end();
  return { contentIdentifier };
}

/** SEQUENCE { version INTEGER (1), contentType OID, signedContentIdentifier OCTET STRING, originatorSignatureValue OCTET STRING } */
export function encodeReceipt({ contentType, contentIdentifier, originatorSignature }: Receipt): Uint8Array {
  return encodeDer(
    sequence(integer(1), oid(contentType), octetString(contentIdentifier), octetString(originatorSignature)),
  );
}

/** @throws DecodeError */
export function readReceipt(reader: DerReader): Receipt {
  const fields = reader.sequence('receipt');
  const version = fields.smallInteger(0x7fff_ffff);
  if (version !== 1) throw new DecodeError(`receipt: version ${version}, only 1 is known`);
  const contentType = fields.oid();
  const contentIdentifier = readContentIdentifier(fields);
  const originatorSignature = fields.octetString();
  fields.end();
  return { contentType, contentIdentifier, originatorSignature };
}

const ALL_RECEIPTS = encodeDer(implicit(0, integer(0)));

function readContentIdentifier(fields: DerReader): Uint8Array {
  const identifier = fields.octetString();
  if (identifier.length > MAX_CONTENT_IDENTIFIER_BYTES)
    throw new DecodeError(`signedContentIdentifier of ${identifier.length} bytes`);
  return identifier;
}

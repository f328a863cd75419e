import type { CryptoProvider } from '../../crypto/provider.ts';
import { DerReader } from '../../der/reader.ts';
import { contextPrimitive, Tag } from '../../der/tags.ts';
import { encodeDer, enumerated, octetString, oid, primitive, sequence } from '../../der/writer.ts';
import { TrellisError } from '../../errors/errors.ts';
import { startReading } from '../../formats/cms/verify-stream.ts';
import { MAX_WHOLE_OBJECT_BYTES, type ObjectReference } from '../../formats/format.ts';
import { referenceToUnsigned } from '../../formats/unsigned.ts';
import { VERIFIERS } from '../verify/formats.ts';
import { type EvidenceRecord, hasFlag } from './record.ts';

/*
 * What stays of an object when its content is erased: with it receipts for the object can still be verified, and its
 * signature too, by whoever has the document.
 */

export interface Residue {
  readonly reference: ObjectReference;
  /** pkcs7: the SignedData without its content, for `openssl cms -verify -content DOCUMENT`. */
  readonly detached: Uint8Array | undefined;
}

/**
 * Of what cannot be read nothing stays but the record.
 * @param pieces of the object, which may be of any size where it is pkcs7
 */
export async function residueOf(
  crypto: CryptoProvider,
  record: EvidenceRecord,
  pieces: AsyncIterable<Uint8Array>,
): Promise<Uint8Array | undefined> {
  try {
    if (record.format === 'pkcs7' && !hasFlag(record, 'unsigned')) {
      const reading = startReading(crypto);
      for await (const piece of pieces) reading.write(piece);
      return encodeResidue(reading.end());
    }
    if (record.objectLength > MAX_WHOLE_OBJECT_BYTES) return undefined;
    const held: Uint8Array[] = [];
    for await (const piece of pieces) held.push(piece);
    const object = Buffer.concat(held);
    const reference = hasFlag(record, 'unsigned')
      ? referenceToUnsigned(crypto, object)
      : VERIFIERS[record.format].referenceTo(crypto, object);
    return encodeResidue({ reference, detached: undefined });
  } catch (error) {
    if (error instanceof TrellisError) return undefined;
    throw error;
  }
}

/**
 * `Residue ::= SEQUENCE { kind ENUMERATED { signed(0), unsigned(1) }, objectDigest OCTET STRING, ess SEQUENCE {
 * contentType OBJECT IDENTIFIER, contentIdentifier OCTET STRING, signature OCTET STRING, attributesDigest OCTET STRING }
 * OPTIONAL, detached [0] OCTET STRING OPTIONAL }`, DER.
 */
function encodeResidue({ reference, detached }: Residue): Uint8Array {
  const { kind, objectDigest, ess } = reference;
  return encodeDer(
    sequence(
      enumerated(kind === 'signed' ? 0 : 1),
      octetString(objectDigest),
      ess &&
        sequence(
          oid(ess.contentType),
          octetString(ess.contentIdentifier),
          octetString(ess.signature),
          octetString(ess.attributesDigest),
        ),
      detached && primitive(contextPrimitive(0), detached),
    ),
  );
}

/**
 * @param receiptRequested as the record of the object says
 * @throws DecodeError
 */
export function decodeResidue(der: Uint8Array, receiptRequested: boolean): Residue {
  const reader = new DerReader(new Uint8Array(der), 'residue');
  const fields = reader.sequence();
  reader.end();
  const kind = fields.smallInteger(1, Tag.enumerated) === 0 ? 'signed' : 'unsigned';
  const objectDigest = fields.octetString();
  let ess: ObjectReference['ess'];
  if (fields.is(Tag.sequence)) {
    const parts = fields.sequence();
    ess = {
      contentType: parts.oid(),
      contentIdentifier: parts.octetString(),
      signature: parts.octetString(),
      attributesDigest: parts.octetString(),
    };
    parts.end();
  }
  const detached = fields.is(contextPrimitive(0)) ? fields.octetString(contextPrimitive(0)) : undefined;
  fields.end();
  return { reference: { kind, objectDigest, receiptRequested, ess }, detached };
}

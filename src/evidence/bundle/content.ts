import type { CryptoProvider } from '../../crypto/provider.ts';
import { TrellisError } from '../../errors/errors.ts';
import { startVerification } from '../../formats/cms/verify-stream.ts';
import type { VerifyContext } from '../../formats/format.ts';
import { decodeUnsignedObject } from '../../formats/unsigned.ts';
import { type EvidenceRecord, hasFlag } from '../archive/record.ts';
import type { EvidenceReader } from '../archive/store.ts';
import { readChain } from '../report/account.ts';
import { VERIFIERS } from '../verify/formats.ts';
import { anySigner } from '../verify/judge.ts';

/**
 * The data that a record's object holds, in pieces. What comes out is what was signed, by whomever: the signature is
 * checked, the signer is not judged.
 * @throws SignatureError where the object is none
 */
export async function* contentOf(
  crypto: CryptoProvider,
  reader: EvidenceReader,
  record: EvidenceRecord,
): AsyncGenerator<Uint8Array> {
  const context: VerifyContext = { trust: anySigner(crypto), now: record.time };
  const chain = await signerChain(reader, record);
  const known = chain === undefined ? context : { ...context, signerChain: chain };
  if (record.format === 'pkcs7' && record.held === 'chunks' && !hasFlag(record, 'unsigned')) {
    const verification = startVerification(crypto);
    for await (const piece of reader.object(record.index)) {
      for (const { bytes } of verification.write(piece)) yield bytes;
    }
    verification.end(known);
    return;
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of reader.object(record.index)) pieces.push(piece);
  const object = pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces);
  if (hasFlag(record, 'unsigned')) {
    yield decodeUnsignedObject(object).content;
    return;
  }
  yield VERIFIERS[record.format].verifyObject(crypto, object, known).content;
}

/** Length of the data that come out, or undefined when none would: they cannot be read, or are not what was archived. */
export async function contentLength(
  crypto: CryptoProvider,
  reader: EvidenceReader,
  record: EvidenceRecord,
): Promise<number | undefined> {
  if (record.kind !== 'data' || record.held === 'none') return undefined;
  try {
    let length = 0;
    for await (const piece of contentOf(crypto, reader, record)) length += piece.length;
    return length;
  } catch (error) {
    if (error instanceof TrellisError) return undefined;
    throw error;
  }
}

/** The chain that was announced, for objects without certificates. */
async function signerChain(
  reader: EvidenceReader,
  record: EvidenceRecord,
): Promise<readonly Uint8Array[] | undefined> {
  const session = await reader.session(record.session);
  const own = record.direction === 'sent' ? session?.ownChain : session?.peerChain;
  const chain = await readChain(reader, record.signerChain ?? own);
  return chain.length === 0 ? undefined : chain.map(({ raw }) => raw);
}

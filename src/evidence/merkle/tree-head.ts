import type { CryptoProvider, PublicKey } from '../../crypto/provider.ts';
import { schemeById, schemeFitsKey } from '../../crypto/schemes.ts';
import { equalBytes } from '../../der/bytes.ts';
import { decodePemBlocks, encodePem } from '../../der/pem.ts';
import { DerReader } from '../../der/reader.ts';
import { Tag } from '../../der/tags.ts';
import { encodeDer, generalizedTime, integer, octetString, sequence } from '../../der/writer.ts';
import { DecodeError, TrellisError } from '../../errors/errors.ts';
import { EvidenceError } from '../errors.ts';
import { HASH_BYTES } from './hash.ts';

/** Enough that nobody makes two keys with the same one; it travels in every signed object. Bytes. */
export const ARCHIVE_ID_BYTES = 16;
/** A signature by RSA with 8,192 bits and such a key, with room to spare. */
const MAX_CHECKPOINT_BYTES = 8192;
const PEM_LABEL = 'TRELLIS CHECKPOINT';

/** What an archive held at one moment: the root of the tree of its first `size` records. */
export interface TreeHead {
  /** First 16 bytes of the SHA-256 of the archive's public key. */
  readonly archive: Uint8Array;
  readonly size: number;
  readonly root: Uint8Array;
}

/** A tree head signed with the archive's key. */
export interface Checkpoint {
  readonly head: TreeHead;
  /** By the archive's clock, Unix milliseconds, whole seconds. */
  readonly time: number;
  /** SignatureScheme, RFC 8446 §4.2.3. */
  readonly scheme: number;
  readonly signature: Uint8Array;
  /** SubjectPublicKeyInfo of the archive's key. */
  readonly publicKey: Uint8Array;
}

export function archiveId(crypto: CryptoProvider, publicKeySpki: Uint8Array): Uint8Array {
  return crypto.digest('sha256', publicKeySpki).slice(0, ARCHIVE_ID_BYTES);
}

/**
 * What goes into the signed binding of each object (tls-sign.md §3):
 * `TreeHead ::= SEQUENCE { archive OCTET STRING (SIZE(16)), size INTEGER, root OCTET STRING (SIZE(32)) }`, DER.
 */
export function encodeTreeHead(head: TreeHead): Uint8Array {
  return encodeDer(sequence(octetString(head.archive), integer(head.size), octetString(head.root)));
}

/** Byte fields are copies. @throws DecodeError */
export function decodeTreeHead(der: Uint8Array): TreeHead {
  const reader = new DerReader(der, 'tree head');
  const head = readTreeHead(reader);
  reader.end();
  return head;
}

/** `undefined` for bytes that are no tree head: other software may put something else in its bindings. */
export function treeHeadOf(bytes: Uint8Array): TreeHead | undefined {
  if (bytes.length === 0) return undefined;
  try {
    return decodeTreeHead(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

/** What the signature of a checkpoint covers: `SEQUENCE { version INTEGER (1), head TreeHead, time GeneralizedTime }`. */
export function checkpointBody(head: TreeHead, time: number): Uint8Array {
  return encodeDer(sequence(integer(1), encodeTreeHead(head), generalizedTime(time)));
}

/** `Checkpoint ::= SEQUENCE { body, scheme INTEGER, signature OCTET STRING, publicKey SubjectPublicKeyInfo }`, DER. */
export function encodeCheckpoint(checkpoint: Checkpoint): Uint8Array {
  return encodeDer(
    sequence(
      checkpointBody(checkpoint.head, checkpoint.time),
      integer(checkpoint.scheme),
      octetString(checkpoint.signature),
      checkpoint.publicKey,
    ),
  );
}

/** Says nothing about its signature: `verifyCheckpoint` does. @throws EvidenceError ERR_EVIDENCE_CHECKPOINT */
export function decodeCheckpoint(der: Uint8Array): Checkpoint {
  try {
    if (der.length > MAX_CHECKPOINT_BYTES) throw new DecodeError(`${der.length} bytes are too many`);
    const reader = new DerReader(new Uint8Array(der), 'checkpoint');
    const fields = reader.sequence();
    reader.end();
    const body = fields.sequence();
    const version = body.smallInteger(0xffff);
    if (version !== 1) throw new DecodeError(`version ${version}, only 1 is known`);
    const head = readTreeHead(body);
    const time = body.generalizedTime();
    body.end();
    const scheme = fields.smallInteger(0xffff);
    const signature = fields.octetString();
    const publicKey = fields.encoded(Tag.sequence);
    fields.end();
    return { head, time, scheme, signature, publicKey };
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new EvidenceError(
      'ERR_EVIDENCE_CHECKPOINT',
      `The checkpoint cannot be read: ${cause.message}; ask for it again where it came from`,
      { cause },
    );
  }
}

/** A checkpoint as a file that people can keep, mail and print. */
export function checkpointToPem(checkpoint: Checkpoint): string {
  return encodePem(PEM_LABEL, encodeCheckpoint(checkpoint));
}

/** All checkpoints of a file, PEM or DER. @throws EvidenceError ERR_EVIDENCE_CHECKPOINT */
export function checkpointsFromFile(bytes: Uint8Array): Checkpoint[] {
  // DER begins with SEQUENCE, PEM with a letter or a dash.
  if (bytes[0] === Tag.sequence) return [decodeCheckpoint(bytes)];
  try {
    return decodePemBlocks(new TextDecoder().decode(bytes), PEM_LABEL).map(decodeCheckpoint);
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new EvidenceError('ERR_EVIDENCE_CHECKPOINT', `The file holds no checkpoint: ${cause.message}`, {
      cause,
    });
  }
}

/**
 * The signature, and that the key is the one that names the archive.
 * @throws EvidenceError ERR_EVIDENCE_CHECKPOINT
 */
export function verifyCheckpoint(crypto: CryptoProvider, checkpoint: Checkpoint): void {
  const { head, time, scheme, signature, publicKey } = checkpoint;
  if (!equalBytes(archiveId(crypto, publicKey), head.archive)) {
    throw forged('it names another archive than the key that signed it');
  }
  const key = importKey(crypto, publicKey);
  const known = schemeById(scheme);
  if (known === undefined || !schemeFitsKey(known, key)) throw forged('its algorithm does not fit its key');
  if (!crypto.verify(known.algorithm, key, checkpointBody(head, time), signature)) {
    throw forged('its signature does not verify');
  }
}

function importKey(crypto: CryptoProvider, spki: Uint8Array): PublicKey {
  try {
    return crypto.importPublicKey(spki);
  } catch (cause) {
    if (cause instanceof TrellisError) throw forged(cause.message);
    throw cause;
  }
}

function forged(why: string): EvidenceError {
  return new EvidenceError('ERR_EVIDENCE_CHECKPOINT', `The checkpoint proves nothing: ${why}`);
}

function readTreeHead(reader: DerReader): TreeHead {
  const fields = reader.sequence('tree head');
  const archive = new Uint8Array(fields.octetString());
  const size = fields.bigInteger();
  const root = new Uint8Array(fields.octetString());
  fields.end();
  if (archive.length !== ARCHIVE_ID_BYTES || root.length !== HASH_BYTES) {
    throw new DecodeError('tree head: a field of impossible length');
  }
  if (size < 0n || size > BigInt(Number.MAX_SAFE_INTEGER))
    throw new DecodeError('tree head: impossible size');
  return { archive, size: Number(size), root };
}

import type { CryptoProvider } from '../../crypto/provider.ts';
import { equalBytes } from '../../der/bytes.ts';
import { Oid } from '../../der/oids.ts';
import { DerReader } from '../../der/reader.ts';
import { contextConstructed, contextPrimitive, Tag } from '../../der/tags.ts';
import { DecodeError, SignatureError } from '../../errors/errors.ts';
import type { Certificate } from '../../x509/certificate.ts';
import type { TrustStore } from '../../x509/trust-store.ts';
import { verifyPeer } from '../../x509/verify.ts';
import { findHash } from '../cms/algorithms.ts';
import { checkContentType, checkSignature, contentHash } from '../cms/check.ts';
import { readSignedData } from '../cms/read.ts';
import { asSignatureError } from '../faults.ts';
import type { SignerIdentity, SignerJudge } from '../format.ts';
import { settle } from '../judgement.ts';

/** id-ct-TSTInfo, RFC 3161 §2.4.2. */
const TST_INFO = '1.2.840.113549.1.9.16.1.4';
const MAX_SERIAL_BYTES = 21;

export interface TimeStampContext {
  /** SHA-256 of what is to be dated. */
  readonly digest: Uint8Array;
  /** What was sent in the request; undefined when that was long ago. */
  readonly nonce?: Uint8Array | undefined;
  /**
   * The time authority's certificate is judged at the time that the token says: it has signed that time, and a token
   * outlives its certificate.
   */
  readonly trust: TrustStore | SignerJudge;
}

/** Not exported: who cannot name it cannot construct a proof. */
const PROVEN = Symbol('proven');

/** Proof that a time authority has seen a digest. Only `verifyTimeStampToken` makes one. */
export class VerifiedTimeStamp {
  /** By the time authority's clock, Unix milliseconds: what was dated existed then. */
  readonly time: number;
  /** How far that may be off, in milliseconds; 0 when the token does not say. */
  readonly accuracy: number;
  readonly authority: SignerIdentity;
  /** OID of the policy under which the token was made. */
  readonly policy: string;
  /** Content of the INTEGER. */
  readonly serialNumber: Uint8Array;
  readonly #proof: typeof PROVEN;

  constructor(proof: typeof PROVEN, info: TstInfo, authority: SignerIdentity) {
    if (proof !== PROVEN) throw new TypeError('A VerifiedTimeStamp comes from verifyTimeStampToken');
    this.#proof = proof;
    this.time = info.time;
    this.accuracy = info.accuracy;
    this.policy = info.policy;
    this.serialNumber = info.serialNumber;
    this.authority = authority;
  }

  static is(value: object): value is VerifiedTimeStamp {
    return #proof in value && value.#proof === PROVEN;
  }
}

/**
 * Verifies a TimeStampToken (RFC 3161 §2.4.2): the signature, the time authority's certificate with its purpose
 * (§2.3), and that it is for this digest and this request (§2.2).
 *
 * @throws SignatureError, whatever the bytes are
 */
export function verifyTimeStampToken(
  crypto: CryptoProvider,
  token: Uint8Array,
  context: TimeStampContext,
): VerifiedTimeStamp {
  try {
    const data = readSignedData(token, true);
    checkContentType(data.contentType, TST_INFO);
    const info = readTstInfo(data.content);
    checkImprint(info, context);
    const contentDigest = crypto.digest(contentHash(data.digestAlgorithm, true), data.content);
    const accepted = { trust: judgeOf(crypto, context.trust), now: info.time };
    const parts = { head: data, tail: data, contentDigest };
    const { signer } = settle(crypto, checkSignature(crypto, parts, accepted, true));
    return new VerifiedTimeStamp(PROVEN, info, signer);
  } catch (error) {
    throw asSignatureError(error);
  }
}

/** What a token says, not what it proves: for telling people about one that does not verify. @throws SignatureError */
export function timeOfToken(token: Uint8Array): number {
  try {
    return readTstInfo(readSignedData(token, true).content).time;
  } catch (error) {
    throw asSignatureError(error);
  }
}

/** Certificates that travel in a token, DER, in no order: for a bundle that is to be verified by others. @throws SignatureError */
export function certificatesOfToken(token: Uint8Array): readonly Uint8Array[] {
  try {
    return readSignedData(token, true).certificates;
  } catch (error) {
    throw asSignatureError(error);
  }
}

interface TstInfo {
  readonly policy: string;
  readonly hashAlgorithm: Uint8Array;
  readonly imprint: Uint8Array;
  readonly serialNumber: Uint8Array;
  readonly time: number;
  readonly accuracy: number;
  readonly nonce: Uint8Array | undefined;
}

/**
 * TSTInfo ::= SEQUENCE { version (1), policy OID, messageImprint, serialNumber, genTime, accuracy OPTIONAL,
 * ordering BOOLEAN DEFAULT FALSE, nonce OPTIONAL, tsa [0] OPTIONAL, extensions [1] OPTIONAL }
 */
function readTstInfo(der: Uint8Array): TstInfo {
  const outer = new DerReader(der, 'TSTInfo');
  const fields = outer.sequence();
  outer.end();
  // RFC 3161 §2.4.2: the only version there is.
  if (fields.smallInteger(255) !== 1) throw new DecodeError('TSTInfo: another version than 1');
  const policy = fields.oid();
  const messageImprint = fields.sequence('messageImprint');
  const hashAlgorithm = messageImprint.encoded(Tag.sequence);
  const imprint = messageImprint.octetString();
  messageImprint.end();
  const serialNumber = fields.integer();
  if (serialNumber.length > MAX_SERIAL_BYTES) throw new DecodeError('TSTInfo: a serial number too long');
  const time = fields.generalizedTime(true);
  const accuracy = fields.is(Tag.sequence) ? readAccuracy(fields.sequence('accuracy')) : 0;
  if (fields.is(Tag.boolean)) fields.boolean();
  const nonce = fields.is(Tag.integer) ? fields.integer() : undefined;
  if (fields.is(contextConstructed(0))) fields.skip();
  // §2.4.2 has no extension that must be known; a critical one would say that it must.
  if (fields.is(contextConstructed(1))) fields.list(contextConstructed(1), refuseCritical);
  fields.end();
  return { policy, hashAlgorithm, imprint, serialNumber, time, accuracy, nonce };
}

/** Accuracy ::= SEQUENCE { seconds INTEGER OPTIONAL, millis [0] (1..999) OPTIONAL, micros [1] (1..999) OPTIONAL } */
function readAccuracy(fields: DerReader): number {
  const seconds = fields.is(Tag.integer) ? fields.smallInteger(0x7fff_ffff) : 0;
  const millis = fields.is(contextPrimitive(0)) ? fields.smallInteger(999, contextPrimitive(0)) : 0;
  const micros = fields.is(contextPrimitive(1)) ? fields.smallInteger(999, contextPrimitive(1)) : 0;
  fields.end();
  return seconds * 1000 + millis + Math.ceil(micros / 1000);
}

function refuseCritical(reader: DerReader): void {
  const extension = reader.sequence('extension');
  const type = extension.oid();
  if (extension.is(Tag.boolean) && extension.boolean()) {
    throw new DecodeError(`TSTInfo: the critical extension ${type} is not known`);
  }
  extension.octetString();
  extension.end();
}

function checkImprint(info: TstInfo, { digest, nonce }: TimeStampContext): void {
  if (findHash(info.hashAlgorithm, true) !== 'sha256' || !equalBytes(info.imprint, digest)) {
    throw new SignatureError(
      'ERR_SIGN_MESSAGE_DIGEST',
      'The timestamp is for something else',
      'messageImprint',
    );
  }
  if (nonce === undefined) return;
  if (info.nonce === undefined || !equalBytes(stripZeros(info.nonce), stripZeros(nonce))) {
    throw new SignatureError(
      'ERR_SIGN_BINDING_MISMATCH',
      'The timestamp answers another request: it does not repeat the nonce',
      'nonce',
    );
  }
}

/** As numbers: an INTEGER has its own idea of leading zeros. */
function stripZeros(bytes: Uint8Array): Uint8Array {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  return bytes.subarray(start);
}

function judgeOf(crypto: CryptoProvider, trust: TrustStore | SignerJudge): SignerJudge {
  return (chain, now) => {
    const signer =
      typeof trust === 'function'
        ? trust(chain, now)
        : verifyPeer(crypto, chain, { purpose: 'timestamping', trust, now });
    checkPurpose(signer.leaf);
    return signer;
  };
}

/** RFC 3161 §2.3: extendedKeyUsage MUST be there, critical, and be timeStamping alone. */
function checkPurpose(leaf: Certificate): void {
  const extension = leaf.extension(Oid.extKeyUsage);
  const isAlone = leaf.extKeyUsage?.length === 1 && leaf.extKeyUsage[0] === Oid.timeStamping;
  if (extension?.critical === true && isAlone) return;
  throw new SignatureError(
    'ERR_SIGN_CERTIFICATE',
    `${leaf} is no time authority's: its extendedKeyUsage must be timeStamping alone, and critical`,
  );
}

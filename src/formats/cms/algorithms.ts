import type { HashName, SignatureAlgorithm } from '../../crypto/provider.ts';
import { SCHEMES, type Scheme } from '../../crypto/schemes.ts';
import { equalBytes } from '../../der/bytes.ts';
import { Oid } from '../../der/oids.ts';
import { DerReader } from '../../der/reader.ts';
import { Tag } from '../../der/tags.ts';
import { encodeDer, nullValue, oid, sequence } from '../../der/writer.ts';
import { encodeSignatureAlgorithm, readSignatureAlgorithm } from '../../x509/signature-algorithm.ts';

/** How one SignatureScheme is written in a SignerInfo. */
export interface CmsAlgorithm {
  readonly scheme: Scheme;
  /** Hash of content and attributes. */
  readonly hash: HashName;
  /** AlgorithmIdentifier, DER. */
  readonly digestAlgorithm: Uint8Array;
  /** AlgorithmIdentifier, DER. */
  readonly signatureAlgorithm: Uint8Array;
}

/** What the identifiers of a SignerInfo say; which schemes it can be depends on the key as well. */
export interface FoundAlgorithm {
  readonly hash: HashName;
  readonly algorithm: SignatureAlgorithm;
}

const HASH_OID: Readonly<Record<HashName, string>> = {
  sha256: Oid.sha256,
  sha384: Oid.sha384,
  sha512: Oid.sha512,
};

/** RFC 5754 §2: SHA-2 identifiers are made without parameters. */
const DIGEST_ALGORITHM: Readonly<Record<HashName, Uint8Array>> = {
  sha256: encodeDer(sequence(oid(HASH_OID.sha256))),
  sha384: encodeDer(sequence(oid(HASH_OID.sha384))),
  sha512: encodeDer(sequence(oid(HASH_OID.sha512))),
};
const HASH_NAMES: readonly HashName[] = ['sha256', 'sha384', 'sha512'];

/** RFC 5754 §3.2: with PKCS #1 v1.5 every implementation knows rsaEncryption, and the hash is digestAlgorithm's. */
const RSA_ENCRYPTION = encodeDer(sequence(oid(Oid.rsaEncryption), nullValue()));

export const CMS_ALGORITHMS: readonly CmsAlgorithm[] = SCHEMES.map((scheme) => {
  const { algorithm } = scheme;
  // RFC 8419 §3.1: with Ed25519 and signed attributes the hash is SHA-512.
  const hash = algorithm.kind === 'ed25519' ? 'sha512' : algorithm.hash;
  return {
    scheme,
    hash,
    digestAlgorithm: DIGEST_ALGORITHM[hash],
    signatureAlgorithm: algorithm.kind === 'rsa-pkcs1' ? RSA_ENCRYPTION : encodeSignatureAlgorithm(algorithm),
  };
});

/** The hash that a digestAlgorithm names; `lenient` also takes NULL parameters, which RFC 5754 §2 has us accept. */
export function findHash(digestAlgorithm: Uint8Array, lenient: boolean): HashName | undefined {
  const exact = HASH_NAMES.find((name) => equalBytes(DIGEST_ALGORITHM[name], digestAlgorithm));
  if (exact !== undefined || !lenient) return exact;
  const fields = new DerReader(digestAlgorithm, 'digest algorithm').sequence();
  const type = fields.oid();
  if (fields.is(Tag.null)) fields.null();
  return fields.remaining === 0 ? HASH_NAMES.find((name) => HASH_OID[name] === type) : undefined;
}

/**
 * Both identifiers together: exactly ours, or sha256WithRSAEncryption and its kin, which RFC 5754 §3.2 allows instead
 * of rsaEncryption. `lenient` takes the other spellings of the same parameters too.
 * @throws DecodeError
 */
export function findAlgorithm(
  hash: HashName,
  signatureAlgorithm: Uint8Array,
  lenient: boolean,
): FoundAlgorithm | undefined {
  for (const known of SPELLINGS)
    if (known.hash === hash && equalBytes(known.signatureAlgorithm, signatureAlgorithm)) return known;
  if (!lenient) return undefined;
  const { algorithm } = readSignatureAlgorithm(signatureAlgorithm);
  if (algorithm === undefined) return undefined;
  const wanted = algorithm.kind === 'ed25519' ? 'sha512' : algorithm.hash;
  return wanted === hash ? { hash, algorithm } : undefined;
}

const SPELLINGS: readonly (FoundAlgorithm & { readonly signatureAlgorithm: Uint8Array })[] =
  CMS_ALGORITHMS.flatMap(({ scheme: { algorithm }, hash, signatureAlgorithm }) => [
    { algorithm, hash, signatureAlgorithm },
    ...(algorithm.kind === 'rsa-pkcs1'
      ? [{ algorithm, hash, signatureAlgorithm: encodeSignatureAlgorithm(algorithm) }]
      : []),
  ]);

import type { HashName, SignatureAlgorithm } from '../crypto/provider.ts';
import { HASH_LENGTH } from '../crypto/provider.ts';
import { Oid } from '../der/oids.ts';
import { DerReader } from '../der/reader.ts';
import { Tag } from '../der/tags.ts';
import { encodeDer, explicit, integer, nullValue, oid, sequence } from '../der/writer.ts';
import { DecodeError } from '../errors/errors.ts';

/** AlgorithmIdentifier of a signature (RFC 5280 §4.1.1.2). */
export interface SignatureAlgorithmIdentifier {
  /** Dotted decimal. */
  readonly oid: string;
  /** For messages: "ecdsaWithSHA256", or the OID where it has no name here. */
  readonly name: string;
  /** Undefined for what is not accepted: MD5, SHA-1, unknown ones, RSASSA-PSS parameters other than ours. */
  readonly algorithm: SignatureAlgorithm | undefined;
}

/**
 * The algorithms that certificates may be signed with. SHA-1 and MD5 are broken for this use (RFC 8446 §4.2.3 and
 * RFC 9155); DSA, Ed448 and RSASSA-PSS with SHA-1 or an unequal mask hash are signed with by nobody whom TLS meets.
 * @throws DecodeError when it is no AlgorithmIdentifier
 */
export function readSignatureAlgorithm(encoded: Uint8Array): SignatureAlgorithmIdentifier {
  const outer = new DerReader(encoded, 'signature algorithm');
  const reader = outer.sequence();
  outer.end();
  const oid = reader.oid();
  const known = BY_OID.get(oid);
  if (known?.algorithm === undefined) return known ?? { oid, name: oid, algorithm: undefined };
  const refused: SignatureAlgorithmIdentifier = { oid, name: known.name, algorithm: undefined };
  switch (known.algorithm.kind) {
    case 'rsa-pkcs1':
      // RFC 4055 §5: the parameters are NULL, and absent ones MUST be accepted.
      if (reader.is(Tag.null)) reader.null();
      break;
    case 'rsa-pss':
      return { ...known, algorithm: readPssParameters(reader) };
    case 'ecdsa':
    case 'ed25519':
      break;
  }
  // RFC 5758 §3.2, RFC 8410 §3: no parameters.
  return reader.remaining === 0 ? known : refused;
}

export function encodeSignatureAlgorithm(algorithm: SignatureAlgorithm): Uint8Array {
  switch (algorithm.kind) {
    case 'ed25519':
      return encodeDer(sequence(oid(Oid.ed25519)));
    case 'ecdsa':
      return encodeDer(sequence(oid(ECDSA_OID[algorithm.hash])));
    case 'rsa-pkcs1':
      return encodeDer(sequence(oid(RSA_PKCS1_OID[algorithm.hash]), nullValue()));
    case 'rsa-pss': {
      const hash = sequence(oid(HASH_OID[algorithm.hash]), nullValue());
      return encodeDer(
        sequence(
          oid(Oid.rsassaPss),
          sequence(
            explicit(0, hash),
            explicit(1, sequence(oid(Oid.mgf1), hash)),
            explicit(2, integer(HASH_LENGTH[algorithm.hash])),
          ),
        ),
      );
    }
  }
}

const ECDSA_OID: Readonly<Record<HashName, string>> = {
  sha256: Oid.ecdsaWithSHA256,
  sha384: Oid.ecdsaWithSHA384,
  sha512: Oid.ecdsaWithSHA512,
};
const RSA_PKCS1_OID: Readonly<Record<HashName, string>> = {
  sha256: Oid.sha256WithRSAEncryption,
  sha384: Oid.sha384WithRSAEncryption,
  sha512: Oid.sha512WithRSAEncryption,
};
const HASH_OID: Readonly<Record<HashName, string>> = {
  sha256: Oid.sha256,
  sha384: Oid.sha384,
  sha512: Oid.sha512,
};
const HASH_NAMES: readonly HashName[] = ['sha256', 'sha384', 'sha512'];

const entry = (
  name: keyof typeof Oid,
  algorithm: SignatureAlgorithm | undefined,
): [string, SignatureAlgorithmIdentifier] => [Oid[name], { oid: Oid[name], name, algorithm }];

const BY_OID: ReadonlyMap<string, SignatureAlgorithmIdentifier> = new Map([
  entry('ecdsaWithSHA256', { kind: 'ecdsa', hash: 'sha256' }),
  entry('ecdsaWithSHA384', { kind: 'ecdsa', hash: 'sha384' }),
  entry('ecdsaWithSHA512', { kind: 'ecdsa', hash: 'sha512' }),
  entry('sha256WithRSAEncryption', { kind: 'rsa-pkcs1', hash: 'sha256' }),
  entry('sha384WithRSAEncryption', { kind: 'rsa-pkcs1', hash: 'sha384' }),
  entry('sha512WithRSAEncryption', { kind: 'rsa-pkcs1', hash: 'sha512' }),
  entry('rsassaPss', { kind: 'rsa-pss', hash: 'sha256' }),
  entry('ed25519', { kind: 'ed25519' }),
  entry('ecdsaWithSHA1', undefined),
  entry('sha1WithRSAEncryption', undefined),
  entry('md5WithRSAEncryption', undefined),
]);

/**
 * RSASSA-PSS-params (RFC 4055 §3.1): the mask generation is MGF1 with the same hash, and the salt is as long as the
 * hash, as RFC 8446 §4.2.3 has it for TLS. All defaults are SHA-1's, so absent fields are refused too; the trailer has one value, its default, which
 * DER leaves out.
 */
function readPssParameters(reader: DerReader): SignatureAlgorithm | undefined {
  try {
    const parameters = reader.sequence('RSASSA-PSS parameters');
    reader.end();
    const hash = parameters.explicit(0, readHash);
    const maskHash = parameters.explicit(1, readMgf1);
    const saltLength = parameters.explicit(2, (field) => field.smallInteger(0xffff));
    parameters.end();
    if (hash === undefined || maskHash !== hash || saltLength !== HASH_LENGTH[hash]) return undefined;
    return { kind: 'rsa-pss', hash };
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function readMgf1(reader: DerReader): HashName | undefined {
  const algorithm = reader.sequence();
  const isMgf1 = algorithm.oid() === Oid.mgf1;
  const hash = readHash(algorithm);
  algorithm.end();
  return isMgf1 ? hash : undefined;
}

/** RFC 4055 §2.1: the parameters of a hash are NULL or absent. */
function readHash(reader: DerReader): HashName | undefined {
  const algorithm = reader.sequence();
  const oid = algorithm.oid();
  if (algorithm.is(Tag.null)) algorithm.null();
  algorithm.end();
  return HASH_NAMES.find((name) => HASH_OID[name] === oid);
}

import type { EcCurve, HashName, SignatureAlgorithm } from '../../crypto/provider.ts';
import { DerReader } from '../../der/reader.ts';
import { Tag } from '../../der/tags.ts';
import { encodeDer, integer, sequence } from '../../der/writer.ts';

/** DigestMethod (RFC 9231 §2.1; XML Encryption for SHA-256 and SHA-512). SHA-1 and MD5 are not there. */
export const DIGEST_URI: Readonly<Record<HashName, string>> = {
  sha256: 'http://www.w3.org/2001/04/xmlenc#sha256',
  sha384: 'http://www.w3.org/2001/04/xmldsig-more#sha384',
  sha512: 'http://www.w3.org/2001/04/xmlenc#sha512',
};

const HASHES = Object.keys(DIGEST_URI) as HashName[];

/** SignatureMethod, RFC 9231 §2.3. With parameters in the name, RSA-PSS has MGF1 and salt of the same hash (§2.3.10). */
export function signatureUri(algorithm: SignatureAlgorithm): string {
  switch (algorithm.kind) {
    case 'ecdsa':
      return `http://www.w3.org/2001/04/xmldsig-more#ecdsa-${algorithm.hash}`;
    case 'rsa-pkcs1':
      return `http://www.w3.org/2001/04/xmldsig-more#rsa-${algorithm.hash}`;
    case 'rsa-pss':
      return `http://www.w3.org/2007/05/xmldsig-more#${algorithm.hash}-rsa-MGF1`;
    case 'ed25519':
      return 'http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519';
  }
}

export function findDigest(uri: string): HashName | undefined {
  return HASHES.find((hash) => DIGEST_URI[hash] === uri);
}

/** Signatures only, with public keys: what is an HMAC for one cannot be checked with the key of another. */
export function findSignature(uri: string): SignatureAlgorithm | undefined {
  return SIGNATURES.get(uri);
}

const SIGNATURES: ReadonlyMap<string, SignatureAlgorithm> = new Map(
  [
    ...HASHES.flatMap((hash): SignatureAlgorithm[] => [
      { kind: 'ecdsa', hash },
      { kind: 'rsa-pkcs1', hash },
      { kind: 'rsa-pss', hash },
    ]),
    { kind: 'ed25519' } as const,
  ].map((algorithm) => [signatureUri(algorithm), algorithm]),
);

/** Bytes of each half of an ECDSA signature. */
const HALF: Readonly<Record<EcCurve, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 };

/** RFC 9231 §2.3.6: r ‖ s, each as long as the order of the curve. @returns undefined for what is not `Ecdsa-Sig-Value` */
export function ecdsaFromDer(der: Uint8Array, curve: EcCurve): Uint8Array | undefined {
  const half = HALF[curve];
  const out = new Uint8Array(2 * half);
  const outer = new DerReader(der, 'ECDSA signature');
  const both = outer.sequence();
  outer.end();
  for (const end of [half, 2 * half]) {
    const value = both.content(Tag.integer);
    const digits = value[0] === 0 ? value.subarray(1) : value;
    if (digits.length > half) return undefined;
    out.set(digits, end - digits.length);
  }
  both.end();
  return out;
}

/** @returns undefined where the length is not that of the curve */
export function ecdsaToDer(signature: Uint8Array, curve: EcCurve): Uint8Array | undefined {
  const half = HALF[curve];
  if (signature.length !== 2 * half) return undefined;
  return encodeDer(sequence(integer(signature.subarray(0, half)), integer(signature.subarray(half))));
}

import type { CryptoProvider, EcCurve } from '../crypto/provider.ts';
import type { Signer } from '../formats/format.ts';
import { Certificate } from '../x509/certificate.ts';

/** Bytes of a coordinate. */
const COORDINATE: Readonly<Record<EcCurve, number>> = { 'P-256': 32, 'P-384': 48, 'P-521': 66 };
const ED25519_BYTES = 64;

/**
 * Something as long as the longest signature of this signer, and of its form: to know, before there is one, how long an object
 * will be.
 */
export function longestSignature(crypto: CryptoProvider, { chain }: Signer): Uint8Array {
  const key = crypto.importPublicKey(Certificate.parse(chain[0] as Uint8Array).spki);
  switch (key.kind) {
    case 'ec':
      return ecdsaOf(COORDINATE[key.curve]);
    case 'ed25519':
      return new Uint8Array(ED25519_BYTES);
    default:
      return new Uint8Array(Math.ceil(key.modulusBits / 8));
  }
}

/** Ecdsa-Sig-Value of two INTEGERs as long as they get; those of P-521 have no bit to spare for a sign. */
function ecdsaOf(coordinate: number): Uint8Array {
  const isRound = coordinate !== COORDINATE['P-521'];
  const integer = isRound
    ? [2, coordinate + 1, 0, ...new Array<number>(coordinate).fill(0xff)]
    : [2, coordinate, 1, ...new Array<number>(coordinate - 1).fill(0xff)];
  const length = 2 * integer.length;
  return Uint8Array.of(0x30, ...(length < 0x80 ? [length] : [0x81, length]), ...integer, ...integer);
}

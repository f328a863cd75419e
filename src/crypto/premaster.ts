import { maskEqual, select } from './branch-free.ts';

/** Bytes of the premaster secret of the RSA key exchange (RFC 5246 §7.4.7.1). */
export const PREMASTER_LENGTH = 48;
/** Two bytes before the padding, eight of it at least, and the zero behind it (RFC 8017 §7.2.2). */
const PADDING_OVERHEAD = 11;

/**
 * The premaster secret in a decrypted block of PKCS #1 v1.5: `00 02 PS 00 version random[46]`. Whatever is wrong with it,
 * `otherwise` is the result, and nothing here depends on what was wrong: Bleichenbacher's attack lives on that (RFC 5246
 * §7.4.7.1, whose second way this is, the check of the version as part of it).
 *
 * @param block as long as the modulus, which is no secret
 * @param version client_version, as the ClientHello had it
 * @param otherwise PREMASTER_LENGTH random bytes, drawn before
 */
export function unpadPremaster(block: Uint8Array, version: number, otherwise: Uint8Array): Uint8Array {
  const at = block.length - PREMASTER_LENGTH;
  if (at < PADDING_OVERHEAD) return otherwise;
  const byte = (index: number): number => block[index] as number;
  let good = maskEqual(byte(0), 0) & maskEqual(byte(1), 2) & maskEqual(byte(at - 1), 0);
  // The secret has one length, so the zero that ends the padding has one place.
  for (let i = 2; i < at - 1; i++) good &= ~maskEqual(byte(i), 0);
  good &= maskEqual(byte(at), version >> 8) & maskEqual(byte(at + 1), version & 0xff);
  const premaster = new Uint8Array(PREMASTER_LENGTH);
  for (let i = 0; i < PREMASTER_LENGTH; i++) {
    premaster[i] = select(good, byte(at + i), otherwise[i] as number);
  }
  return premaster;
}

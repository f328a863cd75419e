/**
 * The SubjectPublicKeyInfo of one of RFC 8448's certificates: in each, the only SEQUENCE that begins with one of two
 * algorithms. Found by that, so that the traces can be checked without trusting our own X.509 code.
 */
export function certificateKey(certificate: Uint8Array): Uint8Array {
  const bytes = Buffer.from(certificate);
  const rsa = bytes.indexOf('30819f300d06092a864886f70d010101', 0, 'hex');
  if (rsa !== -1) return bytes.subarray(rsa, rsa + 3 + 0x9f);
  const ec = bytes.indexOf('3059301306072a8648ce3d0201', 0, 'hex');
  return bytes.subarray(ec, ec + 2 + 0x59);
}

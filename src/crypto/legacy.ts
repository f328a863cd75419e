/**
 * What is spoken only where it is named (RFC 8996, RFC 9325):
 * - `tls1.0`, `tls1.1`, `dtls1.0`: these versions. DTLS 1.0 (RFC 4347) is TLS 1.1 over datagrams.
 * - `rsa`: the RSA key exchange, without forward secrecy and with Bleichenbacher's attack.
 * - `cbc`: CBC with the MAC inside the encryption, with Lucky Thirteen, and 3DES. With encrypt_then_mac, AES-CBC needs no more
 *   than to be named among the suites.
 * - `rc4`: RC4, whose key stream is biased (RFC 7465).
 */
export const LEGACY = ['tls1.0', 'tls1.1', 'dtls1.0', 'rsa', 'cbc', 'rc4'] as const;

export type Legacy = (typeof LEGACY)[number];

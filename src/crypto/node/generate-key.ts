import crypto from 'node:crypto';
import { type ImportedKey, importPrivateKey } from './import-key.ts';

export interface GeneratedKey {
  readonly key: ImportedKey;
  /** PKCS#8, PEM, not encrypted. */
  readonly pem: string;
}

/** A new private key on P-256, the curve that every TLS 1.3 peer must know (RFC 8446 §9.1). */
export function generateP256Key(): GeneratedKey {
  // Encoded where it is made: see newX25519Key.
  const { privateKey: pem } = crypto.generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  return { key: importPrivateKey(pem), pem };
}

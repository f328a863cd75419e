import crypto from 'node:crypto';
import { ImportedKey } from './import-key.ts';

export interface GeneratedKey {
  readonly key: ImportedKey;
  /** PKCS#8, PEM, not encrypted. */
  readonly pem: string;
}

/** A new private key on P-256, the curve that every TLS 1.3 peer must know (RFC 8446 §9.1). */
export function generateP256Key(): GeneratedKey {
  const { privateKey } = crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return {
    key: new ImportedKey(privateKey),
    pem: String(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  };
}

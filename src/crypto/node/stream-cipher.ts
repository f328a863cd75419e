import crypto from 'node:crypto';
import { TlsError } from '../../errors/errors.ts';
import type { StreamCipher, StreamName } from '../provider.ts';

const KEY_LENGTH = 16;

export function nodeStreamCipher(name: StreamName, key: Uint8Array): StreamCipher {
  const cipher = open(name, key);
  if (cipher === undefined) throw new TlsError('ERR_TLS_INTERNAL', `This Node has no ${name.toUpperCase()}`);
  return (data) => cipher.update(data);
}

/** OpenSSL 3 has RC4 in its legacy provider alone, which Node loads when it is told to: `--openssl-legacy-provider`. */
export function hasStreamCipher(name: StreamName): boolean {
  return open(name, new Uint8Array(KEY_LENGTH)) !== undefined;
}

function open(name: StreamName, key: Uint8Array): crypto.Cipher | undefined {
  try {
    return crypto.createCipheriv(name, key, null);
  } catch {
    return undefined;
  }
}

import crypto from 'node:crypto';
import type { AeadName, RecordNumberMask } from '../provider.ts';

/** RFC 9147 §4.2.3. */
export function recordNumberMask(name: AeadName, key: Uint8Array): RecordNumberMask {
  if (name === 'chacha20-poly1305') {
    const secret = crypto.createSecretKey(key);
    // OpenSSL's IV is `counter ‖ nonce`, which is the order of the sample.
    return (sample) => crypto.createCipheriv('chacha20', secret, sample).update(ZEROS);
  }
  // ECB has no state between blocks, so one object serves the whole epoch.
  const cipher = crypto.createCipheriv(`aes-${key.length * 8}-ecb`, key, null).setAutoPadding(false);
  return (sample) => cipher.update(sample);
}

const ZEROS = new Uint8Array(16);

import { LEGACY, type Legacy } from '../crypto/legacy.ts';
import { hasStreamCipher } from '../crypto/node/stream-cipher.ts';
import { optionError } from './options.ts';

/** Why nobody should want it; said once in the life of the process. */
const WHY: Readonly<Record<Legacy, string>> = {
  'tls1.0': 'TLS 1.0 is retired (RFC 8996): its handshake rests on MD5 and SHA-1',
  'tls1.1': 'TLS 1.1 is retired (RFC 8996): its handshake rests on MD5 and SHA-1',
  'dtls1.0': 'DTLS 1.0 is retired (RFC 8996): its handshake rests on MD5 and SHA-1',
  rsa: 'the RSA key exchange has no forward secrecy: who gets the key reads whatever was recorded (RFC 9325 §4.1)',
  cbc: 'CBC without encrypt_then_mac has had one padding oracle after the other; against timing this is JavaScript (SECURITY.md)',
  rc4: 'RC4 is prohibited (RFC 7465): parts of what is sent often can be read',
};

const warned = new Set<Legacy>();

/**
 * The option `legacy`, checked, with a process warning for each item that is named for the first time.
 * @throws ConnectionError ERR_TLS_OPTION for what is none, and for RC4 where Node has none
 */
export function parseLegacy(names: readonly string[] | undefined): readonly Legacy[] {
  if (names === undefined) return [];
  const items = [...new Set(names)].map((name) => {
    const item = LEGACY.find((known) => known === name);
    if (item === undefined)
      throw optionError('legacy', `'${name}' is not known; known are ${LEGACY.join(', ')}`);
    return item;
  });
  if (items.includes('rc4') && !hasStreamCipher('rc4')) {
    throw optionError(
      'legacy',
      "this Node has no RC4, which OpenSSL 3 keeps in a provider of its own; start Node with --openssl-legacy-provider, or leave 'rc4' out",
    );
  }
  for (const item of items) warn(item);
  return items;
}

function warn(item: Legacy): void {
  if (warned.has(item)) return;
  warned.add(item);
  process.emitWarning(`Option legacy: '${item}' is on; ${WHY[item]}`, {
    type: 'SecurityWarning',
    code: `TRELLIS_LEGACY_${item.toUpperCase().replace(/\W/g, '')}`,
  });
}

import { HASH_LENGTH, type HashName } from '../crypto/provider.ts';
import type { Fingerprint } from '../x509/verify.ts';
import { optionError } from './options.ts';

/** Those of RFC 8122 §5 that nobody can make a second certificate for; MD5 and SHA-1 are not among them. */
const HASHES: Readonly<Record<string, HashName>> = {
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
};

/** `hash-func SP 2UHEX *(":" 2UHEX)`, RFC 8122 §5; lower case is taken too. */
const FORM = /^([\w-]+) ([0-9a-f]{2}(?::[0-9a-f]{2})*)$/i;

/**
 * Fingerprints of certificates, as SDP has them behind `a=fingerprint:`.
 * @throws ConnectionError ERR_TLS_OPTION
 */
export function parseFingerprints(
  given: string | readonly string[] | undefined,
): readonly Fingerprint[] | undefined {
  if (given === undefined) return undefined;
  const texts = typeof given === 'string' ? [given] : given;
  if (texts.length === 0) throw optionError('fingerprints', 'the list is empty, so no certificate would do');
  return texts.map(parse);
}

function parse(text: string): Fingerprint {
  const [, name = '', digits = ''] = FORM.exec(text) ?? [];
  const hash = Object.hasOwn(HASHES, name.toLowerCase()) ? HASHES[name.toLowerCase()] : undefined;
  const value = new Uint8Array(Buffer.from(digits.replaceAll(':', ''), 'hex'));
  if (hash !== undefined && value.length === HASH_LENGTH[hash]) return { hash, value };
  throw optionError(
    'fingerprints',
    `'${text}' is no fingerprint of ${Object.keys(HASHES).join(', ')}; it looks like 'sha-256 AB:CD:…'`,
  );
}

import { DEFAULT_TLS13_SUITES, type Suite, TLS13_SUITES } from '../crypto/suites.ts';
import { DEFAULT_TLS12_SUITES, type Suite12, TLS12_SUITES } from '../crypto/suites12.ts';
import { optionError } from './options.ts';

/** The suites of each version that a list names, best first. */
export interface CipherChoice {
  readonly suites: readonly Suite[];
  readonly suites12: readonly Suite12[];
}

/**
 * A cipher list as OpenSSL and node:tls take it: names (OpenSSL's or IANA's), separated by colons, commas or spaces;
 * `DEFAULT`, `HIGH` and `ALL` for the default suites; class words alone or joined by `+` (`ECDHE+AESGCM`), which choose
 * among the default suites unless the class itself is off by default (`AESCCM`); `!` and `-` before any of these take
 * away. What names nothing is passed over, as OpenSSL does. Without a suite of TLS 1.3 in the list, TLS 1.3 is off, and
 * likewise TLS 1.2: as node:tls.
 * @throws ConnectionError ERR_TLS_OPTION when nothing is left
 */
export function parseCiphers(ciphers: string | undefined): CipherChoice {
  if (ciphers === undefined) return { suites: DEFAULT_TLS13_SUITES, suites12: DEFAULT_TLS12_SUITES };
  const suites: Suite[] = [];
  let suites12: Suite12[] = [];
  const banned = new Set<Suite12>();
  for (const word of ciphers.split(/[:, ]/)) {
    const name = word.toUpperCase();
    const suite = TLS13_SUITES.find((candidate) => candidate.name === name);
    if (suite !== undefined) {
      if (!suites.includes(suite)) suites.push(suite);
      continue;
    }
    const [operator, rest] = /^[!+-]/.test(name) ? [name[0], name.slice(1)] : ['', name];
    const meant = suitesOf(rest);
    if (operator === '') suites12.push(...meant.filter((s) => !banned.has(s) && !suites12.includes(s)));
    else suites12 = suites12.filter((s) => !meant.includes(s));
    if (operator === '!') for (const s of meant) banned.add(s);
    if (operator === '+') suites12.push(...meant.filter((s) => !banned.has(s)));
  }
  if (suites.length + suites12.length === 0) {
    const known = [...TLS13_SUITES, ...TLS12_SUITES].map((s) => s.name).join(':');
    throw optionError('ciphers', `'${ciphers}' names no suite that is spoken here; known are ${known}`);
  }
  return { suites, suites12 };
}

function suitesOf(word: string): readonly Suite12[] {
  const named = TLS12_SUITES.find((suite) => suite.name === word || suite.standardName === word);
  if (named !== undefined) return [named];
  if (word === 'DEFAULT' || word === 'HIGH' || word === 'ALL') return DEFAULT_TLS12_SUITES;
  const classes = word.split('+');
  return TLS12_SUITES.filter((suite) => {
    const tags = tagsOf(suite);
    const asked = DEFAULT_TLS12_SUITES.includes(suite) || classes.some((name) => OFF_BY_DEFAULT.has(name));
    return asked && classes.every((name) => tags.includes(name));
  });
}

/** Class words of what has to be asked for. */
const OFF_BY_DEFAULT: ReadonlySet<string> = new Set(['AESCCM', 'AESCCM8', 'PSK', 'KPSK', 'APSK', 'CBC']);

/** The class words of OpenSSL's `ciphers` manual that a suite answers to. */
function tagsOf({ authentication, ephemeral, protection, hash }: Suite12): string[] {
  const tags = [`A${authentication.toUpperCase()}`, 'TLSV1.2'];
  if (authentication === 'psk') tags.push('PSK', ephemeral ? 'KECDHEPSK' : 'KPSK');
  else tags.push('ECDHE', 'KECDHE', 'EECDH', 'KEECDH');
  if (authentication === 'ecdsa') tags.push('ECDSA');
  if (hash === 'sha384') tags.push('SHA384');
  if ('cbc' in protection) {
    const aes = protection.cbc === 'aes-128-cbc' ? 'AES128' : 'AES256';
    return [...tags, 'CBC', 'AES', aes, protection.mac.toUpperCase()];
  }
  const { aead } = protection;
  if (aead === 'chacha20-poly1305') return [...tags, 'CHACHA20'];
  tags.push('AES', aead.startsWith('aes-128') ? 'AES128' : 'AES256');
  tags.push(aead.endsWith('gcm') ? 'AESGCM' : 'AESCCM');
  if (aead.endsWith('ccm-8')) tags.push('AESCCM8');
  return tags;
}

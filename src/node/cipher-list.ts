import type { Legacy } from '../crypto/legacy.ts';
import { DEFAULT_TLS13_SUITES, type Suite, TLS13_SUITES } from '../crypto/suites.ts';
import {
  DEFAULT_TLS12_SUITES,
  existsBeforeTls12,
  isCbc,
  isRsaKeyExchange,
  LEGACY_SUITES,
  type Suite12,
  TLS12_SUITES,
} from '../crypto/suites12.ts';
import { LEGACY_VERSION, optionError } from './options.ts';

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
 * likewise TLS 1.2: as node:tls. What `legacy` names is among the default suites, behind all others.
 * @throws ConnectionError ERR_TLS_OPTION when nothing is left
 */
export function parseCiphers(ciphers: string | undefined, legacy: readonly Legacy[] = []): CipherChoice {
  const known = knownSuites(legacy);
  if (ciphers === undefined) return { suites: DEFAULT_TLS13_SUITES, suites12: known.byDefault };
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
    const meant = suitesOf(rest, known);
    if (operator === '') suites12.push(...meant.filter((s) => !banned.has(s) && !suites12.includes(s)));
    else suites12 = suites12.filter((s) => !meant.includes(s));
    if (operator === '!') for (const s of meant) banned.add(s);
    if (operator === '+') suites12.push(...meant.filter((s) => !banned.has(s)));
  }
  if (suites.length + suites12.length === 0) {
    const names = [...TLS13_SUITES, ...known.all].map((s) => s.name).join(':');
    const old = LEGACY_SUITES.find((s) => !known.all.includes(s) && ciphers.toUpperCase().includes(s.name));
    const advice =
      old === undefined ? '' : `; ${old.name} needs the option legacy: ['${old.legacy.join("', '")}']`;
    throw optionError(
      'ciphers',
      `'${ciphers}' names no suite that is spoken here; known are ${names}${advice}`,
    );
  }
  return { suites, suites12 };
}

interface KnownSuites {
  readonly all: readonly Suite12[];
  readonly byDefault: readonly Suite12[];
}

/** With what `legacy` adds: its own suites, and for versions that have nothing else, or peers without encrypt_then_mac, AES-CBC. */
function knownSuites(legacy: readonly Legacy[]): KnownSuites {
  const named = LEGACY_SUITES.filter((suite) => suite.legacy.every((item) => legacy.includes(item)));
  const isOld = legacy.some((item) => LEGACY_VERSION[item] !== undefined);
  const cbc = TLS12_SUITES.filter(
    (suite) =>
      isCbc(suite) && suite.ephemeral && (legacy.includes('cbc') || (isOld && existsBeforeTls12(suite))),
  );
  return { all: [...TLS12_SUITES, ...named], byDefault: [...DEFAULT_TLS12_SUITES, ...cbc, ...named] };
}

function suitesOf(word: string, known: KnownSuites): readonly Suite12[] {
  const named = known.all.find((suite) => suite.name === word || suite.standardName === word);
  if (named !== undefined) return [named];
  if (word === 'DEFAULT' || word === 'HIGH' || word === 'ALL') return known.byDefault;
  const classes = word.split('+');
  return known.all.filter((suite) => {
    const tags = tagsOf(suite);
    const asked = known.byDefault.includes(suite) || classes.some((name) => OFF_BY_DEFAULT.has(name));
    return asked && classes.every((name) => tags.includes(name));
  });
}

/** Class words of what has to be asked for. */
const OFF_BY_DEFAULT: ReadonlySet<string> = new Set(['AESCCM', 'AESCCM8', 'PSK', 'KPSK', 'APSK', 'CBC']);

/** The class words of OpenSSL's `ciphers` manual that a suite answers to. */
function tagsOf(suite: Suite12): string[] {
  const { authentication, ephemeral, protection, hash } = suite;
  const tags = [`A${authentication.toUpperCase()}`, existsBeforeTls12(suite) ? 'TLSV1' : 'TLSV1.2'];
  if (authentication === 'psk') tags.push('PSK', ephemeral ? 'KECDHEPSK' : 'KPSK');
  else if (isRsaKeyExchange(suite)) tags.push('RSA', 'KRSA');
  else tags.push('ECDHE', 'KECDHE', 'EECDH', 'KEECDH');
  if (authentication === 'ecdsa') tags.push('ECDSA');
  if (hash === 'sha384') tags.push('SHA384');
  if ('cbc' in protection) {
    const mac = protection.mac.toUpperCase();
    if (protection.cbc === 'des-ede3-cbc') return [...tags, 'CBC', '3DES', mac];
    const aes = protection.cbc === 'aes-128-cbc' ? 'AES128' : 'AES256';
    return [...tags, 'CBC', 'AES', aes, mac];
  }
  if ('stream' in protection) return [...tags, 'RC4', protection.mac.toUpperCase()];
  const { aead } = protection;
  if (aead === 'chacha20-poly1305') return [...tags, 'CHACHA20'];
  tags.push('AES', aead.startsWith('aes-128') ? 'AES128' : 'AES256');
  tags.push(aead.endsWith('gcm') ? 'AESGCM' : 'AESCCM');
  if (aead.endsWith('ccm-8')) tags.push('AESCCM8');
  return tags;
}

import { createPrivateKey } from 'node:crypto';
import { openModuleFile } from '../../src/node/module/store-file.ts';
import type { Needle } from './memory.ts';

/** Parts of private keys, as RFC 7518 §6 names them; an elliptic curve's has `d` alone. */
const PARTS = {
  d: 'scalar or private exponent',
  p: 'prime p',
  q: 'prime q',
  dp: 'CRT exponent of p',
  dq: 'CRT exponent of q',
  qi: 'CRT coefficient',
} as const;
const PEM_LINE = 64;
/** A shorter run may be anywhere. */
const RUN = 16;
/** Bytes of a tag, a length and a sign byte in front of a number, and with them the beginning of it. */
const DER_HEAD = 2;
const DER_LENGTH = 24;

/**
 * What must not be in the host's memory: of each key in a module's store, and of the PINs. The keys never leave a module;
 * they are read here from its file, with its secret, to know what to look for.
 */
export function secretsOf(
  name: string,
  store: string,
  secret: Uint8Array,
  pins: { readonly user: Uint8Array; readonly operator: Uint8Array },
): Needle[] {
  const file = openModuleFile(store, secret);
  try {
    const keys = file.state.identities.flatMap(({ alias, privateKey }) =>
      privateKey === undefined ? [] : keyNeedles(`${name} ${alias}`, privateKey),
    );
    return [
      ...keys,
      ...pinNeedles(`${name}: user PIN`, pins.user),
      ...pinNeedles(`${name}: operator PIN`, pins.operator),
    ];
  } finally {
    file.close();
  }
}

/** The parts in both byte orders (OpenSSL and BigInt keep the lowest first), the key in DER, and the body of its PEM. */
export function keyNeedles(name: string, pkcs8: Uint8Array): Needle[] {
  const der = Buffer.from(pkcs8);
  const jwk = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'jwk' });
  const needles: Needle[] = [];
  const isPrivate = new Uint8Array(der.length);
  for (const [part, what] of Object.entries(PARTS)) {
    const value = jwk[part];
    if (typeof value !== 'string') continue;
    const bytes = Buffer.from(value, 'base64url');
    needles.push({ name: `${name}: ${what}`, bytes });
    needles.push({ name: `${name}: ${what}, lowest byte first`, bytes: Buffer.from(bytes).reverse() });
    const at = der.indexOf(bytes);
    isPrivate.fill(1, at, at + bytes.length);
    needles.push({ name: `${name}: DER`, bytes: der.subarray(at - DER_HEAD, at - DER_HEAD + DER_LENGTH) });
  }
  return [...needles, ...pemNeedles(`${name}: PEM body`, der, isPrivate)];
}

/** The runs of each line that say nothing but private bytes: the rest is public, and anywhere. */
function pemNeedles(name: string, der: Buffer, isPrivate: Uint8Array): Needle[] {
  const text = der.toString('base64');
  const needles: Needle[] = [];
  let run = '';
  const end = (): void => {
    if (run.length >= RUN) needles.push({ name, bytes: Buffer.from(run) });
    run = '';
  };
  for (let at = 0; at < text.length; at += 4) {
    const from = (at / 4) * 3;
    if (at % PEM_LINE === 0) end();
    if ([0, 1, 2].every((i) => isPrivate[from + i] === 1)) run += text.slice(at, at + 4);
    else end();
  }
  end();
  return needles;
}

function pinNeedles(name: string, pin: Uint8Array): Needle[] {
  const text = Buffer.from(pin).toString('latin1');
  return [
    { name, bytes: pin },
    { name: `${name}, two bytes a digit`, bytes: Buffer.from(text, 'utf16le') },
  ];
}

import { TrellisError } from '../errors/errors.ts';
import { parseAlpn } from '../node/options.ts';
import { checkPsks, type PskInput } from '../node/psk.ts';
import { readTextFile } from './credentials.ts';
import { TunnelError } from './errors.ts';

/** Keys of one file: a gateway for more devices than that has a program of its own, with a look-up. */
const PSKS_MAX = 10_000;

/**
 * `IDENTITY:HEX`, as in `sensor-7:3f2a…`. The identity may have colons in it; the key is what follows the last one.
 * @throws TunnelError ERR_TUNNEL_OPTION, without the key in its text
 */
export function parsePsk(text: string): PskInput {
  const split = text.lastIndexOf(':');
  const hex = text.slice(split + 1);
  if (split < 1 || hex.length === 0 || hex.length % 2 !== 0 || !/^[0-9a-f]+$/i.test(hex)) {
    throw new TunnelError(
      'ERR_TUNNEL_OPTION',
      'this key does not work: write IDENTITY:HEX, the key as hexadecimal digits; "openssl rand -hex 32" makes one',
    );
  }
  return checked({ identity: text.slice(0, split), key: Buffer.from(hex, 'hex') });
}

/**
 * One key a line, in the form of `parsePsk`, which is also that of GnuTLS's `psktool`; empty lines are passed over.
 * @throws TunnelError ERR_TUNNEL_FILE, ERR_TUNNEL_CREDENTIALS with the number of the line
 */
export async function readPskFile(option: string, path: string): Promise<PskInput[]> {
  const text = await readTextFile(option, path);
  const psks: PskInput[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    try {
      psks.push(parsePsk(line.trim()));
    } catch (error) {
      if (!(error instanceof TunnelError)) throw error;
      throw credentials(`${option} ${path}, line ${index + 1}: ${error.message}.`, error);
    }
    if (psks.length > PSKS_MAX) throw credentials(`${option} ${path} has more than ${PSKS_MAX} keys.`);
  }
  if (psks.length === 0) throw credentials(`${option} ${path} has no key: write one IDENTITY:HEX a line.`);
  return psks;
}

/** ALPN names as OpenSSL's `-alpn` takes them: `h2,http/1.1`. @throws TunnelError ERR_TUNNEL_OPTION */
export function parseProtocols(text: string): readonly string[] {
  const names = text.split(',').map((name) => name.trim());
  if (names.some((name) => name === '' || /[^\x21-\x7e]/.test(name) || name.length > 255))
    throw new TunnelError('ERR_TUNNEL_OPTION', 'write names such as h2,http/1.1, separated by commas');
  return parseAlpn(names) ?? [];
}

function checked(psk: PskInput): PskInput {
  try {
    checkPsks(psk);
    return psk;
  } catch (error) {
    if (!(error instanceof TrellisError)) throw error;
    const text = error.message.replace(/^Option psk: /, '');
    throw new TunnelError('ERR_TUNNEL_OPTION', `this key does not work: ${text}`, { cause: error });
  }
}

function credentials(message: string, cause?: unknown): TunnelError {
  return new TunnelError('ERR_TUNNEL_CREDENTIALS', message.replace(/\.\.$/, '.'), { cause });
}

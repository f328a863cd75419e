import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { errorMessage, TunnelError } from '../tunnel/errors.ts';
import { isTokenKey } from './keys.ts';
import { type CommandSpec, commands, commonOptions, type OptionSpec } from './options.ts';
import type { Found } from './values.ts';

/** Far above any real one; a device or a log given by mistake is not read to its end. */
const CONFIG_BYTES_MAX = 1_048_576;

/** Names further apart than this are not a slip of the finger. */
const SLIP_MAX = 3;

/**
 * Options of a command from a TOML file. Relative file names in it are relative to its own folder.
 * @throws TunnelError ERR_TUNNEL_FILE, ERR_TUNNEL_OPTION
 */
export async function readConfigFile(path: string, command: CommandSpec): Promise<Map<string, Found>> {
  const table = parseToml(path, await readText(path));
  const specs = new Map(
    [...command.options, ...commonOptions]
      .filter((spec: OptionSpec) => spec.commandLineOnly === undefined)
      .map((spec): [string, OptionSpec] => [spec.name, spec]),
  );
  const found = new Map<string, Found>();
  for (const [name, value] of Object.entries(table)) {
    const spec = specs.get(name);
    if (spec === undefined) throw unknownName(path, name, command, [...specs.keys()]);
    const isPath = spec.type === 'file' || (spec.type === 'key' && !isTokenKey(value));
    const absolute = isPath && typeof value === 'string' && value !== '';
    found.set(name, {
      value: absolute ? resolve(dirname(path), value) : value,
      where: `${path}: ${name}`,
    });
  }
  return found;
}

async function readText(path: string): Promise<string> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    throw new TunnelError('ERR_TUNNEL_FILE', `--config ${path} cannot be read: ${errorMessage(error)}.`, {
      cause: error,
    });
  }
  if (bytes.length > CONFIG_BYTES_MAX) {
    throw new TunnelError(
      'ERR_TUNNEL_FILE',
      `--config ${path} is ${bytes.length} bytes long; is it the right file?`,
    );
  }
  return bytes.toString('utf8');
}

function parseToml(path: string, text: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [reason = ''] = error.message.replace(/^Invalid TOML document: /, '').split('\n');
    throw new TunnelError(
      'ERR_TUNNEL_FILE',
      `${path}, line ${error.line}, column ${error.column}: not TOML: ${reason}.`,
    );
  }
}

function unknownName(
  path: string,
  name: string,
  command: CommandSpec,
  known: readonly string[],
): TunnelError {
  const owner = Object.values(commands).find(
    (other) => other !== command && other.options.some((spec) => spec.name === name),
  );
  const near = nearest(name, known);
  const hint =
    owner !== undefined
      ? `it belongs to trellis ${owner.name}`
      : near !== undefined
        ? `did you mean "${near}"?`
        : `trellis ${command.name} --help lists the options`;
  return new TunnelError('ERR_TUNNEL_OPTION', `${path}: unknown option "${name}"; ${hint}`);
}

/** The known name with the fewest slips between, if they are few. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  let best: string | undefined;
  let least = SLIP_MAX + 1;
  for (const candidate of known) {
    const slips = distance(name.toLowerCase().replaceAll('_', '-'), candidate);
    if (slips < least && slips < candidate.length) {
      least = slips;
      best = candidate;
    }
  }
  return best;
}

/** Levenshtein: letters to insert, delete or replace. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > SLIP_MAX) return SLIP_MAX + 1;
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

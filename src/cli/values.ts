import { isIP } from 'node:net';
import * as v from 'valibot';
import { LEGACY, type Legacy } from '../crypto/legacy.ts';
import { CARD_PROFILES, type CardProfile } from '../module/bridge/cards/old-card.ts';
import type { PskInput } from '../node/psk.ts';
import {
  type Application,
  type Endpoint,
  type Forward,
  parseApplication,
  parseEndpoint,
  parseForward,
  parseSessionEndpoint,
} from '../tunnel/addresses.ts';
import { errorMessage, TunnelError } from '../tunnel/errors.ts';
import type { TlsVersion } from '../tunnel/options.ts';
import type { PolicyRule } from '../tunnel/policy.ts';
import { parseProtocols, parsePsk } from '../tunnel/psk.ts';
import { parseListen, parseReverse, type Reverse } from '../tunnel/reverse.ts';
import { parseSignRule, parseUnitRule, type SignRule, type UnitRule } from '../tunnel/signing-rules.ts';
import type { OptionSpec, ValueType } from './options.ts';

/** Where a value was found, for the message when it does not work. */
export interface Found {
  readonly value: unknown;
  /** `--listen`, or `trellis.toml: listen`. */
  readonly where: string;
}

interface ValueOf {
  application: Application;
  count: number;
  duration: number;
  'time-limit': number;
  endpoint: Endpoint;
  'session-endpoint': Endpoint;
  file: string;
  key: string;
  flag: boolean;
  forward: Forward;
  host: string;
  legacy: Legacy[];
  'card-profile': CardProfile;
  level: LogLevel;
  listen: Endpoint;
  mode: 'channels' | 'ports';
  names: readonly string[];
  policy: 'require' | 'allow';
  psk: PskInput;
  revocation: 'off' | 'soft' | 'hard';
  reverse: Reverse;
  rule: PolicyRule;
  sign: SignRule;
  'sign-unit': UnitRule;
  size: number;
  text: string;
  version: TlsVersion;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent';

type ValueFor<S extends OptionSpec> = S extends { repeat: true } ? ValueOf[S['type']][] : ValueOf[S['type']];

/** Values of a command's options, by name. */
export type Values<T extends readonly OptionSpec[]> = {
  readonly [S in T[number] as S['name']]: S extends { required: true }
    ? ValueFor<S>
    : ValueFor<S> | undefined;
};

/** Timers of Node count to 2^31 ms; a day is beyond every use. */
const DURATION_MAX = 86_400_000;
const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 };
const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

const DURATION_HINT = 'write seconds such as 10, or 500ms, 30s, 2m; at most a day';
const SIZE_HINT = 'write bytes such as 1048576, or 512KiB, 1MiB, 1GiB';
const COUNT_HINT = 'write a whole number of at least 1';
const RULE_HINT =
  'write [[policy]] with subject or spki, and lists of texts: applications, destinations, reverse';
const TEXT_HINT = 'write a text in quotes';
const VERSION_HINT = 'write 1.2 or 1.3, or with --legacy tls1.0,tls1.1 also 1.0 or 1.1';
const LEGACY_HINT = `write some of ${LEGACY.join(', ')}, separated by commas`;

/** By what is left of `1.2`, `TLSv1.2` and OpenSSL's `tls1_2`. */
const VERSIONS: Readonly<Record<string, TlsVersion>> = {
  '1': 'TLSv1',
  '1.0': 'TLSv1',
  '1.1': 'TLSv1.1',
  '1.2': 'TLSv1.2',
  '1.3': 'TLSv1.3',
};

const text = v.pipe(v.string(TEXT_HINT), v.nonEmpty('it is empty'));

const SCHEMAS = {
  application: parsedBy(parseApplication),
  endpoint: parsedBy(parseEndpoint),
  'session-endpoint': parsedBy(parseSessionEndpoint),
  forward: parsedBy(parseForward),
  listen: parsedBy(parseListen),
  reverse: parsedBy(parseReverse),
  mode: v.picklist(['channels', 'ports'], 'use channels or ports'),
  rule: v.strictObject(
    {
      subject: v.optional(v.string(RULE_HINT)),
      spki: v.optional(v.string(RULE_HINT)),
      applications: v.optional(v.array(v.string(RULE_HINT), RULE_HINT)),
      destinations: v.optional(v.array(v.string(RULE_HINT), RULE_HINT)),
      reverse: v.optional(v.array(v.string(RULE_HINT), RULE_HINT)),
    },
    RULE_HINT,
  ),
  sign: parsedBy(parseSignRule),
  'sign-unit': parsedBy(parseUnitRule),
  count: v.pipe(
    v.union([v.number(), v.pipe(v.string(), v.regex(/^\d{1,9}$/), v.transform(Number))], COUNT_HINT),
    v.integer(COUNT_HINT),
    v.minValue(1, COUNT_HINT),
  ),
  duration: v.pipe(milliseconds(), v.minValue(0, DURATION_HINT)),
  // Nothing waits for ever, so 0 has no meaning here.
  'time-limit': v.pipe(milliseconds(), v.minValue(1, `${DURATION_HINT}, and more than 0`)),
  size: v.pipe(
    v.union(
      [
        v.number(),
        v.pipe(
          v.string(),
          v.regex(/^\d+(KiB|MiB|GiB)?$/),
          v.transform((s) => scaled(s, SIZE_UNITS, '')),
        ),
      ],
      SIZE_HINT,
    ),
    v.integer(SIZE_HINT),
    v.minValue(1, SIZE_HINT),
  ),
  file: text,
  key: text,
  text,
  host: v.pipe(
    text,
    v.check(
      isHost,
      'write a DNS name such as gateway.example.org, or an IP address without brackets and port',
    ),
  ),
  flag: v.boolean('write true or false'),
  level: v.picklist(['debug', 'info', 'warn', 'error', 'silent'], 'use debug, info, warn, error or silent'),
  'card-profile': v.picklist(CARD_PROFILES, 'use trellis, openeap or tls-se'),
  policy: v.picklist(['require', 'allow'], 'use require or allow'),
  revocation: v.picklist(['off', 'soft', 'hard'], 'use off, soft or hard'),
  psk: parsedBy(parsePsk),
  names: parsedBy(parseProtocols),
  version: v.pipe(
    v.union([v.string(), v.pipe(v.number(), v.transform(String))], VERSION_HINT),
    v.transform(
      (text) =>
        VERSIONS[
          text
            .toLowerCase()
            .replace(/^tls ?v?/, '')
            .replace('_', '.')
        ],
    ),
    v.picklist(['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3'], VERSION_HINT),
  ),
  legacy: v.pipe(
    v.string(LEGACY_HINT),
    v.transform((list) => list.split(/[, ]+/)),
    v.array(v.picklist(LEGACY, LEGACY_HINT)),
  ),
} satisfies Record<ValueType, v.GenericSchema<unknown, unknown>>;

/**
 * Checks and converts what was given, option by option.
 * @throws TunnelError ERR_TUNNEL_OPTION for the first one that is missing or does not work
 */
export function readValues<T extends readonly OptionSpec[]>(
  specs: T,
  given: ReadonlyMap<string, Found>,
): Values<T> {
  const values: Record<string, unknown> = {};
  for (const spec of specs) {
    const found = given.get(spec.name);
    if (found === undefined) {
      if (spec.required) throw missing(spec);
      values[spec.name] = undefined;
      continue;
    }
    values[spec.name] = readValue(spec, found);
  }
  // Each value above is the output of its type's schema, which is what Values<T> says of it.
  return values as Values<T>;
}

function readValue(spec: OptionSpec, { value, where }: Found): unknown {
  if (!spec.repeat) return parse(spec.type, value, where);
  const items = Array.isArray(value) ? value : [value];
  if (items.length === 0 && spec.required) throw missing(spec);
  return items.map((item) => parse(spec.type, item, where));
}

function parse(type: ValueType, value: unknown, where: string): unknown {
  const result = v.safeParse<v.GenericSchema<unknown, unknown>>(SCHEMAS[type], value);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const shown = issue.message.includes(' does not work: ') ? '' : `${show(value)} does not work: `;
  throw new TunnelError('ERR_TUNNEL_OPTION', `${where}: ${shown}${issue.message}`.replace(/\.?$/, '.'));
}

function missing(spec: OptionSpec): TunnelError {
  const how = spec.positional ? spec.value : `--${spec.name} ${spec.value}`;
  return new TunnelError('ERR_TUNNEL_OPTION', `${how} is missing: ${spec.help}.`);
}

/** The parser's own error text becomes the issue's message. */
function parsedBy<T>(parser: (text: string) => T) {
  return v.pipe(
    text,
    v.rawTransform<string, T>(({ dataset, addIssue, NEVER }) => {
      try {
        return parser(dataset.value);
      } catch (error) {
        addIssue({ message: errorMessage(error) });
        return NEVER;
      }
    }),
  );
}

/** Seconds as a number, or text with a unit; whole milliseconds. */
function milliseconds() {
  const plain = v.pipe(
    v.number(),
    v.transform((seconds) => Math.round(seconds * 1000)),
  );
  const withUnit = v.pipe(
    v.string(),
    v.regex(/^\d+(\.\d+)?(ms|s|m)?$/),
    v.transform((s) => Math.round(scaled(s, DURATION_UNITS, 's'))),
  );
  return v.pipe(v.union([plain, withUnit], DURATION_HINT), v.maxValue(DURATION_MAX, DURATION_HINT));
}

function scaled(text: string, units: Readonly<Record<string, number>>, plain: string): number {
  const unit = text.replace(/^[\d.]+/, '');
  return Number.parseFloat(text) * (units[unit === '' ? plain : unit] ?? Number.NaN);
}

/** RFC 1123 §2.1 labels, or an address. A wildcard is a name that a certificate may have, RFC 9525 §6.3. */
function isHost(name: string): boolean {
  if (isIP(name) !== 0) return true;
  return (
    name.length <= 253 &&
    /^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i.test(name)
  );
}

function show(value: unknown): string {
  const shown = JSON.stringify(value) ?? String(value);
  return shown.length > 80 ? `${shown.slice(0, 77)}...` : shown;
}

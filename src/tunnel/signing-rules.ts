import type { ContentFormat } from '../formats/format.ts';
import { TunnelError } from './errors.ts';
import { UNITS, type Unit } from './units/cutter.ts';

/** How the data of one application are signed, in both directions. */
export interface SignedApplication {
  readonly name: string;
  readonly format: ContentFormat;
  /** Ask the other side for a receipt of each object. */
  readonly receipt: boolean;
  readonly unit: Unit;
}

/** Each direction is an object of unknown length, which leaves while it comes: only pkcs7 can do that. */
export function isStreamed({ unit, format }: SignedApplication): boolean {
  return unit === 'connection' && format === 'pkcs7';
}

/** `APP=FORMAT[:receipt]` of --sign. */
export interface SignRule {
  readonly application: string;
  readonly format: ContentFormat;
  readonly receipt: boolean;
}

/** `[APP=]UNIT` of --sign-unit; without a name it is for all others. */
export interface UnitRule {
  readonly application: string | undefined;
  readonly unit: Unit;
}

const FORMATS: readonly ContentFormat[] = ['pkcs7', 'smime', 'xmldsig'];

/** What one object of a kind can hold, in bytes: docs/tls-sign.md. */
export const MAX_UNIT_BYTES = 16 * 1024 * 1024;

/** @throws TunnelError ERR_TUNNEL_OPTION */
export function parseSignRule(text: string): SignRule {
  const [, application = '', name = '', receipt] = /^([^=]+)=([^:]*)(:.*)?$/.exec(text) ?? [];
  const format = FORMATS.find((known) => known === name);
  if (format === undefined || (receipt !== undefined && receipt !== ':receipt')) {
    throw invalid(text, `write APP=${FORMATS.join('|')}[:receipt], as in orders=pkcs7:receipt`);
  }
  return { application, format, receipt: receipt !== undefined };
}

/** @throws TunnelError ERR_TUNNEL_OPTION */
export function parseUnitRule(text: string): UnitRule {
  const split = text.lastIndexOf('=');
  const name = text.slice(split + 1);
  const unit = UNITS.find((known) => known === name);
  if (unit === undefined || split === 0)
    throw invalid(text, `write one of ${UNITS.join(', ')}, for one application as in orders=http`);
  return { application: split < 0 ? undefined : text.slice(0, split), unit };
}

/**
 * One application each, from the rules of a command.
 * @param offered names that can be signed
 * @param what they are called in a message: `--app`
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
export function signedApplications(
  rules: readonly SignRule[],
  units: readonly UnitRule[],
  offered: readonly string[],
  what: string,
): SignedApplication[] {
  const unitOf = new Map<string | undefined, Unit>();
  for (const { application, unit } of units) {
    if (unitOf.has(application))
      throw option(`--sign-unit is given twice for ${application ?? 'all applications'}; give it once.`);
    if (application !== undefined && !rules.some((rule) => rule.application === application))
      throw option(`--sign-unit ${application}=${unit}: add --sign ${application}=FORMAT, or leave it out.`);
    unitOf.set(application, unit);
  }
  const signed = new Map<string, SignedApplication>();
  for (const { application: name, format, receipt } of rules) {
    if (!offered.includes(name))
      throw option(
        `--sign ${name}=${format}: there is no ${what} "${name}"; there are ${offered.join(', ')}.`,
      );
    if (signed.has(name)) throw option(`--sign is given twice for "${name}"; an application has one format.`);
    const unit = unitOf.get(name) ?? unitOf.get(undefined) ?? 'connection';
    signed.set(name, { name, format, receipt, unit });
  }
  return [...signed.values()];
}

function invalid(text: string, hint: string): TunnelError {
  return option(`"${text}" does not work: ${hint}.`);
}

function option(message: string): TunnelError {
  return new TunnelError('ERR_TUNNEL_OPTION', message);
}

import type { ContentFormat } from '../formats/format.ts';
import type { EvidenceSink, SigningIdentity, SignOptions } from '../sign/index.ts';
import type { TrustStore } from '../x509/trust-store.ts';
import { TunnelError } from './errors.ts';
import type { TunnelLog } from './log.ts';
import type { TunnelSigning } from './options.ts';
import { secureContext } from './sessions.ts';
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

/** Bytes that wait for a slow local program, where no other bound is given: multiplexing's own. */
export const SIGNED_BUFFER = 1_048_576;

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

/** What both sides give to `signClient` and `signServer`. */
export class SigningPlan {
  readonly #byName: ReadonlyMap<string, SignedApplication>;
  readonly #archive: EvidenceSink;
  readonly #signer: SigningIdentity | undefined;
  readonly #trust: TrustStore | undefined;
  /** The signers' CA was named: whoever has a certificate of it may sign. */
  readonly #hasOwnTrust: boolean;

  /**
   * @param ca PEM of the CAs of the session, which the peer's signers are of where no others are given
   * @throws TunnelError ERR_TUNNEL_CREDENTIALS
   */
  constructor(signing: TunnelSigning, ca: string | undefined) {
    const { applications, archive, cert, key } = signing;
    this.#byName = new Map(applications.map((application) => [application.name, application]));
    this.#archive = archive;
    this.#hasOwnTrust = signing.ca !== undefined;
    const anchors = signing.ca ?? ca;
    if (anchors !== undefined) this.#trust = secureContext('The CA of signers', { ca: anchors }).trust;
    if (cert !== undefined || key !== undefined)
      [this.#signer] = secureContext('The certificate and key to sign with', { cert, key }).identities;
  }

  /** Each format once, in the order of the applications: what a server agrees to. */
  get formats(): readonly ContentFormat[] {
    return [...new Set([...this.#byName.values()].map(({ format }) => format))];
  }

  /** `undefined` when it is not signed. */
  of(application: string): SignedApplication | undefined {
    return this.#byName.get(application);
  }

  /** Sessions without an agreement go on: their neighbours may be used, and signed applications are refused there. */
  options(formats: readonly ContentFormat[]): SignOptions & { readonly policy: 'allow' } {
    return {
      policy: 'allow',
      types: ['origin'],
      formats,
      demand: [...this.#byName.values()]
        .filter(({ format }) => formats.includes(format))
        .map(({ name }) => name),
      archive: this.#archive,
      signer: this.#signer,
      trust: this.#trust,
      otherSigners: this.#hasOwnTrust ? 'any' : 'same-subject',
    };
  }
}

/** Why a connection to an application that is signed here was refused. @param agreed what the session signs in */
export function notSigned(name: string, format: ContentFormat, agreed?: ContentFormat): TunnelError {
  const instead = agreed === undefined ? 'signs nothing' : `signs as ${agreed}`;
  return new TunnelError(
    'ERR_TUNNEL_SIGN',
    `"${name}" is signed as ${format} here, and the session ${instead}: start the other side with --sign ${name}=${format} --archive FILE too, or this one without.`,
  );
}

/** Why a connection to an application that is not signed here was broken off. */
export function signsAnyway(peer: 'client' | 'server', name: string): TunnelError {
  return new TunnelError(
    'ERR_TUNNEL_SIGN',
    `The ${peer} signs "${name}", which is not signed here: start this side with --sign for it, as there, or the ${peer} without.`,
  );
}

/** A connection has changed its protocol: what follows is one unit in each direction, and waits for its end. */
export function warnOfUpgrade(
  log: TunnelLog,
  { id, application }: { readonly id: string; readonly application: string },
): void {
  log.warn(
    { event: 'connection.upgraded', connection: id, application },
    `a connection has changed to another protocol than HTTP, what follows leaves at its end; if it is a conversation, give --sign-unit ${application}=connection`,
  );
}

function invalid(text: string, hint: string): TunnelError {
  return option(`"${text}" does not work: ${hint}.`);
}

function option(message: string): TunnelError {
  return new TunnelError('ERR_TUNNEL_OPTION', message);
}

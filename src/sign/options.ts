import type { SigningKey } from '../crypto/provider.ts';
import { ConnectionError } from '../errors/errors.ts';
import type { ContentFormat, SignerJudge } from '../formats/format.ts';
import { UnassignedCodePoint } from '../wire/codepoints.ts';
import type { TrustStore } from '../x509/trust-store.ts';
import type { EvidenceSink } from './evidence.ts';
import type { SignType, Spelling } from './extension.ts';
import { SPOKEN_FORMATS } from './formats.ts';
import { MAX_OBJECT_BYTES, MAX_STREAM_BYTES, PENDING_RECEIPTS, RECEIVE_BUFFER } from './limits.ts';
import type { ClientPolicy, ServerPolicy } from './negotiation.ts';

/** Who signs for this side. */
export interface SigningIdentity {
  /** DER certificates, end entity first. */
  readonly chain: readonly Uint8Array[];
  readonly key: SigningKey;
  /** SignatureScheme to sign with; rsa_pkcs1_* too. Default: the first of the key. */
  readonly scheme?: number | undefined;
}

/** What both sides have. */
export interface SignOptions {
  /** Best first. Default: pkcs7, smime. */
  readonly formats?: readonly ContentFormat[] | undefined;
  /** Default: both, `origin` first. */
  readonly types?: readonly SignType[] | undefined;
  /** Default: the certificate and key of the handshake. Another one is announced with `certificate_sign`. */
  readonly signer?: SigningIdentity | undefined;
  /**
   * Judges the peer's signer. Default: it must be the certificate of the handshake, as judged there; so without it no
   * `certificate_sign` is accepted.
   */
  readonly trust?: TrustStore | SignerJudge | undefined;
  /**
   * Who may sign in place of the certificate of the handshake, by `certificate_sign`. `same-subject` (default): whoever
   * has the same subject; anybody trusted, where the peer showed none in the handshake. `any`: anybody trusted. `never`.
   */
  readonly otherSigners?: 'same-subject' | 'any' | 'never' | undefined;
  /**
   * The peer's data must come signed, or the session ends with `bad_sign`: all of it, or that of these applications of
   * a multiplexed session ('' stands for data outside of multiplexing). Goes with `types: ['origin']`, and `true` with
   * the policy `require`. With names and `allow`, sessions without an agreement go on: whoever accepts their connections
   * refuses these applications. Default false.
   */
  readonly demand?: boolean | readonly string[] | undefined;
  /** Keeps what was sent and received; receipts leave when what they are for is durable. */
  readonly archive?: EvidenceSink | undefined;
  /** Bytes of one object that comes as a whole, 1 KiB or more. Default 24 MiB. */
  readonly maxObject?: number | undefined;
  /**
   * Bytes of one streamed pkcs7 object. They are in the archive before anybody knows whose they are, so the peer can fill
   * the disk up to here. Default 1 TiB, as much as an archive can keep in one record.
   */
  readonly maxStream?: number | undefined;
  /** Bytes of objects that wait to be verified, archived and read before reading from the network stops. Default 16 MiB. */
  readonly receiveBuffer?: number | undefined;
  /** Receipts that are awaited at once. Default 65,536. */
  readonly maxPendingReceipts?: number | undefined;
  /** Code points; no registry has assigned them. Defaults 0xFF53, 29, 240. */
  readonly extensionType?: number | undefined;
  readonly contentType?: number | undefined;
  readonly handshakeType?: number | undefined;
}

export interface SignClientOptions extends SignOptions {
  /** When the server does not agree to signing. Default `require`. */
  readonly policy?: 'require' | 'allow' | undefined;
  /** How the hello is written. Default `enum`. */
  readonly spelling?: Spelling | undefined;
}

export interface SignServerOptions extends SignOptions {
  /** When there is no agreement; `refuse` turns clients away that offer to sign. Default `allow`. */
  readonly policy?: 'require' | 'allow' | 'refuse' | undefined;
}

/** Options of a session, with their defaults. */
export interface SignSettings {
  readonly signer: SigningIdentity | undefined;
  readonly trust: TrustStore | SignerJudge | undefined;
  readonly otherSigners: 'same-subject' | 'any' | 'never';
  /** Must data of this application be signed? */
  readonly demands: (application: string) => boolean;
  readonly archive: EvidenceSink | undefined;
  readonly maxObject: number;
  readonly maxStream: number;
  readonly receiveBuffer: number;
  readonly maxPendingReceipts: number;
}

export interface CodePoints {
  readonly extensionType: number;
  readonly contentType: number;
  readonly handshakeType: number;
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function clientPolicy(options: SignClientOptions): ClientPolicy {
  const policy = oneOf('policy', options.policy ?? 'require', ['require', 'allow']);
  const spelling = oneOf('spelling', options.spelling ?? 'enum', ['enum', 'two-byte']);
  return { ...offered(options, policy), policy, spelling };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function serverPolicy(options: SignServerOptions): ServerPolicy {
  const policy = oneOf('policy', options.policy ?? 'allow', ['require', 'allow', 'refuse']);
  return { ...offered(options, policy), policy };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function settings(options: SignOptions): SignSettings {
  const { demand = false, signer, trust, archive } = options;
  if (signer !== undefined && (signer.chain.length === 0 || signer.key.schemes.length === 0))
    throw badOption('signer needs a certificate in its chain and a key that can sign');
  return {
    signer,
    trust,
    archive,
    otherSigners: oneOf('otherSigners', options.otherSigners ?? 'same-subject', [
      'same-subject',
      'any',
      'never',
    ]),
    demands: typeof demand === 'boolean' ? () => demand : (application) => demand.includes(application),
    maxObject: within('maxObject', options.maxObject ?? MAX_OBJECT_BYTES, 1024, 2 ** 31),
    maxStream: within('maxStream', options.maxStream ?? MAX_STREAM_BYTES, 1024, MAX_STREAM_BYTES),
    receiveBuffer: within('receiveBuffer', options.receiveBuffer ?? RECEIVE_BUFFER, 1024, 2 ** 40),
    maxPendingReceipts: within(
      'maxPendingReceipts',
      options.maxPendingReceipts ?? PENDING_RECEIPTS,
      1,
      2 ** 24 - 1,
    ),
  };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function codePoints(options: SignOptions): CodePoints {
  const { extensionType, contentType, handshakeType } = options;
  const defaults = UnassignedCodePoint;
  return {
    extensionType: within('extensionType', extensionType ?? defaults.signature, 0, 0xffff),
    // 20 to 23 are TLS's own, RFC 8446 §5.1.
    contentType: within('contentType', contentType ?? defaults.tls_sign, 24, 255),
    handshakeType: within('handshakeType', handshakeType ?? defaults.certificate_sign, 25, 253),
  };
}

function offered(
  { formats = SPOKEN_FORMATS, types = ['origin', 'delivery'], demand = false }: SignOptions,
  policy: string,
): { formats: readonly ContentFormat[]; types: readonly SignType[] } {
  if (formats.length === 0 || types.length === 0) throw badOption('formats and types name at least one each');
  for (const format of formats) oneOf('formats', format, SPOKEN_FORMATS);
  for (const type of types) oneOf('types', type, ['origin', 'delivery']);
  const demands = demand !== false && (demand === true || demand.length > 0);
  if (demands && (types.length !== 1 || types[0] !== 'origin'))
    throw badOption('demand goes with types: ["origin"]');
  if (demand === true && policy !== 'require')
    throw badOption('demand: true goes with the policy "require"; "allow" goes with names of applications');
  return { formats, types };
}

function oneOf<T extends string>(name: string, value: T, values: readonly T[]): T {
  if (!values.includes(value)) throw badOption(`${name} has "${value}", known are ${values.join(', ')}`);
  return value;
}

function within(name: string, value: number, min: number, max: number): number {
  if (!Number.isInteger(value) || value < min || value > max)
    throw badOption(`${name} is ${value}, must be a whole number from ${min} to ${max}`);
  return value;
}

function badOption(why: string): ConnectionError {
  return new ConnectionError('ERR_TLS_OPTION', `signing: ${why}`);
}

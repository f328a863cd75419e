import type { ContentFormat } from '../formats/format.ts';
import type { EvidenceSink, SigningIdentity, SignOptions } from '../sign/index.ts';
import type { TrustStore } from '../x509/trust-store.ts';
import { isUdp } from './addresses.ts';
import { TunnelError } from './errors.ts';
import type { TunnelLog } from './log.ts';
import type { TunnelSigning } from './options.ts';
import { secureContext } from './sessions.ts';
import type { SignedApplication } from './signing-rules.ts';

/** Bytes that wait for a slow local program, where no other bound is given: multiplexing's own. */
export const SIGNED_BUFFER = 1_048_576;

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
   * @throws TunnelError ERR_TUNNEL_CREDENTIALS, ERR_TUNNEL_OPTION
   */
  constructor(signing: TunnelSigning, ca: string | undefined) {
    const { applications, archive, cert, key } = signing;
    const udp = applications.find(({ name }) => isUdp(name));
    if (udp !== undefined) {
      throw new TunnelError(
        'ERR_TUNNEL_OPTION',
        `${udp.name} is a UDP application, which the tunnel does not sign: signed, its datagrams would often not fit the path, and wait for two archives each. Take it out of --sign; a program of yours signs datagrams itself, by signWrite() on a socket of trellis/dtls.`,
      );
    }
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

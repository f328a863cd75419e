import type { HelloContext, Role, SubProtocol, SubProtocolLink } from '../connection/sub-protocol.ts';
import { ConnectionError } from '../errors/errors.ts';
import { Multiplexing } from '../mux/index.ts';
import { ContentType } from '../wire/codepoints.ts';
import { decodeSignatureRequests, encodeSignatureRequests } from './extension.ts';
import {
  type ClientPolicy,
  clientConfirm,
  clientOffer,
  type ServerPolicy,
  type SignAgreement,
  serverAnswer,
} from './negotiation.ts';
import {
  type CodePoints,
  clientPolicy,
  codePoints,
  type SignClientOptions,
  type SignServerOptions,
  type SignSettings,
  serverPolicy,
  settings,
} from './options.ts';
import { SigningSession } from './session.ts';

/** Makes the sub-protocol of one connection; give it to the engine among its sub-protocols. */
export type SignFactory = (role: Role) => Signing;

/** @throws ConnectionError ERR_TLS_OPTION */
export function signClient(options: SignClientOptions = {}): SignFactory {
  const policy = clientPolicy(options);
  const set = settings(options);
  const points = codePoints(options);
  return (role) => {
    if (role !== 'client') throw wrongRole('signClient', 'client');
    return new Signing({ role, policy }, set, points);
  };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function signServer(options: SignServerOptions = {}): SignFactory {
  const policy = serverPolicy(options);
  const set = settings(options);
  const points = codePoints(options);
  return (role) => {
    if (role !== 'server') throw wrongRole('signServer', 'server');
    return new Signing({ role, policy }, set, points);
  };
}

type Side =
  | { readonly role: 'client'; readonly policy: ClientPolicy }
  | { readonly role: 'server'; readonly policy: ServerPolicy };

/** TLS Sign on the engine's seam. Its `session` is what adapters work with. */
export class Signing implements SubProtocol {
  readonly name = 'sign';
  readonly extensionType: number;
  readonly contentTypes: readonly number[];
  readonly handshakeTypes: readonly number[];

  readonly #side: Side;
  readonly #settings: SignSettings;
  readonly #points: CodePoints;
  #agreement: SignAgreement | undefined;
  #session: SigningSession | undefined;

  constructor(side: Side, set: SignSettings, points: CodePoints) {
    this.extensionType = points.extensionType;
    this.contentTypes = [points.contentType];
    this.handshakeTypes = [points.handshakeType];
    this.#side = side;
    this.#settings = set;
    this.#points = points;
  }

  /** Once the handshake is complete; `undefined` before, and when signing was not agreed on. */
  get session(): SigningSession | undefined {
    return this.#session;
  }

  offer(): Uint8Array | undefined {
    return this.#side.role === 'client' ? encodeSignatureRequests(clientOffer(this.#side.policy)) : undefined;
  }

  answer(offered: Uint8Array | undefined, _hello: HelloContext): Uint8Array | undefined {
    if (this.#side.role !== 'server') return undefined;
    const offer = offered === undefined ? undefined : decodeSignatureRequests(offered);
    const result = serverAnswer(this.#side.policy, offer);
    this.#agreement = result?.agreement;
    return result === undefined ? undefined : encodeSignatureRequests([result.answer]);
  }

  confirm(answered: Uint8Array | undefined, _hello: HelloContext): void {
    if (this.#side.role !== 'client') return;
    const answer = answered === undefined ? undefined : decodeSignatureRequests(answered);
    this.#agreement = clientConfirm(this.#side.policy, answer);
  }

  start(link: SubProtocolLink): void {
    if (this.#agreement === undefined) return;
    const session = new SigningSession(link, this.#agreement, this.#settings, this.#points);
    this.#session = session;
    const mux = link.neighbour('mux');
    if (mux instanceof Multiplexing) {
      const contentType = mux.contentTypes[0] as number;
      mux.guard = (name, data) => this.#checkUnsigned(name, contentType, data);
    }
  }

  receiveRecord(_contentType: number, content: Uint8Array): void {
    this.#session?.receive(content);
  }

  receiveHandshake(_type: number, body: Uint8Array): void {
    this.#session?.receiveCertificate(body);
  }

  /** @throws SignatureError ERR_SIGN_UNSIGNED */
  checkApplicationData(content: Uint8Array): void {
    this.#checkUnsigned('', ContentType.application_data, content);
  }

  receiveEnd(): void {
    this.#session?.receiveEnd();
  }

  closed(error: Error | undefined): void {
    this.#session?.closed(error);
  }

  #checkUnsigned(application: string, contentType: number, data: Uint8Array): void {
    if (this.#settings.demands(application)) this.#session?.refuseUnsigned(application, contentType, data);
  }
}

function wrongRole(factory: string, role: Role): ConnectionError {
  return new ConnectionError('ERR_TLS_OPTION', `${factory} makes the sub-protocol of a ${role}.`);
}

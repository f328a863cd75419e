import type { HelloContext, Role, SubProtocol, SubProtocolLink } from '../connection/sub-protocol.ts';
import { ConnectionError, TlsError } from '../errors/errors.ts';
import { ChannelsSession } from './channels/session.ts';
import { DatagramsSession } from './datagrams/session.ts';
import { decodeDataMultiplexing, encodeDataMultiplexing } from './extension.ts';
import {
  type Agreement,
  type ClientPolicy,
  clientConfirm,
  clientOffer,
  type ServerPolicy,
  serverAnswer,
} from './negotiation.ts';
import {
  type ChannelLimits,
  type CodePoints,
  channelLimits,
  clientPolicy,
  codePoints,
  type MuxClientOptions,
  type MuxServerOptions,
  type SessionLimits,
  serverPolicy,
  sessionLimits,
} from './options.ts';
import { PortsSession } from './ports/session.ts';
import type { MultiplexedSession } from './session.ts';

/** Makes the sub-protocol of one connection; give it to the engine among its sub-protocols. */
export type MuxFactory = (role: Role) => Multiplexing;

/** @throws ConnectionError ERR_TLS_OPTION */
export function muxClient(options: MuxClientOptions = {}): MuxFactory {
  const policy = clientPolicy(options);
  const limits = { ports: sessionLimits(options), channels: channelLimits(options) };
  const points = codePoints(options);
  return (role) => {
    if (role !== 'client') throw wrongRole('muxClient', 'client');
    return new Multiplexing({ role, policy }, limits, points);
  };
}

/** @throws ConnectionError ERR_TLS_OPTION */
export function muxServer(options: MuxServerOptions): MuxFactory {
  const policy = serverPolicy(options);
  const limits = { ports: sessionLimits(options), channels: channelLimits(options) };
  const points = codePoints(options);
  const further = { destinations: options.destinations ?? false, channelNames: options.channelNames ?? [] };
  return (role) => {
    if (role !== 'server') throw wrongRole('muxServer', 'server');
    return new Multiplexing({ role, policy, ...further }, limits, points);
  };
}

type Side =
  | { readonly role: 'client'; readonly policy: ClientPolicy }
  | {
      readonly role: 'server';
      readonly policy: ServerPolicy;
      readonly destinations: boolean;
      readonly channelNames: readonly string[];
    };

/** Which of them counts is known after the hellos. */
interface Limits {
  readonly ports: SessionLimits;
  readonly channels: ChannelLimits;
}

/** Multiplexing on the engine's seam. Its `session` is what adapters work with. */
export class Multiplexing implements SubProtocol {
  readonly name = 'mux';
  readonly extensionType: number;
  readonly contentTypes: readonly number[];
  readonly handshakeTypes: readonly number[] = [];
  /** Another sub-protocol may refuse plain data of an application, by throwing a TlsError. */
  guard: ((application: string, data: Uint8Array) => void) | undefined;

  readonly #side: Side;
  readonly #limits: Limits;
  readonly #contentType: number;
  #agreement: Agreement | undefined;
  #session: PortsSession | ChannelsSession | DatagramsSession | undefined;

  constructor(side: Side, limits: Limits, points: CodePoints) {
    this.extensionType = points.extensionType;
    this.contentTypes = [points.contentType];
    this.#contentType = points.contentType;
    this.#side = side;
    this.#limits = limits;
  }

  /** Once the handshake is complete; `undefined` before, and when the session is ordinary TLS. */
  get session(): MultiplexedSession | undefined {
    return this.#session;
  }

  offer(): Uint8Array | undefined {
    return this.#side.role === 'client' ? encodeDataMultiplexing(clientOffer(this.#side.policy)) : undefined;
  }

  answer(offered: Uint8Array | undefined, _hello: HelloContext): Uint8Array | undefined {
    if (this.#side.role !== 'server') return undefined;
    const offer = offered === undefined ? undefined : decodeDataMultiplexing(offered);
    const result = serverAnswer(this.#side.policy, offer);
    this.#agreement = result?.agreement;
    return result === undefined ? undefined : encodeDataMultiplexing(result.answer);
  }

  confirm(answered: Uint8Array | undefined, _hello: HelloContext): void {
    if (this.#side.role !== 'client') return;
    const answer = answered === undefined ? undefined : decodeDataMultiplexing(answered);
    this.#agreement = clientConfirm(this.#side.policy, answer);
  }

  start(link: SubProtocolLink): void {
    if (this.#agreement === undefined) return;
    const agreement = this.#agreement;
    const side = this.#side;
    const shared = {
      role: side.role,
      // Answers to what comes after our close_notify have nowhere to go (RFC 8446 §6.1), and nobody waits for them.
      send: (content: Uint8Array) => {
        if (link.writable) link.send(this.#contentType, content);
      },
      admit: (application: string, data: Uint8Array) => this.guard?.(application, data),
    };
    const known = side.role === 'server' ? side.policy.applications : [];
    const limits = this.#limits.ports;
    if (link.maxDatagramSize !== undefined) {
      if (agreement.mode !== 'ports') {
        throw new TlsError(
          'ERR_TLS_ILLEGAL_PARAMETER',
          'Channel mode needs a stream, and this is DTLS; give mode "ports".',
        );
      }
      const maxContent = (): number => link.maxDatagramSize ?? 0;
      this.#session = new DatagramsSession({ ...shared, agreement, known, limits, maxContent });
      return;
    }
    this.#session =
      agreement.mode === 'ports'
        ? new PortsSession({ ...shared, agreement, known, limits })
        : new ChannelsSession({
            ...shared,
            agreement,
            served:
              side.role === 'server' && !side.policy.any
                ? [...known.map(({ name }) => name), ...side.channelNames]
                : 'any',
            destinations: side.role === 'server' ? side.destinations : true,
            limits: this.#limits.channels,
            fail: (error) => link.fail(error),
          });
  }

  receiveRecord(_contentType: number, content: Uint8Array): void {
    this.#session?.receive(content);
  }

  receiveHandshake(type: number, _body: Uint8Array): void {
    throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', `Multiplexing has no handshake message ${type}`);
  }

  receiveEnd(): void {
    this.#session?.close(undefined);
  }

  closed(error: Error | undefined): void {
    this.#session?.close(error);
  }
}

function wrongRole(factory: string, role: Role): ConnectionError {
  return new ConnectionError('ERR_TLS_OPTION', `${factory} makes the sub-protocol of a ${role}.`);
}

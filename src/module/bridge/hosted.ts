import { Seat } from '../../connection/seat.ts';
import type {
  Role,
  SubProtocol,
  SubProtocolFactory,
  SubProtocolLink,
} from '../../connection/sub-protocol.ts';
import { asHandshakeMessage } from '../../messages/handshake.ts';
import { ContentType } from '../../wire/codepoints.ts';
import type { AgreedSession } from './information.ts';

/**
 * The sub-protocols of a session in a module. They live on the host: the module passes their extension, their records and
 * their handshake messages on, and knows nothing of them.
 */
export class HostedSubProtocols {
  readonly #role: Role;
  #seats: readonly Seat[];
  #watchers: readonly SubProtocol[] = [];
  #started = false;

  constructor(role: Role, factories: readonly SubProtocolFactory[]) {
    this.#role = role;
    this.#seats = factories.map((make) => new Seat(make(role)));
  }

  /** For Open: what they offer or answer. */
  get seats(): readonly Seat[] {
    return this.#seats;
  }

  get occupants(): readonly SubProtocol[] {
    return this.#seats.map(({ occupant }) => occupant);
  }

  /** From now on there are those that both sides have agreed to. @throws TlsError what a client's cannot take */
  settle({ extensions, serverName, alpnProtocol }: AgreedSession): void {
    for (const seat of this.#role === 'client' ? this.#seats : []) {
      seat.confirm(extensions.get(seat.extensionType), { serverName, alpnProtocol });
    }
    this.#seats = this.#seats.filter((seat) => seat.agreed);
  }

  /** @param makeLink is called once for each */
  start(makeLink: () => SubProtocolLink): void {
    const { occupants } = this;
    this.#started = true;
    this.#watchers = occupants.filter(({ checkApplicationData }) => checkApplicationData !== undefined);
    for (const occupant of occupants) occupant.start(makeLink());
  }

  /** They go on in another session, which starts them. */
  handOver(): readonly SubProtocol[] {
    const { occupants } = this;
    this.#seats = [];
    return occupants;
  }

  find(is: (subProtocol: SubProtocol) => boolean): SubProtocol | undefined {
    return this.#seats.find(({ occupant }) => is(occupant))?.occupant;
  }

  /** @throws TlsError where one of them takes no application data, or no more */
  checkApplicationData(content: Uint8Array): void {
    for (const watcher of this.#watchers) watcher.checkApplicationData?.(content);
  }

  /** A record of one of their content types, or a handshake message. @throws TlsError what they make of it */
  receive(type: number, content: Uint8Array): void {
    if (type !== ContentType.handshake) {
      this.find(({ contentTypes }) => contentTypes.includes(type))?.receiveRecord(type, content);
      return;
    }
    const message = asHandshakeMessage(content);
    const owner = this.find(({ handshakeTypes }) => handshakeTypes.includes(message.type));
    owner?.receiveHandshake(message.type, message.body);
  }

  receiveEnd(): void {
    for (const occupant of this.#started ? this.occupants : []) occupant.receiveEnd();
  }

  /** The session is over. @param error absent after an orderly close */
  close(error: Error | undefined): void {
    const occupants = this.#started ? this.occupants : [];
    this.#seats = [];
    this.#watchers = [];
    for (const occupant of occupants) occupant.closed(error);
  }
}

import type { SubProtocol, SubProtocolLink } from '../../connection/sub-protocol.ts';
import { handshakeMessage } from '../../messages/handshake.ts';
import { ContentType } from '../../wire/codepoints.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

/** A hello extension of the host, with the types that it owns when it was agreed on. */
export interface HostExtension {
  readonly type: number;
  readonly contentTypes: readonly number[];
  readonly handshakeTypes: readonly number[];
  /** What a client offers, what a server answers to whoever offers. */
  readonly body: Uint8Array;
}

/** `uint16 type; uint8 content_types<0..255>; uint8 handshake_types<0..255>; opaque body[];` @throws DecodeError */
export function readHostExtension(bytes: Uint8Array): HostExtension {
  const r = new Reader(bytes, 'hello extension of Open');
  return { type: r.u16(), contentTypes: [...r.vector(1)], handshakeTypes: [...r.vector(1)], body: r.rest() };
}

export function writeHostExtension({ type, contentTypes, handshakeTypes, body }: HostExtension): Uint8Array {
  return new Writer(body.length + 16)
    .u16(type)
    .vector(1, Uint8Array.from(contentTypes))
    .vector(1, Uint8Array.from(handshakeTypes))
    .bytes(body)
    .finish();
}

/** What the module passes on between its session and the host. */
export interface HostItem {
  readonly type: number;
  readonly content: Uint8Array;
}

/**
 * A sub-protocol that lives on the host: the module negotiates its extension and passes its records on, both as they
 * are, and understands neither.
 */
export class Passthrough implements SubProtocol {
  readonly name: string;
  readonly extensionType: number;
  readonly contentTypes: readonly number[];
  readonly handshakeTypes: readonly number[];
  readonly #body: Uint8Array;
  readonly #deliver: (item: HostItem) => void;
  /** What the server has answered; on a server, once the client has offered. */
  answered: Uint8Array | undefined;
  /** While the session can be used. */
  link: SubProtocolLink | undefined;

  constructor(extension: HostExtension, deliver: (item: HostItem) => void) {
    this.name = `extension ${extension.type}`;
    this.extensionType = extension.type;
    this.contentTypes = extension.contentTypes;
    this.handshakeTypes = extension.handshakeTypes;
    // The command that brought it is gone when it is needed.
    this.#body = new Uint8Array(extension.body);
    this.#deliver = deliver;
  }

  offer(): Uint8Array {
    return this.#body;
  }

  answer(offered: Uint8Array | undefined): Uint8Array | undefined {
    this.answered = offered === undefined ? undefined : this.#body;
    return this.answered;
  }

  confirm(answered: Uint8Array | undefined): void {
    this.answered = answered === undefined ? undefined : new Uint8Array(answered);
  }

  start(link: SubProtocolLink): void {
    this.link = link;
  }

  receiveRecord(type: number, content: Uint8Array): void {
    this.#deliver({ type, content });
  }

  receiveHandshake(type: number, body: Uint8Array): void {
    const content = handshakeMessage(type, (writer) => writer.bytes(body));
    this.#deliver({ type: ContentType.handshake, content });
  }

  receiveEnd(): void {
    // The host hears of it as an alert.
  }

  closed(): void {
    this.link = undefined;
  }
}

import { RESENT_BEFORE_SMALLER, SMALLER_FLIGHTS } from '../../connection/dtls-io.ts';
import type { Role } from '../../connection/sub-protocol.ts';
import { AlertLevel } from '../../errors/alerts.ts';
import { DecodeError, TlsError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { DatagramPacker } from '../../handshake/dtls/flight.ts';
import { Reassembler } from '../../handshake/dtls/reassembly.ts';
import {
  buildFragment,
  FRAGMENT_HEADER_LENGTH,
  type HandshakeFragment,
  parseFragments,
} from '../../messages/dtls.ts';
import { findExtension } from '../../messages/extensions.ts';
import type { HandshakeMessage } from '../../messages/handshake.ts';
import { parseServerHello } from '../../messages/hello.ts';
import { type ClassicFrame, classicRecord, nextFrame } from '../../record/dtls/frames.ts';
import type { DatagramSealer } from '../../record/dtls/protection.ts';
import { ClearSealer } from '../../record/dtls/protection12.ts';
import { ContentType, ExtensionType, HandshakeType, ProtocolVersion } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';
import type { Carrier } from './carrier.ts';
import { type PeekedHello, peekHello } from './hello-peek.ts';

/** Datagrams that wait for the module; what comes beyond is lost, as on the way. Some flights, or a burst of data. */
export const MAX_WAITING_DATAGRAMS = 64;
/** Of a message, in one record (RFC 6347 §4.1). */
const MAX_PIECE = 2 ** 14 - FRAGMENT_HEADER_LENGTH;

/**
 * The bridge between datagrams and a module. In DTLS 1.2 the module neither cuts handshake messages nor puts them
 * together, since what it computes is defined over whole ones (RFC 6347 §4.2.6): that is done here, for epoch 0, which is
 * in clear, and whose record numbers are therefore given here as well. In DTLS 1.3 only the module can, since most of its
 * handshake is encrypted: then all passes as it is, packed in datagrams.
 */
export class DatagramCarrier implements Carrier {
  readonly #role: Role;
  #mtu: number;
  /** Whether messages are cut and joined here; nobody knows before the ServerHello. */
  #joins: boolean | undefined;
  #reassembler: Reassembler | undefined;
  #hello: PeekedHello | undefined;
  readonly #clear = new ClearSealer(ProtocolVersion.dtls12);
  #inbox: Uint8Array[] = [];
  #out: Uint8Array[] = [];
  /** Times that the last flight was sent again. */
  #resent = 0;

  /** @param mtu bytes of the largest datagram */
  constructor(role: Role, mtu: number) {
    this.#role = role;
    this.#mtu = mtu;
  }

  get empty(): boolean {
    return this.#inbox.length === 0;
  }

  /** Nobody waits for room: what there is none for is lost. */
  readonly full = false;

  hello(): PeekedHello | undefined {
    return this.#hello;
  }

  /** One datagram. */
  take(): Uint8Array {
    return this.#inbox.shift() ?? NOTHING;
  }

  drain(): Uint8Array[] {
    const out = this.#out;
    this.#out = [];
    return out;
  }

  /** The module says its flight again: to no avail so often, in smaller datagrams (RFC 6347 §4.1.1.1). */
  resend(): void {
    if (++this.#resent % RESENT_BEFORE_SMALLER !== 0 || this.#joins !== true) return;
    this.#mtu = SMALLER_FLIGHTS.find((size) => size < this.#mtu) ?? this.#mtu;
  }

  endHandshake(): void {
    this.#joins = false;
    this.#reassembler = undefined;
  }

  // ── from the network ───────────────────────────────────────────────────────────────────────────

  receive(datagram: Uint8Array): void {
    if (this.#inbox.length >= MAX_WAITING_DATAGRAMS) return;
    const passed = this.#joins === false ? new Uint8Array(datagram) : this.#join(datagram);
    if (passed.length > 0) this.#inbox.push(passed);
  }

  /** The datagram as the module shall see it: whole messages of epoch 0, and all else as it is. */
  #join(datagram: Uint8Array): Uint8Array {
    const passed: Uint8Array[] = [];
    let at = 0;
    while (at < datagram.length) {
      // No connection IDs are agreed on in modules.
      const cut = this.#joins === false ? undefined : nextFrame(datagram, at, 0);
      if (cut?.frame.kind !== 'classic' || cut.frame.epoch !== 0) {
        passed.push(datagram.subarray(at));
        break;
      }
      const record = datagram.subarray(at, cut.end);
      at = cut.end;
      if (cut.frame.type === ContentType.handshake) passed.push(...this.#joinMessages(cut.frame, record));
      else passed.push(record);
    }
    return concat(passed);
  }

  #joinMessages(frame: ClassicFrame, record: Uint8Array): Uint8Array[] {
    let fragments: HandshakeFragment[];
    try {
      fragments = parseFragments(frame.fragment);
    } catch (error) {
      // What is wrong with it the module finds as well, and has the alert for it.
      if (error instanceof DecodeError) return [record];
      throw error;
    }
    return fragments.flatMap((fragment) => this.#joinFragment(frame, fragment));
  }

  #joinFragment(frame: ClassicFrame, fragment: HandshakeFragment): Uint8Array[] {
    const { messageSeq, offset, body, length } = fragment;
    const reassembler = this.#begun(frame, fragment);
    if (messageSeq < reassembler.next) {
      // The peer has said the last of its messages again: the module knows whether that asks for ours.
      const isRepeated = messageSeq === reassembler.next - 1 && offset + body.length === length;
      return isRepeated ? [classicRecord(frame, [buildFragment(fragment)])] : [];
    }
    try {
      reassembler.push(fragment);
    } catch (error) {
      // It does not go with what has come of the message; anybody could have sent either (RFC 6347 §4.1.2.7).
      if (error instanceof TlsError) return [];
      throw error;
    }
    const records: Uint8Array[] = [];
    for (let message = reassembler.take(); message !== undefined; message = reassembler.take()) {
      this.#look(message);
      this.#resent = 0;
      records.push(...wholeMessage(frame, message));
    }
    return records;
  }

  /** A server's session begins with a ClientHello that may be a second one, and with the number of its record. */
  #begun(frame: ClassicFrame, { messageSeq }: HandshakeFragment): Reassembler {
    if (this.#reassembler === undefined) {
      const isServer = this.#role === 'server';
      this.#reassembler = new Reassembler(isServer ? messageSeq : 0);
      if (isServer) this.#clear.sequence = frame.sequence;
    }
    return this.#reassembler;
  }

  #look(message: HandshakeMessage): void {
    if (this.#role === 'server') this.#hello ??= peekHello(message, true);
    else if (message.type === HandshakeType.server_hello) this.#joins = isDtls12(message.body);
  }

  // ── from the module ────────────────────────────────────────────────────────────────────────────

  /** @throws ModuleError ERR_MODULE_PROTOCOL */
  send(records: Uint8Array): void {
    const packer = new DatagramPacker(this.#mtu, this.#out);
    for (let at = 0; at < records.length; ) {
      const cut = nextFrame(records, at, 0);
      if (cut === undefined) {
        throw new ModuleError('ERR_MODULE_PROTOCOL', "The module's records are malformed");
      }
      const record = records.subarray(at, cut.end);
      at = cut.end;
      if (cut.frame.kind === 'classic' && cut.frame.epoch === 0) this.#sendClear(packer, cut.frame, record);
      else packer.add(READY, 0, record);
    }
    packer.close();
  }

  sendClearAlert(description: number): void {
    this.#out.push(this.#clear.seal(ContentType.alert, Uint8Array.of(AlertLevel.fatal, description)));
  }

  #sendClear(packer: DatagramPacker, frame: ClassicFrame, record: Uint8Array): void {
    const fragments = frame.type === ContentType.handshake ? parseFragments(frame.fragment) : [];
    const hello = fragments.find(({ type }) => type === HandshakeType.server_hello);
    if (hello !== undefined && this.#joins === undefined) {
      // One that is cut is of DTLS 1.3: those of DTLS 1.2 the module leaves whole.
      this.#joins = hello.body.length === hello.length && isDtls12(hello.body);
    }
    if (this.#joins !== true) {
      this.#clear.sequence = Math.max(this.#clear.sequence, frame.sequence + 1);
      packer.add(READY, 0, record);
    } else if (fragments.length === 0) packer.add(this.#clear, frame.type, frame.fragment);
    else {
      for (const fragment of fragments) {
        packer.addMessage(this.#clear, fragment, { start: 0, end: fragment.body.length });
      }
    }
  }
}

/** In as few records as hold it, all with the number of the one that completed it: in clear, none is refused as a replay. */
function wholeMessage(name: ClassicFrame, { type, body, raw12 }: HandshakeMessage): Uint8Array[] {
  const messageSeq = ((raw12[4] as number) << 8) | (raw12[5] as number);
  const records: Uint8Array[] = [];
  for (let offset = 0; offset === 0 || offset < body.length; offset += MAX_PIECE) {
    const piece = body.subarray(offset, offset + MAX_PIECE);
    const fragment = buildFragment({ type, length: body.length, messageSeq, offset, body: piece });
    records.push(classicRecord(name, [fragment]));
  }
  return records;
}

/** A ServerHello that chooses DTLS 1.3 says so in supported_versions (RFC 8446 §4.2.1). */
function isDtls12(body: Uint8Array): boolean {
  try {
    return findExtension(parseServerHello(body).extensions, ExtensionType.supported_versions) === undefined;
  } catch (error) {
    // The module shall see it as it is.
    if (error instanceof DecodeError) return false;
    throw error;
  }
}

/** Of records that are sealed already. */
const READY: DatagramSealer = {
  epoch: 0,
  sequence: 0,
  room: (length) => length,
  exhausted: false,
  connectionId: new Uint8Array(0),
  seal: (_type, record) => record,
};
const NOTHING = new Uint8Array(0);

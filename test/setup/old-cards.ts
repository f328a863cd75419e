import { Connection } from '../../src/connection/connection.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { TLS13_SUITES } from '../../src/crypto/suites.ts';
import { LEGACY_SUITES } from '../../src/crypto/suites12.ts';
import { encodeResponse, parseCommand } from '../../src/module/apdu/command.ts';
import { Conversation } from '../../src/module/applet/conversation.ts';
import type { CardTransport } from '../../src/module/bridge/exchange.ts';
import { NamedGroup, ProtocolVersion } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { verifyPeer } from '../../src/x509/verify.ts';
import { clientConfig, serverConfig } from './engine-config.ts';

/*
 * Cards that keep to the rules of the applets OpenEapSmartcard and TLS-SE as docs/security-module.md has them ("Old cards").
 * They are ours, not the applets: what these tests show is that bridge and rules fit, and that real peers are served.
 */

const PIN = '0000';
/** Of an APDU either way. */
const PIECE = 240;
/** The buffer of TLS-SE for what comes and goes: one record. */
const TLS_SE_BUFFER = 512;
const NOTHING = new Uint8Array(0);

abstract class SimulatedCard implements CardTransport {
  readonly maxCommandData = 255;
  readonly maxResponseData = 256;
  /** Everything that came: class, instruction, P1, P2, length. */
  readonly commands: string[] = [];
  resets = 0;
  #verified = false;
  #rest: Uint8Array = NOTHING;
  #finalStatus = 0x9000;
  protected pieces: Uint8Array[] = [];

  async transmit(command: Uint8Array): Promise<Uint8Array> {
    await new Promise((resolve) => setImmediate(resolve));
    const { cla, ins, p1, p2, data, le } = parseCommand(command);
    this.commands.push(
      [cla, ins, p1, p2, data.length].map((byte) => byte.toString(16).padStart(2, '0')).join(' '),
    );
    if (data.length > PIECE) return this.#status(0x6700);
    if (ins === 0x20) {
      this.#verified = Buffer.from(data).toString('latin1') === PIN;
      return this.#status(this.#verified ? 0x9000 : 0x6300);
    }
    if (ins === 0xa4)
      return this.#status(Buffer.from(data).toString('hex') === '010203040500' ? 0x9000 : 0x6a82);
    if (ins === this.fetchIns) return this.#fetch(le);
    if (!this.#verified) return this.#status(0x6380);
    return this.answer(ins, p1, p2, data);
  }

  close(): void {}

  protected abstract readonly fetchIns: number;
  protected abstract readonly moreInAnswer: boolean;
  protected abstract answer(ins: number, p1: number, p2: number, data: Uint8Array): Uint8Array;

  protected status(status: number): Uint8Array {
    return this.#status(status);
  }

  /** Data, 240 bytes of it at a time, with this status at the end. */
  protected give(data: Uint8Array, status = 0x9000): Uint8Array {
    this.#rest = data;
    this.#finalStatus = status;
    if (data.length === 0) return this.#status(status);
    return this.moreInAnswer ? this.#fetch(PIECE) : this.#status(this.#more());
  }

  #fetch(le: number): Uint8Array {
    const data = this.#rest.subarray(0, Math.min(le, PIECE));
    this.#rest = this.#rest.subarray(data.length);
    return encodeResponse({ data, status: this.#rest.length === 0 ? this.#finalStatus : this.#more() });
  }

  #more(): number {
    return 0x9f00 | Math.min(this.#rest.length, PIECE);
  }

  #status(status: number): Uint8Array {
    return encodeResponse({ data: NOTHING, status });
  }
}

/** A server of TLS 1.3 with one pre-shared key. */
export class SimulatedTlsSe extends SimulatedCard {
  protected readonly fetchIns = 0xc0;
  protected readonly moreInAnswer = true;
  readonly #psk: { readonly identity: Uint8Array; readonly key: Uint8Array };
  #connection: Connection | undefined;

  constructor(identity: string, key: Uint8Array) {
    super();
    this.#psk = { identity: Buffer.from(identity), key };
  }

  protected answer(ins: number, p1: number, p2: number, data: Uint8Array): Uint8Array {
    if (ins !== 0xd8) return this.status(0x6d00);
    if (data.length === 0) {
      this.resets++;
      this.#connection = this.#begin();
      return this.status(0x9000);
    }
    if ((p2 & 1) !== 0) this.pieces = [];
    this.pieces.push(new Uint8Array(data));
    const all = concat(this.pieces);
    if (all.length > TLS_SE_BUFFER) return this.status(0x6d02);
    if ((p2 & 2) === 0) return this.status(0x9000);
    const connection = this.#connection;
    if (connection === undefined) return this.status(0x6d16);
    if (p1 === 2) {
      connection.send(all);
      return this.give(concat(connection.transmit()));
    }
    connection.receive(all, Date.now());
    return this.#outcome(connection, p1 === 0);
  }

  #outcome(connection: Connection, isHandshake: boolean): Uint8Array {
    let status = 0x9000;
    const clear: Uint8Array[] = [];
    for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
      if (event.type === 'connected') status = 0x9001;
      if (event.type === 'data') clear.push(event.data);
      if (event.type === 'end' || event.type === 'error') status = 0x9002;
    }
    return this.give(isHandshake ? concat(connection.transmit()) : concat(clear), status);
  }

  #begin(): Connection {
    const { identity, key } = this.#psk;
    return Connection.server(
      serverConfig({
        suites: TLS13_SUITES.filter(({ name }) => name === 'TLS_AES_128_CCM_SHA256'),
        groups: [NamedGroup.secp256r1],
        selectIdentities: () => [],
        findPsk: (offered) =>
          Buffer.from(offered).equals(Buffer.from(identity))
            ? { identity, key, hash: 'sha256', binder: 'external' }
            : undefined,
      }),
      Date.now(),
      [],
    );
  }
}

/** A client of TLS 1.0 with the RSA key exchange, an EAP-TLS peer. */
export class SimulatedOpenEap extends SimulatedCard {
  protected readonly fetchIns = 0x12;
  protected readonly moreInAnswer = false;
  readonly #ca: Uint8Array;
  readonly #suites: readonly string[];
  #conversation = new Conversation('client', PIECE);
  #connection: Connection | undefined;

  constructor(ca: Uint8Array, suites: readonly string[] = ['AES128-SHA']) {
    super();
    this.#ca = ca;
    this.#suites = suites;
  }

  protected answer(ins: number, p1: number, p2: number, data: Uint8Array): Uint8Array {
    if (ins === 0x19 && p1 === 0x10) {
      this.resets++;
      this.#conversation = new Conversation('client', PIECE);
      this.#connection = undefined;
      this.pieces = [];
      return encodeResponse({ data: Uint8Array.of(1), status: 0x9000 });
    }
    if (ins !== 0x80) return this.status(0x6d00);
    this.pieces.push(new Uint8Array(data));
    if (p1 !== 0) return this.status(0x9000);
    const packet = concat(this.pieces);
    this.pieces = [];
    const incoming = this.#conversation.receive(packet, p2);
    switch (incoming.kind) {
      case 'answered':
        return this.give(incoming.packet);
      case 'start':
        this.#connection = this.#begin();
        return this.give(this.#conversation.reply(this.#records(this.#connection), p2));
      case 'message':
        return this.give(this.#conversation.reply(this.#process(incoming.message, p2), p2));
      default:
        return this.status(0x6985);
    }
  }

  #process(message: Uint8Array, type: number): Uint8Array {
    const connection = this.#connection as Connection;
    const isOpen = connection.info !== undefined;
    if (type === 21) connection.close();
    else if (type === 23) connection.send(message);
    else connection.receive(message, Date.now());
    const records = this.#records(connection);
    if (!isOpen || type !== 0) return records;
    const clear: Uint8Array[] = [];
    for (let event = connection.nextEvent(); event !== undefined; event = connection.nextEvent()) {
      if (event.type === 'data') clear.push(event.data);
      if (event.type === 'end') clear.push(Uint8Array.of(1, 0));
    }
    return concat(clear);
  }

  #records(connection: Connection): Uint8Array {
    return concat(connection.transmit());
  }

  #begin(): Connection {
    const suites = LEGACY_SUITES.filter((suite) => this.#suites.includes(suite.name));
    return Connection.client(
      clientConfig({
        suites: [],
        legacy: ['tls1.0', 'rsa', 'cbc', 'rc4'],
        tls12: { suites, requireExtendedMasterSecret: false, newest: ProtocolVersion.tls10 },
        verifyPeer: (chain, { now, schemes, keyUse }) =>
          verifyPeer(nodeCrypto, chain, {
            purpose: 'server',
            trust: new TrustStore([Certificate.parse(this.#ca)]),
            now,
            allowedSchemes: schemes,
            keyUse,
          }),
      }),
      Date.now(),
      [],
    );
  }
}

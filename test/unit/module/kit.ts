import { nodeModuleKeys } from '../../../src/crypto/node/module-keys.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { ModuleError } from '../../../src/errors/module.ts';
import { writeChain } from '../../../src/handshake/session.ts';
import { encodeCommand, parseResponse, type Response } from '../../../src/module/apdu/command.ts';
import { Applet } from '../../../src/module/applet/applet.ts';
import { type OpenRequest, writeOpenRequest } from '../../../src/module/applet/open.ts';
import { initialState, PersistentState } from '../../../src/module/applet/persistent.ts';
import { type ModuleStorage, SealedStore } from '../../../src/module/applet/sealed-store.ts';
import type { CardTransport } from '../../../src/module/bridge/exchange.ts';
import { FragmentReceiver, FragmentSender } from '../../../src/module/eap/fragments.ts';
import {
  ACKNOWLEDGEMENT,
  buildEap,
  buildEapTls,
  EapCode,
  EapType,
  parseEap,
  parseEapTls,
} from '../../../src/module/eap/packet.ts';
import { Instruction, ObjectTag } from '../../../src/module/protocol.ts';
import { Writer } from '../../../src/wire/writer.ts';
import {
  type CertificateInput,
  caExtensions,
  clientExtensions,
  type ExtensionInput,
  issueCertificate,
  keyIdentifier,
  serverExtensions,
} from '../../../src/x509/issue.ts';

/*
 * A module in memory, and a host that speaks to it in APDUs. PINs are 1234 and 12345678.
 */

export const NOW = Date.UTC(2026, 5, 1);
const DAY = 86_400_000;
export const USER_PIN = pin('1234');
export const OPERATOR_PIN = pin('12345678');

export function pin(digits: string): Uint8Array {
  return Uint8Array.from(Buffer.from(digits.padEnd(8, '\xff'), 'latin1'));
}

export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Slots in memory; the next write can be made to tear after so many bytes, or to fail. */
export class MemoryStorage implements ModuleStorage {
  slots: (Uint8Array | undefined)[] = [undefined, undefined];
  writes = 0;
  /** Bytes of the next write that arrive; then the power is gone. */
  tearAt: number | undefined;

  read(slot: 0 | 1): Uint8Array | undefined {
    return this.slots[slot];
  }

  write(slot: 0 | 1, bytes: Uint8Array): void {
    this.writes++;
    if (this.tearAt !== undefined) {
      const old = this.slots[slot] ?? new Uint8Array(0);
      const torn = new Uint8Array(Math.max(old.length, this.tearAt));
      torn.set(old);
      torn.set(bytes.subarray(0, this.tearAt));
      this.slots[slot] = torn;
      throw new Error('power lost');
    }
    this.slots[slot] = new Uint8Array(bytes);
  }

  copy(): MemoryStorage {
    const copy = new MemoryStorage();
    copy.slots = this.slots.map((slot) => slot && new Uint8Array(slot));
    return copy;
  }
}

const storeKey = (parameters: Uint8Array): Uint8Array => nodeCrypto.digest('sha256', parameters);

export function createStore(
  storage: ModuleStorage,
  state = initialState(nodeCrypto, USER_PIN, OPERATOR_PIN),
): void {
  SealedStore.create(nodeCrypto, storage, utf8('test'), storeKey).save(state);
}

export function openState(storage: ModuleStorage): PersistentState {
  const { store, state } = openStore(storage);
  return new PersistentState(store, state, nodeModuleKeys);
}

/** What is in a store, as bytes: an attacker's view, who has the key. */
export function openStore(storage: ModuleStorage): { store: SealedStore; state: Uint8Array } {
  return SealedStore.open(nodeCrypto, storage, storeKey);
}

/** A module with power. */
export class Card {
  readonly storage: MemoryStorage;
  readonly applet: Applet;
  /** Everything that went in and came out. */
  readonly dialogue: { readonly command: Uint8Array; readonly response: Uint8Array }[] = [];

  constructor(storage = new MemoryStorage(), sessions?: number) {
    this.storage = storage;
    if (storage.slots.every((slot) => slot === undefined)) createStore(storage);
    this.applet = new Applet({ crypto: nodeCrypto, state: openState(storage), sessions });
  }

  raw(command: Uint8Array): Uint8Array {
    const response = new Uint8Array(this.applet.process(command));
    this.dialogue.push({ command, response });
    return response;
  }

  /** One extended APDU. */
  send(ins: number, p1: number, p2: number, data: Uint8Array = new Uint8Array(0), cla = 0xa0): Response {
    return parseResponse(this.raw(encodeCommand({ cla, ins, p1, p2, data, le: 65_536 }, 'extended')));
  }

  /** @throws when the status is not 9000 */
  ok(ins: number, p1: number, p2: number, data?: Uint8Array): Uint8Array {
    const { data: answer, status } = this.send(ins, p1, p2, data);
    if (status !== 0x9000) throw new Error(`${ins.toString(16)} was answered ${status.toString(16)}`);
    return answer;
  }

  verifyUser(): this {
    this.ok(Instruction.verifyPin, 0, 0, USER_PIN);
    return this;
  }

  verifyOperator(): this {
    this.ok(Instruction.verifyPin, 0, 1, OPERATOR_PIN);
    return this;
  }

  put(tag: number, alias: string, object: Uint8Array = new Uint8Array(0)): void {
    this.ok(Instruction.putData, tag >> 8, tag & 0xff, aliasAnd(alias, object));
  }

  open(over: Partial<OpenRequest> = {}): number {
    return this.ok(Instruction.open, 0, 0, openData(over))[0] as number;
  }
}

export function openData(over: Partial<OpenRequest> = {}): Uint8Array {
  return writeOpenRequest({
    role: 'client',
    mode: 'bridge',
    serverName: 'server.test',
    alpnProtocols: [],
    extensions: [],
    versions: [0x0304, 0x0303],
    time: NOW,
    fragmentSize: 4000,
    alias: undefined,
    ...over,
  });
}

export function aliasAnd(alias: string, object: Uint8Array): Uint8Array {
  return new Writer(object.length + 80).vector(1, utf8(alias)).bytes(object).finish();
}

export function chain(...certificates: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer(4096);
  writeChain(writer, certificates);
  return writer.finish();
}

// Certificates

const caKey = nodeModuleKeys.load(nodeModuleKeys.generate('P-256'));
const caId = keyIdentifier(nodeCrypto, caKey.spki);
const CA_NAME = [{ CN: 'Test CA' }];

function issue(input: Omit<CertificateInput, 'issuer' | 'serial' | 'notBefore' | 'notAfter'>): Uint8Array {
  return issueCertificate(
    { issuer: CA_NAME, serial: ++serial, notBefore: NOW - DAY, notAfter: NOW + 3650 * DAY, ...input },
    { algorithm: { kind: 'ecdsa', hash: 'sha256' }, sign: (tbs) => caKey.sign(0x0403, tbs) },
  );
}
let serial = 0;
const KEY_USAGE = '2.5.29.15';

export const CA = issue({
  subject: CA_NAME,
  publicKeySpki: caKey.spki,
  extensions: caExtensions({ subjectKeyId: caId, issuerKeyId: caId }),
});

/** @param kind a server whose key may also decrypt is `rsa-server` */
export function certificateFor(spki: Uint8Array, kind: 'client' | 'server' | 'rsa-server'): Uint8Array {
  const ids = { subjectKeyId: keyIdentifier(nodeCrypto, spki), issuerKeyId: caId };
  const extensions: ExtensionInput[] =
    kind === 'client'
      ? clientExtensions(ids)
      : serverExtensions(ids, ['server.test', 'localhost', '127.0.0.1']).filter(
          ({ oid }) => kind === 'server' || oid !== KEY_USAGE,
        );
  return issue({ subject: [{ CN: `${kind}.test` }], publicKeySpki: spki, extensions });
}

/** What Put data 0106 takes. @param kdf 1 for SHA-256, 2 for SHA-384 */
export function pskObject(identity: string | Uint8Array, key: Uint8Array, kdf = 1): Uint8Array {
  const name = typeof identity === 'string' ? utf8(identity) : identity;
  return new Writer(1024).u16(kdf).vector(1, name).vector(2, key).finish();
}

/** A card with an identity that has these keys and nothing else. PINs are not verified afterwards. */
export function cardWithPsks(
  kind: 'client' | 'server',
  psks: readonly Uint8Array[],
  { alias = 'main', card = new Card() } = {},
): Card {
  card.verifyOperator();
  card.put(ObjectTag.role, alias, Uint8Array.of(kind === 'client' ? 1 : 2));
  card.put(ObjectTag.policy, alias, Uint8Array.of(7, 0, 0));
  for (const psk of psks) card.put(ObjectTag.preSharedKey, alias, psk);
  card.applet.reset();
  return card;
}

export interface IdentityOptions {
  readonly alias?: string;
  readonly kind?: 'client' | 'server';
  /** Bits of Permission. */
  readonly permissions?: number;
  readonly clientCertificate?: number;
  readonly algorithm?: number;
}

/** A card with an identity whose key was born in it. PINs are not verified afterwards. */
export function cardWith(options: IdentityOptions = {}, card = new Card()): Card {
  const { alias = 'main', kind = 'client', permissions = 7, clientCertificate = 0, algorithm = 1 } = options;
  card.verifyOperator();
  const spki = card.ok(Instruction.generateKey, 0, algorithm, utf8(alias));
  card.put(ObjectTag.certificateChain, alias, chain(certificateFor(new Uint8Array(spki), kind)));
  card.put(ObjectTag.trustAnchors, alias, chain(CA));
  card.put(ObjectTag.role, alias, Uint8Array.of(kind === 'client' ? 1 : 2));
  card.put(ObjectTag.policy, alias, Uint8Array.of(permissions, clientCertificate, 0));
  card.applet.reset();
  return card;
}

// EAP

/** The other end of one session's EAP: an authenticator for a client in the card, a peer for a server. */
export class EapHost {
  readonly card: Card;
  readonly handle: number;
  readonly #isAuthenticator: boolean;
  readonly #size: number;
  #identifier = 7;

  constructor(card: Card, handle: number, role: 'client' | 'server', size = 4000) {
    this.card = card;
    this.handle = handle;
    this.#isAuthenticator = role === 'client';
    this.#size = size;
  }

  /** One packet of EAP-TLS; the answer's packet. */
  packet(ins: number, p2: number, tls: Uint8Array): Uint8Array {
    return this.send(ins, p2, this.wrap(EapType.tls, tls));
  }

  send(ins: number, p2: number, packet: Uint8Array): Uint8Array {
    const answer = this.card.ok(ins, this.handle << 1, p2, packet);
    // A response has the identifier of the request that came.
    if (!this.#isAuthenticator && answer.length > 1) this.#identifier = answer[1] as number;
    return new Uint8Array(answer);
  }

  wrap(type: number, data: Uint8Array): Uint8Array {
    if (this.#isAuthenticator) this.#identifier = (this.#identifier + 1) & 0xff;
    const code = this.#isAuthenticator ? EapCode.request : EapCode.response;
    return buildEap({ code, identifier: this.#identifier, type, data });
  }

  start(): Uint8Array {
    if (this.#isAuthenticator) {
      const start = buildEapTls({ ...ACKNOWLEDGEMENT, start: true });
      return this.#collect(Instruction.processEap, 0, this.packet(Instruction.processEap, 0, start));
    }
    return this.send(Instruction.processEap, 0, this.wrap(EapType.identity, utf8('host')));
  }

  /** A whole message in fragments, and the whole answer. */
  exchange(ins: number, p2: number, message: Uint8Array): Uint8Array {
    const sender = new FragmentSender(message, this.#size);
    for (;;) {
      const answer = this.packet(ins, p2, buildEapTls(sender.next()));
      if (sender.done) return this.#collect(ins, p2, answer);
    }
  }

  #collect(ins: number, p2: number, first: Uint8Array): Uint8Array {
    const receiver = new FragmentReceiver();
    for (let packet = first; ; packet = this.packet(ins, p2, buildEapTls(ACKNOWLEDGEMENT))) {
      const eap = parseEap(packet);
      if (!('type' in eap)) throw new Error(`EAP code ${eap.code}`);
      const message = receiver.push(parseEapTls(eap.data));
      if (message !== undefined) return message;
    }
  }
}

// Transports

/** Answers later, as everything outside of this process does. */
export class LaterTransport implements CardTransport {
  readonly maxCommandData: number;
  readonly maxResponseData: number;
  readonly #inner: CardTransport;
  /** Fails from now on. */
  failure: ModuleError | undefined;
  apdus = 0;

  constructor(inner: CardTransport) {
    this.#inner = inner;
    this.maxCommandData = inner.maxCommandData;
    this.maxResponseData = inner.maxResponseData;
  }

  async transmit(command: Uint8Array): Promise<Uint8Array> {
    this.apdus++;
    await new Promise((resolve) => setImmediate(resolve));
    if (this.failure !== undefined) throw this.failure;
    return this.#inner.transmit(command);
  }

  close(): void {
    this.#inner.close();
  }
}

import { DecodeError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { hashOfKdf, MAX_PSK_LENGTH, MIN_PSK_LENGTH, type TargetHash } from '../../handshake/psk.ts';
import { writeChain } from '../../handshake/session.ts';
import { Reader } from '../../wire/reader.ts';
import { secretBytes } from '../../wire/secret.ts';
import { Writer } from '../../wire/writer.ts';
import { type Command, encodeCommand } from '../apdu/command.ts';
import { parseStatus, Status, statusError } from '../apdu/status.ts';
import { MAX_PSK_IDENTITY, writePsk } from '../applet/psks.ts';
import {
  CapabilityTag,
  INTERFACE_VERSION,
  Instruction,
  type KeyAlgorithm,
  KeyAlgorithmCode,
  MODULE_AID,
  ObjectTag,
  PinKind,
  RequestTag,
} from '../protocol.ts';
import { TlvFields, writeTlvs } from '../tlv.ts';
import type { Card } from './card.ts';
import { cardRequest, type OldCard } from './cards/old-card.ts';
import { guarded } from './eap-client.ts';
import { readResponse } from './exchange.ts';

const PIN_BLOCK = 8;

/** What a module says of itself when it is selected. */
export interface ModuleCapabilities {
  readonly name: string;
  readonly version: number;
  /** Sessions at once. */
  readonly sessions: number;
}

/** What a server asks of its clients, who may have which secret, what EAP says of the identity. */
export interface IdentityPolicy {
  /** Bits of `Permission`. */
  readonly permissions: number;
  /** A `ClientCertificate`. */
  readonly clientCertificate: number;
  /** Empty for the alias. */
  readonly nai: string;
}

/** A pre-shared key by its name. */
export interface ModulePsk {
  /** 1 to 255 bytes. */
  readonly identity: Uint8Array;
  /** The hash of TLS 1.3's cipher suites with which it serves. */
  readonly hash: TargetHash;
}

/** Commands outside of sessions: PINs, identities, provisioning. All throw ModuleError. */
export class ModuleClient {
  readonly card: Card;

  constructor(card: Card) {
    this.card = card;
  }

  /** Begins: sessions and PINs of this connection are as after a reset. */
  async select(): Promise<ModuleCapabilities> {
    const answer = await this.#run(Instruction.select, 4, 0, MODULE_AID, 'SELECT');
    try {
      const fields = new TlvFields(answer, 'SELECT', Object.values(CapabilityTag));
      const version = fields.number(CapabilityTag.version, 1) ?? 0;
      if (version !== INTERFACE_VERSION) {
        throw new ModuleError(
          'ERR_MODULE_UNSUPPORTED',
          `The module speaks version ${version} of the interface, only ${INTERFACE_VERSION} is known here`,
        );
      }
      const name = new TextDecoder().decode(fields.get(CapabilityTag.name));
      return { name, version, sessions: fields.number(CapabilityTag.sessions, 1) ?? 1 };
    } catch (cause) {
      if (!(cause instanceof DecodeError)) throw cause;
      throw new ModuleError('ERR_MODULE_PROTOCOL', 'The answer to SELECT is not that of a Trellis module', {
        cause,
      });
    }
  }

  /** @param pin 4 to 8 ASCII digits; the bytes are the caller's, to be wiped */
  async verifyPin(owner: keyof typeof PinKind, pin: Uint8Array): Promise<void> {
    const block = pinBlock(pin);
    try {
      await this.#run(Instruction.verifyPin, 0, PinKind[owner], block, 'Verify PIN', true);
    } finally {
      block.fill(0);
    }
  }

  /** SELECT and PIN of a card of another kind, which takes its digits as they are. */
  async login({ aid, cla }: OldCard, pin: Uint8Array): Promise<void> {
    const steps: [number, number, Uint8Array, string][] = [[Instruction.verifyPin, 0, pin, 'Verify PIN']];
    if (aid !== undefined) steps.unshift([Instruction.select, 4, aid, 'SELECT']);
    for (const [ins, p1, data, doing] of steps) {
      await this.card.run(this, {
        ...cardRequest(doing, () => plainCommand({ cla, ins, p1, p2: 0, data, le: 0 }, doing)),
        secret: true,
      });
    }
  }

  /** Tries that are left; `verified` when that PIN was verified on this connection. */
  async pinState(owner: keyof typeof PinKind): Promise<number | 'verified'> {
    try {
      await this.#run(Instruction.verifyPin, 0, PinKind[owner], NOTHING, 'Verify PIN');
      return 'verified';
    } catch (error) {
      if (!(error instanceof ModuleError)) throw error;
      if (error.code === 'ERR_MODULE_PIN_BLOCKED') return 0;
      if (error.triesLeft === undefined) throw error;
      return error.triesLeft;
    }
  }

  async changePin(owner: keyof typeof PinKind, old: Uint8Array, pin: Uint8Array): Promise<void> {
    const blocks = secretBytes(2 * PIN_BLOCK);
    try {
      fillPinBlock(blocks.subarray(0, PIN_BLOCK), old);
      fillPinBlock(blocks.subarray(PIN_BLOCK), pin);
      await this.#run(Instruction.changePin, 0, PinKind[owner], blocks, 'Change PIN', true);
    } finally {
      blocks.fill(0);
    }
  }

  /** Operator: gives the user a new PIN, and its tries back. */
  async unblockUserPin(pin: Uint8Array): Promise<void> {
    const block = pinBlock(pin);
    try {
      await this.#run(Instruction.unblockPin, 0, 0, block, 'Unblock PIN', true);
    } finally {
      block.fill(0);
    }
  }

  async identities(): Promise<string[]> {
    const found: string[] = [];
    for (;;) {
      try {
        found.push(decode(await this.#run(Instruction.getNextIdentity, 0, 1, NOTHING, 'Get-Next-Identity')));
      } catch (error) {
        if (error instanceof ModuleError && error.code === 'ERR_MODULE_NOT_FOUND') return found;
        throw error;
      }
    }
  }

  // Operator

  /** @returns SubjectPublicKeyInfo, DER */
  generateKey(alias: string, algorithm: KeyAlgorithm): Promise<Uint8Array> {
    return this.#run(
      Instruction.generateKey,
      0,
      KeyAlgorithmCode[algorithm],
      encode(alias),
      'Generate key pair',
    );
  }

  /** @param subject Name, DER. @returns PKCS#10, DER */
  makeRequest(alias: string, subject: Uint8Array, hosts: readonly string[]): Promise<Uint8Array> {
    const data = writeTlvs([
      { tag: RequestTag.alias, value: encode(alias) },
      { tag: RequestTag.subject, value: subject },
      ...hosts.map((host) => ({ tag: RequestTag.host, value: encode(host) })),
    ]);
    return this.#run(Instruction.makeRequest, 0, 0, data, 'the certificate request');
  }

  /** @param chain DER, end entity first */
  putChain(alias: string, chain: readonly Uint8Array[]): Promise<void> {
    return this.#put(ObjectTag.certificateChain, alias, certificates(chain), 'the certificate');
  }

  putAnchors(alias: string, anchors: readonly Uint8Array[]): Promise<void> {
    return this.#put(ObjectTag.trustAnchors, alias, certificates(anchors), 'the trust anchors');
  }

  /** @param roles bits of `IdentityRole` */
  putRole(alias: string, roles: number): Promise<void> {
    return this.#put(ObjectTag.role, alias, Uint8Array.of(roles), 'the role');
  }

  putPolicy(alias: string, { permissions, clientCertificate, nai }: IdentityPolicy): Promise<void> {
    const object = new Writer(64).u8(permissions).u8(clientCertificate).vector(1, encode(nai)).finish();
    return this.#put(ObjectTag.policy, alias, object, 'the policy');
  }

  /** A key from outside. @param pkcs8 DER */
  importKey(alias: string, pkcs8: Uint8Array): Promise<void> {
    return this.#put(ObjectTag.privateKey, alias, pkcs8, 'the private key');
  }

  /** One more pre-shared key, behind those that are there. @param key 16 to 512 bytes. The bytes are the caller's, to be wiped */
  putPsk(alias: string, psk: ModulePsk & { readonly key: Uint8Array }): Promise<void> {
    const { identity, key } = psk;
    const fits = identity.length >= 1 && identity.length <= MAX_PSK_IDENTITY;
    if (!fits || key.length < MIN_PSK_LENGTH || key.length > MAX_PSK_LENGTH) {
      const lengths = `a module takes keys of ${MIN_PSK_LENGTH} to ${MAX_PSK_LENGTH} bytes with an identity of 1 to ${MAX_PSK_IDENTITY}`;
      throw statusError(Status.malformed, `the pre-shared key: ${lengths}`);
    }
    const writer = new Writer(identity.length + key.length + 8);
    writePsk(writer, psk);
    return this.#put(ObjectTag.preSharedKey, alias, writer.finish(), 'the pre-shared key');
  }

  removePsk(alias: string, identity: Uint8Array): Promise<void> {
    const object = new Writer(identity.length + 1).vector(1, identity).finish();
    return this.#put(ObjectTag.removePreSharedKey, alias, object, 'the removal');
  }

  /** Which pre-shared keys an identity has, best first. The keys themselves stay inside. */
  async psks(alias: string): Promise<ModulePsk[]> {
    const [p1, p2] = [ObjectTag.preSharedKey >> 8, ObjectTag.preSharedKey & 0xff];
    const answer = await this.#run(Instruction.getData, p1, p2, encode(alias), 'the pre-shared keys');
    return guarded(() => readPskList(answer));
  }

  removeIdentity(alias: string): Promise<void> {
    return this.#put(ObjectTag.remove, alias, NOTHING, 'the removal');
  }

  async #put(tag: number, alias: string, object: Uint8Array, doing: string): Promise<void> {
    const data = new Writer(object.length + 80).vector(1, encode(alias)).bytes(object).finish();
    await this.#run(Instruction.putData, tag >> 8, tag & 0xff, data, doing, true);
    data.fill(0);
  }

  async #run(
    ins: number,
    p1: number,
    p2: number,
    data: Uint8Array,
    doing: string,
    secret?: true,
  ): Promise<Uint8Array> {
    return new Uint8Array(await this.card.run(this, { ins, p1, p2, data, doing, secret }));
  }
}

/** @throws DecodeError */
function readPskList(answer: Uint8Array): ModulePsk[] {
  const r = new Reader(answer, 'pre-shared keys');
  const psks: ModulePsk[] = [];
  while (r.remaining > 0) {
    const hash = hashOfKdf(r.u16());
    if (hash === undefined) throw new DecodeError('pre-shared keys: a KDF of unknown meaning');
    psks.push({ hash, identity: r.vector(1, 1) });
  }
  return psks;
}

/** To be wiped. @throws ModuleError as `fillPinBlock` */
function pinBlock(pin: Uint8Array): Uint8Array {
  const block = secretBytes(PIN_BLOCK);
  fillPinBlock(block, pin);
  return block;
}

/** Padded with FF. @throws ModuleError ERR_MODULE_STATUS as the module would, before a wrong form is sent anywhere */
function fillPinBlock(block: Uint8Array, pin: Uint8Array): void {
  const isPin =
    pin.length >= 4 && pin.length <= PIN_BLOCK && pin.every((digit) => digit >= 0x30 && digit <= 0x39);
  if (!isPin) throw statusError(Status.malformed, 'the PIN: it has 4 to 8 digits');
  block.fill(0xff);
  block.set(pin);
}

function certificates(chain: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer(4096);
  writeChain(writer, chain);
  return writer.finish();
}

function* plainCommand(command: Command, doing: string): Generator<Uint8Array, Uint8Array, Uint8Array> {
  const { data, status } = readResponse(yield encodeCommand(command, 'short'));
  // An answer that could be fetched is of no use here.
  const { kind } = parseStatus(status);
  if (kind !== 'success' && kind !== 'more') throw statusError(status, doing);
  return data;
}

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
const NOTHING = new Uint8Array(0);

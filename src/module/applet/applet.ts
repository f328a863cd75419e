import { COOKIE_SECRET_LENGTH } from '../../connection/dtls-greeter.ts';
import type { CryptoProvider } from '../../crypto/provider.ts';
import { ConnectionError, DecodeError, TrellisError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { Reader } from '../../wire/reader.ts';
import { CommandJoiner, ResponseQueue } from '../apdu/chaining.ts';
import {
  type Command,
  encodeResponse,
  MAX_SHORT_RESPONSE,
  parseCommand,
  type Response,
} from '../apdu/command.ts';
import { moreStatus, pinWrongStatus, Status } from '../apdu/status.ts';
import { MAX_TLS_MESSAGE } from '../eap/fragments.ts';
import {
  CapabilityTag,
  CardState,
  IdentityRole,
  INTERFACE_VERSION,
  InformationKind,
  Instruction,
  isExporterLabelPermitted,
  MODULE_AID,
  MODULE_CLASS,
  PinKind,
  SignatureKind,
} from '../protocol.ts';
import { numberTlv, writeTlvs } from '../tlv.ts';
import { exporterRequest } from './exporter-request.ts';
import { decodeUtf8, readOpenRequest } from './open.ts';
import type { IdentityRecord, PersistentState } from './persistent.ts';
import { changePin, checkPin } from './pin-check.ts';
import { decodePin, type PinOwner, sealPin } from './pins.ts';
import { generateKey, getData, makeRequest, putData } from './provisioning.ts';
import { Refused } from './refused.ts';
import { Session } from './session.ts';

/** Handles are seven bits of P1. */
const MAX_HANDLES = 128;
/** Sessions of one connection to the module: the memory of a card has room for a few, a process for more. */
export const DEFAULT_SESSIONS = 16;

export interface AppletOptions {
  readonly crypto: CryptoProvider;
  readonly state: PersistentState;
  /** 1 to 128. Default DEFAULT_SESSIONS. */
  readonly sessions?: number | undefined;
}

/** Commands whose P1 is `handle << 1 | more`. */
const SESSION_COMMANDS: ReadonlySet<number> = new Set([
  Instruction.processEap,
  Instruction.encrypt,
  Instruction.decrypt,
]);

/**
 * The module as one connection to it sees it: a command APDU in, a response APDU out. PINs that were verified and
 * sessions belong to the connection and end with it; identities, keys and tries of PINs are in `state`, which several
 * may share.
 */
export class Applet {
  readonly #crypto: CryptoProvider;
  readonly #state: PersistentState;
  readonly #maxSessions: number;
  readonly #joiner = new CommandJoiner(({ ins, p1 }) =>
    SESSION_COMMANDS.has(ins) ? { p1: p1 & 0xfe, more: (p1 & 1) !== 0 } : undefined,
  );
  readonly #rest = new ResponseQueue();
  readonly #sessions = new Map<number, Session>();
  readonly #verified = { user: false, operator: false };
  #current: string | undefined;
  /** Of the DTLS cookies that the module makes itself. */
  #cookieSecret: Uint8Array | undefined;
  /** Position of Get-Next-Identity. */
  #next = 0;

  /** @throws ConnectionError ERR_TLS_OPTION */
  constructor({ crypto, state, sessions = DEFAULT_SESSIONS }: AppletOptions) {
    if (!Number.isInteger(sessions) || sessions < 1 || sessions > MAX_HANDLES) {
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        `Option sessions: ${sessions} is not from 1 to ${MAX_HANDLES}`,
      );
    }
    this.#crypto = crypto;
    this.#state = state;
    this.#maxSessions = sessions;
    this.#current = state.identities[0]?.alias;
  }

  /** Answers a command. Never throws: what goes wrong is a status word. */
  process(bytes: Uint8Array): Uint8Array {
    let command: Command;
    try {
      command = parseCommand(bytes);
    } catch {
      this.#forgetChains();
      return encodeResponse({ data: NOTHING, status: Status.wrongLength });
    }
    return encodeResponse(this.#respond(command));
  }

  /** Power was lost, or the card was reset: everything but what is in the store is gone. */
  reset(): void {
    this.#forgetChains();
    this.#dropSessions();
    this.#verified.user = false;
    this.#verified.operator = false;
    this.#next = 0;
    this.#current = this.#state.identities[0]?.alias;
  }

  /** Sessions that have not been released. */
  get sessions(): number {
    return this.#sessions.size;
  }

  // ── from APDUs to commands ─────────────────────────────────────────────────────────────────────

  #respond(piece: Command): Response {
    if (!CLASSES.has(piece.cla & 0xef)) return { data: NOTHING, status: Status.unknownClass };
    const isFetch = piece.ins === Instruction.fetch || piece.ins === Instruction.getResponse;
    if (isFetch) return this.#fetch(piece);
    this.#rest.clear();
    const joined = this.#joiner.push(piece);
    if (joined.kind === 'more') return { data: NOTHING, status: Status.success };
    if (joined.kind === 'tooLong') return { data: NOTHING, status: Status.wrongLength };
    const { command } = joined;
    try {
      return this.#deliver(command, this.#execute(command));
    } catch (error) {
      return { data: NOTHING, status: statusFor(error) };
    }
  }

  /** As much as the host takes; the rest waits. */
  #deliver(command: Command, data: Uint8Array): Response {
    if (data.length <= command.le) return { data, status: Status.success };
    this.#rest.set(data);
    const part = new Uint8Array(this.#rest.take(command.le));
    return { data: part, status: moreStatus(command.cla, this.#rest.length) };
  }

  #fetch({ cla, p1, p2, le }: Command): Response {
    this.#joiner.clear();
    if (p1 !== 0 || p2 !== 0) return { data: NOTHING, status: Status.wrongParameters };
    if (this.#rest.length === 0) return { data: NOTHING, status: Status.wrongState };
    const data = new Uint8Array(this.#rest.take(le === 0 ? MAX_SHORT_RESPONSE : le));
    const left = this.#rest.length;
    return { data, status: left === 0 ? Status.success : moreStatus(cla, left) };
  }

  #forgetChains(): void {
    this.#joiner.clear();
    this.#rest.clear();
  }

  // ── commands ───────────────────────────────────────────────────────────────────────────────────

  #execute(command: Command): Uint8Array {
    const { ins, p1, p2, data } = command;
    const only = (...allowed: readonly [number, number][]): void => {
      if (!allowed.some(([a, b]) => a === p1 && b === p2)) throw new Refused(Status.wrongParameters);
    };
    switch (ins) {
      case Instruction.select:
        only([4, 0]);
        return this.#select(data);
      case Instruction.verifyPin:
        only([0, PinKind.user], [0, PinKind.operator]);
        return this.#verifyPin(p2 === PinKind.user ? 'user' : 'operator', data);
      case Instruction.changePin:
        only([0, PinKind.user], [0, PinKind.operator]);
        changePin(this.#crypto, this.#state, p2 === PinKind.user ? 'user' : 'operator', data);
        return NOTHING;
      case Instruction.unblockPin:
        only([0, 0]);
        this.#require('operator');
        this.#state.setPin('user', sealPin(this.#crypto, decodePin(data)));
        return NOTHING;
      case Instruction.setIdentity:
        only([0, 0x80]);
        this.#current = this.#identity(decodeUtf8(data)).alias;
        return NOTHING;
      case Instruction.getNextIdentity:
        only([0, 1]);
        return this.#nextIdentity();
      case Instruction.getCurrentIdentity:
        only([0, 0]);
        return utf8.encode(this.#identity(this.#current).alias);
      case Instruction.resetState:
        return this.#resetState(command);
      case Instruction.open:
        only([0, 0]);
        this.#require('user');
        return this.#open(data);
      case Instruction.generateKey:
        this.#require('operator');
        return generateKey(this.#state, command);
      case Instruction.makeRequest:
        only([0, 0]);
        this.#require('operator');
        return makeRequest(this.#state, data);
      case Instruction.putData:
        this.#require('operator');
        putData(this.#state, command);
        return NOTHING;
      case Instruction.getData:
        this.#require('operator');
        return getData(this.#state, command);
      default:
        return this.#executeInSession(command);
    }
  }

  #executeInSession(command: Command): Uint8Array {
    const { ins, p1, p2, data } = command;
    if (!IN_SESSION.has(ins)) throw new Refused(Status.unknownInstruction);
    this.#require('user');
    const session = this.#session(p1);
    const plain = (): void => {
      if (p2 !== 0) throw new Refused(Status.wrongParameters);
    };
    switch (ins) {
      case Instruction.processEap:
        plain();
        return session.processEap(data);
      case Instruction.encrypt:
        return session.encrypt(p2, data);
      case Instruction.decrypt:
        plain();
        return session.decrypt(data);
      case Instruction.retransmit:
        plain();
        if (data.length > 0) throw new Refused(Status.wrongLength);
        return session.retransmit();
      case Instruction.sessionInformation:
        return this.#information(session, p2, data);
      case Instruction.getMasterSessionKey:
        plain();
        return session.masterSessionKey();
      case Instruction.exportTrafficKeys:
        plain();
        return session.exportTrafficKeys();
      default:
        return this.#computeSignature(session, p2, data);
    }
  }

  #select(aid: Uint8Array): Uint8Array {
    const isOurs =
      aid.length > 0 && aid.length <= MODULE_AID.length && aid.every((byte, i) => byte === MODULE_AID[i]);
    if (!isOurs) throw new Refused(Status.fileNotFound);
    this.reset();
    return writeTlvs([
      { tag: CapabilityTag.name, value: utf8.encode('Trellis security module') },
      numberTlv(CapabilityTag.version, INTERFACE_VERSION, 1),
      numberTlv(CapabilityTag.sessions, this.#maxSessions, 1),
      numberTlv(CapabilityTag.maxMessage, MAX_TLS_MESSAGE, 4),
    ]);
  }

  /** Without data: whether it was verified, and if not, how many tries are left (ISO 7816-4 §7.5.6). */
  #verifyPin(owner: PinOwner, data: Uint8Array): Uint8Array {
    if (data.length === 0) {
      const { tries } = this.#state.pin(owner);
      if (this.#verified[owner]) return NOTHING;
      throw new Refused(tries === 0 ? Status.pinBlocked : pinWrongStatus(tries));
    }
    const digits = decodePin(data);
    this.#verified[owner] = false;
    checkPin(this.#crypto, this.#state, owner, digits);
    this.#verified[owner] = true;
    return NOTHING;
  }

  #require(owner: PinOwner): void {
    if (!this.#verified[owner]) throw new Refused(Status.notPermitted);
  }

  #identity(alias: string | undefined): IdentityRecord {
    const identity = alias === undefined ? undefined : this.#state.identity(alias);
    if (identity === undefined) throw new Refused(Status.notFound);
    return identity;
  }

  #nextIdentity(): Uint8Array {
    const identity = this.#state.identities[this.#next];
    if (identity === undefined) {
      this.#next = 0;
      throw new Refused(Status.notFound);
    }
    this.#next++;
    return utf8.encode(identity.alias);
  }

  /** P2 is a handle, whose session ends and is released; 00 stands for all of them. */
  #resetState({ p1, p2 }: Command): Uint8Array {
    if (p1 !== 0x10) throw new Refused(Status.wrongParameters);
    if (p2 === 0) {
      this.#forgetChains();
      this.#dropSessions();
    } else {
      const session = this.#sessions.get(p2);
      if (session === undefined) throw new Refused(Status.notFound);
      session.drop();
      this.#sessions.delete(p2);
    }
    const { user, operator } = this.#verified;
    const identity = this.#current === undefined ? undefined : this.#state.identity(this.#current);
    return Uint8Array.of(
      (identity === undefined ? 0 : CardState.identity) |
        (user ? CardState.userVerified : 0) |
        (operator ? CardState.operatorVerified : 0),
    );
  }

  #dropSessions(): void {
    for (const session of this.#sessions.values()) session.drop();
    this.#sessions.clear();
  }

  #open(data: Uint8Array): Uint8Array {
    const request = readOpenRequest(data);
    const identity = this.#identity(request.alias ?? this.#current);
    const role = request.role === 'client' ? IdentityRole.client : IdentityRole.server;
    if ((identity.roles & role) === 0) throw new Refused(Status.notPermitted);
    const handle = this.#freeHandle();
    const host = {
      crypto: this.#crypto,
      state: this.#state,
      cookieSecret: () => {
        this.#cookieSecret ??= this.#crypto.randomBytes(COOKIE_SECRET_LENGTH);
        return this.#cookieSecret;
      },
    };
    this.#sessions.set(handle, new Session(host, identity, request, this.#state.timeFrom(request.time)));
    return Uint8Array.of(handle);
  }

  /** 1 to the number of sessions; handle 0 stands for all of them in Reset-State. */
  #freeHandle(): number {
    for (let handle = 1; handle < MAX_HANDLES && handle <= this.#maxSessions; handle++) {
      if (!this.#sessions.has(handle)) return handle;
    }
    // Those that are over give way, the oldest first.
    for (const [handle, session] of this.#sessions) {
      if (session.state !== 'closed') continue;
      session.drop();
      this.#sessions.delete(handle);
      return handle;
    }
    throw new Refused(Status.noRoom);
  }

  #session(p1: number): Session {
    const session = this.#sessions.get(p1 >> 1);
    if ((p1 & 1) !== 0) throw new Refused(Status.wrongParameters);
    if (session === undefined) throw new Refused(Status.wrongState);
    return session;
  }

  #information(session: Session, p2: number, data: Uint8Array): Uint8Array {
    switch (p2) {
      case InformationKind.everything:
        return session.information();
      case InformationKind.state:
        return session.stateBytes;
      case InformationKind.exporter:
      case InformationKind.exporterWithoutContext: {
        const { label, context, length } = exporterRequest.parse(data);
        const isAbsent = p2 === InformationKind.exporterWithoutContext;
        if (isAbsent && context.length > 0) throw new Refused(Status.malformed);
        if (!isExporterLabelPermitted(label)) throw new Refused(Status.notPermitted);
        return session.export(label, isAbsent ? undefined : context, length);
      }
      default:
        throw new Refused(Status.wrongParameters);
    }
  }

  #computeSignature(session: Session, p2: number, data: Uint8Array): Uint8Array {
    const r = new Reader(data, 'Compute signature');
    switch (p2) {
      case SignatureKind.attributes:
        if (data.length < 3) throw new Refused(Status.wrongLength);
        return session.signer.attributes(r.u16(), r.rest());
      case SignatureKind.signedInfo:
        return session.signer.signedInfo(r.u16(), r.vector(2, 1), r.rest());
      case SignatureKind.leaveOpen:
        if (data.length !== 6) throw new Refused(Status.wrongLength);
        session.signer.leaveOpen(r.u16() * 2 ** 32 + r.u32());
        return NOTHING;
      default:
        throw new Refused(Status.wrongParameters);
    }
  }
}

const CLASSES: ReadonlySet<number> = new Set([MODULE_CLASS, 0x00, 0x80]);

const IN_SESSION: ReadonlySet<number> = new Set([
  ...SESSION_COMMANDS,
  Instruction.retransmit,
  Instruction.sessionInformation,
  Instruction.getMasterSessionKey,
  Instruction.exportTrafficKeys,
  Instruction.computeSignature,
]);

function statusFor(error: unknown): number {
  if (error instanceof Refused) return error.status;
  if (error instanceof DecodeError) return Status.malformed;
  if (error instanceof ModuleError && error.code === 'ERR_MODULE_NO_ROOM') return Status.noRoom;
  if (error instanceof ConnectionError && error.code === 'ERR_DTLS_TOO_LARGE') return Status.wrongLength;
  // The engine's answer to a use that the session does not allow (any more).
  if (error instanceof ConnectionError && error.code !== 'ERR_TLS_OPTION') return Status.wrongState;
  // Parameters that are well-formed and make no sense: a key of an unknown kind, a certificate for another key.
  if (error instanceof TrellisError && error.code !== 'ERR_TLS_INTERNAL') return Status.malformed;
  return Status.internal;
}

const utf8 = new TextEncoder();
const NOTHING = new Uint8Array(0);

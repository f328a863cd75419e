import { toHex } from '../../der/bytes.ts';
import { DecodeError } from '../../errors/errors.ts';
import { parseEap, parseEapTls } from '../eap/packet.ts';
import { InformationKind, Instruction, ObjectTag, OpenTag } from '../protocol.ts';
import { readTlvs } from '../tlv.ts';
import { CLA_CHAINING, type Command, parseCommand, parseResponse } from './command.ts';
import { parseStatus } from './status.ts';

/** One command and its answer, for people and for programs. What would be a secret is a number of bytes here. */
export interface TraceEntry {
  readonly name: string;
  /** CLA INS P1 P2, hexadecimal. */
  readonly header: string;
  /** Of Put data and Get data: what it is about, a name of `ObjectTag`. */
  readonly object?: string;
  /** Of commands in a session. */
  readonly session?: number;
  /** Further commands of this chain follow. */
  readonly more?: true;
  /** `EAP-Request 7, EAP-TLS, 40 bytes, more`: where one command holds a whole packet. */
  readonly eap?: string;
  readonly data: string;
  readonly answerEap?: string;
  readonly answer: string;
  /** Hexadecimal. */
  readonly status: string;
  readonly meaning: string;
}

/** Their data or their answers hold PINs, keys or clear text. */
const SECRET_DATA: ReadonlySet<number> = new Set([
  Instruction.verifyPin,
  Instruction.changePin,
  Instruction.unblockPin,
  Instruction.encrypt,
]);
const SECRET_OBJECTS: ReadonlySet<number> = new Set([ObjectTag.privateKey, ObjectTag.preSharedKey]);
const SECRET_ANSWER: ReadonlySet<number> = new Set([
  Instruction.decrypt,
  Instruction.getMasterSessionKey,
  Instruction.exportTrafficKeys,
]);
const IN_SESSION: ReadonlySet<number> = new Set([
  Instruction.processEap,
  Instruction.encrypt,
  Instruction.decrypt,
  Instruction.retransmit,
  Instruction.sessionInformation,
  Instruction.getMasterSessionKey,
  Instruction.exportTrafficKeys,
  Instruction.computeSignature,
]);
const WITH_EAP: ReadonlySet<number> = new Set([
  Instruction.processEap,
  Instruction.encrypt,
  Instruction.decrypt,
]);
const NAMES = new Map<number, string>(Object.entries(Instruction).map(([name, ins]) => [ins, name]));
const OBJECTS = new Map<number, string>(Object.entries(ObjectTag).map(([name, tag]) => [tag, name]));
const NO_PIN_DATA = 0;
const EXPORTERS: readonly number[] = [InformationKind.exporter, InformationKind.exporterWithoutContext];

/** Describes the dialogue with a module as it goes by. One per connection: the rest of an answer is as secret as its beginning. */
export class Tracer {
  #secretRest = false;
  /** A part of a chained Open came before. */
  #partOfOpen = false;

  describe(commandBytes: Uint8Array, responseBytes: Uint8Array): TraceEntry {
    const { data: answer, status } = parseResponse(responseBytes);
    const word = parseStatus(status);
    const meaning = word.kind === 'more' ? `${word.available} bytes to fetch` : word.kind;
    const common = { status: status.toString(16).padStart(4, '0'), meaning };
    const command = read(commandBytes);
    if (command === undefined) {
      return { name: 'malformed', header: '', data: bytes(commandBytes), answer: shown(answer), ...common };
    }
    const { cla, ins, p1, p2, data } = command;
    const isFetch = ins === Instruction.fetch || ins === Instruction.getResponse;
    const isSecret = isFetch ? this.#secretRest : hasSecretAnswer(command);
    this.#secretRest = isSecret;
    const isSession = IN_SESSION.has(ins);
    const isMore = (cla & CLA_CHAINING) !== 0 || (WITH_EAP.has(ins) && (p1 & 1) !== 0);
    const isSecretData = hasSecretData(command) || (ins === Instruction.open && (isMore || this.#partOfOpen));
    this.#partOfOpen = ins === Instruction.open && isMore;
    const isObject = ins === Instruction.putData || ins === Instruction.getData;
    const object = isObject ? OBJECTS.get(tagOf(command)) : undefined;
    const eap = WITH_EAP.has(ins) && !isMore ? describeEap(data) : undefined;
    const answerEap = WITH_EAP.has(ins) && word.kind === 'success' ? describeEap(answer) : undefined;
    return {
      name: NAMES.get(ins) ?? 'unknown',
      header: toHex(Uint8Array.of(cla, ins, p1, p2)),
      ...(object === undefined ? {} : { object }),
      ...(isSession ? { session: p1 >> 1 } : {}),
      ...(isMore ? { more: true as const } : {}),
      ...(eap === undefined ? {} : { eap }),
      data: isSecretData ? bytes(data) : shown(data),
      ...(answerEap === undefined ? {} : { answerEap }),
      answer: isSecret ? bytes(answer) : shown(answer),
      ...common,
    };
  }
}

function tagOf({ p1, p2 }: Command): number {
  return (p1 << 8) | p2;
}

function hasSecretData(command: Command): boolean {
  const { ins, data } = command;
  if (ins === Instruction.open) return hasCookieSecret(data);
  if (ins === Instruction.putData) return SECRET_OBJECTS.has(tagOf(command));
  return SECRET_DATA.has(ins) && data.length > NO_PIN_DATA;
}

function hasCookieSecret(data: Uint8Array): boolean {
  try {
    return readTlvs(data, 'Open').some(({ tag }) => tag === OpenTag.cookie);
  } catch (error) {
    if (error instanceof DecodeError) return true;
    throw error;
  }
}

function hasSecretAnswer({ ins, p2 }: Command): boolean {
  return SECRET_ANSWER.has(ins) || (ins === Instruction.sessionInformation && EXPORTERS.includes(p2));
}

function read(command: Uint8Array): Command | undefined {
  try {
    return parseCommand(command);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

const CODES = ['', 'Request', 'Response', 'Success', 'Failure'];
const TYPES: Readonly<Record<number, string>> = { 1: 'Identity', 2: 'Notification', 3: 'Nak', 13: 'EAP-TLS' };

function describeEap(packet: Uint8Array): string | undefined {
  try {
    const eap = parseEap(packet);
    const head = `EAP-${CODES[eap.code]} ${eap.identifier}`;
    if (!('type' in eap)) return head;
    const type = TYPES[eap.type] ?? `type ${eap.type}`;
    if (eap.type !== 13) return `${head}, ${type}`;
    const { start, more, total, data } = parseEapTls(eap.data);
    const flags = [
      start ? ', start' : '',
      more ? ', more' : '',
      total === undefined ? '' : `, of ${total}`,
    ].join('');
    return `${head}, ${type}, ${data.length} bytes${flags}`;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function shown(data: Uint8Array): string {
  return toHex(data);
}

function bytes(data: Uint8Array): string {
  return data.length === 0 ? '' : `(${data.length} bytes not shown)`;
}

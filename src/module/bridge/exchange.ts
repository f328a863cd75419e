import { DecodeError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { concat } from '../../wire/writer.ts';
import {
  CLA_CHAINING,
  type Command,
  encodeCommand,
  MAX_SHORT_DATA,
  MAX_SHORT_RESPONSE,
  parseResponse,
  type Response,
} from '../apdu/command.ts';
import { parseStatus, Status, statusError } from '../apdu/status.ts';
import { Instruction, MODULE_CLASS } from '../protocol.ts';

/** The way to a card: one command APDU, one response APDU. */
export interface CardTransport {
  /** Data of a command and of a response at most: 255 and 256 with short APDUs, more with extended ones. */
  readonly maxCommandData: number;
  readonly maxResponseData: number;
  /**
   * Called again only when the last answer is there. The answer may come at once. The command's memory is the caller's
   * again then, and what the transport has copied of it, the transport wipes.
   * @throws ModuleError ERR_MODULE_REMOVED, ERR_MODULE_RESET, ERR_MODULE_GONE, ERR_MODULE_BUSY
   */
  transmit(command: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** No more commands. What is under way fails with ERR_MODULE_GONE. */
  close(): void;
}

/** A command of the interface, however many APDUs it takes. */
export interface CardRequest {
  readonly ins: number;
  readonly p1: number;
  readonly p2: number;
  readonly data: Uint8Array;
  /** For error messages: what is being done. */
  readonly doing: string;
  /** The APDUs of another kind of card, in place of those of this interface; its answer is what they make of it. */
  readonly apdus?: (() => Generator<Uint8Array, Uint8Array, Uint8Array>) | undefined;
  /** The data is one, and its commands are wiped when they have been answered. */
  readonly secret?: true | undefined;
}

/** An answer that is fetched in pieces ends: two messages of the largest size. */
export const MAX_ANSWER = 262_144;

/** Their chain goes on by a bit of P1; that of others by one of CLA. */
const CHAINED_IN_P1: ReadonlySet<number> = new Set([
  Instruction.processEap,
  Instruction.encrypt,
  Instruction.decrypt,
]);

/**
 * The APDUs of one request: yields commands, takes responses, returns the whole answer.
 * @throws ModuleError for a status word that says no; ERR_MODULE_PROTOCOL for an answer that makes no sense
 */
export function* exchange(
  request: CardRequest,
  { maxCommandData, maxResponseData }: Pick<CardTransport, 'maxCommandData' | 'maxResponseData'>,
): Generator<Uint8Array, Uint8Array, Uint8Array> {
  if (request.apdus !== undefined) return yield* request.apdus();
  const form = maxCommandData > MAX_SHORT_DATA ? 'extended' : 'short';
  const { ins, p1, p2, data, doing } = request;
  const header = { cla: MODULE_CLASS, ins, p1, p2 };
  let at = 0;
  for (; data.length - at > maxCommandData; at += maxCommandData) {
    const piece = data.subarray(at, at + maxCommandData);
    const { status } = readResponse(yield encodeCommand({ ...chained(header), data: piece, le: 0 }, form));
    if (status !== Status.success) throw statusError(status, doing);
  }
  const last: Command = { ...header, data: data.subarray(at), le: maxResponseData };
  let response = readResponse(yield encodeCommand(last, form));
  const pieces = [response.data];
  let length = response.data.length;
  for (;;) {
    const word = parseStatus(response.status);
    if (word.kind === 'success') return pieces.length === 1 ? response.data : concat(pieces);
    if (word.kind !== 'more') throw statusError(response.status, doing);
    // At 256 there may be more than that, and a transport with long answers may take it all at once.
    const le = word.available === MAX_SHORT_RESPONSE ? maxResponseData : word.available;
    const fetch = { cla: MODULE_CLASS, ins: Instruction.fetch, p1: 0, p2: 0, data: NOTHING, le };
    response = readResponse(yield encodeCommand(fetch, form));
    length += response.data.length;
    if (length > MAX_ANSWER || response.data.length === 0) {
      throw endlessAnswer(doing);
    }
    pieces.push(response.data);
  }
}

export function endlessAnswer(doing: string): ModuleError {
  return new ModuleError('ERR_MODULE_PROTOCOL', `The module's answer to ${doing} does not end`);
}

function chained(header: { cla: number; ins: number; p1: number; p2: number }) {
  return CHAINED_IN_P1.has(header.ins)
    ? { ...header, p1: header.p1 | 1 }
    : { ...header, cla: header.cla | CLA_CHAINING };
}

/** @throws ModuleError ERR_MODULE_PROTOCOL */
export function readResponse(bytes: Uint8Array): Response {
  try {
    return parseResponse(bytes);
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new ModuleError(
      'ERR_MODULE_PROTOCOL',
      'The module answered with something that is no response APDU',
      {
        cause,
      },
    );
  }
}

const NOTHING = new Uint8Array(0);

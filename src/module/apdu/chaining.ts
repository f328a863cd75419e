import { concat } from '../../wire/writer.ts';
import { CLA_CHAINING, type Command } from './command.ts';

/**
 * What a card joins from one chain at most: a whole EAP packet (RFC 3748 §4: its length has 16 bits), a certificate
 * chain to be installed.
 */
export const MAX_CHAINED_DATA = 65_536;

/** P1 without its chaining bit, and whether that was set; `undefined` for commands that have none there. */
export type ChainRule = (command: Command) => { readonly p1: number; readonly more: boolean } | undefined;

export type Joined =
  | { readonly kind: 'whole'; readonly command: Command }
  /** A piece was taken; the others are awaited. */
  | { readonly kind: 'more' }
  | { readonly kind: 'tooLong' };

/**
 * Joins the commands of a chain: by the bit of CLA (ISO 7816-4 §5.1.1.1), or by a bit of P1 where `rule` says so.
 * Another command in the middle gives the chain up and is a command of its own.
 */
export class CommandJoiner {
  readonly #rule: ChainRule;
  #header: Command | undefined;
  #pieces: Uint8Array[] = [];
  #length = 0;

  constructor(rule: ChainRule) {
    this.#rule = rule;
  }

  push(command: Command): Joined {
    const inP1 = this.#rule(command);
    const more = (command.cla & CLA_CHAINING) !== 0 || inP1?.more === true;
    const header: Command = { ...command, cla: command.cla & ~CLA_CHAINING, p1: inP1?.p1 ?? command.p1 };
    if (this.#header !== undefined && !sameHeader(this.#header, header)) this.clear();
    if (this.#length + command.data.length > MAX_CHAINED_DATA) {
      this.clear();
      return { kind: 'tooLong' };
    }
    if (!more && this.#header === undefined) return { kind: 'whole', command: header };
    this.#header = header;
    // Not slice(), which on a Buffer is a view: whoever brought the command may use its memory again.
    this.#pieces.push(new Uint8Array(command.data));
    this.#length += command.data.length;
    if (more) return { kind: 'more' };
    const data = concat(this.#pieces);
    this.clear();
    return { kind: 'whole', command: { ...header, data } };
  }

  clear(): void {
    this.#header = undefined;
    this.#pieces = [];
    this.#length = 0;
  }
}

function sameHeader(a: Command, b: Command): boolean {
  return a.cla === b.cla && a.ins === b.ins && a.p1 === b.p1 && a.p2 === b.p2;
}

/** The rest of an answer that did not fit, to be fetched by GET RESPONSE or FETCH. */
export class ResponseQueue {
  #rest: Uint8Array = NOTHING;

  /** Bytes that can be fetched. */
  get length(): number {
    return this.#rest.length;
  }

  set(data: Uint8Array): void {
    this.#rest = data;
  }

  take(length: number): Uint8Array {
    const part = this.#rest.subarray(0, length);
    this.#rest = this.#rest.subarray(part.length);
    return part;
  }

  clear(): void {
    this.#rest = NOTHING;
  }
}

const NOTHING = new Uint8Array(0);

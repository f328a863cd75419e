import { type Conversation, type Cutter, NOTHING, type Part, unitError } from './cutter.ts';
import {
  type Body,
  HeadReader,
  type Request,
  readChunkSize,
  readRequest,
  readResponse,
} from './http-head.ts';

/** Requests whose answers have not come (pipelining). Each costs some bytes here; browsers and curl send one. */
const MAX_PIPELINED = 1_024;
/** What may come between a request to change the protocol and its answer. More than one read of a socket. */
const MAX_HELD_BYTES = 1_048_576;

/**
 * HTTP/1.1 on one connection (RFC 9112): each request, each response and each interim response is a unit. After an
 * agreed change of protocol each direction goes on as one unit to its end.
 */
export class HttpConversation implements Conversation {
  readonly forth: Cutter;
  readonly back: Cutter;
  /** Without an answer, oldest first. */
  readonly #requests: Request[] = [];
  #wantsContinue = false;
  #isUpgraded = false;

  constructor() {
    const requests = new MessageCutter({
      begin: (head) => {
        const request = readRequest(head);
        if (this.#requests.length >= MAX_PIPELINED)
          throw unitError(`${MAX_PIPELINED} requests wait for their answers`);
        this.#requests.push(request);
        // With an answer outstanding, one that is made up would come in its place.
        this.#wantsContinue = request.expectsContinue && this.#requests.length === 1;
        return { body: request.body, next: request.mayBecome === undefined ? 'message' : 'wait' };
      },
      maySkipLines: true,
    });
    const responses = new MessageCutter({
      begin: (head) => {
        const [request] = this.#requests;
        const { body, isInterim, isSwitch } = readResponse(head, request);
        this.#wantsContinue = false;
        this.#isUpgraded = isSwitch;
        if (!isInterim) {
          this.#requests.shift();
          if (request?.mayBecome !== undefined) requests.decide(isSwitch);
        }
        return { body, next: isSwitch ? 'rest' : 'message' };
      },
      maySkipLines: false,
    });
    this.forth = requests;
    this.back = responses;
  }

  get isUpgraded(): boolean {
    return this.#isUpgraded;
  }

  takeContinue(): boolean {
    const wanted = this.#wantsContinue;
    this.#wantsContinue = false;
    return wanted;
  }
}

interface MessageRules {
  /** A head has come: what follows it, and what follows the message. @throws TunnelError ERR_TUNNEL_UNIT */
  begin(head: Uint8Array): { readonly body: Body; readonly next: After };
  /** Empty lines before a message belong to it. */
  readonly maySkipLines: boolean;
}

/** After a message: another one; the rest of the connection as one unit; or that is not known yet. */
type After = 'message' | 'rest' | 'wait';

/** Where in a message the next byte is. */
type Place =
  | { readonly kind: 'head' }
  | { readonly kind: 'length'; left: number }
  | { readonly kind: 'chunk-size' }
  | { readonly kind: 'chunk'; left: number }
  /** The line end after a chunk's data. */
  | { readonly kind: 'chunk-end'; left: 1 | 2 }
  | { readonly kind: 'trailers' }
  | { readonly kind: 'close' }
  | { readonly kind: 'rest' }
  | { readonly kind: 'wait' };

class MessageCutter implements Cutter {
  readonly #rules: MessageRules;
  readonly #reader = new HeadReader();
  #place: Place = HEAD;
  #after: After = 'message';
  /** Bytes of an open-ended unit have come. */
  #hasRest = false;
  #held: Uint8Array[] = [];
  #heldBytes = 0;
  /** With what is held, the direction has ended. */
  #hasEnded = false;

  constructor(rules: MessageRules) {
    this.#rules = rules;
  }

  get isWaiting(): boolean {
    return this.#place.kind === 'wait';
  }

  /** The answer to what it waits for. The message itself may still be under way. */
  decide(isSwitch: boolean): void {
    if (this.#place.kind === 'wait') this.#place = isSwitch ? REST : HEAD;
    else this.#after = isSwitch ? 'rest' : 'message';
  }

  push(bytes: Uint8Array): Part[] {
    let input = bytes;
    if (this.#held.length > 0) {
      input = Buffer.concat([...this.#held, bytes]);
      this.#held = [];
      this.#heldBytes = 0;
    }
    const parts: Part[] = [];
    let at = 0;
    while (at < input.length) {
      if (this.#place.kind === 'wait') {
        this.#hold(input.subarray(at));
        break;
      }
      at = this.#step(input, at, parts);
    }
    if (this.#hasEnded && !this.isWaiting) parts.push(...this.end());
    return parts;
  }

  end(): Part[] {
    const { kind } = this.#place;
    if (kind === 'wait') {
      // What is held is of one protocol or the other; without any, neither is of interest any more.
      this.#hasEnded = true;
      if (this.#held.length === 0) this.#place = HEAD;
      return [];
    }
    if (kind === 'close' || (kind === 'rest' && this.#hasRest)) return [{ bytes: NOTHING, last: true }];
    const isBetween = kind === 'rest' || (kind === 'head' && this.#reader.isEmpty);
    if (isBetween) return [];
    throw unitError('the connection ended in the middle of an HTTP message');
  }

  /** Goes on as far as one place reaches. @returns where the next byte is */
  #step(input: Uint8Array, from: number, parts: Part[]): number {
    const place = this.#place;
    switch (place.kind) {
      case 'head':
        return this.#stepHead(input, from, parts);
      case 'length':
      case 'chunk': {
        const at = Math.min(input.length, from + place.left);
        place.left -= at - from;
        const last = place.kind === 'length' && place.left === 0;
        parts.push({ bytes: input.subarray(from, at), last });
        if (last) this.#finish();
        else if (place.left === 0) this.#place = { kind: 'chunk-end', left: 2 };
        return at;
      }
      case 'chunk-end': {
        if (input[from] !== (place.left === 2 ? CR : LF))
          throw unitError('a chunk is longer than it says, RFC 9112 §7.1');
        parts.push({ bytes: input.subarray(from, from + 1), last: false });
        this.#place = place.left === 2 ? { kind: 'chunk-end', left: 1 } : CHUNK_SIZE;
        return from + 1;
      }
      case 'chunk-size': {
        const { at, complete } = this.#reader.take(input, from, 'line');
        if (complete === undefined) return at;
        const left = readChunkSize(complete);
        parts.push({ bytes: complete, last: false });
        this.#place = left === 0 ? TRAILERS : { kind: 'chunk', left };
        return at;
      }
      case 'trailers': {
        const { at, complete } = this.#reader.take(input, from, 'trailers');
        if (complete === undefined) return at;
        parts.push({ bytes: complete, last: true });
        this.#finish();
        return at;
      }
      default:
        this.#hasRest = true;
        parts.push({ bytes: input.subarray(from), last: false });
        return input.length;
    }
  }

  #stepHead(input: Uint8Array, from: number, parts: Part[]): number {
    const { at, complete } = this.#reader.take(input, from, 'head');
    if (complete === undefined) return at;
    if (!this.#rules.maySkipLines && complete[0] === CR)
      throw unitError('a response begins with an empty line');
    const { body, next } = this.#rules.begin(complete);
    this.#after = next;
    const isWhole = body.kind === 'none' || (body.kind === 'length' && body.length === 0);
    parts.push({ bytes: complete, last: isWhole });
    if (isWhole) this.#finish();
    else if (body.kind === 'length') this.#place = { kind: 'length', left: body.length };
    else this.#place = body.kind === 'chunked' ? CHUNK_SIZE : CLOSE;
    return at;
  }

  #finish(): void {
    this.#place = this.#after === 'message' ? HEAD : this.#after === 'rest' ? REST : WAIT;
  }

  #hold(bytes: Uint8Array): void {
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > MAX_HELD_BYTES)
      throw unitError(`${MAX_HELD_BYTES} bytes came before the answer to a request to change the protocol`);
    this.#held.push(bytes);
  }
}

const CR = 0x0d;
const LF = 0x0a;
const HEAD: Place = { kind: 'head' };
const CHUNK_SIZE: Place = { kind: 'chunk-size' };
const TRAILERS: Place = { kind: 'trailers' };
const CLOSE: Place = { kind: 'close' };
const REST: Place = { kind: 'rest' };
const WAIT: Place = { kind: 'wait' };

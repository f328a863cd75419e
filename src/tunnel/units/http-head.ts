import { unitError } from './cutter.ts';

/*
 * Heads of HTTP/1.1 messages (RFC 9112). Two readers that disagree about where a message ends are a hole, so what can
 * be read in two ways is refused, as §6.3 and §11.2 advise, and not repaired.
 */

/** Head of a message, or its trailers, with line ends. Node takes 16 KiB, nginx 32, Apache 8 for each line. */
export const MAX_HEAD_BYTES = 65_536;
/** A chunk's size and its extensions. */
export const MAX_CHUNK_LINE_BYTES = 4_096;
/** RFC 9112 §2.2: at least one empty line before a request is to be skipped. */
const MAX_EMPTY_LINES = 4;

/** How the end of a body is found, RFC 9112 §6.3. */
export type Body =
  | { readonly kind: 'none' }
  | { readonly kind: 'length'; readonly length: number }
  | { readonly kind: 'chunked' }
  /** With the connection. Responses only. */
  | { readonly kind: 'close' };

/** What the answer to a request depends on. */
export interface Request {
  readonly body: Body;
  readonly isHead: boolean;
  /** After a good answer the connection belongs to another protocol: CONNECT, or Upgrade. */
  readonly mayBecome: 'tunnel' | 'upgrade' | undefined;
  /** `Expect: 100-continue` */
  readonly expectsContinue: boolean;
}

export interface Response {
  readonly body: Body;
  /** Another one follows for the same request. */
  readonly isInterim: boolean;
  /** The rest of the connection is no HTTP. */
  readonly isSwitch: boolean;
}

/** @throws TunnelError ERR_TUNNEL_UNIT */
export function readRequest(head: Uint8Array): Request {
  const { start, fields } = readFields(head);
  const [, method, version] =
    /^([!#$%&'*+.^_`|~\w-]+) [\x21-\x7e\x80-\xff]+ HTTP\/1\.([01])$/.exec(start) ?? [];
  if (method === undefined) {
    throw unitError(
      start.startsWith('PRI * HTTP/2')
        ? 'the program speaks HTTP/2; have it speak HTTP/1.1'
        : `what came is no HTTP/1.1 request: ${shown(start)}; choose another --sign-unit for this application`,
    );
  }
  const body = bodyOf(fields, version === '0', 'none');
  if (body.kind === 'close')
    throw unitError('the transfer-coding of a request must end in chunked, RFC 9112 §6.3');
  return {
    body,
    isHead: method === 'HEAD',
    mayBecome: method === 'CONNECT' ? 'tunnel' : asksToUpgrade(fields) ? 'upgrade' : undefined,
    expectsContinue: version === '1' && list(fields, 'expect').includes('100-continue'),
  };
}

/**
 * @param request that it answers; undefined when there was none
 * @throws TunnelError ERR_TUNNEL_UNIT
 */
export function readResponse(head: Uint8Array, request: Request | undefined): Response {
  const { start, fields } = readFields(head);
  const [, version, digits] = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/.exec(start) ?? [];
  if (digits === undefined) throw unitError(`what came is no HTTP/1.1 response: ${shown(start)}`);
  const status = Number(digits);
  const none: Body = { kind: 'none' };
  if (status === 101) {
    if (request?.mayBecome !== 'upgrade')
      throw unitError('a response switches protocols, which the request did not ask for');
    return { body: none, isInterim: false, isSwitch: true };
  }
  if (status < 200) return { body: none, isInterim: true, isSwitch: false };
  const isSwitch = request?.mayBecome === 'tunnel' && status < 300;
  if (isSwitch) return { body: none, isInterim: false, isSwitch };
  // Checked even where there is no body: whoever is next may look at them.
  const body = bodyOf(fields, version === '0', 'close');
  const isEmpty = request?.isHead === true || status === 204 || status === 304;
  return { body: isEmpty ? none : body, isInterim: false, isSwitch };
}

/** @param line with its line end @throws TunnelError ERR_TUNNEL_UNIT */
export function readChunkSize(line: Uint8Array): number {
  const text = latin1(line.subarray(0, -2));
  const [, digits] = /^([\da-fA-F]{1,13})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/.exec(text) ?? [];
  if (digits === undefined) throw unitError(`the size of a chunk is wrong: ${shown(text)}`);
  return Number.parseInt(digits, 16);
}

/** Gathers lines, however they are cut up, and never more than its bound. */
export class HeadReader {
  #bytes = new Uint8Array(512);
  #length = 0;
  #lineStart = 0;
  #lines = 0;
  #emptyLines = 0;

  get isEmpty(): boolean {
    return this.#length === 0;
  }

  /**
   * Takes bytes up to the end of one line, or of a section that ends in an empty line.
   * @param what `head`: empty lines before it are part of it; `trailers`: may be an empty line alone
   * @returns how many were taken, and all that was gathered when it is complete: until the next call
   * @throws TunnelError ERR_TUNNEL_UNIT
   */
  take(
    bytes: Uint8Array,
    from: number,
    what: 'head' | 'trailers' | 'line',
  ): { readonly at: number; readonly complete: Uint8Array | undefined } {
    const max = what === 'line' ? MAX_CHUNK_LINE_BYTES : MAX_HEAD_BYTES;
    let at = from;
    while (at < bytes.length) {
      const feed = bytes.indexOf(LF, at);
      const end = feed < 0 ? bytes.length : feed + 1;
      this.#append(bytes.subarray(at, end), max, what);
      at = end;
      if (feed < 0) break;
      if (this.#length - this.#lineStart < 2 || this.#bytes[this.#length - 2] !== CR)
        throw unitError('a line ends in a line feed alone; HTTP/1.1 wants CR and LF, RFC 9112 §2.2');
      const isEmptyLine = this.#length - this.#lineStart === 2;
      this.#lineStart = this.#length;
      if (!this.#isComplete(what, isEmptyLine)) continue;
      const complete = this.#bytes.slice(0, this.#length);
      this.#length = this.#lineStart = this.#lines = this.#emptyLines = 0;
      return { at, complete };
    }
    return { at, complete: undefined };
  }

  #isComplete(what: 'head' | 'trailers' | 'line', isEmptyLine: boolean): boolean {
    if (what === 'line') return true;
    if (!isEmptyLine) {
      this.#lines++;
      return false;
    }
    if (what === 'trailers' || this.#lines > 0) return true;
    if (++this.#emptyLines > MAX_EMPTY_LINES) throw unitError('there are empty lines in place of a message');
    return false;
  }

  #append(bytes: Uint8Array, max: number, what: string): void {
    const length = this.#length + bytes.length;
    if (length > max)
      throw unitError(`the ${what === 'line' ? 'line of a chunk' : what} has more than ${max} bytes`);
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.min(MAX_HEAD_BYTES, Math.max(length, this.#bytes.length * 2)));
      grown.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#length);
    this.#length = length;
  }
}

type Fields = ReadonlyMap<string, readonly string[]>;

const CR = 0x0d;
const LF = 0x0a;
/** Field names that decide about where a message ends; no others are kept. */
const FRAMING = new Set(['content-length', 'transfer-encoding', 'connection', 'upgrade', 'expect']);
const MAX_FIELDS = 1_000;

function readFields(head: Uint8Array): { readonly start: string; readonly fields: Fields } {
  const lines = latin1(head)
    .replace(/^(\r\n)+/, '')
    .split('\r\n');
  // The empty line that ends the head, and what comes after its line end.
  lines.splice(-2);
  const [start = '', ...rest] = lines;
  if (rest.length > MAX_FIELDS) throw unitError(`a head has more than ${MAX_FIELDS} fields`);
  const fields = new Map<string, string[]>();
  for (const line of rest) {
    // RFC 9112 §5.1, §5.2: no space before the colon, no folded lines; and no CR, LF or NUL, RFC 9110 §5.5.
    const [, name = '', value] = /^([!#$%&'*+.^_`|~\w-]+):([\t\x20-\x7e\x80-\xff]*)$/.exec(line) ?? [];
    if (value === undefined) throw unitError(`a line is no header field: ${shown(line)}`);
    const key = name.toLowerCase();
    if (!FRAMING.has(key)) continue;
    const values = fields.get(key) ?? [];
    values.push(...value.split(',').map((item) => item.trim().toLowerCase()));
    fields.set(key, values);
  }
  return { start, fields };
}

/** @param otherwise without a field that says it */
function bodyOf(fields: Fields, isHttp10: boolean, otherwise: 'none' | 'close'): Body {
  const codings = fields.get('transfer-encoding');
  const lengths = fields.get('content-length');
  if (codings !== undefined) {
    if (lengths !== undefined)
      throw unitError('a message has both Transfer-Encoding and Content-Length, RFC 9112 §6.3');
    if (isHttp10) throw unitError('a message of HTTP/1.0 has a Transfer-Encoding, RFC 9112 §6.1');
    const isChunked = codings.at(-1) === 'chunked';
    if (
      codings.some((coding, i) => coding === '' || (coding.startsWith('chunked') && i < codings.length - 1))
    )
      throw unitError('Transfer-Encoding: chunked must be the last, once, RFC 9112 §6.1');
    if (!isChunked && codings.at(-1)?.startsWith('chunked'))
      throw unitError('Transfer-Encoding: chunked has no parameters, RFC 9112 §7.1');
    return isChunked ? { kind: 'chunked' } : { kind: 'close' };
  }
  if (lengths === undefined) return { kind: otherwise };
  const [first = ''] = lengths;
  if (!/^\d{1,15}$/.test(first) || lengths.some((length) => length !== first))
    throw unitError(`Content-Length is ${shown(lengths.join(', '))}, RFC 9112 §6.3`);
  return { kind: 'length', length: Number(first) };
}

function asksToUpgrade(fields: Fields): boolean {
  return fields.has('upgrade') && list(fields, 'connection').includes('upgrade');
}

function list(fields: Fields, name: string): readonly string[] {
  return fields.get(name) ?? [];
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

/** For a message: not all of it, and nothing that a terminal would obey. */
function shown(text: string): string {
  return JSON.stringify(text.slice(0, 60)).replace(/[\x7f-\xff]/g, '?');
}

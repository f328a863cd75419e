import { DerReader } from '../../der/reader.ts';
import { contextConstructed, Tag, tagName } from '../../der/tags.ts';
import { encodeDer, explicit, sequence } from '../../der/writer.ts';
import { DecodeError, NotDerError, SignatureError } from '../../errors/errors.ts';
import { concat, Writer } from '../../wire/writer.ts';
import { type BerHeader, CONSTRUCTED_OCTET_STRING, END_OF_CONTENTS, readBerHeader } from './ber.ts';
import {
  checkEnvelope,
  checkIsSignedData,
  checkVersions,
  readDigestAlgorithms,
  readTail,
  readVersion,
  type SignedData,
  type SignedDataHead,
  type SignedDataTail,
} from './read.ts';

/** Object identifiers, a version and one digestAlgorithm: about 60 bytes. */
const MAX_HEAD_ELEMENT_BYTES = 256;

/**
 * Reads a SignedData of any size as it arrives: content comes out at once, the rest is kept, within bounds. Around the
 * content it is DER or, at every level, BER's indefinite form with the content in pieces. `lenient` takes mixtures of
 * the two, and is else as in `readSignedData`.
 */
export class StreamReader {
  readonly #lenient: boolean;
  #state: State = { at: 'head' };
  /** Bytes read and understood. */
  #position = 0;
  /** Bytes that are not understood yet: in the head, a part of an element; in the tail, all of it. Copies. */
  #held = new Writer();
  readonly #levels: Level[] = [];
  readonly #elements: Uint8Array[] = [];
  #head: SignedDataHead | undefined;
  #detached: Uint8Array | undefined;

  constructor(lenient: boolean) {
    this.#lenient = lenient;
  }

  /** Known before any content comes out. */
  get head(): SignedDataHead | undefined {
    return this.#head;
  }

  /** After `end`: the SignedData without its content (RFC 5652 §5.2), DER. */
  get detached(): Uint8Array | undefined {
    return this.#detached;
  }

  /** @returns the content among `bytes`, as views. @throws DecodeError, SignatureError */
  write(bytes: Uint8Array): Uint8Array[] {
    const content: Uint8Array[] = [];
    let rest = bytes;
    while (rest.length > 0) {
      const state = this.#state;
      if (state.at === 'tail') {
        checkEnvelope(this.#held.length + rest.length);
        this.#held.bytes(rest);
        break;
      }
      if (state.at === 'content') {
        const piece = rest.subarray(0, state.remaining);
        content.push(piece);
        this.#position += piece.length;
        rest = rest.subarray(piece.length);
        this.#enter({ ...state, remaining: state.remaining - piece.length });
        continue;
      }
      const joined = this.#held.length === 0 ? rest : this.#held.bytes(rest).finish();
      if (this.#held.length > 0) this.#held = new Writer();
      const size = state.at === 'head' ? this.#readHead(joined) : this.#readPieceHeader(joined, state.end);
      if (size === undefined) {
        this.#held.bytes(joined);
        break;
      }
      rest = joined.subarray(size);
    }
    return content;
  }

  /** @throws SignatureError ERR_SIGN_INCOMPLETE, and as `readSignedData`; DecodeError */
  end(): SignedDataTail {
    if (this.#state.at !== 'tail' || this.#head === undefined)
      throw new SignatureError('ERR_SIGN_INCOMPLETE', 'The object ends before its signature');
    const bytes = this.#held.finish();
    let at = this.#closeLevels(bytes, 0, LEVELS_OF_CONTENT);
    const fields = new DerReader(bytes, 'SignedData', at);
    const tail = readTail(fields, this.#lenient);
    const end = bytes.length - fields.remaining;
    this.#detached = withoutContent(this.#elements, bytes.subarray(at, end));
    at = this.#closeLevels(bytes, end, LEVELS_OF_SIGNED_DATA);
    if (at !== bytes.length) throw new DecodeError(`signed object: ${bytes.length - at} bytes after its end`);
    checkVersions(this.#head, tail, this.#lenient);
    return tail;
  }

  /** Goes on to the next state where nothing is left to do in this one. */
  #enter(state: State): void {
    if (state.at === 'content' && state.remaining === 0) {
      this.#enter(state.pieces === undefined ? { at: 'tail' } : { at: 'pieces', end: state.pieces.end });
    } else if (state.at === 'pieces' && state.end === this.#position) this.#state = { at: 'tail' };
    else this.#state = state;
  }

  /** One element of what comes before the content. @returns its bytes; undefined when it is not there in full */
  #readHead(bytes: Uint8Array): number | undefined {
    const header = readBerHeader(bytes, 0);
    if (header === undefined) return undefined;
    const expected = HEAD[this.#levels.length + this.#elements.length];
    if (expected === undefined) return this.#startContent(header);
    if (header.tag !== expected.tag)
      throw new DecodeError(`signed object: ${tagName(expected.tag)} expected, ${tagName(header.tag)} found`);
    if (expected.opens) {
      this.#checkForm(header);
      this.#position += header.size;
      this.#levels.push({ end: header.length === undefined ? undefined : this.#position + header.length });
      return header.size;
    }
    const { length, size } = header;
    if (length === undefined)
      throw new NotDerError(`signed object: ${tagName(header.tag)} of indefinite length`);
    if (length > MAX_HEAD_ELEMENT_BYTES)
      throw new DecodeError(`signed object: ${tagName(header.tag)} of ${length} bytes`);
    if (size + length > bytes.length) return undefined;
    this.#elements.push(new Uint8Array(bytes.subarray(0, size + length)));
    this.#position += size + length;
    return size + length;
  }

  #startContent(header: BerHeader): number {
    const { tag, length, size } = header;
    if (tag !== Tag.octetString && tag !== CONSTRUCTED_OCTET_STRING)
      throw new DecodeError(`signed object: octetString expected, ${tagName(tag)} found`);
    this.#checkForm(header);
    if (!this.#lenient && tag === CONSTRUCTED_OCTET_STRING && length !== undefined)
      throw new NotDerError('signed object: content in pieces, with a length');
    this.#head = readHeadElements(this.#elements);
    this.#position += size;
    if (tag === Tag.octetString) this.#enter({ at: 'content', remaining: length ?? 0, pieces: undefined });
    else this.#enter({ at: 'pieces', end: length === undefined ? undefined : this.#position + length });
    return size;
  }

  /** Header of the next piece of content, or the end of all. @returns as `#readHead` */
  #readPieceHeader(bytes: Uint8Array, end: number | undefined): number | undefined {
    const header = readBerHeader(bytes, 0);
    if (header === undefined) return undefined;
    const { tag, length, size } = header;
    this.#position += size;
    if (tag === END_OF_CONTENTS && length === 0 && end === undefined) {
      this.#enter({ at: 'tail' });
      return size;
    }
    if (tag === CONSTRUCTED_OCTET_STRING)
      throw new SignatureError('ERR_SIGN_TOO_DEEP', 'The content is in pieces that are in pieces themselves');
    if (tag !== Tag.octetString || length === undefined)
      throw new DecodeError(`signed object: octetString expected, ${tagName(tag)} found`);
    this.#enter({ at: 'content', remaining: length, pieces: { end } });
    return size;
  }

  /** One form for all levels, so that an object has few other spellings. */
  #checkForm({ length }: BerHeader): void {
    const [first] = this.#levels;
    if (this.#lenient || first === undefined) return;
    if ((first.end === undefined) !== (length === undefined))
      throw new NotDerError('signed object: definite and indefinite lengths mixed');
  }

  /** @returns the place after the ends of these levels */
  #closeLevels(bytes: Uint8Array, from: number, levels: readonly number[]): number {
    let at = from;
    for (const index of levels) {
      const end = this.#levels[index]?.end;
      if (end !== undefined) {
        if (this.#position + at !== end) throw new DecodeError('signed object: a length that does not fit');
      } else if (bytes[at] === END_OF_CONTENTS && bytes[at + 1] === 0) at += 2;
      else throw new DecodeError('signed object: end-of-contents expected');
    }
    return at;
  }
}

/** For a whole object that may be streamed. @throws as `readSignedData` */
export function readStreamed(object: Uint8Array, lenient: boolean): SignedData {
  const reader = new StreamReader(lenient);
  const content = concat(reader.write(object));
  const tail = reader.end();
  return { ...(reader.head as SignedDataHead), content, ...tail };
}

type State =
  | { readonly at: 'head' }
  /** Inside of the content, or of a piece of it; `pieces` when more of them can follow, up to `end`. */
  | {
      readonly at: 'content';
      readonly remaining: number;
      readonly pieces: { readonly end: number | undefined } | undefined;
    }
  | { readonly at: 'pieces'; readonly end: number | undefined }
  | { readonly at: 'tail' };

interface Level {
  /** Position; undefined for the indefinite form. */
  readonly end: number | undefined;
}

const opening = (tag: number) => ({ tag, opens: true });
const element = (tag: number) => ({ tag, opens: false });

/**
 * ContentInfo ::= SEQUENCE { contentType, [0] SignedData }; SignedData ::= SEQUENCE { version, digestAlgorithms,
 * encapContentInfo SEQUENCE { eContentType, [0] eContent }, …
 */
const HEAD: readonly { readonly tag: number; readonly opens: boolean }[] = [
  opening(Tag.sequence),
  element(Tag.oid),
  opening(contextConstructed(0)),
  opening(Tag.sequence),
  element(Tag.integer),
  element(Tag.set),
  opening(Tag.sequence),
  element(Tag.oid),
  opening(contextConstructed(0)),
];
/** As `opening` above counts them, inside out. */
const LEVELS_OF_CONTENT = [4, 3];
const LEVELS_OF_SIGNED_DATA = [2, 1, 0];

/** @param tail what follows encapContentInfo */
function withoutContent(elements: readonly Uint8Array[], tail: Uint8Array): Uint8Array {
  const [type, version, algorithms, contentType] = elements as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  return encodeDer(sequence(type, explicit(0, sequence(version, algorithms, sequence(contentType), tail))));
}

/** @param elements as HEAD has them: contentType, version, digestAlgorithms, eContentType */
function readHeadElements(elements: readonly Uint8Array[]): SignedDataHead {
  const fields = new DerReader(concat(elements), 'signed object');
  checkIsSignedData(fields.oid());
  const version = readVersion(fields);
  const digestAlgorithm = readDigestAlgorithms(fields);
  return { version, digestAlgorithm, contentType: fields.oid() };
}

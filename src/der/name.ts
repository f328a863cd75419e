import { DecodeError } from '../errors/errors.ts';
import { equalBytes, toHex } from './bytes.ts';
import { Oid } from './oids.ts';
import { DerReader } from './reader.ts';
import { Tag } from './tags.ts';
import { decodeText, isTextTag } from './text.ts';
import {
  constructed,
  type DerNode,
  encodeDer,
  ia5String,
  oid,
  printableString,
  sequence,
  setOf,
  utf8String,
} from './writer.ts';

/** Names in certificates have fewer than ten attributes; the bound keeps comparisons short. */
const MAX_RDNS = 64;
const MAX_ATTRIBUTES_PER_RDN = 16;

/** AttributeTypeAndValue, RFC 5280 §4.1.2.4. */
export interface NameAttribute {
  /** Dotted decimal. */
  readonly type: string;
  /** Text, or undefined when the value is no character string (or not a valid one). */
  readonly text: string | undefined;
  /** The value as DER. */
  readonly value: Uint8Array;
}

/** A distinguished name (RFC 5280 §4.1.2.4). Decoded when first asked for more than its bytes. */
export class Name {
  /** DER, identifier and length included. */
  readonly raw: Uint8Array;
  #rdns: readonly (readonly NameAttribute[])[] | undefined;
  #rdnKeys: readonly string[] | undefined;
  #key: string | undefined;

  constructor(raw: Uint8Array) {
    this.raw = raw;
  }

  static read(reader: DerReader): Name {
    return new Name(reader.encoded(Tag.sequence));
  }

  get isEmpty(): boolean {
    return this.raw.length === 2;
  }

  /** Relative distinguished names, most general first. @throws DecodeError */
  get rdns(): readonly (readonly NameAttribute[])[] {
    this.#rdns ??= readRdns(this.raw);
    return this.#rdns;
  }

  /**
   * Two names with equal keys match by RFC 5280 §7.1, in this form: attribute types are equal, and texts are equal
   * after Unicode normalisation (NFKC), lower-casing and folding of white space, whatever string type holds them;
   * values that are no text are compared byte by byte; the order inside a multi-valued RDN does not count.
   * @throws DecodeError
   */
  get key(): string {
    this.#key ??= this.rdnKeys.join('/');
    return this.#key;
  }

  /** The key of each RDN: a directoryName subtree is a prefix of these (RFC 5280 §4.2.1.10). @throws DecodeError */
  get rdnKeys(): readonly string[] {
    this.#rdnKeys ??= this.rdns.map((rdn) => rdn.map(attributeKey).sort().join('+'));
    return this.#rdnKeys;
  }

  /** @throws DecodeError */
  equals(other: Name): boolean {
    return this === other || equalBytes(this.raw, other.raw) || this.key === other.key;
  }

  /** All texts of one attribute type, in order. @throws DecodeError */
  texts(type: string): string[] {
    return this.rdns.flat().flatMap((a) => (a.type === type && a.text !== undefined ? [a.text] : []));
  }

  /** RFC 4514: "CN=www.example.com,O=Example". */
  toString(): string {
    try {
      return [...this.rdns].reverse().map(formatRdn).join(',');
    } catch {
      return `#${toHex(this.raw)}`;
    }
  }
}

/** One RDN of a name to be built: `{ CN: 'x' }`, or several attributes for a multi-valued RDN. */
export type RdnInput = Readonly<Partial<Record<AttributeName, string>>>;

export type AttributeName = keyof typeof TYPE_BY_NAME;

/** Most general first: `encodeName([{ C: 'FR' }, { O: 'Example' }, { CN: 'www.example.com' }])`. */
export function encodeName(rdns: readonly RdnInput[]): Uint8Array {
  return encodeDer(
    constructed(
      Tag.sequence,
      rdns.map((rdn) =>
        setOf(
          ...Object.entries(rdn).map(([name, value]) =>
            sequence(oid(TYPE_BY_NAME[name as AttributeName]), attributeValue(name as AttributeName, value)),
          ),
        ),
      ),
    ),
  );
}

/** "CN", "O", … or undefined for a type without a short name (RFC 4514 §3, and the ones that OpenSSL prints). */
export function attributeName(type: string): AttributeName | undefined {
  return NAME_BY_TYPE.get(type);
}

const TYPE_BY_NAME = {
  CN: Oid.commonName,
  SN: Oid.surname,
  serialNumber: Oid.serialNumber,
  C: Oid.countryName,
  L: Oid.localityName,
  ST: Oid.stateOrProvinceName,
  street: Oid.streetAddress,
  O: Oid.organizationName,
  OU: Oid.organizationalUnitName,
  title: Oid.title,
  GN: Oid.givenName,
  UID: Oid.userId,
  DC: Oid.domainComponent,
  emailAddress: Oid.emailAddress,
} as const;

const NAME_BY_TYPE: ReadonlyMap<string, AttributeName> = new Map(
  Object.entries(TYPE_BY_NAME).map(([name, type]) => [type, name as AttributeName]),
);

/** String types that RFC 5280 appendix A fixes for some attributes; all others are UTF8String (§4.1.2.4). */
function attributeValue(name: AttributeName, value: string): DerNode {
  switch (name) {
    case 'C':
    case 'serialNumber':
      return printableString(value);
    case 'DC':
    case 'emailAddress':
      return ia5String(value);
    default:
      return utf8String(value);
  }
}

function readRdns(raw: Uint8Array): NameAttribute[][] {
  const reader = new DerReader(raw, 'name');
  // The order inside a SET OF is not checked: cards with multi-valued RDNs in the wrong order are in use.
  const rdns = reader.list(
    Tag.sequence,
    (name) => name.list(Tag.set, readAttribute, 1, MAX_ATTRIBUTES_PER_RDN),
    0,
    MAX_RDNS,
  );
  reader.end();
  return rdns;
}

function readAttribute(reader: DerReader): NameAttribute {
  const attribute = reader.sequence();
  const type = attribute.oid();
  const tag = attribute.tag;
  const value = attribute.encoded();
  attribute.end();
  return { type, value, text: tag !== undefined && isTextTag(tag) ? textOf(tag, value) : undefined };
}

function textOf(tag: number, value: Uint8Array): string | undefined {
  try {
    return decodeText(tag, new DerReader(value, 'name').content(tag));
  } catch (error) {
    // A string that is wrong inside names nobody; it still is a value that can be compared byte by byte.
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function attributeKey(attribute: NameAttribute): string {
  const { type, text, value } = attribute;
  if (text === undefined) return `${type}#${toHex(value)}`;
  const prepared = NEEDS_PREPARATION.test(text) ? prepare(text) : text;
  // With its length, no text can imitate the separators between attributes.
  return `${type}=${prepared.length}:${prepared}`;
}

/** Anything but lower-case ASCII words separated by single spaces. */
const NEEDS_PREPARATION = /[^!-@[-~ ]|^ | $| {2}/;

/** The parts of RFC 4518 §2 that matter in practice: map, normalise, insignificant space (§2.6.1). */
function prepare(text: string): string {
  return text.normalize('NFKC').toLowerCase().replace(/\s+/g, ' ').trim();
}

function formatRdn(rdn: readonly NameAttribute[]): string {
  return rdn.map(formatAttribute).join('+');
}

function formatAttribute({ type, text, value }: NameAttribute): string {
  const name = attributeName(type);
  // RFC 4514 §2.4: a type without a name, or a value without text, is written as hexadecimal BER.
  if (name === undefined || text === undefined) return `${name ?? type}=#${toHex(value)}`;
  return `${name}=${escapeText(text)}`;
}

function escapeText(text: string): string {
  return (
    text
      .replace(/["+,;<>\\]/g, '\\$&')
      .replace(/^[ #]/, '\\$&')
      .replace(/ $/, '\\ ')
      // Control characters would let a certificate forge lines of a log (RFC 4514 §2.4 permits hex pairs for any).
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
      .replace(/[\u0000-\u001f\u007f]/g, (c) => `\\${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
  );
}

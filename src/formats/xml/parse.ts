import { DecodeError, SignatureError } from '../../errors/errors.ts';

/*
 * The part of XML 1.0 with namespaces that signatures need, and no more: elements, attributes, text, references to
 * characters. What has been used against signatures is refused: DOCTYPE and with it all entities, comments and CDATA
 * sections (text in pieces), processing instructions, attributes with a prefix (xml:base, xml:id, xsi:type).
 */

/** XAdES-B has eight. */
export const MAX_DEPTH = 16;
/** A signature with 32 certificates has about a hundred. */
export const MAX_ELEMENTS = 1024;
/** Of one element, with namespace declarations; four are in use. */
export const MAX_ATTRIBUTES = 16;

/** Of an element, attribute, prefix or Id. */
export const MAX_NAME_LENGTH = 128;
/** In canonical form, elements side by side each repeat it. Characters. */
export const MAX_NAMESPACE_LENGTH = 256;

export interface XmlElement {
  /** Empty for the default namespace. */
  readonly prefix: string;
  /** Without prefix. */
  readonly name: string;
  /** URI; empty for none. */
  readonly namespace: string;
  /** In the order of the document; none has a prefix, and namespace declarations are not among them. */
  readonly attributes: readonly XmlAttribute[];
  /** Elements, and the text between them as it stands in the document: see `expandText`. */
  readonly children: readonly (XmlElement | string)[];
}

export interface XmlAttribute {
  readonly name: string;
  /** Normalised (XML 1.0 §3.3.3). */
  readonly value: string;
}

/**
 * @param document UTF-8, without byte order mark
 * @returns the root
 * @throws DecodeError; SignatureError ERR_SIGN_TOO_DEEP, ERR_SIGN_TOO_LARGE, ERR_SIGN_DUPLICATE_ATTRIBUTE for two
 *   elements with the same Id
 */
export function parseXml(document: Uint8Array): XmlElement {
  return new Parser(decodeUtf8(document)).document();
}

/** Text of an element: lines end in LF (XML 1.0 §2.11), references are replaced. @throws DecodeError */
export function expandText(raw: string): string {
  return TEXT_SPECIAL.test(raw) ? raw.replace(TEXT_SPECIALS, expandOne) : raw;
}

/** XML 1.0 §2.3. */
export function isWhitespace(raw: string): boolean {
  return !NOT_WHITESPACE.test(raw);
}

/** One that is still open. */
interface OpenElement extends XmlElement {
  readonly qualifiedName: string;
  readonly children: (XmlElement | string)[];
  readonly scope: Scope | undefined;
}

/** Namespace declarations in force, innermost first. */
interface Scope {
  readonly prefix: string;
  readonly uri: string;
  readonly outer: Scope | undefined;
}

class Parser {
  readonly #text: string;
  #at = 0;
  #elements = 0;
  readonly #ids = new Set<string>();

  constructor(text: string) {
    this.#text = text;
  }

  document(): XmlElement {
    // XML 1.0 §2.8. Any other encoding than UTF-8 is refused with the bytes that are not.
    this.#at = DECLARATION.exec(this.#text)?.[0].length ?? 0;
    this.#skipSpace();
    const open: OpenElement[] = [];
    for (;;) {
      const closed = this.#markup(open);
      if (closed !== undefined && open.length === 0) {
        this.#skipSpace();
        if (this.#at < this.#text.length) throw malformed('something follows the root element');
        return closed;
      }
      this.#characters(open[open.length - 1] as OpenElement);
    }
  }

  /** Up to the next tag. */
  #characters(parent: OpenElement): void {
    const end = this.#text.indexOf('<', this.#at);
    if (end < 0) throw malformed(`it ends inside <${parent.qualifiedName}>`);
    if (end === this.#at) return;
    const raw = this.#text.slice(this.#at, end);
    // XML 1.0 §2.2, §2.4.
    if (NO_TEXT.test(raw)) throw malformed('a character that is not allowed in text');
    parent.children.push(raw);
    this.#at = end;
  }

  /** A tag. @returns the element that ends here */
  #markup(open: OpenElement[]): XmlElement | undefined {
    this.#expect('<', 'no tag where one was due');
    const next = this.#text[this.#at];
    if (next === '/') return this.#endTag(open);
    if (next === '!' || next === '?')
      throw malformed('DOCTYPE, comments, CDATA and processing instructions are not accepted');
    const parent = open[open.length - 1];
    const element = this.#startTag(parent);
    parent?.children.push(element);
    const isEmpty = this.#text[this.#at] === '/';
    if (isEmpty) this.#at++;
    this.#expect('>', 'a tag that does not end');
    if (isEmpty) return element;
    if (open.length >= MAX_DEPTH)
      throw new SignatureError('ERR_SIGN_TOO_DEEP', `XML elements are nested deeper than ${MAX_DEPTH}`);
    open.push(element);
    return undefined;
  }

  #endTag(open: OpenElement[]): XmlElement {
    const element = open.pop();
    if (element === undefined || !this.#text.startsWith(element.qualifiedName, this.#at + 1))
      throw malformed('an end tag of nothing that is open');
    this.#at += 1 + element.qualifiedName.length;
    this.#skipSpace();
    this.#expect('>', 'an end tag that does not end');
    return element;
  }

  /** Up to its end. */
  #startTag(parent: OpenElement | undefined): OpenElement {
    if (++this.#elements > MAX_ELEMENTS) throw tooLarge(`more than ${MAX_ELEMENTS} elements`);
    const [prefix, name] = this.#qualifiedName();
    const attributes: XmlAttribute[] = [];
    const declared: string[] = [];
    let scope = parent?.scope;
    while (this.#hasAttribute()) {
      if (attributes.length + declared.length >= MAX_ATTRIBUTES)
        throw tooLarge(`more than ${MAX_ATTRIBUTES} attributes`);
      const [space, local] = this.#qualifiedName();
      const value = this.#attributeValue();
      const declares = space === 'xmlns' ? local : space === '' && local === 'xmlns' ? '' : undefined;
      if (declares !== undefined) {
        if (declared.includes(declares)) throw malformed('a namespace is declared twice');
        declared.push(declares);
        scope = declare(declares, value, scope);
        continue;
      }
      if (space !== '') throw malformed(`an attribute with a prefix: ${space}:${local}`);
      if (attributes.some((other) => other.name === local)) throw malformed(`two attributes ${local}`);
      if (local === 'Id') this.#addId(value);
      attributes.push({ name: local, value });
    }
    const namespace = resolve(prefix, scope);
    const qualifiedName = prefix === '' ? name : `${prefix}:${name}`;
    return { prefix, name, namespace, attributes, children: [], qualifiedName, scope };
  }

  /** Goes to the next attribute, or to the end of the tag. */
  #hasAttribute(): boolean {
    const before = this.#at;
    this.#skipSpace();
    const next = this.#text[this.#at];
    if (next === '>' || next === '/') return false;
    if (this.#at === before) throw malformed('a wrong start tag');
    return true;
  }

  /** `= "value"` */
  #attributeValue(): string {
    this.#skipSpace();
    this.#expect('=', 'an attribute without a value');
    this.#skipSpace();
    const quote = this.#text[this.#at];
    if (quote !== '"' && quote !== "'") throw malformed('an attribute without quotes');
    const start = this.#at + 1;
    const end = this.#text.indexOf(quote, start);
    if (end < 0) throw malformed('an attribute that does not end');
    this.#at = end + 1;
    return expandAttribute(this.#text.slice(start, end));
  }

  /** Prefix, which may be empty, and name. */
  #qualifiedName(): readonly [string, string] {
    const first = this.#name();
    if (this.#text[this.#at] !== ':') return ['', first];
    this.#at++;
    return [first, this.#name()];
  }

  #name(): string {
    const start = this.#at;
    if (NAME_CHARACTERS[this.#text.charCodeAt(start)] !== BEGINS)
      throw malformed('no name where one was due');
    let end = start + 1;
    // Beyond the table there is nothing.
    while ((NAME_CHARACTERS[this.#text.charCodeAt(end)] ?? 0) !== 0) end++;
    if (end - start > MAX_NAME_LENGTH) throw tooLarge(`a name of ${end - start} characters`);
    this.#at = end;
    return this.#text.slice(start, end);
  }

  /** What a reference means must not depend on who looks for it first. */
  #addId(id: string): void {
    if (!ID.test(id)) throw malformed('an Id that is no name');
    if (this.#ids.has(id))
      throw new SignatureError('ERR_SIGN_DUPLICATE_ATTRIBUTE', `Two elements have the Id ${id}`, 'Id');
    this.#ids.add(id);
  }

  #skipSpace(): void {
    let code = this.#text.charCodeAt(this.#at);
    while (code === 0x20 || code === 0x0a || code === 0x09 || code === 0x0d)
      code = this.#text.charCodeAt(++this.#at);
  }

  #expect(character: string, otherwise: string): void {
    if (this.#text[this.#at] !== character) throw malformed(otherwise);
    this.#at++;
  }
}

/** Names are ASCII: no signature needs others. 0 for what is in no name. */
const NAME_CHARACTERS = new Uint8Array(128);
const BEGINS = 1;
const CONTINUES = 2;
for (const character of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_')
  NAME_CHARACTERS[character.charCodeAt(0)] = BEGINS;
for (const character of '0123456789-.') NAME_CHARACTERS[character.charCodeAt(0)] = CONTINUES;

const S = '[ \\t\\r\\n]';
const DECLARATION = new RegExp(
  `^<\\?xml${S}+version${S}*=${S}*["']1\\.0["'](?:${S}+encoding${S}*=${S}*["'](?:utf|UTF)-8["'])?` +
    `(?:${S}+standalone${S}*=${S}*["'](?:yes|no)["'])?${S}*\\?>`,
);
const ID = /^[A-Za-z_][A-Za-z0-9_.-]{0,127}$/;

const NOT_WHITESPACE = /[^ \t\r\n]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what XML 1.0 §2.2 forbids
const NO_TEXT = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]|\]\]>/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const NO_CHARACTER = /[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]/u;
const TEXT_SPECIAL = /[&\r]/;
const TEXT_SPECIALS = /\r\n?|&[^;&]{0,16};?/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const ATTRIBUTE_SPECIAL = /[<&\0-\x1f\ufffe\uffff]/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: as above
const NO_ATTRIBUTE = /[<\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]/;
const ATTRIBUTE_SPECIALS = /\r\n|[\r\n\t]|&[^;&]{0,16};?/g;
const REFERENCE = /^&(?:#(\d{1,7})|#x([0-9A-Fa-f]{1,6})|(amp|lt|gt|quot|apos));$/;
const PREDEFINED: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
const XML_NAMESPACES = ['http://www.w3.org/XML/1998/namespace', 'http://www.w3.org/2000/xmlns/'];

function decodeUtf8(document: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(document);
  } catch (cause) {
    throw new DecodeError('XML: it is not UTF-8', { cause });
  }
}

function expandAttribute(raw: string): string {
  if (!ATTRIBUTE_SPECIAL.test(raw)) return raw;
  if (NO_ATTRIBUTE.test(raw)) throw malformed('a character that is not allowed in an attribute');
  return raw.replace(ATTRIBUTE_SPECIALS, (found) => (found[0] === '&' ? expandOne(found) : ' '));
}

function expandOne(found: string): string {
  if (found[0] !== '&') return '\n';
  const [, decimal, hexadecimal, name] = REFERENCE.exec(found) ?? [];
  if (name !== undefined) return PREDEFINED[name] as string;
  const code = hexadecimal === undefined ? Number(decimal) : Number.parseInt(hexadecimal, 16);
  // Without a document type there are no other entities (XML 1.0 §4.1).
  if (!(code <= 0x10_ffff)) throw malformed('a reference to an entity that does not exist');
  const character = String.fromCodePoint(code);
  if (NO_CHARACTER.test(character)) throw malformed('a reference to a character that is not allowed');
  return character;
}

/** Namespaces in XML 1.0 §3, §6.1: reserved names stay what they are, and only the default can be taken back. */
function declare(prefix: string, uri: string, outer: Scope | undefined): Scope {
  const isReserved = prefix === 'xml' || prefix === 'xmlns' || XML_NAMESPACES.includes(uri);
  if (isReserved || (prefix !== '' && uri === '')) throw malformed('a namespace that cannot be declared');
  if (uri.length > MAX_NAMESPACE_LENGTH) throw tooLarge(`a namespace of ${uri.length} characters`);
  return { prefix, uri, outer };
}

function resolve(prefix: string, scope: Scope | undefined): string {
  for (let each = scope; each !== undefined; each = each.outer) if (each.prefix === prefix) return each.uri;
  if (prefix !== '') throw malformed(`the prefix ${prefix} is not declared`);
  return '';
}

function malformed(what: string): DecodeError {
  return new DecodeError(`XML: ${what}`);
}

function tooLarge(what: string): SignatureError {
  return new SignatureError('ERR_SIGN_TOO_LARGE', `The XML document has ${what}`);
}

import { decodeBase64 } from '../../der/base64.ts';
import { encodeUtf8 } from '../../der/text.ts';
import { DecodeError, SignatureError } from '../../errors/errors.ts';
import { DS } from './names.ts';
import { expandText, isWhitespace, type XmlElement } from './parse.ts';

/** Reads the elements inside of an element in the order of its schema; what is not asked for is refused. */
export class Fields {
  readonly #parent: XmlElement;
  readonly #children: readonly XmlElement[];
  #at = 0;

  constructor(parent: XmlElement) {
    this.#parent = parent;
    const children: XmlElement[] = [];
    for (const child of parent.children) {
      if (typeof child !== 'string') children.push(child);
      else if (!isWhitespace(child)) throw new DecodeError(`XML: text in <${parent.name}>, between elements`);
    }
    this.#children = children;
  }

  /** Is this the next one? */
  is(namespace: string, name: string): boolean {
    const next = this.#children[this.#at];
    return next !== undefined && next.name === name && next.namespace === namespace;
  }

  /** @param attributes names that it may have */
  take(namespace: string, name: string, ...attributes: readonly string[]): XmlElement {
    if (!this.is(namespace, name)) throw this.#unexpected(name);
    const element = this.#children[this.#at++] as XmlElement;
    checkAttributes(element, attributes);
    return element;
  }

  optional(namespace: string, name: string, ...attributes: readonly string[]): XmlElement | undefined {
    return this.is(namespace, name) ? this.take(namespace, name, ...attributes) : undefined;
  }

  /** All that follow and are this. */
  list(namespace: string, name: string, ...attributes: readonly string[]): XmlElement[] {
    const found: XmlElement[] = [];
    while (this.is(namespace, name)) found.push(this.take(namespace, name, ...attributes));
    return found;
  }

  /** Passes over those that are not this; for what other software may add. */
  skipTo(namespace: string, name: string): void {
    while (this.#at < this.#children.length && !this.is(namespace, name)) {
      checkNoSignature(this.#children[this.#at] as XmlElement);
      this.#at++;
    }
  }

  /** Passes over all that is left. */
  skipRest(): void {
    for (const child of this.#children.slice(this.#at)) checkNoSignature(child);
    this.#at = this.#children.length;
  }

  end(): void {
    if (this.#at < this.#children.length) throw this.#unexpected('nothing more');
  }

  #unexpected(due: string): DecodeError | SignatureError {
    const found = this.#children[this.#at];
    if (found !== undefined && isSignature(found)) return severalSignatures();
    const what = found === undefined ? 'it ends' : `<${found.name}>`;
    return new DecodeError(`XML: ${what} in <${this.#parent.name}>, where ${due} was due`);
  }
}

/** It has these attributes at most. */
export function checkAttributes(element: XmlElement, allowed: readonly string[]): void {
  for (const { name } of element.attributes)
    if (!allowed.includes(name)) throw new DecodeError(`XML: the attribute ${name} of <${element.name}>`);
}

export function attributeOf(element: XmlElement, name: string): string | undefined {
  return element.attributes.find((attribute) => attribute.name === name)?.value;
}

export function requiredAttribute(element: XmlElement, name: string): string {
  const value = attributeOf(element, name);
  if (value === undefined) throw new DecodeError(`XML: <${element.name}> lacks the attribute ${name}`);
  return value;
}

/** Its text, references replaced; it has no elements. */
export function textOf(element: XmlElement): string {
  const [text, ...more] = element.children;
  if (text === undefined) return '';
  if (typeof text !== 'string' || more.length > 0)
    throw new DecodeError(`XML: elements in <${element.name}>`);
  return expandText(text);
}

/** Its text without the space around it. */
export function tokenOf(element: XmlElement): string {
  return textOf(element)
    .replace(/^[ \t\r\n]+/, '')
    .replace(/[ \t\r\n]+$/, '');
}

/** xsd:base64Binary: lines may be cut anywhere, nothing else is between the digits. */
export function base64Of(element: XmlElement): Uint8Array {
  const text = textOf(element);
  const digits = /[ \t\r\n]/.test(text) ? text.replace(/[ \t\r\n]+/g, '') : text;
  return decodeBase64(encodeUtf8(digits), `XML: <${element.name}>`);
}

/** Nothing in it but space. */
export function checkEmpty(element: XmlElement): void {
  new Fields(element).end();
}

function isSignature({ namespace, name }: XmlElement): boolean {
  return namespace === DS && name === 'Signature';
}

function checkNoSignature(element: XmlElement): void {
  if (isSignature(element)) throw severalSignatures();
  for (const child of element.children) if (typeof child !== 'string') checkNoSignature(child);
}

function severalSignatures(): SignatureError {
  return new SignatureError(
    'ERR_SIGN_SIGNER_COUNT',
    'The object has a Signature in a Signature; it must have exactly one',
  );
}

import { encodeUtf8 } from '../../der/text.ts';
import { expandText, type XmlElement } from './parse.ts';

/**
 * Exclusive XML Canonicalization 1.0 (RFC 3741) of an element with all that is in it. There are no comments (the
 * parser refuses them) and no inclusive prefixes (the profile has none), and since no attribute has a prefix, an
 * element uses no namespace but its own.
 */
export function canonicalize(element: XmlElement): Uint8Array {
  return encodeUtf8(render(element, undefined));
}

/** Namespaces that the output has declared, innermost first. */
interface Rendered {
  readonly prefix: string;
  readonly namespace: string;
  readonly outer: Rendered | undefined;
}

function render(element: XmlElement, outer: Rendered | undefined): string {
  const { prefix, namespace } = element;
  const name = prefix === '' ? element.name : `${prefix}:${element.name}`;
  let out = `<${name}`;
  let rendered = outer;
  // RFC 3741 §3: where it is visibly utilized, unless the nearest ancestor in the output says the same.
  if (lookUp(prefix, outer) !== namespace) {
    out +=
      prefix === ''
        ? ` xmlns="${escapeAttribute(namespace)}"`
        : ` xmlns:${prefix}="${escapeAttribute(namespace)}"`;
    rendered = { prefix, namespace, outer };
  }
  for (const attribute of sorted(element)) out += ` ${attribute.name}="${escapeAttribute(attribute.value)}"`;
  out += '>';
  for (const child of element.children)
    out += typeof child === 'string' ? escapeText(expandText(child)) : render(child, rendered);
  return `${out}</${name}>`;
}

/** Without a declaration the default is no namespace, and a prefix nothing. */
function lookUp(prefix: string, rendered: Rendered | undefined): string | undefined {
  for (let each = rendered; each !== undefined; each = each.outer)
    if (each.prefix === prefix) return each.namespace;
  return prefix === '' ? '' : undefined;
}

/** RFC 3076 §2.2: by namespace, of which they have none, then by name; names are ASCII. */
function sorted({ attributes }: XmlElement): XmlElement['attributes'] {
  if (attributes.length < 2) return attributes;
  return [...attributes].sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** RFC 3076 §2.3. */
function escapeText(text: string): string {
  return /[&<>\r]/.test(text) ? text.replace(/[&<>\r]/g, escapeOne) : text;
}

function escapeAttribute(value: string): string {
  return /[&<"\t\n\r]/.test(value) ? value.replace(/[&<"\t\n\r]/g, escapeOne) : value;
}

function escapeOne(character: string): string {
  return ESCAPED[character] as string;
}

const ESCAPED: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  '\t': '&#x9;',
  '\n': '&#xA;',
  '\r': '&#xD;',
};

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DecodeError, SignatureError } from '../../../../src/errors/errors.ts';
import { canonicalize } from '../../../../src/formats/xml/canonical.ts';
import {
  expandText,
  MAX_ATTRIBUTES,
  MAX_DEPTH,
  MAX_ELEMENTS,
  MAX_NAME_LENGTH,
  MAX_NAMESPACE_LENGTH,
  parseXml,
} from '../../../../src/formats/xml/parse.ts';
import { utf8 } from './forge.ts';

const canonical = (text: string): string => new TextDecoder().decode(canonicalize(parseXml(utf8(text))));
const malformed = (text: string | Uint8Array): void => {
  const document = typeof text === 'string' ? utf8(text) : text;
  expect(() => parseXml(document), String(text)).toThrow(DecodeError);
};
const refused = (text: string, code: string): void => {
  expect(() => parseXml(utf8(text)), text.slice(0, 50)).toThrow(expect.objectContaining({ code }));
};

describe('parseXml', () => {
  it('reads elements, attributes and text', () => {
    const root = parseXml(
      utf8(`<?xml version="1.0" encoding="UTF-8"?>\n<p:a xmlns:p="u" Id='i'> t <b/></p:a >\n`),
    );
    expect(root).toMatchObject({ prefix: 'p', name: 'a', namespace: 'u' });
    expect(root.attributes).toEqual([{ name: 'Id', value: 'i' }]);
    expect(root.children).toMatchObject([' t ', { name: 'b', namespace: '', children: [] }]);
  });

  it.each([
    ['a document type', '<!DOCTYPE a><a></a>'],
    ['an entity', '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>'],
    ['an external entity', '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'],
    [
      'an entity bomb',
      `<!DOCTYPE a [<!ENTITY b "ha">${Array.from({ length: 20 }, (_, i) => `<!ENTITY b${i} "&b;&b;">`).join('')}]><a>&b19;</a>`,
    ],
    ['a comment', '<a>1<!-- 2 -->3</a>'],
    ['a comment before', '<!-- --><a></a>'],
    ['CDATA', '<a><![CDATA[1]]></a>'],
    ['a processing instruction', '<a><?php ?></a>'],
    ['a processing instruction before', '<?xml-stylesheet href="x"?><a></a>'],
    ['XML 1.1', '<?xml version="1.1"?><a></a>'],
    ['another encoding', '<?xml version="1.0" encoding="UTF-16"?><a></a>'],
    ['a declaration after space', ' <?xml version="1.0"?><a></a>'],
    ['nothing', ''],
    ['text alone', 'a'],
    ['two roots', '<a></a><b></b>'],
    ['text after', '<a></a>b'],
    ['text before', 'b<a></a>'],
    ['an end of something else', '<a></b>'],
    ['an end of something longer', '<a></ab>'],
    ['an end of something alike', '<ab></ac>'],
    ['an end with a prefix', '<a></a:a>'],
    ['an end without a beginning', '</a>'],
    ['crossing elements', '<a><b></a></b>'],
    ['an attribute twice', '<a b="1" b="2"></a>'],
    ['an attribute without quotes', '<a b=1></a>'],
    ['an attribute without value', '<a b></a>'],
    ['attributes without space', '<a b="1"c="2"></a>'],
    ['< in an attribute', '<a b="<"></a>'],
    ['an attribute with a prefix', '<a xmlns:p="u" p:b="1"></a>'],
    ['xml:id', '<a xml:id="1"></a>'],
    ['xml:base', '<a xml:base="http://example.com/"></a>'],
    ['a prefix that is not declared', '<p:a></p:a>'],
    ['a prefix of another element', '<a><p:b xmlns:p="u"></p:b><p:c></p:c></a>'],
    ['a prefix declared twice', '<a xmlns:p="u" xmlns:p="v"></a>'],
    ['a default declared twice', '<a xmlns="u" xmlns="u"></a>'],
    ['a prefix that is taken back', '<a xmlns:p="u"><b xmlns:p=""></b></a>'],
    ['xml declared', '<a xmlns:xml="http://www.w3.org/XML/1998/namespace"></a>'],
    ['the namespace of xml', '<a xmlns="http://www.w3.org/XML/1998/namespace"></a>'],
    ['xmlns declared', '<a xmlns:xmlns="u"></a>'],
    ['an unknown entity in an attribute', '<a b="&e;"></a>'],
    ['& alone', '<a b="&"></a>'],
    ['a reference to a control character', '<a b="&#1;"></a>'],
    ['a reference to half a character', '<a b="&#xD800;"></a>'],
    ['a reference beyond Unicode', '<a b="&#x110000;"></a>'],
    ['a control character', '<a>\x01</a>'],
    ['a control character in an attribute', '<a b="\x01"></a>'],
    [']]> in text', '<a>]]></a>'],
    ['a name beyond ASCII', '<é></é>'],
    ['a name with two colons', '<a:b:c xmlns:a="u"></a:b:c>'],
    ['an Id that is no name', '<a Id="#"></a>'],
    ['a byte order mark', '\ufeff<a></a>'],
  ])('refuses %s', (_, text) => malformed(text));

  it('refuses what is not UTF-8', () => {
    malformed(Uint8Array.of(...utf8('<a>'), 0xff, ...utf8('</a>')));
    malformed(Uint8Array.of(...utf8('<a>'), 0xc0, 0x80, ...utf8('</a>')));
    malformed(new Uint8Array(Buffer.from('<a></a>', 'utf16le')));
  });

  it('refuses references in text when it is asked for', () => {
    expect(expandText('&lt;&#65;&#x1F600;&amp;\r\n\r')).toBe('<A\u{1f600}&\n\n');
    for (const text of ['&e;', '&', '&#0;', '& amp;', '&#xFFFE;', '&#99999999;', '&amp'])
      expect(() => expandText(text), text).toThrow(DecodeError);
  });

  it('is bounded', () => {
    const deep = (n: number) => '<a>'.repeat(n) + '</a>'.repeat(n);
    expect(parseXml(utf8(deep(MAX_DEPTH))).name).toBe('a');
    refused(deep(MAX_DEPTH + 1), 'ERR_SIGN_TOO_DEEP');
    refused('<a>'.repeat(1_000_000), 'ERR_SIGN_TOO_DEEP');
    const wide = (n: number) => `<a>${'<b/>'.repeat(n - 1)}</a>`;
    expect(parseXml(utf8(wide(MAX_ELEMENTS))).children).toHaveLength(MAX_ELEMENTS - 1);
    refused(wide(MAX_ELEMENTS + 1), 'ERR_SIGN_TOO_LARGE');
    const attributes = (n: number) => `<a ${Array.from({ length: n }, (_, i) => `a${i}=""`).join(' ')}/>`;
    expect(parseXml(utf8(attributes(MAX_ATTRIBUTES))).attributes).toHaveLength(MAX_ATTRIBUTES);
    refused(attributes(MAX_ATTRIBUTES + 1), 'ERR_SIGN_TOO_LARGE');
    const declarations = `<a ${Array.from({ length: MAX_ATTRIBUTES + 1 }, (_, i) => `xmlns:a${i}="u"`).join(' ')}/>`;
    refused(declarations, 'ERR_SIGN_TOO_LARGE');
    const named = (n: number) => `<${'a'.repeat(n)}/>`;
    expect(parseXml(utf8(named(MAX_NAME_LENGTH))).name).toHaveLength(MAX_NAME_LENGTH);
    refused(named(MAX_NAME_LENGTH + 1), 'ERR_SIGN_TOO_LARGE');
    const namespace = (n: number) => `<a xmlns="${'u'.repeat(n)}"/>`;
    expect(parseXml(utf8(namespace(MAX_NAMESPACE_LENGTH))).name).toBe('a');
    refused(namespace(MAX_NAMESPACE_LENGTH + 1), 'ERR_SIGN_TOO_LARGE');
  });

  it('refuses two elements with one Id, wherever they are', () => {
    refused('<a Id="i"><b><c Id="i"/></b></a>', 'ERR_SIGN_DUPLICATE_ATTRIBUTE');
    refused('<a><b Id="i"/><c Id="&#105;"/></a>', 'ERR_SIGN_DUPLICATE_ATTRIBUTE');
  });

  it('throws what it says and nothing else, whatever comes in', () => {
    const piece = fc.constantFrom(
      '<',
      '>',
      '/',
      '"',
      "'",
      '=',
      ' ',
      'a',
      ':',
      'xmlns',
      '&',
      ';',
      '#',
      '!',
      '?',
      ']',
      '\n',
      'é',
    );
    const soup = fc.oneof(
      fc.array(piece, { maxLength: 40 }).map((all) => all.join('')),
      fc.string(),
    );
    fc.assert(
      fc.property(soup, (text) => {
        try {
          canonicalize(parseXml(utf8(text)));
        } catch (error) {
          expect(error instanceof DecodeError || error instanceof SignatureError, String(error)).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('canonicalize', () => {
  it.each([
    ['empty elements are written out', '<a><b/></a>', '<a><b></b></a>'],
    ['space in tags goes', "<a  b = '1'\n></a >", '<a b="1"></a>'],
    ['attributes are sorted', '<a c="1" a="2" B="3"/>', '<a B="3" a="2" c="1"></a>'],
    ['space between elements stays', '<a>\n <b/>\t</a>', '<a>\n <b></b>\t</a>'],
    ['line ends are LF', '<a>\r\n\r</a>', '<a>\n\n</a>'],
    ['unless they are meant', '<a>&#13;&#10;</a>', '<a>&#xD;\n</a>'],
    ['text is escaped', '<a>&#38;&lt;&gt;>"&apos;&quot;</a>', '<a>&amp;&lt;&gt;&gt;"\'"</a>'],
    [
      'attributes are escaped',
      `<a b='&#38;&lt;>"&#9;&#10;&#13;'/>`,
      '<a b="&amp;&lt;>&quot;&#x9;&#xA;&#xD;"></a>',
    ],
    ['space in attributes is space', '<a b="1\t2\n3\r\n4"/>', '<a b="1 2 3 4"></a>'],
    ['characters are themselves', '<a>&#233;\u{1f600}</a>', '<a>é\u{1f600}</a>'],
    ['namespaces that are not used go', '<a xmlns:p="u" xmlns:q="v"/>', '<a></a>'],
    [
      'namespaces are where they are used',
      '<a xmlns:p="u"><p:b><p:c/></p:b><p:d/></a>',
      '<a><p:b xmlns:p="u"><p:c></p:c></p:b><p:d xmlns:p="u"></p:d></a>',
    ],
    ['and said once', '<p:a xmlns:p="u"><p:b xmlns:p="u"/></p:a>', '<p:a xmlns:p="u"><p:b></p:b></p:a>'],
    [
      'a prefix can change its meaning',
      '<p:a xmlns:p="u"><p:b xmlns:p="v"><p:c/></p:b><p:d/></p:a>',
      '<p:a xmlns:p="u"><p:b xmlns:p="v"><p:c></p:c></p:b><p:d></p:d></p:a>',
    ],
    [
      'the default can be taken back',
      '<a xmlns="u"><b xmlns=""><c/></b></a>',
      '<a xmlns="u"><b xmlns=""><c></c></b></a>',
    ],
    ['which says nothing at the top', '<a xmlns=""/>', '<a></a>'],
    [
      'the default returns below another prefix',
      '<a xmlns="u"><p:b xmlns:p="v" xmlns=""><c xmlns="u"/></p:b></a>',
      '<a xmlns="u"><p:b xmlns:p="v"><c></c></p:b></a>',
    ],
    ['declarations come before attributes', '<p:a b="1" xmlns:p="u"/>', '<p:a xmlns:p="u" b="1"></p:a>'],
    ['namespaces are escaped', '<a xmlns="u&amp;v"/>', '<a xmlns="u&amp;v"></a>'],
  ])('%s', (_, text, expected) => {
    expect(canonical(text)).toBe(expected);
    expect(canonical(expected)).toBe(expected);
  });

  it('is of the element, not of what is around it', () => {
    const root = parseXml(utf8('<p:a xmlns:p="u" xmlns="v"><b><p:c/></b></p:a>'));
    const [child] = root.children;
    const text = new TextDecoder().decode(canonicalize(child as Exclude<typeof child, string | undefined>));
    expect(text).toBe('<b xmlns="v"><p:c xmlns:p="u"></p:c></b>');
  });

  it('is the same for every spelling', () => {
    fc.assert(
      fc.property(tree(3), fc.infiniteStream(fc.nat(5)), (element, choices) => {
        const next = (): number => choices.next().value as number;
        expect(canonical(spell(element, next))).toBe(canonical(spell(element, () => 0)));
      }),
    );
  });
});

interface Tree {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: readonly (Tree | string)[];
}

function tree(depth: number): fc.Arbitrary<Tree> {
  const value = fc.string({
    unit: fc.constantFrom('a', ' ', '\n', '\t', '&', '<', '>', '"', "'", 'é'),
    maxLength: 6,
  });
  const child = depth === 0 ? value : fc.oneof(value, tree(depth - 1));
  return fc.record({
    name: fc.constantFrom('a', 'b', 'p:c'),
    attributes: fc.dictionary(fc.constantFrom('x', 'y', 'Z', 'z1'), value),
    children: fc.array(child, { maxLength: 3 }),
  });
}

/** The same document in one of its spellings. */
function spell({ name, attributes, children }: Tree, next: () => number): string {
  const space = (): string => [' ', '\n', '\t ', ' ', '\r\n', ' '][next()] as string;
  const written = Object.entries(attributes).map(([key, value]) => {
    const quote = next() > 2 ? "'" : '"';
    return `${key}=${quote}${reference(value, '&<"\'\n\t', next)}${quote}`;
  });
  // Declared at every element, or twice as much as is needed.
  written.push('xmlns:p="u"', ...(next() > 2 ? ['xmlns:unused="w"'] : []));
  if (next() > 2) written.reverse();
  const start = `<${name}${written.map((each) => space() + each).join('')}`;
  const inside = children
    .map((each) => (typeof each === 'string' ? reference(each, '&<>', next) : spell(each, next)))
    .join('');
  return inside === '' && next() > 2
    ? `${start}${space()}/>`
    : `${start}>${inside}</${name}${next() > 2 ? ' ' : ''}>`;
}

function reference(value: string, must: string, next: () => number): string {
  const write = (character: string): string => {
    if (!must.includes(character) && next() < 4) return character;
    const code = character.codePointAt(0) as number;
    return next() > 2 ? `&#x${code.toString(16)};` : `&#${code};`;
  };
  return [...value].map(write).join('');
}

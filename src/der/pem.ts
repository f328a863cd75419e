import { DecodeError } from '../errors/errors.ts';
import { decodeBase64, encodeBase64 } from './base64.ts';
import { Tag } from './tags.ts';
import { decodeText, encodeUtf8 } from './text.ts';

/** The largest bundle of trust anchors in use is about a quarter of a megabyte. */
const MAX_PEM_CHARACTERS = 16 * 1024 * 1024;
const MAX_PEM_BLOCKS = 10_000;

export interface PemBlock {
  /** "CERTIFICATE", "PRIVATE KEY", … */
  readonly label: string;
  readonly bytes: Uint8Array;
}

/**
 * All blocks of a PEM text (RFC 7468), in order. Text outside of blocks is explanatory (§2) and is passed over.
 * @throws DecodeError that says which block and what is wrong with it
 */
export function decodePem(text: string): PemBlock[] {
  if (text.length > MAX_PEM_CHARACTERS) {
    throw new DecodeError(`PEM: ${text.length} characters, at most ${MAX_PEM_CHARACTERS} are read`);
  }
  const blocks: PemBlock[] = [];
  let open: { label: string; body: string[]; line: number } | undefined;
  const lines = text.split(/\r\n|\n|\r/);
  for (const [index, raw] of lines.entries()) {
    const line = raw.trim();
    const boundary = line.startsWith('-----') ? BOUNDARY.exec(line) : null;
    if (boundary === null) {
      open?.body.push(line);
      continue;
    }
    const [, kind, label = ''] = boundary;
    if (kind === 'BEGIN') {
      if (open !== undefined) {
        throw new DecodeError(
          `PEM: line ${index + 1} begins a block inside the ${open.label} block of line ${open.line}`,
        );
      }
      if (blocks.length >= MAX_PEM_BLOCKS) throw new DecodeError(`PEM: more than ${MAX_PEM_BLOCKS} blocks`);
      open = { label, body: [], line: index + 1 };
      continue;
    }
    if (open === undefined || open.label !== label) {
      throw new DecodeError(`PEM: line ${index + 1} ends a ${label} block that did not begin`);
    }
    blocks.push({ label, bytes: decodeBody(open.body, `the ${label} block of line ${open.line}`) });
    open = undefined;
  }
  if (open !== undefined) {
    throw new DecodeError(
      `PEM: the ${open.label} block of line ${open.line} has no -----END ${open.label}-----; is the file cut off?`,
    );
  }
  return blocks;
}

/**
 * The blocks with one label, at least one of them.
 * @throws DecodeError when there is none; the message names what is there instead
 */
export function decodePemBlocks(text: string, label: string): Uint8Array[] {
  const blocks = decodePem(text);
  const wanted = blocks.filter((block) => block.label === label).map((block) => block.bytes);
  if (wanted.length > 0) return wanted;
  const others = [...new Set(blocks.map((block) => block.label))];
  throw new DecodeError(
    `no ${label} block found: expected "-----BEGIN ${label}-----", ` +
      (others.length === 0
        ? 'and the text has no PEM block at all (is it DER?)'
        : `found only ${others.join(', ')}`),
  );
}

/** One block, lines of 64 characters, with a newline at its end. */
export function encodePem(label: string, bytes: Uint8Array): string {
  const body = decodeText(Tag.ia5String, encodeBase64(bytes, { width: 64, end: '\n' }));
  return `-----BEGIN ${label}-----\n${body}-----END ${label}-----\n`;
}

/** RFC 7468 §3: labels are printable characters without hyphens at their ends. */
const BOUNDARY = /^-----(BEGIN|END) ([A-Z0-9](?:[A-Z0-9 #.-]{0,62}[A-Z0-9])?)-----$/;

function decodeBody(lines: readonly string[], where: string): Uint8Array {
  if (lines.some((line) => line.includes(':'))) {
    const encrypted = lines.some((line) => line.includes('ENCRYPTED'));
    throw new DecodeError(
      encrypted
        ? `PEM: ${where} is encrypted in the old way; rewrite it with "openssl pkcs8 -topk8"`
        : `PEM: ${where} has header lines, which RFC 7468 does not know`,
    );
  }
  const text = lines.join('').replace(/[ \t]/g, '');
  if (text.length === 0) throw new DecodeError(`PEM: ${where} is empty`);
  return decodeBase64(encodeUtf8(text), `PEM: ${where}`);
}

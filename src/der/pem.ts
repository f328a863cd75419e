import { DecodeError } from '../errors/errors.ts';
import { encodeAscii } from './text.ts';

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
  const base64 = encodeBase64(bytes);
  let text = `-----BEGIN ${label}-----\n`;
  for (let at = 0; at < base64.length; at += 64) text += `${base64.slice(at, at + 64)}\n`;
  return `${text}-----END ${label}-----\n`;
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
  return decodeBase64(lines.join('').replace(/[ \t]/g, ''), where);
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const VALUES = new Int8Array(128).fill(-1);
for (let i = 0; i < ALPHABET.length; i++) VALUES[ALPHABET.charCodeAt(i)] = i;

/** RFC 4648 §4, with padding, nothing else in between and zero bits at the end (§3.5). */
function decodeBase64(text: string, where: string): Uint8Array {
  if (text.length === 0) throw new DecodeError(`PEM: ${where} is empty`);
  if (text.length % 4 !== 0)
    throw new DecodeError(`PEM: ${where} is not base64: its length is not a multiple of 4`);
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const digits = text.length - padding;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  let at = 0;
  for (let i = 0; i < digits; i += 4) {
    let group = 0;
    for (let k = 0; k < 4; k++) {
      const value = i + k < digits ? (VALUES[text.charCodeAt(i + k)] ?? -1) : 0;
      if (value < 0)
        throw new DecodeError(`PEM: ${where} is not base64: it contains '${text.charAt(i + k)}'`);
      group = (group << 6) | value;
    }
    const last = i + 4 > digits;
    if (last && (group & (padding === 2 ? 0xffff : 0xff)) !== 0) {
      throw new DecodeError(`PEM: ${where} is not base64: bits after its end`);
    }
    out[at++] = group >> 16;
    if (at < out.length) out[at++] = group >> 8;
    if (at < out.length) out[at++] = group;
  }
  return out;
}

function encodeBase64(bytes: Uint8Array): string {
  const digits = encodeAscii(ALPHABET);
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const group = ((bytes[i] as number) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0);
    for (let k = 3; k >= 0; k--) text += String.fromCharCode(digits[(group >> (6 * k)) & 0x3f] as number);
  }
  const missing = (3 - (bytes.length % 3)) % 3;
  return missing === 0 ? text : text.slice(0, -missing) + '='.repeat(missing);
}

/*
 * Names of protocols and of hosts are bytes, kept as strings with a character for each, which is lossless. Loops, because for
 * strings this short `Uint8Array.from` takes ten times as long, and a TextEncoder nearly so.
 */

/** @param text no character above U+00FF */
export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  writeLatin1(text, bytes, 0);
  return bytes;
}

/** The same, into `to` from `at` on. */
export function writeLatin1(text: string, to: Uint8Array, at: number): void {
  for (let i = 0; i < text.length; i++) to[at + i] = text.charCodeAt(i);
}

export function latin1Text(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

import { Reader } from '../../wire/reader.ts';

/** What Process-EAP-Decrypt answers: content of a TLS content type, or records to be sent. */
export interface Item {
  readonly type: number;
  readonly content: Uint8Array;
}

/** `uint8 type; opaque content<0..2^24-1>;` each. Contents are views. @throws DecodeError */
export function readItems(bytes: Uint8Array): Item[] {
  const r = new Reader(bytes, 'items');
  const items: Item[] = [];
  while (r.remaining > 0) items.push({ type: r.u8(), content: r.vector(3) });
  return items;
}

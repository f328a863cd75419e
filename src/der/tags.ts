/** Identifier octets of the universal types that X.509, CMS, OCSP and RFC 3161 use (X.690 §8.1.2, X.680 §8.4). */
export const Tag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  enumerated: 0x0a,
  utf8String: 0x0c,
  numericString: 0x12,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  visibleString: 0x1a,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const;

/** `[n] IMPLICIT` of a primitive type. `n` is at most 30. */
export function contextPrimitive(n: number): number {
  return 0x80 | n;
}

/** `[n] EXPLICIT` of anything, or `[n] IMPLICIT` of a constructed type. `n` is at most 30. */
export function contextConstructed(n: number): number {
  return 0xa0 | n;
}

/** "SEQUENCE", "[0]", … for error messages. */
export function tagName(tag: number | undefined): string {
  if (tag === undefined) return 'nothing';
  if ((tag & 0xc0) === 0x80) return `[${tag & 0x1f}]${(tag & 0x20) === 0 ? '' : ' (constructed)'}`;
  for (const [name, value] of Object.entries(Tag)) if (value === tag) return name;
  return `tag 0x${tag.toString(16).padStart(2, '0')}`;
}

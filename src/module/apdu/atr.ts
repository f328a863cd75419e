/** ISO 7816-4 §12.1.1: historical bytes in COMPACT-TLV, and the card capabilities in them, whose third byte says this. */
const COMPACT_TLV = 0x80;
const CAPABILITIES = 7;
const EXTENDED_LENGTHS = 0x40;

/** Whether a card's answer to reset says that it takes APDUs with extended lengths. */
export function saysExtendedLengths(atr: Uint8Array): boolean {
  const [category, ...fields] = historicalBytes(atr);
  if (category !== COMPACT_TLV) return false;
  for (let at = 0; at < fields.length; ) {
    const head = fields[at] as number;
    const value = fields.slice(at + 1, at + 1 + (head & 0xf));
    if (head >> 4 === CAPABILITIES) return ((value[2] ?? 0) & EXTENDED_LENGTHS) !== 0;
    at += 1 + (head & 0xf);
  }
  return false;
}

/** ISO 7816-3 §8.2: `TS T0 {TA TB TC TD}* historical[K] [TCK]`; the upper half of T0 and of each TD says what follows. */
function historicalBytes(atr: Uint8Array): readonly number[] {
  const count = (atr[1] ?? 0) & 0xf;
  let at = 1;
  for (let next: number | undefined = atr[1]; next !== undefined; ) {
    const present = next >> 4;
    const here = [1, 2, 4, 8].filter((bit) => (present & bit) !== 0).length;
    next = (present & 8) === 0 ? undefined : atr[at + here];
    at += here;
  }
  return [...atr.subarray(at + 1, at + 1 + count)];
}

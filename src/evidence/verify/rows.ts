import type { EvidenceReader, RecordWithObject } from '../archive/store.ts';
import { EvidenceError } from '../errors.ts';

/** Rows in one page: few enough that their objects fit into some megabytes. */
const PAGE = 256;

/** A row, or what is wrong with it. */
export type Row = RecordWithObject | { readonly index: number | undefined; readonly fault: string };

/**
 * All records in order, a page at a time, with the objects that are kept inline. A row that nobody reads any more is
 * told as such, and does not hide the others.
 * @throws EvidenceError ERR_EVIDENCE_DAMAGED when the file itself can be read no further
 */
export async function* readRows(reader: EvidenceReader): AsyncGenerator<Row[]> {
  // Rows before the first: no archive has them.
  const hidden = await pageOrFault(reader, Number.MIN_SAFE_INTEGER, 1);
  if (!Array.isArray(hidden)) yield [hidden];
  for (let from = 0; ; ) {
    const page = await pageOrFault(reader, from, PAGE);
    const rows = Array.isArray(page) ? page : await oneByOne(reader, from);
    if (rows.length === 0) return;
    yield rows;
    const last = rows.at(-1);
    from = (last === undefined ? from : (indexOf(last) ?? from)) + 1;
  }
}

export function isFault(row: Row): row is { readonly index: number | undefined; readonly fault: string } {
  return 'fault' in row;
}

function indexOf(row: Row): number | undefined {
  return isFault(row) ? row.index : row.record.index;
}

async function pageOrFault(
  reader: EvidenceReader,
  from: number,
  limit: number,
): Promise<RecordWithObject[] | { index: number | undefined; fault: string }> {
  try {
    return await reader.records(from, limit, { objects: true });
  } catch (error) {
    // Only of a row: a file that SQLite cannot read ends the audit.
    if (error instanceof EvidenceError && 'index' in error) {
      return { index: typeof error.index === 'number' ? error.index : undefined, fault: error.message };
    }
    throw error;
  }
}

async function oneByOne(reader: EvidenceReader, from: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (let at = from; rows.length < PAGE; ) {
    const found = await pageOrFault(reader, at, 1);
    if (Array.isArray(found)) {
      const [row] = found;
      if (row === undefined) return rows;
      rows.push(row);
      at = row.record.index + 1;
    } else {
      const index = found.index ?? at;
      rows.push({ index, fault: found.fault });
      at = index + 1;
    }
  }
  return rows;
}

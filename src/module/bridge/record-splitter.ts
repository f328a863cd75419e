import { ContentType } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';

const HEADER_LENGTH = 5;
/** RFC 5246 §6.2.3: 2^14 + 2048, the most of any version. What is longer the module shall judge. */
const MAX_FRAGMENT = 2 ** 14 + 2048;

/**
 * Cuts what the transport brings into whole records, so that the module is not asked about halves. It judges nothing:
 * bytes that are no records go on as they are, and the module finds the fault and the alert for it.
 */
export class RecordSplitter {
  #pending: Uint8Array = NOTHING;
  #astray = false;

  /** @returns copies, in order */
  push(bytes: Uint8Array): Uint8Array[] {
    if (this.#astray) return [new Uint8Array(bytes)];
    const all = this.#pending.length === 0 ? bytes : concat([this.#pending, bytes]);
    const records: Uint8Array[] = [];
    let at = 0;
    while (all.length - at >= HEADER_LENGTH) {
      const type = all[at] as number;
      const length = ((all[at + 3] as number) << 8) | (all[at + 4] as number);
      const isRecord =
        type >= ContentType.change_cipher_spec &&
        type <= ContentType.application_data &&
        length <= MAX_FRAGMENT;
      if (!isRecord) {
        this.#astray = true;
        break;
      }
      const end = at + HEADER_LENGTH + length;
      if (end > all.length) break;
      records.push(new Uint8Array(all.subarray(at, end)));
      at = end;
    }
    const rest = new Uint8Array(all.subarray(at));
    if (this.#astray) {
      records.push(rest);
      this.#pending = NOTHING;
    } else {
      this.#pending = rest;
    }
    return records;
  }

  /** What waits for the rest of its record; it is whose who asks. */
  rest(): Uint8Array {
    const rest = this.#pending;
    this.#pending = NOTHING;
    return rest;
  }
}

const NOTHING = new Uint8Array(0);

import type { SignatureCheck } from '../crypto/provider.ts';
import type { SignWanted } from './messages.ts';

/**
 * A verification: what it yields is the signature to be checked, or nothing when there is none; whatever follows that
 * happens in its turn, after all that came before it.
 */
export type Verification = Generator<SignatureCheck | undefined, void, boolean>;

interface Item {
  readonly failed: (error: unknown, now: number) => void;
  steps: Verification | undefined;
  fault: { readonly error: unknown } | undefined;
  answer: { readonly isGood: boolean; readonly now: number } | undefined;
}

/** Signatures may be checked in any order, several at once; they count in the order of the wire. */
export class Verifications {
  readonly #want: (wanted: SignWanted) => void;
  #queue: Item[] = [];

  constructor(want: (wanted: SignWanted) => void) {
    this.#want = want;
  }

  /** @param failed in its turn as well; nothing that comes later is looked at then */
  add(start: (now: number) => Verification, failed: (error: unknown, now: number) => void): void {
    const item: Item = { failed, steps: undefined, fault: undefined, answer: undefined };
    this.#queue.push(item);
    this.#want({
      kind: 'verification',
      begin(now) {
        try {
          item.steps = start(now);
          return item.steps.next().value ?? undefined;
        } catch (error) {
          item.fault = { error };
          return undefined;
        }
      },
      conclude: (isGood, now) => {
        item.answer = { isGood, now };
        this.#advance();
      },
    });
  }

  #advance(): void {
    for (let item = this.#queue[0]; item?.answer !== undefined; item = this.#queue[0]) {
      this.#queue.shift();
      const { isGood, now } = item.answer;
      try {
        if (item.fault !== undefined) throw item.fault.error;
        item.steps?.next(isGood);
      } catch (error) {
        // Numbers after a fault mean nothing: what follows may be out of order.
        this.#queue = [];
        item.failed(error, now);
      }
    }
  }
}

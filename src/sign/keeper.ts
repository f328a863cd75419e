import { ByteQueue } from './byte-queue.ts';
import type { SessionContext } from './context.ts';
import type { StreamedObject, WantedEntry } from './messages.ts';

/** A streamed object on its way into the archive: its bytes go as they come, and its entry when all of them are there. */
export class ObjectKeeper implements StreamedObject {
  length = 0;
  readonly #context: SessionContext;
  /** Less waits. */
  readonly #moved: () => void;
  readonly #queue = new ByteQueue();
  /** Bytes that the outside has and has not stored. */
  #underWay = 0;
  #then: (() => void) | undefined;

  constructor(context: SessionContext, moved: () => void) {
    this.#context = context;
    this.#moved = moved;
  }

  /** Bytes that are not in the archive yet; none where there is no archive. */
  get waiting(): number {
    return this.#queue.length + this.#underWay;
  }

  /** @param bytes kept, and not to be changed while they wait */
  write(bytes: Uint8Array): void {
    this.length += bytes.length;
    if (this.#context.settings.archive === undefined) return;
    this.#queue.push(bytes);
    this.#store();
  }

  /** Nothing more comes. Has the entry kept with it; `done` is called as that of `SessionContext.persist`. */
  finish(
    entry: () => Omit<WantedEntry, 'format' | 'object'>,
    now: number,
    done: (record: number | undefined, now: number) => void,
  ): void {
    const object = this.length === 0 ? new Uint8Array(0) : this;
    this.#then = () => this.#context.persist(() => ({ ...entry(), object }), now, done);
    this.#store();
  }

  #store(): void {
    if (this.#underWay > 0) return;
    if (this.#queue.length > 0) {
      this.#underWay = this.#queue.length;
      this.#context.want({
        kind: 'stored',
        object: this,
        pieces: this.#queue.drain(),
        provide: () => {
          this.#underWay = 0;
          this.#store();
          this.#moved();
        },
        fail: (error) => this.#context.failArchive(error),
      });
      return;
    }
    const then = this.#then;
    this.#then = undefined;
    then?.();
  }
}

import type { SessionContext } from './context.ts';
import { EvidenceFlag } from './evidence.ts';
import { type Incoming, rejectedEntry } from './incoming.ts';
import type { IncomingStream } from './incoming-stream.ts';

/** What is refused is kept, byte for byte as far as it has come, with the reason: it may be evidence against its sender. */
export class Refusals {
  readonly #context: SessionContext;

  constructor(context: SessionContext) {
    this.#context = context;
  }

  keep(incoming: Incoming, error: unknown, now: number): void {
    const object = incoming.bytes;
    const entry = () => ({ ...rejectedEntry(incoming, error, now), object });
    this.#context.persist(entry, now, () => {});
  }

  /** A stream that cannot go on, or whose end is not what it has to be. */
  break(stream: IncomingStream, error: unknown, now: number): void {
    stream.isOver = true;
    stream.drop();
    const entry = () => ({ ...rejectedEntry(stream, error, now), flags: EvidenceFlag.streamed });
    stream.keeper.finish(entry, now, () => {});
    if (!stream.isDelivered) return;
    const cause = error instanceof Error ? error : new Error(String(error));
    this.#context.emit({ type: 'broken', stream, error: cause });
  }

  /** When the time is not at hand. */
  all(torn: readonly Incoming[], error: unknown, streams: readonly IncomingStream[] = []): void {
    if (torn.length + streams.length === 0) return;
    for (const stream of streams) stream.isOver = true;
    this.#context.later((now) => {
      for (const incoming of torn) this.keep(incoming, error, now);
      for (const stream of streams) this.break(stream, error, now);
    });
  }
}

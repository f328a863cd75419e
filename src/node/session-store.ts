import type { SessionStore } from '../handshake/config.ts';

/**
 * Sessions of TLS 1.2 that a server keeps for clients without tickets. One takes about 200 bytes, with a client's
 * certificate a few KiB; there are some hundred KiB in all.
 */
export const MAX_SESSIONS = 1024;
/** A session with a longer client chain is not kept: as with tickets. */
export const MAX_SESSION_BYTES = 8192;

/** Keeps sessions in this process: the newest, and those that are used. */
export class MemorySessionStore implements SessionStore {
  readonly #sessions = new Map<string, Uint8Array>();
  readonly #limit: number;

  constructor(limit = MAX_SESSIONS) {
    this.#limit = limit;
  }

  get(id: Uint8Array): Uint8Array | undefined {
    const key = keyOf(id);
    const session = this.#sessions.get(key);
    if (session === undefined) return undefined;
    // In order of last use, oldest first.
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    return session;
  }

  set(id: Uint8Array, session: Uint8Array): void {
    if (session.length > MAX_SESSION_BYTES) return;
    this.#sessions.set(keyOf(id), session);
    const [oldest] = this.#sessions.keys();
    if (this.#sessions.size > this.#limit && oldest !== undefined) this.#sessions.delete(oldest);
  }
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id).toString('latin1');
}

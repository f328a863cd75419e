import type { Role } from '../../connection/sub-protocol.ts';
import { CHANNEL_IDS } from '../limits.ts';

/**
 * Halves of channel ids: the TLS client's are even, the server's odd, so that two openings at once cannot collide, and
 * each half shows whose it is. They are given out in turn, so that one that was used comes back as late as can be.
 */
export class ChannelIds {
  readonly #parity: 0 | 1;
  #next = 0;
  /** All of them have been given out once. */
  #wrapped = false;

  constructor(role: Role) {
    this.#parity = role === 'client' ? 0 : 1;
  }

  /** @returns `undefined` when all are in use */
  allocate(isFree: (id: number) => boolean): number | undefined {
    for (let tries = 0; tries < CHANNEL_IDS; tries++) {
      const id = this.#next * 2 + this.#parity;
      this.#next++;
      if (this.#next === CHANNEL_IDS) {
        this.#next = 0;
        this.#wrapped = true;
      }
      if (isFree(id)) return id;
    }
    return undefined;
  }

  isOurs(id: number): boolean {
    return (id & 1) === this.#parity;
  }

  /** It has been given out at some time. */
  wasAllocated(id: number): boolean {
    return this.isOurs(id) && (this.#wrapped || id >> 1 < this.#next);
  }

  /** Of a whole id, the half that is ours; `undefined` when both or none are. */
  ourHalf(channel: number): number | undefined {
    const opener = channel >>> 16;
    const acceptor = channel & 0xffff;
    if (this.isOurs(opener) === this.isOurs(acceptor)) return undefined;
    return this.isOurs(opener) ? opener : acceptor;
  }
}

/** The opener's half, then the acceptor's, whoever sends. */
export function channelId(opener: number, acceptor: number): number {
  return opener * 0x1_0000 + acceptor;
}

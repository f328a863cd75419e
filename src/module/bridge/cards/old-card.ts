import type { Role } from '../../../connection/sub-protocol.ts';
import { ModuleError } from '../../../errors/module.ts';
import type { CardSession } from '../card-session.ts';
import type { CardRequest } from '../exchange.ts';

/** Which interface a card speaks. */
export const CARD_PROFILES = ['trellis', 'openeap', 'tls-se'] as const;
export type CardProfile = (typeof CARD_PROFILES)[number];

/** A card from before this interface: it runs one session at a time, and says nothing of it but its records. */
export interface OldCard {
  readonly profile: Exclude<CardProfile, 'trellis'>;
  /** What it is selected by, where nothing else was said; `undefined` for a card whose applet is selected by itself. */
  readonly aid: Uint8Array | undefined;
  readonly cla: number;
  /**
   * A session of the card.
   * @param judges the host has anchors of its own for the peer
   * @throws ModuleError ERR_MODULE_UNSUPPORTED for a role that it does not have; ERR_MODULE_NO_ROOM while it has a session
   */
  open(role: Role, judges: boolean): CardSession;
}

/** The one session that a card has. */
export class OnlySession {
  #taken = false;

  /** @throws ModuleError ERR_MODULE_NO_ROOM */
  take(): void {
    if (this.#taken) {
      throw new ModuleError(
        'ERR_MODULE_NO_ROOM',
        'This card runs one session at a time, and it runs one; wait for its end, or use another card',
      );
    }
    this.#taken = true;
  }

  give(): void {
    this.#taken = false;
  }
}

export function unsupported(what: string): ModuleError {
  return new ModuleError('ERR_MODULE_UNSUPPORTED', what);
}

/** A request whose APDUs are those of another kind of card. */
export function cardRequest(
  doing: string,
  apdus: () => Generator<Uint8Array, Uint8Array, Uint8Array>,
): CardRequest {
  return { ins: 0, p1: 0, p2: 0, data: new Uint8Array(0), doing, apdus };
}

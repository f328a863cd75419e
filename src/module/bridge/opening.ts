import type { CookieProof } from '../../connection/engine.ts';
import type { Seat } from '../../connection/seat.ts';
import type { Role } from '../../connection/sub-protocol.ts';
import { alertFor } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import type { ClientConfig, ServerConfig } from '../../handshake/config.ts';
import { Instruction } from '../protocol.ts';
import { type CardSession, type HandshakeStep, ModuleSession } from './card-session.ts';
import type { OldCard } from './cards/old-card.ts';
import type { Carrier } from './carrier.ts';
import type { Dialogue } from './eap-client.ts';
import type { CardRequest } from './exchange.ts';
import type { FlightTimer } from './flight-timer.ts';
import type { PeekedHello } from './hello-peek.ts';
import type { AgreedSession } from './information.ts';
import { openRequest } from './open-request.ts';

/** Waits until there is something to do. */
export const IDLE: unique symbol = Symbol('idle');
/** Yields what the card is asked and takes its answers; resumed by every input while it is idle. */
export type Script<T> = Generator<CardRequest | typeof IDLE, T, Uint8Array>;

/** What the way to an open session needs of the session around it. */
export interface OpeningPlace {
  readonly role: Role;
  readonly config: ClientConfig | ServerConfig;
  readonly card: {
    readonly alias: string | undefined;
    readonly fragmentSize: number;
    readonly cookie: CookieProof | undefined;
    readonly oldCard: OldCard | undefined;
  };
  /** The host has anchors of its own. */
  readonly judges: boolean;
  /** Bytes of records for the card at a time; 1 for record by record, so that it gets none but those of the handshake. */
  readonly batch: number;
  readonly carrier: Carrier;
  readonly timer: FlightTimer;
  readonly seats: readonly Seat[];
  /** Unix milliseconds. */
  readonly now: () => number;
  /** @throws ConnectionError ERR_TLS_TRUNCATED when nothing can come any more */
  readonly checkTruncated: () => void;
}

/** From the first byte to a complete handshake: a server reads the ClientHello, then the card is opened, then flights go. */
export class Opening {
  readonly #place: OpeningPlace;
  /** Since the card has one. */
  session: CardSession | undefined;

  constructor(place: OpeningPlace) {
    this.#place = place;
  }

  /** @throws TrellisError why there is no session */
  *run(): Script<{
    readonly session: CardSession;
    readonly agreed: AgreedSession;
    /** Something came with the last flight, and waits in the card. */
    readonly itemsWait: boolean;
  }> {
    const hello = this.#place.role === 'server' ? yield* this.#awaitHello() : undefined;
    const session = yield* this.#open(hello);
    this.session = session;
    const { carrier, timer, config, now } = this.#place;
    const first = yield* session.start();
    carrier.send(first);
    const { datagrams } = config;
    if (datagrams !== undefined && first.length > 0) timer.set(datagrams.initialTimeout, true, now());
    for (;;) {
      const { records, wait, ended, itemsWait } = yield* this.#step(session);
      carrier.send(records);
      timer.set(wait, records.length > 0, now());
      if (!ended) continue;
      const { agreed, failure } = yield* session.inform();
      if (agreed === undefined || failure !== undefined) throw failure ?? unexplained();
      carrier.endHandshake();
      return { session, agreed, itemsWait };
    }
  }

  *#awaitHello(): Script<PeekedHello> {
    const { carrier, checkTruncated } = this.#place;
    for (;;) {
      const hello = carrier.hello();
      if (hello !== undefined) return hello;
      checkTruncated();
      yield IDLE;
    }
  }

  *#open(hello: PeekedHello | undefined): Dialogue<CardSession> {
    const { role, config, card, carrier, seats, judges, now } = this.#place;
    const { oldCard, ...asked } = card;
    if (oldCard !== undefined) {
      if (config.datagrams !== undefined)
        throw new ModuleError('ERR_MODULE_UNSUPPORTED', 'Old cards speak TLS, and not DTLS');
      return oldCard.open(role, judges);
    }
    let data: Uint8Array;
    try {
      data = openRequest(config, seats, hello, { ...asked, time: now() });
    } catch (error) {
      // Nothing is encrypted yet: what the peer is told goes in clear.
      if (role === 'server') carrier.sendClearAlert(alertFor(error));
      throw error;
    }
    const [handle] = yield { ins: Instruction.open, p1: 0, p2: 0, data, doing: 'Open' };
    if (handle === undefined)
      throw new ModuleError('ERR_MODULE_PROTOCOL', 'Open was answered without a handle');
    return new ModuleSession(role, handle, card.fragmentSize);
  }

  /** Once something has come, or a flight is due again. */
  *#step(session: CardSession): Script<HandshakeStep> {
    const { carrier, timer, batch, checkTruncated } = this.#place;
    for (;;) {
      if (timer.take() && session.retransmit !== undefined) {
        carrier.resend();
        return yield* session.retransmit();
      }
      if (!carrier.empty) break;
      checkTruncated();
      yield IDLE;
    }
    return yield* session.handshake(carrier.take(batch));
  }
}

export function unexplained(): ModuleError {
  return new ModuleError('ERR_MODULE_PROTOCOL', 'The module has closed the session and does not say why');
}

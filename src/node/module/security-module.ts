import type { CookieProof, DatagramEngine, EngineSource, SessionEngine } from '../../connection/engine.ts';
import type { SubProtocolFactory } from '../../connection/sub-protocol.ts';
import { ConnectionError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import type { ClientConfig, ServerConfig } from '../../handshake/config.ts';
import { MODULE_GROUPS, MODULE_SUITES } from '../../module/applet/engine-config.ts';
import { Card } from '../../module/bridge/card.ts';
import { CARD_PROFILES, type CardProfile, type OldCard } from '../../module/bridge/cards/old-card.ts';
import { OpenEapCard } from '../../module/bridge/cards/openeap.ts';
import { TlsSeCard } from '../../module/bridge/cards/tls-se.ts';
import { ModuleClient } from '../../module/bridge/client.ts';
import { ModuleConnection, type ModuleConnectionOptions } from '../../module/bridge/connection.ts';
import type { CardTransport } from '../../module/bridge/exchange.ts';
import { OffloadedConnection } from '../../module/bridge/offload.ts';
import { MIN_FRAGMENT_SIZE } from '../../module/eap/fragments.ts';
import { MAX_EAP_PACKET } from '../../module/eap/packet.ts';

export interface SecurityModuleOptions {
  /** The user PIN, 4 to 8 digits. Bytes are wiped, whether it was right or not; text cannot be, and stays in memory. */
  pin: string | Uint8Array | (() => Uint8Array);
  /** The identity for sessions. Default: the module's first. */
  alias?: string | undefined;
  /** Bytes of an EAP packet, 32 to 65,535. Default: as much as one APDU carries. */
  fragmentSize?: number | undefined;
  /**
   * Sessions of TLS 1.3 leave the module once their handshake is complete, with their traffic keys, and go on in this
   * process at its speed: the private key stays inside, the keys of records do not. The identity must permit it
   * (ERR_MODULE_NOT_PERMITTED). Sessions of TLS 1.2 stay. Default false.
   */
  offload?: boolean | undefined;
  /**
   * When the card was removed or reset, or the way to it is gone, its sessions end with typed errors; the next session then
   * connects anew, verifies the PIN again, and waits for that. A PIN that is refused is not tried twice. `pin` must be text
   * or a function, since bytes are wiped. Default false: the module is of no use any more.
   */
  reconnect?: boolean | undefined;
  /**
   * The interface that the card speaks (docs/security-module.md, "Old cards"). The others than `trellis`, the default, have
   * one session at a time, no identities to choose from, and neither multiplexing nor signing.
   */
  cardProfile?: CardProfile | undefined;
}

/** The way to the module, once more. */
export type Reconnect = () => Promise<CardTransport>;

/**
 * A security module in which sessions run: give it to `connect`, `createServer` or `connectMux` as `module`. All its
 * sessions share the way to it, and take turns.
 */
export class SecurityModule implements EngineSource {
  #card: Card;
  readonly #again: (() => Promise<CardTransport>) | undefined;
  #closed = false;
  readonly #alias: string | undefined;
  readonly #fragmentSize: number;
  /** Sessions of TLS 1.3 leave the module after their handshake. */
  readonly offload: boolean;
  readonly #oldCard: OldCard | undefined;

  private constructor(
    card: Card,
    { alias, offload = false }: SecurityModuleOptions,
    fragmentSize: number,
    again: Reconnect | undefined,
    oldCard: OldCard | undefined,
  ) {
    this.#card = card;
    this.#alias = alias;
    this.#fragmentSize = fragmentSize;
    this.offload = offload;
    this.#again = again;
    this.#oldCard = oldCard;
  }

  /**
   * Selects the module and verifies the user PIN.
   * @param connect needed for the option `reconnect`: makes another transport
   * @throws ModuleError; ConnectionError ERR_TLS_OPTION for a fragment size that cannot be. The transport is closed then
   */
  static async open(
    transport: CardTransport,
    options: SecurityModuleOptions,
    connect?: Reconnect,
  ): Promise<SecurityModule> {
    const size =
      options.fragmentSize ?? Math.min(transport.maxCommandData, transport.maxResponseData, MAX_EAP_PACKET);
    const { pin, reconnect = false } = options;
    try {
      if (!Number.isInteger(size) || size < MIN_FRAGMENT_SIZE || size > MAX_EAP_PACKET) {
        const range = `${MIN_FRAGMENT_SIZE} to ${MAX_EAP_PACKET}`;
        throw new ConnectionError(
          'ERR_TLS_OPTION',
          `Option fragmentSize: ${size} is not an integer from ${range}`,
        );
      }
      if (reconnect && (connect === undefined || pin instanceof Uint8Array)) {
        throw new ConnectionError(
          'ERR_TLS_OPTION',
          'Option reconnect: the PIN is needed again, as text or as a function that reads it, and a way to connect',
        );
      }
      const oldCard = oldCardOf(options);
      await admit(transport, pin, oldCard);
      const again = async () => {
        const next = await (connect as Reconnect)();
        try {
          await admit(next, pin, oldCard);
        } catch (error) {
          next.close();
          throw error;
        }
        return next;
      };
      return new SecurityModule(new Card(transport), options, size, reconnect ? again : undefined, oldCard);
    } catch (error) {
      if (pin instanceof Uint8Array) pin.fill(0);
      transport.close();
      throw error;
    }
  }

  client(
    config: ClientConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
  ): SessionEngine {
    return this.#session('client', config, now, subProtocols, judges);
  }

  server(
    config: ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
  ): SessionEngine {
    return this.#session('server', config, now, subProtocols, judges);
  }

  datagramClient(
    config: ClientConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
  ): DatagramEngine {
    return new ModuleConnection('client', config, this.#options(config, judges), now, subProtocols);
  }

  datagramServer(
    config: ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
    cookie?: CookieProof,
  ): DatagramEngine {
    const options = { ...this.#options(config, judges), cookie };
    return new ModuleConnection('server', config, options, now, subProtocols);
  }

  greeting(config: ServerConfig): ServerConfig {
    const suites = config.suites.length === 0 ? [] : MODULE_SUITES;
    return { ...config, suites, groups: MODULE_GROUPS };
  }

  /** Ends the use of the module; its sessions fail with ERR_MODULE_GONE. */
  close(): void {
    this.#closed = true;
    this.#card.close();
  }

  /** The card, or after its loss another one, to which the way is made with its first command. */
  #current(): Card {
    const lost = this.#card;
    if (lost.failure === undefined || this.#again === undefined || this.#closed) return lost;
    lost.transport.close();
    const way = new LateTransport(lost.transport, this.#again());
    const card = new Card(way);
    way.ready.catch((error: unknown) => {
      // A PIN that was refused is refused for good; all else may be over by the next session.
      if (error instanceof ModuleError && !REFUSED.has(error.code)) card.fail(error);
    });
    this.#card = card;
    return card;
  }

  /** One session was forgotten. When the PIN was as well, all of them were. */
  #suspectReset(card: Card): void {
    new ModuleClient(card).pinState('user').then(
      (state) => {
        if (state !== 'verified') card.fail(new ModuleError('ERR_MODULE_RESET', 'The module was reset'));
      },
      () => undefined,
    );
  }

  #session(
    role: 'client' | 'server',
    config: ClientConfig | ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
  ): SessionEngine {
    const options = this.#options(config, judges);
    return this.offload
      ? new OffloadedConnection(role, config, options, now, subProtocols)
      : new ModuleConnection(role, config, options, now, subProtocols);
  }

  #options(config: ClientConfig | ServerConfig, judges: boolean): ModuleConnectionOptions {
    const verifyPeer = judges ? config.verifyPeer : undefined;
    const card = this.#current();
    const oldCard = this.#oldCard;
    const onReset =
      this.#again === undefined || oldCard !== undefined ? undefined : () => this.#suspectReset(card);
    const [alias, fragmentSize] = [this.#alias, this.#fragmentSize];
    return { card, alias, fragmentSize, verifyPeer, oldCard, onReset };
  }
}

const REFUSED: ReadonlySet<string> = new Set(['ERR_MODULE_PIN_WRONG', 'ERR_MODULE_PIN_BLOCKED']);

/** Selects the module and verifies the user PIN, which is wiped where that can be. */
async function admit(
  transport: CardTransport,
  pin: SecurityModuleOptions['pin'],
  oldCard: OldCard | undefined,
): Promise<void> {
  const client = new ModuleClient(new Card(transport));
  if (oldCard === undefined) await client.select();
  const bytes = typeof pin === 'function' ? pin() : typeof pin === 'string' ? Buffer.from(pin) : pin;
  try {
    if (oldCard === undefined) await client.verifyPin('user', bytes);
    else await client.login(oldCard, bytes);
  } finally {
    bytes.fill(0);
  }
}

/** A transport that is still being made; like the one before it. */
class LateTransport implements CardTransport {
  readonly maxCommandData: number;
  readonly maxResponseData: number;
  readonly ready: Promise<CardTransport>;

  constructor(before: CardTransport, ready: Promise<CardTransport>) {
    this.maxCommandData = before.maxCommandData;
    this.maxResponseData = before.maxResponseData;
    this.ready = ready;
  }

  async transmit(command: Uint8Array): Promise<Uint8Array> {
    return (await this.ready).transmit(command);
  }

  close(): void {
    this.ready.then(
      (transport) => transport.close(),
      () => undefined,
    );
  }
}

/** @throws ConnectionError ERR_TLS_OPTION */
function oldCardOf({ cardProfile, alias, offload }: SecurityModuleOptions): OldCard | undefined {
  if (cardProfile === undefined || cardProfile === 'trellis') return undefined;
  if (!CARD_PROFILES.includes(cardProfile)) {
    const known = CARD_PROFILES.join(', ');
    throw new ConnectionError(
      'ERR_TLS_OPTION',
      `Option cardProfile: '${cardProfile}' is not one of ${known}`,
    );
  }
  if (alias !== undefined || offload === true) {
    throw new ConnectionError(
      'ERR_TLS_OPTION',
      `A card of the profile ${cardProfile} has one identity and keeps its keys: leave the alias and offload out`,
    );
  }
  return cardProfile === 'openeap' ? new OpenEapCard() : new TlsSeCard();
}

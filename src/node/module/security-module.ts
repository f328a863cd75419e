import type { EngineSource, SessionEngine } from '../../connection/engine.ts';
import type { SubProtocolFactory } from '../../connection/sub-protocol.ts';
import { ConnectionError } from '../../errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../../handshake/config.ts';
import { Card } from '../../module/bridge/card.ts';
import { ModuleClient } from '../../module/bridge/client.ts';
import { ModuleConnection } from '../../module/bridge/connection.ts';
import type { CardTransport } from '../../module/bridge/exchange.ts';
import { OffloadedConnection } from '../../module/bridge/offload.ts';
import { MIN_FRAGMENT_SIZE } from '../../module/eap/fragments.ts';
import { MAX_EAP_PACKET } from '../../module/eap/packet.ts';

export interface SecurityModuleOptions {
  /** The user PIN, 4 to 8 digits. Bytes are wiped, whether it was right or not; text cannot be, and stays in memory. */
  pin: string | Uint8Array;
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
}

/**
 * A security module in which sessions run: give it to `connect`, `createServer` or `connectMux` as `module`. All its
 * sessions share the way to it, and take turns.
 */
export class SecurityModule implements EngineSource {
  readonly #card: Card;
  readonly #alias: string | undefined;
  readonly #fragmentSize: number;
  readonly #offload: boolean;

  private constructor(card: Card, alias: string | undefined, fragmentSize: number, offload: boolean) {
    this.#card = card;
    this.#alias = alias;
    this.#fragmentSize = fragmentSize;
    this.#offload = offload;
  }

  /**
   * Selects the module and verifies the user PIN.
   * @throws ModuleError; ConnectionError ERR_TLS_OPTION for a fragment size that cannot be. The transport is closed then
   */
  static async open(transport: CardTransport, options: SecurityModuleOptions): Promise<SecurityModule> {
    const size =
      options.fragmentSize ?? Math.min(transport.maxCommandData, transport.maxResponseData, MAX_EAP_PACKET);
    const card = new Card(transport);
    const pin = typeof options.pin === 'string' ? Buffer.from(options.pin) : options.pin;
    try {
      if (!Number.isInteger(size) || size < MIN_FRAGMENT_SIZE || size > MAX_EAP_PACKET) {
        const range = `${MIN_FRAGMENT_SIZE} to ${MAX_EAP_PACKET}`;
        throw new ConnectionError(
          'ERR_TLS_OPTION',
          `Option fragmentSize: ${size} is not an integer from ${range}`,
        );
      }
      const client = new ModuleClient(card);
      await client.select();
      await client.verifyPin('user', pin);
    } catch (error) {
      card.close();
      throw error;
    } finally {
      pin.fill(0);
    }
    return new SecurityModule(card, options.alias, size, options.offload ?? false);
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

  /** Ends the use of the module; its sessions fail with ERR_MODULE_GONE. */
  close(): void {
    this.#card.close();
  }

  #session(
    role: 'client' | 'server',
    config: ClientConfig | ServerConfig,
    now: number,
    subProtocols: readonly SubProtocolFactory[],
    judges: boolean,
  ): SessionEngine {
    const verifyPeer = judges ? config.verifyPeer : undefined;
    const options = { card: this.#card, alias: this.#alias, fragmentSize: this.#fragmentSize, verifyPeer };
    return this.#offload
      ? new OffloadedConnection(role, config, options, now, subProtocols)
      : new ModuleConnection(role, config, options, now, subProtocols);
  }
}

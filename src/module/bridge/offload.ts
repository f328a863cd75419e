import type { Connection } from '../../connection/connection.ts';
import type { CommandWanted, SessionEngine } from '../../connection/engine.ts';
import type { ConnectionEvent, ConnectionInfo } from '../../connection/events.ts';
import type { Role, SubProtocolFactory } from '../../connection/sub-protocol.ts';
import type { ClientConfig, Identity, ServerConfig } from '../../handshake/config.ts';
import type { Wanted } from '../../handshake/step.ts';
import { ModuleConnection, type ModuleConnectionOptions } from './connection.ts';

/**
 * A session whose handshake runs in a security module, and whose records, once that is complete, are protected here: at
 * the host's speed, and with the host's safety. The module keeps the session for signatures until it is over.
 */
export class OffloadedConnection implements SessionEngine {
  readonly role: Role;
  readonly #module: ModuleConnection;
  /** Since the module has given the session away. */
  #host: Connection | undefined;
  #peerEnded = false;
  #closed = false;

  constructor(
    role: Role,
    config: ClientConfig | ServerConfig,
    options: ModuleConnectionOptions,
    now: number,
    subProtocols: readonly SubProtocolFactory[] = [],
  ) {
    this.role = role;
    const handOver = (session: Connection) => {
      this.#host = session;
    };
    this.#module = new ModuleConnection(role, config, { ...options, handOver }, now, subProtocols);
  }

  /** The session's records do not pass through the module (any more). */
  get offloaded(): boolean {
    return this.#host !== undefined;
  }

  get #engine(): SessionEngine {
    return this.#host ?? this.#module;
  }

  receive(bytes: Uint8Array, now: number): void {
    this.#engine.receive(bytes, now);
  }

  receiveEnd(): void {
    this.#engine.receiveEnd();
  }

  transmit(): Uint8Array[] {
    // The end of the handshake comes before what follows it.
    const records = this.#module.transmit();
    return this.#host === undefined ? records : [...records, ...this.#host.transmit()];
  }

  nextEvent(): ConnectionEvent | undefined {
    const event = this.#engine.nextEvent();
    if (event?.type === 'end') this.#peerEnded = true;
    const isOver = event?.type === 'error' || (this.#peerEnded && this.#closed);
    if (isOver && this.#host !== undefined) this.#module.drop();
    return event;
  }

  get wanted(): Wanted | CommandWanted | undefined {
    return this.#engine.wanted;
  }

  provide(answer: Uint8Array, now: number): void {
    this.#engine.provide(answer, now);
  }

  provideIdentities(identities: readonly Identity[], now: number): void {
    this.#engine.provideIdentities(identities, now);
  }

  abandon(error: unknown): void {
    this.#engine.abandon(error);
  }

  nextTimeout(): number | undefined {
    return this.#engine.nextTimeout();
  }

  handleTimeout(now: number): void {
    this.#engine.handleTimeout(now);
  }

  send(data: Uint8Array): void {
    this.#engine.send(data);
  }

  close(): void {
    this.#closed = true;
    this.#engine.close();
    if (this.#peerEnded && this.#host !== undefined) this.#module.drop();
  }

  updateKeys(requestPeer: boolean): void {
    this.#engine.updateKeys(requestPeer);
  }

  drop(error?: Error): void {
    this.#host?.drop(error);
    this.#module.drop(error);
  }

  exportKeyingMaterial(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return this.#engine.exportKeyingMaterial(label, context, length);
  }

  requestKeyingMaterial(
    label: string,
    context: Uint8Array | undefined,
    length: number,
  ): Uint8Array | Promise<Uint8Array> {
    // The exporter's secret does not leave the module.
    return this.#module.requestKeyingMaterial(label, context, length);
  }

  get identities(): readonly Identity[] {
    return this.#engine.identities;
  }

  get info(): ConnectionInfo | undefined {
    return this.#engine.info;
  }

  get writable(): boolean {
    return this.#engine.writable;
  }

  get inputFull(): boolean {
    return this.#engine.inputFull;
  }

  get outputFull(): boolean {
    return this.#engine.outputFull;
  }

  get drained(): boolean {
    return this.#engine.drained;
  }
}

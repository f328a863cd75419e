import type { Role } from '../../connection/sub-protocol.ts';
import { TlsError } from '../../errors/errors.ts';
import type { Channel } from './channel.ts';
import { ChannelIds, channelId } from './ids.ts';

/** Which channels there are, under which ids. Every id that the peer names is looked up, and judged, here. */
export class ChannelTable {
  /** Not done with: open or to be opened, or with bytes left to read. */
  readonly live = new Set<Channel>();
  /** What the peer asks for, and nobody has answered. */
  readonly requested = new Set<Channel>();
  /** Channels that we have closed and the peer has not confirmed. */
  closing = 0;
  readonly #ids: ChannelIds;
  /** By this side's half of the id: those that are known on the wire. */
  readonly #byId = new Map<number, Channel>();
  /** The peer's halves of those, and of what it asks for. */
  readonly #remoteIds = new Set<number>();

  constructor(role: Role) {
    this.#ids = new ChannelIds(role);
  }

  /** Whatever counts against `maxConnections`. */
  get occupied(): number {
    return this.live.size + this.closing;
  }

  /** Those that the wire knows, or will. */
  get known(): Iterable<Channel> {
    return this.#byId.values();
  }

  /** Gives it a half of ours. @returns false when none is left */
  assign(channel: Channel): boolean {
    const localId = this.#ids.allocate((id) => !this.#byId.has(id));
    if (localId === undefined) return false;
    channel.localId = localId;
    this.#byId.set(localId, channel);
    return true;
  }

  /** The peer names its half. @throws TlsError when that is one of ours, or in use */
  claim(remoteId: number, does: string): void {
    if (this.#ids.isOurs(remoteId)) throw illegal(`${does} ${remoteId}, an id of this side`);
    if (this.#remoteIds.has(remoteId)) throw illegal(`${does} ${remoteId}, which is in use`);
  }

  hold(channel: Channel, remoteId: number): void {
    channel.remoteId = remoteId;
    this.#remoteIds.add(remoteId);
  }

  /** The peer does not know it any more, or never will. */
  forgetRemote(channel: Channel): void {
    this.#remoteIds.delete(channel.remoteId);
  }

  forgetLocal(channel: Channel): void {
    this.#byId.delete(channel.localId);
  }

  /** The ids may be used again, whatever is left to read here. */
  free(channel: Channel): void {
    channel.state = 'closed';
    this.forgetLocal(channel);
    this.forgetRemote(channel);
  }

  /** @returns all that were known or asked for */
  clear(): Channel[] {
    const ended = [...this.#byId.values(), ...this.requested];
    this.#byId.clear();
    this.#remoteIds.clear();
    this.requested.clear();
    return ended;
  }

  /** The open channel whose id these four bytes are. */
  find(address: Uint8Array): Channel | undefined {
    const [a, b, c, d] = address as unknown as [number, number, number, number];
    const id = channelId((a << 8) | b, (c << 8) | d);
    const half = this.#ids.ourHalf(id);
    const channel = half === undefined ? undefined : this.#byId.get(half);
    return channel?.state === 'open' && channel.id === id ? channel : undefined;
  }

  /** The opening that a Success or an Echec answers. @throws TlsError when there is none */
  answered(sender: number): Channel {
    const channel = this.#byId.get(sender);
    if (channel === undefined || (channel.state !== 'opening' && channel.state !== 'unwanted')) {
      throw illegal(`answers for channel ${sender}, which was not asked for`);
    }
    return channel;
  }

  /** @throws TlsError for an id that names no channel of now */
  current(id: number, what: string): Channel {
    const channel = this.currentOrGone(id, what);
    if (channel === undefined) throw illegal(`${what} for channel ${id}, which is closed`);
    return channel;
  }

  /** `undefined` for one that may have been closed. @throws TlsError for an id that never was */
  currentOrGone(id: number, what: string): Channel | undefined {
    const half = this.#ids.ourHalf(id);
    const channel = half === undefined ? undefined : this.#byId.get(half);
    if (
      channel !== undefined &&
      channel.id === id &&
      (channel.state === 'open' || channel.state === 'closing')
    )
      return channel;
    if (half === undefined || !this.#ids.wasAllocated(half) || (channel !== undefined && channel.id === 0)) {
      throw illegal(`${what} for channel ${id}, which never was`);
    }
    return undefined;
  }
}

export function illegal(what: string): TlsError {
  return new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `mtls: the peer ${what}`);
}

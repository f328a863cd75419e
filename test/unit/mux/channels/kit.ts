import type { Channel } from '../../../../src/mux/channels/channel.ts';
import {
  type ControlMessage,
  encodeControl,
  MessageType,
  writeDataHeader,
} from '../../../../src/mux/channels/message.ts';
import { MessageReader } from '../../../../src/mux/channels/reader.ts';
import type { MuxClientOptions, MuxServerOptions } from '../../../../src/mux/index.ts';
import { join, Pair, type Side } from '../pair.ts';

export interface Sent {
  readonly channel: number;
  readonly data: string;
}

/** Two sessions in channel mode. */
export function channels(client: MuxClientOptions = {}, server: Partial<MuxServerOptions> = {}): Pair {
  return new Pair(
    { mode: 'channels', ...client },
    {
      applications: [
        { name: 'echo', port: 7 },
        { name: 'sink', port: 9 },
      ],
      ...server,
    },
  );
}

/** What a side has to say; takes it. */
export function said(side: Side): (ControlMessage | Sent)[] {
  side.push();
  const content = join(...side.sent.records);
  side.sent.records.length = 0;
  side.sent.bytes = 0;
  const reader = new MessageReader();
  reader.push(content);
  const found: (ControlMessage | Sent)[] = [];
  while (reader.next()) {
    if (reader.control !== undefined) found.push(reader.control);
    else found.push({ channel: reader.channel, data: Buffer.from(reader.piece).toString('latin1') });
  }
  return found;
}

/** Gives a side messages as from its peer's pen. */
export function say(side: Side, ...messages: readonly (ControlMessage | Sent)[]): void {
  side.receive(
    join(...messages.map((message) => ('type' in message ? encodeControl(message) : data(message)))),
  );
}

function data({ channel, data }: Sent): Uint8Array {
  const out = new Uint8Array(9 + data.length);
  writeDataHeader(out, 0, channel, data.length);
  out.set(Buffer.from(data, 'latin1'), 9);
  return out;
}

export const request = (
  sender: number,
  more: { window?: number; maxPacket?: number; name?: string; port?: number } = {},
) =>
  ({
    type: MessageType.RequestEstablishmentChannel,
    sender,
    window: more.window ?? 1_000,
    maxPacket: more.maxPacket ?? 16_384,
    source: { address: '127.0.0.1', port: 1234 },
    destination: { address: more.name ?? 'echo', port: more.port ?? 0 },
  }) as const;

export const success = (sender: number, receiver: number, window = 1_000) =>
  ({ type: MessageType.RequestEstablishmentSuccess, sender, receiver, window, maxPacket: 16_384 }) as const;

export const echec = (sender: number, error = 'no') =>
  ({ type: MessageType.RequestEchecChannel, sender, error }) as const;
export const close = (channel: number) => ({ type: MessageType.CloseChannel, channel }) as const;
export const confirmation = (channel: number) =>
  ({ type: MessageType.ConfirmationCloseChannel, channel }) as const;
export const end = (channel: number) => ({ type: MessageType.EndOfData, channel }) as const;
export const acknowledgment = (channel: number, freeSpace: number) =>
  ({ type: MessageType.Acknowledgment, channel, freeSpace }) as const;

/** A channel that the client has opened and the server has accepted. */
export function opened(pair: Pair, application = 'echo'): { near: Channel; far: Channel; id: number } {
  const near = pair.client.session.open(application) as Channel;
  pair.deliver(pair.client);
  const event = pair.server.events().find(({ type }) => type === 'connection');
  if (event === undefined) throw new Error('the server saw no channel');
  event.connection.accept();
  pair.settle();
  pair.client.events();
  return { near, far: event.connection as Channel, id: near.id };
}

/** A server's side with a channel of the client's 0 and its own 1, opened by hand: id 0x00000001. */
export function accepted(
  options: Partial<MuxServerOptions> = {},
  window = 1_000,
): { pair: Pair; far: Channel } {
  const pair = channels({}, options);
  say(pair.server, request(0, { window }));
  const [event] = pair.server.events();
  if (event?.type !== 'connection') throw new Error('the server saw no channel');
  event.connection.accept();
  said(pair.server);
  return { pair, far: event.connection as Channel };
}

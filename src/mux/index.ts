/**
 * Multiplexing: many applications in one session (docs/multiplexing.md).
 *
 * ```
 * extension.ts    the data_multiplexing extension, every form of it
 * negotiation.ts  what is offered, answered, agreed
 * protocol.ts     both on the engine's seam
 * session.ts      what an adapter sees of a session, whatever its mode
 * ports/          ports mode over TLS
 * datagrams/      ports mode over DTLS, and UDP applications over TLS
 * channels/       channel mode: flow control, both sides open
 * limits.ts       every bound
 * ```
 */
export {
  type Application,
  type DataMultiplexing,
  decodeDataMultiplexing,
  encodeDataMultiplexing,
} from './extension.ts';
export type { Agreement, ChannelsAgreement, MuxPolicy, PortsAgreement } from './negotiation.ts';
export type { MuxClientOptions, MuxOptions, MuxServerOptions, OverflowPolicy } from './options.ts';
export { Multiplexing, type MuxFactory, muxClient, muxServer } from './protocol.ts';
export type {
  ApplicationReference,
  Destination,
  MultiplexedConnection,
  MultiplexedSession,
  OpenOptions,
  OpenTarget,
  Priority,
  SessionEvent,
  SessionStats,
} from './session.ts';

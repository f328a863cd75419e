import { channel } from 'node:diagnostics_channel';

/**
 * What multiplexed sessions publish on `node:diagnostics_channel` (docs/multiplexing.md):
 *
 * `session` is a MuxSession, `connection` a MuxConnection.
 *
 * | channel | when | message |
 * |---|---|---|
 * | `trellis:mux:session` | a session is ready | `{ session }` |
 * | `trellis:mux:open` | a connection was opened here | `{ session, connection }` |
 * | `trellis:mux:accept` | the peer opened one | `{ session, connection }` |
 * | `trellis:mux:failed` | it was refused, aborted, or its session ended | `{ session, connection, error }` |
 * | `trellis:mux:close` | it is destroyed, for whatever reason | `{ session, connection }` |
 */
const channels = {
  session: channel('trellis:mux:session'),
  open: channel('trellis:mux:open'),
  accept: channel('trellis:mux:accept'),
  failed: channel('trellis:mux:failed'),
  close: channel('trellis:mux:close'),
};

export const diagnostics = {
  session(session: object): void {
    if (channels.session.hasSubscribers) channels.session.publish({ session });
  },
  open(session: object, connection: object): void {
    if (channels.open.hasSubscribers) channels.open.publish({ session, connection });
  },
  accept(session: object, connection: object): void {
    if (channels.accept.hasSubscribers) channels.accept.publish({ session, connection });
  },
  failed(session: object, connection: object, error: Error): void {
    if (channels.failed.hasSubscribers) channels.failed.publish({ session, connection, error });
  },
  close(session: object, connection: object): void {
    if (channels.close.hasSubscribers) channels.close.publish({ session, connection });
  },
};

import { describe, expect, it } from 'vitest';
import type { SubProtocolFactory } from '../../../src/connection/sub-protocol.ts';
import { type Multiplexing, muxClient, muxServer } from '../../../src/mux/index.ts';
import { clientConfig, serverConfig } from '../../setup/engine-config.ts';
import { Pair } from '../../setup/pair.ts';

/** What the peer still says after our close_notify is heard, but there is no way to answer it (RFC 8446 §6.1). */

describe.each(['ports', 'channels'] as const)('in mode %s', (mode) => {
  it('answers to what comes after our close_notify are dropped, and the session ends in order', () => {
    let near: Multiplexing | undefined;
    let far: Multiplexing | undefined;
    const client: SubProtocolFactory = (role) => (near = muxClient({ mode })(role));
    const server: SubProtocolFactory = (role) =>
      (far = muxServer({ applications: [{ name: 'echo', port: 7 }] })(role));
    const pair = new Pair({
      client: clientConfig(),
      server: serverConfig(),
      clientProtocols: [client],
      serverProtocols: [server],
    });
    pair.run();

    const opened = near?.session?.open('echo');
    opened?.write(new TextEncoder().encode('not yet'));
    near?.session?.send(65_536, 0);
    near?.session?.flush();
    pair.server.connection.close();
    pair.run();
    // The request has come, and its refusal would have to be sent.
    for (let event = far?.session?.nextEvent(); event !== undefined; event = far?.session?.nextEvent()) {
      if (event.type === 'connection') event.connection.refuse();
    }
    far?.session?.send(65_536, 0);
    far?.session?.flush();
    pair.run();

    pair.client.connection.close();
    pair.run();
    expect([pair.client.error, pair.server.error]).toEqual([undefined, undefined]);
    expect([pair.client.ended, pair.server.ended]).toEqual([true, true]);
  });
});

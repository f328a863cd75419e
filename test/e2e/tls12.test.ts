import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { muxServer } from '../../src/mux/index.ts';
import { connectMux, type MuxSession, muxSession } from '../../src/node/mux.ts';
import type { TLSSocket } from '../../src/node/tls-socket.ts';
import { CA, closeAll, readAll, serve, track, trellis } from './node-kit.ts';
import { signedSession } from './sign-sockets.ts';

/* What shares a session with application data, in TLS 1.2. */

afterEach(closeAll);

const ECHO = { name: 'echo', port: 7 };

async function gateway(): Promise<number> {
  const options = { maxVersion: 'TLSv1.2', subProtocols: [muxServer({ applications: [ECHO] })] } as const;
  const { port } = await serve(trellis, options, (socket) => {
    const session = muxSession(socket as unknown as TLSSocket);
    session?.on('connection', (connection) => connection.pipe(connection));
    session?.on('error', () => {});
  });
  return port;
}

async function open(port: number, session?: Uint8Array): Promise<MuxSession> {
  const opened = connectMux({ port, host: '127.0.0.1', servername: 'localhost', ca: CA, session });
  track(opened as unknown as Duplex);
  await once(opened, 'ready');
  return opened;
}

describe('over TLS 1.2', () => {
  it('many connections share a session', async () => {
    const session = await open(await gateway());
    expect((session.socket as TLSSocket).getProtocol()).toBe('TLSv1.2');
    const texts = await Promise.all(
      ['one', 'two', 'x'.repeat(100_000)].map(async (text) => {
        const connection = session.open('echo');
        connection.end(text);
        return String(await readAll(connection));
      }),
    );
    expect(texts.map(({ length }) => length)).toEqual([3, 3, 100_000]);
  });

  it('messages are signed and acknowledged, both ways', async () => {
    const { client, server } = await signedSession({}, {}, { maxVersion: 'TLSv1.2' });
    for (const from of [client, server]) {
      const to = from === client ? server : client;
      from.signing?.on();
      const receipt = from.signWrite('three chairs');
      for await (const { content } of to.signed) {
        expect(Buffer.from(content).toString()).toBe('three chairs');
        break;
      }
      expect(await receipt).toBeDefined();
    }
  });
});

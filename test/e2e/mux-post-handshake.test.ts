import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { afterEach, describe, expect, it } from 'vitest';
import { muxServer } from '../../src/mux/index.ts';
import { connectMux, muxSession } from '../../src/node/mux.ts';
import type { TLSSocket } from '../../src/node/tls-socket.ts';
import { CA, CLIENT, closeAll, deferred, pattern, readAll, serve, track, trellis } from './node-kit.ts';

/* A client is asked for its certificate (RFC 8446 §4.6.2) while connections share its session. */

afterEach(closeAll);

const ECHO = { name: 'echo', port: 7 };

async function gateway(options: { readonly rejectUnauthorized?: boolean } = {}) {
  const served = deferred<TLSSocket>();
  const protocols = { subProtocols: [muxServer({ applications: [ECHO] })] } as const;
  const { port } = await serve(trellis, { ca: CA, ...options, ...protocols }, (socket) => {
    const ours = socket as unknown as TLSSocket;
    const session = muxSession(ours);
    session?.on('connection', (connection) => connection.pipe(connection));
    session?.on('error', () => {});
    served.resolve(ours);
  });
  return { port, served: served.promise };
}

async function open(port: number, more: object) {
  const to = { port, host: '127.0.0.1', servername: 'localhost', ca: CA };
  const session = connectMux({ ...to, ...more });
  track(session as unknown as Duplex);
  await once(session, 'ready');
  return session;
}

describe('a certificate after the handshake, with multiplexing', () => {
  it.each(['channels', 'ports'] as const)('is shown while connections carry data (%s)', async (mode) => {
    const { port, served } = await gateway();
    const session = await open(port, { ...CLIENT, postHandshakeAuth: true, mux: { mode } });
    expect(session.agreement?.mode).toBe(mode);
    const server = await served;
    expect(server.authorized).toBe(false);

    const bytes = pattern(300_000);
    const before = session.open('echo');
    const echoed = readAll(before);
    before.write(bytes.subarray(0, 150_000));
    const asked = server.requestCertificate();
    const during = session.open('echo');
    during.end('opened meanwhile');
    before.end(bytes.subarray(150_000));

    expect(await asked).toBe(true);
    expect(server.authorized).toBe(true);
    expect(server.getPeerCertificate().subject.CN).toBe('alice');
    expect((await readAll(during)).toString()).toBe('opened meanwhile');
    expect((await echoed).equals(bytes)).toBe(true);

    // And again, with new keys on both sides.
    server.updateKeys(true);
    expect(await server.requestCertificate()).toBe(true);
    const after = session.open('echo');
    after.end('after it');
    expect((await readAll(after)).toString()).toBe('after it');
  });

  it('leaves connections alone when the client shows none', async () => {
    const { port, served } = await gateway({ rejectUnauthorized: false });
    const session = await open(port, { postHandshakeAuth: true });
    const server = await served;
    expect(await server.requestCertificate()).toBe(false);
    const connection = session.open('echo');
    connection.end('still here');
    expect((await readAll(connection)).toString()).toBe('still here');
  });

  it('is not asked of a client that does not offer it, whose connections go on', async () => {
    const { port, served } = await gateway();
    const session = await open(port, CLIENT);
    await expect((await served).requestCertificate()).rejects.toMatchObject({ code: 'ERR_TLS_OPTION' });
    const connection = session.open('echo');
    connection.end('still here');
    expect((await readAll(connection)).toString()).toBe('still here');
  });
});

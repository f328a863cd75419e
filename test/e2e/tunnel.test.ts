import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net, { type Socket } from 'node:net';
import tls from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { freePort } from '../setup/ports.ts';
import {
  dial,
  echoServer,
  listen,
  outcome,
  pki,
  portOf,
  readAll,
  startClient,
  startServer,
  startTunnel,
  type Trellis,
  type TunnelOptions,
} from './tunnel-kit.ts';

/** A tunnel to one application made of a socket handler. */
async function tunnelTo(handler: (socket: Socket) => void, options: Partial<TunnelOptions> = {}) {
  const app = await listen(net.createServer({ allowHalfOpen: true }, handler));
  const tunnel = await startTunnel({ applications: { app }, ...options });
  return { ...tunnel, port: tunnel.ports.app ?? 0 };
}

const echo = (socket: Socket): void => void socket.pipe(socket);

async function echoes(port: number, text = 'ping'): Promise<string> {
  const socket = dial(port);
  socket.end(text);
  return (await readAll(socket)).toString();
}

const received = (socket: Socket): Promise<Buffer> => new Promise((resolve) => socket.once('data', resolve));

describe('carrying', () => {
  it('opens one session on first use and logs what it carried', async () => {
    const { server, client, port, address } = await tunnelTo(echo);
    expect(server.events('session.open')).toEqual([]);
    expect(await echoes(port, 'hello')).toBe('hello');
    expect(await echoes(port, 'again')).toBe('again');
    const atClient = await client.event('connection.close', 2);
    const atServer = await server.event('connection.close', 2);
    expect(client.events('session.open')).toEqual([
      expect.objectContaining({
        session: 's1',
        peer: address,
        protocol: 'TLSv1.3',
        cipher: 'TLS_AES_128_GCM_SHA256',
        resumed: false,
      }),
    ]);
    expect(server.events('session.open')).toEqual([
      expect.objectContaining({
        session: 's1',
        mux: true,
        subject: 'CN=Trellis client',
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      }),
    ]);
    for (const line of [atClient, atServer]) {
      expect(line).toMatchObject({
        connection: 'c2',
        session: 's1',
        application: 'app',
        bytesIn: 5,
        bytesOut: 5,
        reason: 'end',
        duration: expect.any(Number),
        peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      });
    }
    expect(await client.stop()).toEqual({ code: 0, signal: null });
    expect(await server.event('session.close')).toMatchObject({
      connections: 2,
      bytesIn: 10,
      reason: 'closed',
    });
    expect(await server.stop()).toEqual({ code: 0, signal: null });
    expect(client.log.at(-1)).toMatchObject({ event: 'stopped', sessions: 1, connections: 2, failed: 0 });
    for (const program of [server, client]) {
      expect(program.stderr.split('\n').filter((line) => line !== '' && !line.startsWith('{'))).toEqual([]);
    }
  });

  it('opens the session at start with --eager', async () => {
    const { server } = await tunnelTo(echo, { connect: ['--eager'] });
    await server.event('session.open');
  });

  it('lets the server speak first', async () => {
    const { port } = await tunnelTo((socket) => {
      socket.write('220 ready\r\n');
      socket.once('data', (line) => socket.end(`got ${line}`));
    });
    const socket = dial(port);
    expect((await received(socket)).toString()).toBe('220 ready\r\n');
    socket.write('QUIT');
    expect((await readAll(socket)).toString()).toBe('got QUIT');
  });

  it('carries a half-close of either side', async () => {
    const asking = await tunnelTo((socket) => {
      void readAll(socket).then((all) => {
        setTimeout(() => socket.write('you said '), 20);
        setTimeout(() => socket.end(all), 40);
      });
    });
    expect(await echoes(asking.port, 'one thing')).toBe('you said one thing');

    let heard: Promise<Buffer> | undefined;
    const telling = await tunnelTo((socket) => {
      heard = readAll(socket);
      socket.end('that is all');
    });
    const socket = dial(telling.port);
    expect((await readAll(socket)).toString()).toBe('that is all');
    socket.write('I am ');
    await new Promise((resolve) => setTimeout(resolve, 50));
    socket.end('still here');
    expect((await heard)?.toString()).toBe('I am still here');
    expect(await telling.client.event('connection.close')).toMatchObject({ reason: 'end' });
  });

  it('carries a reset of the client to the application', async () => {
    let ending: Promise<string> | undefined;
    const { client, server, port } = await tunnelTo((socket) => {
      ending = outcome(socket);
      socket.write('x');
    });
    const socket = dial(port);
    await received(socket);
    socket.resetAndDestroy();
    expect(await client.event('connection.close')).toMatchObject({
      reason: 'local-reset',
      code: 'ECONNRESET',
    });
    expect(await server.event('connection.close')).toMatchObject({ reason: 'peer-reset' });
    expect(await ending).toBe('ECONNRESET');
  });

  it('carries a reset of the application to the client', async () => {
    const { client, server, port } = await tunnelTo((socket) => {
      socket.once('data', () => socket.resetAndDestroy());
    });
    const socket = dial(port);
    socket.write('x');
    expect(await outcome(socket)).toBe('ECONNRESET');
    expect(await server.event('connection.close')).toMatchObject({
      reason: 'local-reset',
      code: 'ECONNRESET',
    });
    expect(await client.event('connection.close')).toMatchObject({
      reason: 'peer-reset',
      code: 'ERR_MUX_ABORTED',
    });
    // The session lives on.
    expect(client.events('session.close')).toEqual([]);
  });

  it('carries 500 connections at once over one session', async () => {
    const { client, server, port } = await tunnelTo(echo);
    const texts = Array.from({ length: 500 }, (_, i) => `connection ${i} `.repeat(50));
    const answers = await Promise.all(texts.map((text) => echoes(port, text)));
    expect(answers).toEqual(texts);
    await client.event('connection.close', 500);
    expect(client.events('session.open')).toHaveLength(1);
    expect(server.events('session.open')).toHaveLength(1);
    expect(client.events('connection.close').filter(({ reason }) => reason !== 'end')).toEqual([]);
  });

  it('carries 32 MiB each way at once without a changed byte', async () => {
    const block = randomBytes(1_048_576);
    const digestOf = createHash('sha256');
    for (let i = 0; i < 32; i++) digestOf.update(block);
    const want = digestOf.digest('hex');
    const send = async (socket: Socket) => {
      for (let i = 0; i < 32; i++) {
        if (!socket.write(block)) await new Promise((resolve) => socket.once('drain', resolve));
      }
      socket.end();
    };
    const digest = (socket: Socket) =>
      new Promise<string>((resolve, reject) => {
        const hash = createHash('sha256');
        socket.on('data', (chunk) => hash.update(chunk));
        socket.on('end', () => resolve(hash.digest('hex')));
        socket.on('error', reject);
      });
    let atApplication: Promise<string> | undefined;
    const { port } = await tunnelTo((socket) => {
      atApplication = digest(socket);
      void send(socket);
    });
    const socket = dial(port);
    const [, atClient] = await Promise.all([send(socket), digest(socket)]);
    expect([atClient, await atApplication]).toEqual([want, want]);
  });

  it('stops the sender of a reader that stops, and loses nothing', async () => {
    let slow: Socket | undefined;
    const { port, server, client } = await tunnelTo((socket) => {
      slow = socket.pause();
    });
    const socket = dial(port);
    const chunk = randomBytes(65_536);
    let sent = 0;
    // Until nothing has drained for a second: every buffer on the way is full.
    while (socket.write(chunk) || (await drained(socket, 1000))) sent += chunk.length;
    sent += chunk.length;
    expect(sent).toBeLessThan(64 * 1_048_576);
    const hash = createHash('sha256');
    for (let i = 0; i < sent / chunk.length; i++) hash.update(chunk);
    const got = createHash('sha256');
    slow?.on('data', (piece) => got.update(piece));
    const ended = new Promise((resolve) => slow?.on('end', resolve));
    slow?.resume();
    socket.end();
    await ended;
    expect(got.digest('hex')).toBe(hash.digest('hex'));
    slow?.end();
    for (const program of [server, client]) {
      expect(await program.event('connection.close')).toMatchObject({ reason: 'end' });
    }
  });

  it('aborts the connection of a reader that stops for too long, and no other', async () => {
    const certificates = await pki();
    const echoing = await listen(echoServer());
    const stuck = await listen(net.createServer((socket) => void socket.pause()));
    const { server, client, ports } = await startTunnel({
      applications: { echoing, stuck },
      pki: certificates,
      connect: ['--mux-mode', 'ports'],
    });
    const patient = dial(ports.echoing ?? 0);
    patient.write('x');
    await received(patient);
    const socket = dial(ports.stuck ?? 0);
    const ending = outcome(socket);
    const chunk = randomBytes(65_536);
    const fill = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', fill);
    fill();
    expect(await server.event('connection.close')).toMatchObject({
      level: 'warn',
      application: 'stuck',
      reason: 'overflow',
    });
    expect(await client.event('connection.close')).toMatchObject({
      application: 'stuck',
      reason: 'peer-reset',
    });
    expect(await ending).toMatch(/^(ECONNRESET|EPIPE)$/);
    patient.write('y');
    expect((await received(patient)).toString()).toBe('y');
  });

  it('works over IPv6', async () => {
    const certificates = await pki();
    const app = await listen(echoServer());
    const { address } = await startServer(certificates, { app }, [], '[::1]:0');
    expect(address).toMatch(/^\[::1\]:\d+$/);
    const { client } = await startClient(certificates, address, ['app'], ['--forward', '[::1]:0=app']);
    const { forwards } = await client.result<{ forwards: { listen: string }[] }>();
    expect(await echoes(portOf(forwards[0]?.listen ?? ''))).toBe('ping');
    const six = net.connect({ host: '::1', port: portOf(forwards[1]?.listen ?? ''), allowHalfOpen: true });
    onTestFinished(() => void six.destroy());
    six.end('over six');
    expect((await readAll(six)).toString()).toBe('over six');
    expect(client.events('session.open')).toHaveLength(1);
  });
});

describe('what cannot be carried', () => {
  it('an application that the server does not have is a reset, and the session lives on', async () => {
    const certificates = await pki();
    const app = await listen(echoServer());
    const { address } = await startServer(certificates, { app });
    const { client, ports } = await startClient(
      certificates,
      address,
      ['app', 'nothere'],
      ['--mux-mode', 'ports'],
    );
    expect(await outcome(dial(ports.nothere ?? 0))).toBe('ECONNRESET');
    expect(await client.event('session.lacks')).toMatchObject({ level: 'warn', applications: ['nothere'] });
    expect(await client.event('connection.close')).toMatchObject({
      level: 'warn',
      application: 'nothere',
      reason: 'refused',
    });
    expect(await echoes(ports.app ?? 0)).toBe('ping');
    expect(client.events('session.open')).toHaveLength(1);
  });

  it('an application that is down is a reset, and works again when it is up', async () => {
    const port = await freePort();
    const { server, client, ports } = await startTunnel({ applications: { app: port } });
    expect(await outcome(dial(ports.app ?? 0))).toBe('ECONNRESET');
    expect(await server.event('connection.close')).toMatchObject({
      level: 'warn',
      reason: 'unreachable',
      code: 'ECONNREFUSED',
    });
    expect(await client.event('connection.close')).toMatchObject({ level: 'warn', reason: 'refused' });
    await listen(echoServer(), port);
    expect(await echoes(ports.app ?? 0)).toBe('ping');
  });

  it('more connections than allowed are resets', async () => {
    const { client, port } = await tunnelTo(echo, { connect: ['--max-connections', '2'] });
    const first = dial(port);
    const second = dial(port);
    for (const socket of [first, second]) {
      socket.write('x');
      await received(socket);
    }
    expect(await outcome(dial(port))).toBe('ECONNRESET');
    expect(await client.event('connection.close')).toMatchObject({ level: 'warn', reason: 'limit' });
    first.write('y');
    expect((await received(first)).toString()).toBe('y');
  });
});

describe('who may', () => {
  it('a client without a certificate, or with another CA, gets nothing', async () => {
    const certificates = await pki();
    const { server, address } = await startServer(certificates, { app: await listen(echoServer()) });
    const other = await pki();
    const { ports } = await startClient({ ...other, ca: certificates.ca }, address, ['app']);
    const ended = await outcome(dial(ports.app ?? 0));
    expect(ended).toBe('ECONNRESET');
    expect(await server.event('session.refused')).toMatchObject({ level: 'warn', code: expect.any(String) });
    expect(server.events('session.open')).toEqual([]);
  });

  it('a server with another CA or another name gets nothing', async () => {
    const certificates = await pki();
    const { server, address } = await startServer(certificates, { app: await listen(echoServer()) });
    const other = await pki();
    const limit = ['--wait-timeout', '500ms'];
    const untrusting = await startClient({ ...certificates, ca: other.ca }, address, ['app'], limit);
    expect(await outcome(dial(untrusting.ports.app ?? 0))).toBe('ECONNRESET');
    expect(await untrusting.client.event('session.retry')).toMatchObject({
      level: 'warn',
      code: expect.any(String),
    });
    expect(await untrusting.client.event('connection.close')).toMatchObject({
      level: 'warn',
      reason: 'no-session',
    });
    const elsewhere = await startClient(
      certificates,
      address,
      ['app'],
      [...limit, '--servername', 'elsewhere.example'],
    );
    expect(await outcome(dial(elsewhere.ports.app ?? 0))).toBe('ECONNRESET');
    expect(await elsewhere.client.event('session.retry')).toMatchObject({
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
    });
    expect(server.events('session.open')).toEqual([]);
  });

  it('a client that does not multiplex is refused, or connected to the first application with --mux allow', async () => {
    const certificates = await pki();
    const greet = (text: string) => listen(net.createServer((socket) => socket.end(text)));
    const applications = { first: await greet('first'), second: await greet('second') };
    const ordinary = async (address: string) => {
      const socket = tls.connect({
        host: '127.0.0.1',
        port: portOf(address),
        servername: 'localhost',
        ca: readFileSync(certificates.ca),
        cert: readFileSync(certificates.client),
        key: readFileSync(certificates.clientKey),
      });
      onTestFinished(() => void socket.destroy());
      return readAll(socket);
    };
    const strict = await startServer(certificates, applications);
    await expect(ordinary(strict.address)).rejects.toMatchObject({
      // OpenSSL 3.5, in Node 24, has another name for it.
      code: expect.stringMatching(/^ERR_SSL_SSL(V3|\/TLS)_ALERT_HANDSHAKE_FAILURE$/),
    });
    expect(await strict.server.event('session.refused')).toMatchObject({ code: 'ERR_MUX_REQUIRED' });
    const lenient = await startServer(certificates, applications, ['--mux', 'allow']);
    expect((await ordinary(lenient.address)).toString()).toBe('first');
    expect(await lenient.server.event('session.open')).toMatchObject({ mux: false });
    expect(await lenient.server.event('connection.close')).toMatchObject({
      application: 'first',
      bytesOut: 5,
    });
    const { ports } = await startClient(certificates, lenient.address, ['second']);
    expect((await readAll(dial(ports.second ?? 0))).toString()).toBe('second');
  });
});

describe('when the session drops', () => {
  it('open connections are reset, new ones wait for the server to come back', async () => {
    const certificates = await pki();
    const app = await listen(echoServer());
    const { server, address } = await startServer(certificates, { app });
    const { client, ports } = await startClient(certificates, address, ['app']);
    const open = dial(ports.app ?? 0);
    open.write('x');
    await received(open);
    const ending = outcome(open);
    await server.stop('SIGKILL');
    expect(await ending).toBe('ECONNRESET');
    expect(await client.event('connection.close')).toMatchObject({ reason: 'session-lost' });
    expect(await client.event('session.close')).toMatchObject({ reason: 'failed' });
    const waiting = echoes(ports.app ?? 0, 'patience');
    await client.event('session.retry', 2);
    await startServer(certificates, { app }, [], address);
    expect(await waiting).toBe('patience');
    expect(client.events('session.open')).toHaveLength(2);
    const delays = client.events('session.retry').map(({ delay }) => Number(delay));
    expect(Math.max(...delays)).toBeGreaterThan(200);
  });

  it('resumes with its ticket when the server has only closed the session', async () => {
    const relays: Socket[] = [];
    const via = async (server: string) => {
      const port = await listen(
        net.createServer((near) => {
          const far = net.connect(portOf(server), '127.0.0.1');
          far.on('error', () => near.destroy());
          near.on('close', () => far.destroy());
          relays.push(near);
          near.pipe(far).pipe(near);
        }),
      );
      return `127.0.0.1:${port}`;
    };
    const { client, port } = await tunnelTo(echo, { via });
    expect(await echoes(port)).toBe('ping');
    relays[0]?.resetAndDestroy();
    expect(await client.event('session.open', 2)).toMatchObject({ resumed: true });
    expect(await echoes(port)).toBe('ping');
  });

  it('a connection does not wait longer than it may', async () => {
    const { client, ports } = await startClient(
      await pki(),
      `127.0.0.1:${await freePort()}`,
      ['app'],
      ['--wait-timeout', '700ms'],
    );
    expect(await outcome(dial(ports.app ?? 0))).toBe('ECONNRESET');
    expect(await client.event('connection.close')).toMatchObject({
      level: 'warn',
      reason: 'no-session',
      error: expect.stringContaining('ECONNREFUSED'),
    });
    expect(client.events('session.retry').length).toBeGreaterThan(1);
    expect(await client.stop()).toEqual({ code: 0, signal: null });
  });
});

describe('stopping', () => {
  const sides = ['server', 'client'] as const;

  it.each(sides)('lets connections finish: %s', async (side) => {
    const tunnel = await tunnelTo(echo);
    const socket = dial(tunnel.port);
    socket.write('before ');
    await received(socket);
    const program = tunnel[side];
    program.child.kill('SIGTERM');
    await program.event('stopping');
    expect(program.events('stopping')).toMatchObject([{ signal: 'SIGTERM', connections: 1 }]);
    const rest = readAll(socket);
    socket.end('after');
    expect((await rest).toString()).toBe('after');
    expect(await program.exited).toEqual({ code: 0, signal: null });
    expect(program.log.at(-1)).toMatchObject({ event: 'stopped', failed: 0 });
  });

  it.each(sides)('accepts nothing new meanwhile: %s', async (side) => {
    const tunnel = await tunnelTo(echo);
    const socket = dial(tunnel.port);
    socket.write('x');
    await received(socket);
    tunnel[side].child.kill('SIGINT');
    await tunnel[side].event('stopping');
    expect(await outcome(dial(tunnel.port))).toMatch(/^(ECONNREFUSED|ECONNRESET)$/);
    socket.end();
    expect(await tunnel[side].exited).toEqual({ code: 0, signal: null });
  });

  it.each(sides)('resets what is left after the limit: %s', async (side) => {
    const tunnel = await tunnelTo(echo, {
      serve: ['--drain-timeout', '300ms'],
      connect: ['--drain-timeout', '300ms'],
    });
    const socket = dial(tunnel.port);
    socket.write('x');
    await received(socket);
    const ending = outcome(socket);
    expect(await tunnel[side].stop()).toEqual({ code: 0, signal: null });
    expect(await ending).toBe('ECONNRESET');
    expect(tunnel[side].events('connection.close')).toMatchObject([{ reason: 'stopped' }]);
  });

  it.each(sides)('ends at once at the second signal: %s', async (side) => {
    const tunnel = await tunnelTo(echo, {
      serve: ['--drain-timeout', '60m'],
      connect: ['--drain-timeout', '60m'],
    });
    const socket = dial(tunnel.port);
    socket.write('x');
    await received(socket);
    const program: Trellis = tunnel[side];
    program.child.kill('SIGINT');
    await program.event('stopping');
    const exit = await program.stop('SIGINT');
    expect(exit, program.stderr).toEqual({ code: 0, signal: null });
  });

  it('ends at once when nothing is open, also while it waits for a server', async () => {
    const { client } = await startClient(
      await pki(),
      `127.0.0.1:${await freePort()}`,
      ['app'],
      ['--eager', '--drain-timeout', '60m'],
    );
    await client.event('session.retry');
    expect(await client.stop()).toEqual({ code: 0, signal: null });
  });
});

async function drained(socket: Socket, limit: number): Promise<boolean> {
  return new Promise((resolve) => {
    const onDrain = () => {
      clearTimeout(timer);
      resolve(true);
    };
    const timer = setTimeout(() => {
      socket.off('drain', onDrain);
      resolve(false);
    }, limit);
    socket.once('drain', onDrain);
  });
}

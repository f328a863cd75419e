import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { SubProtocol, SubProtocolLink } from '../../src/connection/sub-protocol.ts';
import { type MuxClientOptions, type MuxServerOptions, muxClient, muxServer } from '../../src/mux/index.ts';
import {
  connectMux,
  type MuxConnection,
  type MuxConnectionOptions,
  type MuxSession,
  muxSession,
} from '../../src/node/mux.ts';
import type { TLSSocket } from '../../src/node/tls-socket.ts';
import {
  CA,
  closeAll,
  deferred,
  dial,
  nextError,
  node,
  pattern,
  readAll,
  serve,
  track,
  trellis,
} from './node-kit.ts';

afterEach(closeAll);

const APPLICATIONS = [
  { name: 'echo', port: 7 },
  { name: 'sink', port: 9 },
  { name: 'http', port: 80 },
];

interface Gateway {
  readonly port: number;
  /** Sessions accepted so far; `undefined` stands for ordinary TLS. */
  readonly sessions: (MuxSession | undefined)[];
}

/** A server that multiplexes. */
async function gateway(
  onConnection: (connection: MuxConnection) => void,
  options: Partial<MuxServerOptions> & { accepted?: MuxConnectionOptions } = {},
  onPlain: (socket: Duplex) => void = () => {},
): Promise<Gateway> {
  const { accepted, ...mux } = options;
  const sessions: (MuxSession | undefined)[] = [];
  const { port } = await serve(
    trellis,
    { subProtocols: [muxServer({ applications: APPLICATIONS, ...mux })] },
    (socket) => {
      const session = muxSession(socket as unknown as TLSSocket, accepted);
      sessions.push(session);
      if (session === undefined) onPlain(socket);
      session?.on('connection', (connection) => {
        connection.on('error', () => {});
        onConnection(connection);
      });
      session?.on('error', () => {});
    },
  );
  return { port, sessions };
}

async function open(port: number, mux: MuxClientOptions = {}, session?: Uint8Array): Promise<MuxSession> {
  const opened = connectMux({ port, host: '127.0.0.1', servername: 'localhost', ca: CA, mux, session });
  track(opened as unknown as Duplex);
  await once(opened, 'ready');
  return opened;
}

function echo(connection: MuxConnection): void {
  connection.pipe(connection);
}

/** The next error of a session. */
function faultOf(session: MuxSession): Promise<Error & { code?: string }> {
  return new Promise((resolve) => session.once('error', resolve));
}

const sum = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

describe('one TLS session', () => {
  it('carries a thousand connections', async () => {
    const { port, sessions } = await gateway(echo);
    const session = await open(port);
    const answers = Array.from({ length: 1000 }, async (_, i) => {
      const connection = session.open('echo');
      connection.end(`${i}`);
      return (await readAll(connection)).toString();
    });
    expect(await Promise.all(answers)).toEqual(Array.from({ length: 1000 }, (_, i) => `${i}`));
    expect(sessions.length).toBe(1);
  });

  it('carries megabytes both ways on several connections at once', async () => {
    const { port } = await gateway(echo, { accepted: { allowHalfOpen: true } });
    const session = await open(port);
    const data = pattern(6_000_011);
    const sums = [1, 2, 3].map(async (lane) => {
      const connection = session.open('echo', { allowHalfOpen: true });
      const lanes = data.subarray(lane);
      async function* pieces(): AsyncIterable<Buffer> {
        for (let at = 0; at < lanes.length; at += 100_003) yield lanes.subarray(at, at + 100_003);
      }
      const [back] = await Promise.all([readAll(connection), pipeline(pieces(), connection)]);
      return sum(back) === sum(lanes);
    });
    expect(await Promise.all(sums)).toEqual([true, true, true]);
  });

  it('multiplexes again after resumption', async () => {
    const { port, sessions } = await gateway(echo);
    const first = await open(port);
    const [ticket] = (await once(first.socket, 'session')) as [Uint8Array];
    first.close();
    await once(first, 'close');
    const second = await open(port, {}, ticket);
    expect((second.socket as TLSSocket).isSessionReused()).toBe(true);
    const connection = second.open('echo');
    connection.end('again');
    expect((await readAll(connection)).toString()).toBe('again');
    expect(sessions.length).toBe(2);
  });

  it('knows the addresses of the network', async () => {
    const peer = deferred<MuxConnection>();
    const { port } = await gateway(peer.resolve);
    const connection = (await open(port, { mode: 'ports' })).open('echo', { localPort: 4321 });
    expect(connection).toMatchObject({ remoteAddress: '127.0.0.1', remotePort: 7, localPort: 4321 });
    expect(await peer.promise).toMatchObject({ remoteAddress: '127.0.0.1', remotePort: 4321, localPort: 7 });
  });

  it('is closed by either side when its connections are done', async () => {
    const { port, sessions } = await gateway(echo);
    for (const side of ['client', 'server'] as const) {
      const session = await open(port);
      const connection = session.open('echo');
      connection.write('x');
      await once(connection, 'data');
      const server = sessions.at(-1) as MuxSession;
      const both = Promise.all([once(session, 'close'), once(server, 'close')]);
      (side === 'client' ? session : server).close();
      connection.end();
      await both;
      expect([session.connections, server.connections]).toEqual([0, 0]);
    }
  });

  it('fails its connections when the network goes', async () => {
    const peer = deferred<MuxConnection>();
    const { port, sessions } = await gateway(peer.resolve);
    const session = await open(port);
    const connection = session.open('echo');
    connection.write('x');
    const far = await peer.promise;
    const faults = Promise.all([nextError(connection), nextError(far), faultOf(session)]);
    ((sessions[0] as MuxSession).socket as TLSSocket).transport?.destroy();
    expect((await faults).map(({ code }) => code)).toEqual([
      'ERR_MUX_SESSION_CLOSED',
      'ERR_MUX_SESSION_CLOSED',
      'ERR_TLS_TRUNCATED',
    ]);
  });

  it('can be given up before it is there', async () => {
    const { port } = await gateway(echo);
    const session = connectMux({ port, host: '127.0.0.1', ca: CA });
    expect(() => session.open('echo')).toThrow(expect.objectContaining({ code: 'ERR_TLS_NOT_CONNECTED' }));
    session.close();
    await once(session, 'close');
  });

  it('reports a handshake that failed', async () => {
    const { port } = await gateway(echo);
    const session = connectMux({ port, host: '127.0.0.1', servername: 'elsewhere.test', ca: CA });
    expect(await faultOf(session)).toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });
});

describe('negotiation over real handshakes', () => {
  it('require: a client that does not multiplex gets handshake_failure', async () => {
    const { port } = await gateway(echo);
    expect(await nextError(dial(node, port))).toMatchObject({
      // OpenSSL 3.5, in Node 24, has another name for it.
      code: expect.stringMatching(/^ERR_SSL_SSL(V3|\/TLS)_ALERT_HANDSHAKE_FAILURE$/),
    });
    expect(await nextError(dial(trellis, port))).toMatchObject({ code: 'ERR_TLS_ALERT_HANDSHAKE_FAILURE' });
  });

  it('allow: such a client has an ordinary session', async () => {
    const { port, sessions } = await gateway(echo, { policy: 'allow' }, (socket) => socket.pipe(socket));
    for (const stack of [node, trellis]) {
      const socket = dial(stack, port);
      socket.end('plain');
      expect((await readAll(socket)).toString()).toBe('plain');
    }
    expect(sessions).toEqual([undefined, undefined]);
  });

  it('require: our client refuses a server that does not multiplex', async () => {
    const alert = deferred<Error>();
    const { port, listener } = await serve(node, {}, () => {});
    listener.on('tlsClientError', alert.resolve);
    expect(await faultOf(connectMux({ port, host: '127.0.0.1', ca: CA }))).toMatchObject({
      code: 'ERR_MUX_REQUIRED',
    });
    expect(await alert.promise).toMatchObject({ code: expect.stringContaining('HANDSHAKE_FAILURE') });
  });

  it('allow: our client has an ordinary session with it', async () => {
    const { port } = await serve(node, {}, (socket) => socket.pipe(socket));
    const socket = dial(trellis, port, { subProtocols: [muxClient({ policy: 'allow' })] });
    socket.end('plain');
    expect((await readAll(socket)).toString()).toBe('plain');
    expect(muxSession(socket as unknown as TLSSocket)).toBeUndefined();
  });

  it('nothing in common: handshake_failure', async () => {
    const { port } = await gateway(echo);
    const session = connectMux({
      port,
      host: '127.0.0.1',
      ca: CA,
      mux: { mode: 'ports', applications: [{ name: 'gopher', port: 70 }] },
    });
    expect(await faultOf(session)).toMatchObject({ code: 'ERR_TLS_ALERT_HANDSHAKE_FAILURE' });
  });
});

describe('http over connections', () => {
  async function web(
    handler: http.RequestListener,
  ): Promise<{ session: MuxSession; agent: http.Agent; connections: number[] }> {
    const server = http.createServer(handler);
    const connections: number[] = [];
    const { port } = await gateway((connection) => {
      connections.push(connection.remotePort);
      server.emit('connection', connection);
    });
    const session = await open(port);
    const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });
    Object.assign(agent, { createConnection: () => session.open('http') });
    return { session, agent, connections };
  }

  function request(
    agent: http.Agent,
    options: http.RequestOptions,
    body?: Buffer,
  ): Promise<[IncomingMessage, Buffer]> {
    return new Promise((resolve, reject) => {
      const sent = http.request({ agent, host: 'application.test', ...options }, (answer) => {
        readAll(answer as unknown as Duplex).then((all) => resolve([answer, all]), reject);
      });
      sent.on('error', reject);
      sent.end(body);
    });
  }

  it('answers 200 requests at once, reusing connections', async () => {
    const { agent, connections } = await web((asked, answer) => answer.end(`${asked.method} ${asked.url}`));
    const answers = await Promise.all(
      Array.from({ length: 200 }, async (_, i) => (await request(agent, { path: `/${i}` }))[1].toString()),
    );
    expect(answers).toEqual(Array.from({ length: 200 }, (_, i) => `GET /${i}`));
    expect(connections.length).toBe(20);
    agent.destroy();
  });

  it('carries bodies both ways', async () => {
    const { agent } = await web((asked, answer) => {
      asked.pipe(answer);
    });
    const body = pattern(3_000_001);
    const [answer, back] = await request(agent, { method: 'POST', path: '/' }, body);
    expect([answer.statusCode, sum(back)]).toEqual([200, sum(body)]);
  });

  it('without keep-alive closes each connection, on both sides', async () => {
    const { session, connections } = await web((_asked, answer) => answer.end('once'));
    const agent = new http.Agent();
    Object.assign(agent, { createConnection: () => session.open('http') });
    for (let i = 0; i < 5; i++) expect((await request(agent, { path: '/' }))[1].toString()).toBe('once');
    expect(connections.length).toBe(5);
    await expect.poll(() => session.connections).toBe(0);
  });

  it('tells a server that its client has gone', async () => {
    const gone = deferred<void>();
    const { session } = await web((asked, answer) => {
      answer.write('half');
      asked.on('close', gone.resolve);
    });
    const connection = session.open('http');
    connection.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await once(connection, 'data');
    connection.destroy();
    await gone.promise;
  });

  it('times out an idle connection', async () => {
    const { agent } = await web(() => {});
    const asked = http.request({ agent, host: 'application.test', timeout: 50 });
    asked.on('timeout', () => asked.destroy(new Error('too slow')));
    asked.end();
    expect(await nextError(asked as unknown as Socket)).toMatchObject({ message: 'too slow' });
  });

  it('upgrades', async () => {
    const server = http.createServer();
    server.on('upgrade', (_asked, socket: Duplex) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.pipe(socket);
    });
    const { port } = await gateway((connection) => server.emit('connection', connection));
    const session = await open(port);
    const asked = http.request({
      createConnection: () => session.open('http') as unknown as Socket,
      headers: { Connection: 'Upgrade', Upgrade: 'echo' },
    });
    asked.end();
    const [, socket] = (await once(asked, 'upgrade')) as [IncomingMessage, Duplex];
    socket.end('upgraded');
    expect((await readAll(socket)).toString()).toBe('upgraded');
  });
});

describe('a slow reader', () => {
  it('stops the session for its time, is aborted, and the others have lost nothing', async () => {
    const slow = deferred<MuxConnection>();
    const { port } = await gateway(
      (connection) => {
        if (connection.application.name === 'sink') slow.resolve(connection);
        else echo(connection);
      },
      { mode: 'ports', receiveBuffer: 200_000, pauseLimit: 300, accepted: { allowHalfOpen: true } },
    );
    const session = await open(port);
    const sink = session.open('sink');
    const other = session.open('echo', { allowHalfOpen: true });
    const faults = Promise.all([nextError(sink), slow.promise.then(nextError)]);
    const data = pattern(1_000_003);
    const back = readAll(other);
    const block = Buffer.alloc(65_536);
    const pour = (): void => {
      while (!sink.destroyed && sink.write(block));
      if (!sink.destroyed) sink.once('drain', pour);
    };
    pour();
    other.end(data);
    expect((await faults).map(({ code }) => code)).toEqual(['ERR_MUX_ABORTED', 'ERR_MUX_OVERFLOW']);
    expect(sum(await back)).toBe(sum(data));
  });
});

describe('a peer that breaks the rules', () => {
  /** A client that agrees on ports mode and then sends what it likes. */
  async function rogue(port: number): Promise<{ socket: Duplex; send: (hex: string) => void }> {
    const linked = deferred<SubProtocolLink>();
    const protocol: SubProtocol = {
      name: 'rogue',
      extensionType: 0xff4d,
      contentTypes: [28],
      handshakeTypes: [],
      offer: () => Buffer.from('00000603414c4c0000', 'hex'),
      answer: () => undefined,
      confirm: () => {},
      start: linked.resolve,
      receiveRecord: () => {},
      receiveHandshake: () => {},
      receiveEnd: () => {},
      closed: () => {},
    };
    const socket = dial(trellis, port, { subProtocols: [() => protocol] });
    const link = await linked.promise;
    return {
      socket,
      send: (hex) => {
        link.send(28, Buffer.from(hex.replaceAll(' ', ''), 'hex'));
        (socket as unknown as TLSSocket).flush();
      },
    };
  }

  it.each([
    [
      'a control frame of 4 bytes',
      '0000 0000 0004 c000 0007',
      'ERR_TLS_DECODE',
      'ERR_TLS_ALERT_DECODE_ERROR',
    ],
    [
      'an unknown control code',
      '0000 0000 0005 c000 0007 09',
      'ERR_TLS_ILLEGAL_PARAMETER',
      'ERR_TLS_ALERT_ILLEGAL_PARAMETER',
    ],
    [
      'a frame to port 0',
      'c000 0000 0001 78',
      'ERR_TLS_ILLEGAL_PARAMETER',
      'ERR_TLS_ALERT_ILLEGAL_PARAMETER',
    ],
  ])('%s ends its session with the alert, and no other', async (_what, hex, code, alert) => {
    const { port, sessions } = await gateway(echo);
    const honest = await open(port);
    const { socket, send } = await rogue(port);
    send('0000 0000 0005 c000 0007 00');
    await expect.poll(() => sessions.length).toBe(2);
    const fault = faultOf(sessions[1] as MuxSession);
    const told = nextError(socket);
    send(hex);
    expect(await fault).toMatchObject({ code });
    expect(await told).toMatchObject({ code: alert });
    const connection = honest.open('echo');
    connection.end('unharmed');
    expect((await readAll(connection)).toString()).toBe('unharmed');
  });

  it('refusals that it never answers are discarded quietly, and its good frames served', async () => {
    const got = deferred<string>();
    const { port, sessions } = await gateway((connection) => {
      connection.once('data', (data: Buffer) => got.resolve(data.toString()));
    });
    const { send } = await rogue(port);
    send('c000 1234 0001 78'); // unknown application
    send('c000 1234 0001 78');
    send('c001 0007 0002 6f6b');
    expect(await got.promise).toBe('ok');
    expect(sessions[0]?.connections).toBe(1);
  });
});

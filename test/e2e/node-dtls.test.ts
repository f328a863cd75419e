import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { randomFrom } from '../../demo/udp/relay.ts';
import { muxClient, muxServer } from '../../src/mux/index.ts';
import {
  createSocket as createDtlsSocket,
  createServer,
  type DtlsConnectOptions,
  type DtlsEndpoint,
  type DtlsSocket,
  type Remote,
  SrtpProfile,
} from '../../src/node/dtls/index.ts';
import { muxSession } from '../../src/node/mux.ts';
import { ask, echo } from '../setup/datagrams.ts';
import { dial, dialed, dtlsServer, rebindingRelay, relay } from './dtls-kit.ts';
import { CA, CLIENT, OTHER_CA, SERVER } from './node-kit.ts';

const VERSIONS = [
  ['DTLSv1.2', 'TLSv1.2'],
  ['DTLSv1.3', 'TLSv1.3'],
] as const;

describe.each(VERSIONS)('%s', (protocol, version) => {
  const versions = { minVersion: version, maxVersion: version } as const;

  it('carries datagrams both ways, boundaries kept', async () => {
    const { port } = await dtlsServer(versions, echo);
    const socket = await dialed(port, versions);
    expect(socket.getProtocol()).toBe(protocol);
    expect(socket.authorized).toBe(true);
    expect(socket.getPeerX509Certificate()?.subject).toContain('localhost');
    for (const length of [1, 2, 500, socket.maxDatagramSize]) {
      const datagram = Buffer.alloc(length, length % 251);
      expect((await ask(socket, datagram)).equals(datagram)).toBe(true);
    }
    expect(socket.counts).toMatchObject({ sent: 4, received: 4, dropped: 0 });
  });

  it('says how much fits, and that more does not', async () => {
    const { port } = await dtlsServer(versions, echo);
    const socket = await dialed(port, { ...versions, mtu: 600 });
    expect(socket.maxDatagramSize).toBeGreaterThan(500);
    expect(socket.maxDatagramSize).toBeLessThan(600);
    expect(() => socket.send(Buffer.alloc(socket.maxDatagramSize + 1))).toThrow(
      expect.objectContaining({ code: 'ERR_DTLS_TOO_LARGE' }),
    );
    expect((await ask(socket, 'still here')).toString()).toBe('still here');
  });

  it('agrees on keys for SRTP, in the order of the server', async () => {
    const srtp = ['SRTP_AEAD_AES_256_GCM', 'SRTP_AES128_CM_HMAC_SHA1_80'] as const;
    const { server, port } = await dtlsServer({ ...versions, srtp });
    const secured = once(server, 'secureConnection') as Promise<[DtlsSocket]>;
    const socket = await dialed(port, { ...versions, srtp: srtp.toReversed() });
    const keys = socket.srtp;
    expect(keys?.profile).toBe(SrtpProfile.SRTP_AEAD_AES_256_GCM);
    expect([keys?.client.key.length, keys?.server.salt.length]).toEqual([32, 12]);
    // RFC 5764 §4.2: client key, server key, client salt, server salt, from the exporter.
    const material = socket.exportKeyingMaterial(88, 'EXTRACTOR-dtls_srtp');
    const parts = [keys?.client.key, keys?.server.key, keys?.client.salt, keys?.server.salt];
    expect(Buffer.concat(parts.map((part) => part ?? new Uint8Array()))).toEqual(material);
    const [theirs] = await secured;
    expect(theirs.srtp).toEqual(keys);
  });

  it('goes without SRTP where no profile is shared, or one side has none', async () => {
    const { port } = await dtlsServer({ ...versions, srtp: ['SRTP_AEAD_AES_128_GCM'] }, echo);
    for (const more of [{}, { srtp: ['SRTP_AES128_CM_HMAC_SHA1_32'] as const }]) {
      const socket = await dialed(port, { ...versions, ...more });
      expect(socket.srtp).toBeUndefined();
      expect((await ask(socket, 'x')).toString()).toBe('x');
    }
    for (const srtp of [[], ['SRTP_NULL_SHA1_80']] as unknown as DtlsConnectOptions['srtp'][]) {
      expect(() => dial(port, { srtp })).toThrow(expect.objectContaining({ code: 'ERR_TLS_OPTION' }));
      expect(() => createServer({ ...SERVER, srtp })).toThrow(
        expect.objectContaining({ code: 'ERR_TLS_OPTION' }),
      );
    }
  });

  it('serves many peers on one port', async () => {
    const { server, port } = await dtlsServer(versions, (socket) => {
      socket.on('message', (datagram) => socket.send(`${socket.remotePort} ${datagram}`));
    });
    const sockets = await Promise.all(Array.from({ length: 20 }, () => dialed(port, versions)));
    const answers = await Promise.all(sockets.map((socket, n) => ask(socket, String(n))));
    expect(answers.map(String)).toEqual(sockets.map((socket, n) => `${socket.localPort} ${n}`));
    expect(server.stats).toMatchObject({ sessions: 20, halfOpen: 0 });
  });

  it('asks for a client certificate, and knows who it is', async () => {
    let subject: string | undefined;
    const { port } = await dtlsServer({ ...versions, requestCert: true, ca: CA }, (socket) => {
      subject = socket.getPeerX509Certificate()?.subject;
      expect(socket.authorized).toBe(true);
      echo(socket);
    });
    const socket = await dialed(port, { ...versions, ...CLIENT });
    await ask(socket, 'x');
    expect(subject).toContain('alice');
  });

  it('refuses a server of another CA, and the server hears why', async () => {
    const { server, port } = await dtlsServer(versions, echo);
    const failed = once(server, 'tlsClientError');
    const socket = dial(port, { ...versions, ca: OTHER_CA });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    const [heard] = (await failed) as [NodeJS.ErrnoException];
    expect(heard.code).toBe('ERR_TLS_ALERT_UNKNOWN_CA');
    expect(server.stats).toMatchObject({ sessions: 0, halfOpen: 0 });
  });

  it('closes both ends with close_notify', async () => {
    let ended = false;
    const { server, port } = await dtlsServer(versions, (socket) => {
      socket.on('end', () => {
        ended = true;
      });
      echo(socket);
    });
    const socket = await dialed(port, versions);
    await ask(socket, 'x');
    const accepted = new Promise<void>((resolve) => {
      const look = (): void => {
        if (server.stats.sessions === 0) resolve();
        else setTimeout(look, 20);
      };
      look();
    });
    socket.close();
    await once(socket, 'close');
    await accepted;
    expect(ended).toBe(true);
    expect(() => socket.send('late')).toThrow(expect.objectContaining({ code: 'ERR_TLS_CLOSED' }));
  });
});

describe('a bad network', () => {
  it.each(VERSIONS)(
    '%s: the handshake and data survive a relay that loses, repeats and delays',
    async (protocol, version) => {
      const versions = { minVersion: version, maxVersion: version } as const;
      const { port } = await dtlsServer({ ...versions, retransmitTimeout: 50 }, echo);
      const random = randomFrom(7);
      const via = await relay(port, () => {
        const luck = random();
        if (luck < 0.2) return [];
        if (luck < 0.3) return [0, 0];
        if (luck < 0.4) return [20];
        return [0];
      });
      const socket = await dialed(via, { ...versions, mtu: 400, retransmitTimeout: 50 });
      expect(socket.getProtocol()).toBe(protocol);
      const answers = new Set<string>();
      socket.on('message', (datagram) => {
        // Replays end in the window.
        expect(answers.has(String(datagram))).toBe(false);
        answers.add(String(datagram));
      });
      for (let n = 0; n < 200; n++) {
        socket.send(`datagram ${n}`);
        if (n % 10 === 9) await sleep(10);
      }
      await expect.poll(() => answers.size, { timeout: 30_000 }).toBeGreaterThan(60);
    },
  );

  it('a server that does not answer ends in a time-out, not in silence', async () => {
    const nobody = await relay(1, () => []);
    const socket = dial(nobody, { handshakeTimeout: 300, retransmitTimeout: 50 });
    const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException];
    expect(error.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
  });
});

describe('a server before the cookie', () => {
  it('keeps nothing of those who only say hello, and sends them no more than three times what they sent', async () => {
    const { server, port } = await dtlsServer({}, echo);
    const hellos: Buffer[] = [];
    const sink = await relay(1, (datagram) => {
      hellos.push(datagram);
      return [];
    });
    const socket = dial(sink);
    await expect.poll(() => hellos.length).toBeGreaterThan(0);
    socket.destroy();
    const hello = hellos[0] as Buffer;
    const attacker = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void attacker.close());
    let received = 0;
    attacker.on('message', (datagram) => {
      received += datagram.length;
    });
    await once(attacker, 'listening');
    for (let n = 0; n < 50; n++) attacker.send(hello, port, '127.0.0.1');
    await expect.poll(() => server.stats.replies).toBe(50);
    expect(server.stats).toMatchObject({ sessions: 0, halfOpen: 0 });
    expect(received).toBeLessThanOrEqual(3 * 50 * hello.length);
  });

  it('counts what is no first message', async () => {
    const { server, port } = await dtlsServer({}, echo);
    const sender = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void sender.close());
    for (const junk of ['', 'x', 'GET / HTTP/1.1\r\n\r\n', Buffer.alloc(1_200, 22)])
      sender.send(junk, port, '127.0.0.1');
    await expect.poll(() => server.stats.strays).toBe(4);
    expect(server.stats).toMatchObject({ sessions: 0, halfOpen: 0, replies: 0 });
  });

  it('bounds handshakes under way', async () => {
    const { server, port } = await dtlsServer({ maxHalfOpen: 2, handshakeTimeout: 60_000 }, echo);
    // Everything behind the cookie is lost on the way to the server: its handshakes stay half open.
    const via = (): Promise<number> => {
      let sent = 0;
      return relay(port, (_datagram, towards) => (towards === 'server' && ++sent > 2 ? [] : [0]));
    };
    // A first message that is sent again would be the second that is let through.
    const patient = { handshakeTimeout: 60_000, retransmitTimeout: 60_000 };
    for (let n = 0; n < 4; n++) dial(await via(), patient).on('error', () => {});
    await expect.poll(() => server.stats.refused).toBeGreaterThanOrEqual(2);
    expect(server.stats).toMatchObject({ sessions: 0, halfOpen: 2 });
  });
});

describe('addresses', () => {
  it('a client that has lost its session begins anew from the same address', async () => {
    const { server, port } = await dtlsServer({}, echo);
    const endpoint = createDtlsSocket();
    onTestFinished(() => void endpoint.close());
    const options = { host: '127.0.0.1', port, ca: CA, servername: 'localhost' };
    const first = endpoint.connect(options);
    await once(first, 'secureConnect');
    await ask(first, 'first');
    const closed = new Promise<void>((resolve) => {
      first.on('close', resolve);
    });
    first.destroy();
    await closed;
    const second = endpoint.connect(options);
    await once(second, 'secureConnect');
    expect((await ask(second, 'second')).toString()).toBe('second');
    expect(server.stats).toMatchObject({ sessions: 1, halfOpen: 0 });
  });

  it('one port has sessions with several peers, and takes those that begin at the other end', async () => {
    const { port: one } = await dtlsServer({}, echo);
    const { port: two } = await dtlsServer({}, echo);
    const endpoint = createDtlsSocket({}, SERVER);
    endpoint.on('secureConnection', echo);
    endpoint.listen(0, '127.0.0.1');
    await once(endpoint, 'listening');
    onTestFinished(() => void endpoint.close());
    const sockets = [one, two].map((port) =>
      endpoint.connect({ host: '127.0.0.1', port, ca: CA, servername: 'localhost' }),
    );
    await Promise.all(sockets.map((socket) => once(socket, 'secureConnect')));
    const incoming = await dialed(endpoint.address()?.port as number);
    expect(await Promise.all([...sockets, incoming].map((socket, n) => ask(socket, `to ${n}`)))).toHaveLength(
      3,
    );
    expect(endpoint.stats.sessions).toBe(3);
    expect(() => endpoint.listen(0)).toThrow(expect.objectContaining({ code: 'ERR_TLS_OPTION' }));
  });

  it.each(VERSIONS)(
    '%s: a client whose address changes keeps its session, by its connection ID',
    async (_name, version) => {
      const versions = { minVersion: version, maxVersion: version } as const;
      const moves: Remote[] = [];
      const { server, port } = await dtlsServer(versions, (socket) => {
        socket.on('move', (remote) => moves.push(remote));
        echo(socket);
      });
      const nat = await rebindingRelay(port);
      const socket = await dialed(nat.port, versions);
      expect((await ask(socket, 'from here')).toString()).toBe('from here');
      nat.rebind();
      expect((await ask(socket, 'from there')).toString()).toBe('from there');
      expect((await ask(socket, 'proven')).toString()).toBe('proven');
      expect(moves).toHaveLength(1);
      expect(server.stats.sessions).toBe(1);
    },
  );

  it.each(VERSIONS)(
    '%s: without connection IDs nobody can tell, and what comes is dropped',
    async (_name, version) => {
      const versions = { minVersion: version, maxVersion: version } as const;
      const { server, port } = await dtlsServer({ ...versions, connectionId: false }, echo);
      const nat = await rebindingRelay(port);
      const socket = await dialed(nat.port, versions);
      await ask(socket, 'from here');
      nat.rebind();
      socket.send('from there');
      await expect.poll(() => server.stats.strays).toBeGreaterThan(0);
    },
  );

  it('a copy of an old datagram from elsewhere moves nobody', async () => {
    const { server, port } = await dtlsServer({}, (socket) => {
      socket.on('move', () => socket.destroy(new Error('moved')));
      echo(socket);
    });
    const seen: Buffer[] = [];
    const via = await relay(port, (datagram, towards) => {
      if (towards === 'server') seen.push(datagram);
      return [0];
    });
    const socket = await dialed(via);
    await ask(socket, 'one');
    await ask(socket, 'two');
    const copier = createSocket('udp4').bind(0, '127.0.0.1');
    onTestFinished(() => void copier.close());
    for (const datagram of seen) copier.send(datagram, port, '127.0.0.1');
    expect((await ask(socket, 'three')).toString()).toBe('three');
    expect(server.stats.sessions).toBe(1);
  });

  it('forgets a peer of which nothing has come for the idle time', async () => {
    const { server, port } = await dtlsServer({ idleTimeout: 100 }, echo);
    const socket = await dialed(port);
    await ask(socket, 'x');
    await once(socket, 'end');
    expect(server.stats.sessions).toBe(0);
  });

  it('processes that share a port hand each other what is not theirs', async () => {
    const cookieSecret = Buffer.alloc(32, 5);
    const workers = 2;
    const servers: DtlsEndpoint[] = [];
    let forwarded = 0;
    for (let workerId = 0; workerId < workers; workerId++) {
      const cluster = {
        workerId,
        workers,
        forward: (to: number, datagram: Buffer, remote: Remote) => {
          forwarded++;
          servers[to]?.inject(datagram, remote);
        },
      };
      // As both read the same port in a cluster, answers leave by the first one's; here that is all that differs.
      const { server } = await dtlsServer({ cookieSecret, cluster }, echo);
      servers.push(server);
    }
    const port = servers[0]?.address()?.port as number;
    const sockets = [];
    for (let n = 0; n < 16; n++) sockets.push(dial(port).on('error', () => {}));
    // Those whose hash is the first one's get their answers from the port that they know.
    await expect.poll(() => servers[0]?.stats.sessions).toBeGreaterThan(0);
    await expect.poll(() => forwarded).toBeGreaterThan(0);
    expect(servers[0]?.stats.strays).toBe(0);
  });
});

describe('options', () => {
  it.each([
    [{ mtu: 100 }, 'mtu'],
    [{ retransmitTimeout: 0 }, 'retransmitTimeout'],
  ])('%j is refused', (options, name) => {
    expect(() => dial(1, options)).toThrow(expect.objectContaining({ code: 'ERR_TLS_OPTION' }));
    expect(() => dial(1, options)).toThrow(name);
  });

  it('a cookie secret has 32 bytes', () => {
    expect(() => createServer({ ...SERVER, cookieSecret: Buffer.alloc(16) })).toThrow('cookieSecret');
  });

  it('ALPN, SNI, exporters, resumption and key logs are those of TLS', async () => {
    const lines: string[] = [];
    const names: unknown[] = [];
    const secrets: string[] = [];
    const { port } = await dtlsServer({ ALPNProtocols: ['coap', 'x'] }, (socket) => {
      names.push(socket.servername, socket.alpnProtocol, socket.isSessionReused());
      secrets.push(socket.exportKeyingMaterial(32, 'EXPORTER-test').toString('hex'));
      echo(socket);
    });
    const first = dial(port, { ALPNProtocols: ['coap'] });
    first.on('keylog', (line) => lines.push(String(line)));
    const ticket = once(first, 'session');
    await once(first, 'secureConnect');
    const [session] = (await ticket) as [Buffer];
    expect(first.alpnProtocol).toBe('coap');
    secrets.push(first.exportKeyingMaterial(32, 'EXPORTER-test').toString('hex'));
    const second = await dialed(port, { ALPNProtocols: ['coap'], session });
    expect(second.isSessionReused()).toBe(true);
    await ask(second, 'x');
    expect(names).toEqual(['localhost', 'coap', false, 'localhost', 'coap', true]);
    expect(secrets[0]).toBe(secrets[1]);
    expect(lines.join('')).toContain('CLIENT_TRAFFIC_SECRET_0');
  });

  it('a session of DTLS 1.2, which gets no new ticket when it is resumed, can be resumed again', async () => {
    const { port } = await dtlsServer({ maxVersion: 'TLSv1.2' }, echo);
    const first = dial(port);
    const [session] = (await once(first, 'session')) as [Buffer];
    const second = await dialed(port, { session });
    expect(second.isSessionReused()).toBe(true);
    const again = second.getSession();
    expect(again?.equals(session)).toBe(true);
    expect((await dialed(port, { session: again })).isSessionReused()).toBe(true);
    // Of a session that the server has forgotten nothing is left.
    const { port: elsewhere } = await dtlsServer({ maxVersion: 'TLSv1.2' }, echo);
    const third = await dialed(elsewhere, { session });
    expect(third.isSessionReused()).toBe(false);
    expect(third.getSession()?.equals(session)).not.toBe(true);
  });
});

describe('multiplexing', () => {
  it('carries UDP applications, each with boundaries of its own, and says what does not fit', async () => {
    const { port } = await dtlsServer(
      {
        subProtocols: [muxServer({ mode: 'ports', applications: [{ name: 'dns', port: 53 }] })],
      },
      (socket) => {
        muxSession(socket)?.on('datagrams', (flow) => {
          // The server closes with the test, and its flows with it.
          flow.on('error', () => {});
          flow.on('message', (datagram) => flow.send(Buffer.concat([Buffer.from('re: '), datagram])));
        });
      },
    );
    const socket = dial(port, { subProtocols: [muxClient({ mode: 'ports' })] });
    await once(socket, 'secureConnect');
    const session = muxSession(socket);
    expect(session?.agreement).toMatchObject({ mode: 'ports', applications: [{ name: 'dns', port: 53 }] });
    const flows = Array.from({ length: 10 }, () => session?.openDatagrams('dns'));
    const answers = await Promise.all(
      flows.map(async (flow, n) => {
        if (flow === undefined) throw new Error('no flow');
        const answer = once(flow, 'message');
        flow.send(Buffer.from(`${n}`));
        return String(((await answer) as [Buffer])[0]);
      }),
    );
    expect(answers).toEqual(flows.map((_, n) => `re: ${n}`));
    const [flow] = flows;
    const largest = flow?.maxDatagramSize ?? 0;
    expect(largest).toBe(socket.maxDatagramSize - 6);
    expect(() => flow?.send(new Uint8Array(largest + 1))).toThrow(
      expect.objectContaining({ code: 'ERR_MUX_DATAGRAM_SIZE' }),
    );
    const closed = once(session as NonNullable<typeof session>, 'close');
    flow?.on('error', () => {});
    for (const one of flows) one?.close();
    session?.close();
    await closed;
  });
});

describe('a handshake that stops half-way', () => {
  it('gives its place back after 30 s', async () => {
    const { server, port } = await dtlsServer();
    const errors: unknown[] = [];
    server.on('tlsClientError', (error) => errors.push(error));
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] });
    onTestFinished(() => void vi.useRealTimers());
    // Both hellos pass; then the client is silent.
    let left = 2;
    const near = await relay(port, (_, towards) => (towards === 'client' || left-- > 0 ? [0] : []));
    dial(near).on('error', () => {});
    while (server.stats.halfOpen === 0) await new Promise((resolve) => setImmediate(resolve));
    await vi.advanceTimersByTimeAsync(29_000);
    expect(server.stats.halfOpen).toBe(1);
    await vi.advanceTimersByTimeAsync(1_500);
    expect(server.stats.halfOpen).toBe(0);
    expect(errors).toMatchObject([{ code: 'ERR_TLS_HANDSHAKE_TIMEOUT' }]);
  });
});

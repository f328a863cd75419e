import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { describe, expect, it, onTestFinished } from 'vitest';
import { itWith, need } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { pki, run, startClient, startServer, startTrellis, trellisHere } from './tunnel-kit.ts';

/** A UDP socket on 127.0.0.1 that goes with the test. */
async function udpSocket(): Promise<Socket & { readonly port: number }> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  onTestFinished(() => void socket.close());
  return Object.assign(socket, { port: socket.address().port });
}

/** Answers every datagram with itself and a letter in front. */
async function echo(letter = 'e'): Promise<number> {
  const socket = await udpSocket();
  socket.on('message', (datagram: Buffer, { port }: RemoteInfo) => {
    socket.send(Buffer.concat([Buffer.from(letter), datagram]), port, '127.0.0.1');
  });
  return socket.port;
}

async function ask(socket: Socket, port: number, datagram: Uint8Array): Promise<Buffer> {
  const answer = once(socket, 'message');
  socket.send(datagram, port, '127.0.0.1');
  const [message] = (await answer) as [Buffer];
  return message;
}

interface UdpTunnelOptions {
  readonly applications: Readonly<Record<string, number>>;
  /** Default: over TCP. */
  readonly listen?: string | undefined;
  readonly serve?: readonly string[];
  readonly connect?: readonly string[];
}

/** The same as `startTunnel`, with forwards as `--forward` wants them for UDP. */
async function startUdpTunnel({ applications, listen, serve = [], connect = [] }: UdpTunnelOptions) {
  const certificates = await pki();
  const { server, address } = await startServer(certificates, applications, serve, listen);
  const forwards = Object.keys(applications).flatMap((name) => ['--forward', forward(name)]);
  const { client, ports } = await startClient(certificates, address, [], [...forwards, ...connect]);
  return { server, client, ports, address };
}

function forward(name: string): string {
  return name.endsWith('/udp') ? `0/udp=${name.slice(0, -4)}` : `0=${name}`;
}

const SESSIONS = [
  ['TLS, channel mode', undefined, ['--mux-mode', 'channels'], 65_506],
  ['TLS, ports mode', undefined, ['--mux-mode', 'ports'], 65_506],
  ['DTLS', 'udp:127.0.0.1:0', [], 1_150],
] as const;

describe.each(SESSIONS)('UDP applications over %s', (name, listen, options, largest) => {
  it('keeps boundaries and contents, from nothing to the largest datagram', async () => {
    const tunnel = await startUdpTunnel({
      applications: { 'echo/udp': await echo() },
      listen,
      connect: options,
    });
    const socket = await udpSocket();
    const port = tunnel.ports['echo/udp'] as number;
    for (const length of [1, 2, 500, 1_150, 1_472, 16_384, 65_506].filter((one) => one <= largest)) {
      const datagram = Buffer.alloc(length, length % 251);
      const answer = await ask(socket, port, datagram);
      expect(answer.length).toBe(length + 1);
      expect(answer.subarray(1).equals(datagram)).toBe(true);
    }
    // Over TLS in ports mode an empty frame is an end, so that one is dropped; elsewhere it arrives.
    if (name !== 'TLS, ports mode') expect((await ask(socket, port, Buffer.alloc(0))).toString()).toBe('e');
  });

  it('gives each local address a flow of its own, and answers only to it', async () => {
    const tunnel = await startUdpTunnel({
      applications: { 'echo/udp': await echo() },
      listen,
      connect: options,
    });
    const port = tunnel.ports['echo/udp'] as number;
    const sockets = await Promise.all(Array.from({ length: 20 }, () => udpSocket()));
    const answers = await Promise.all(
      sockets.map((socket, n) => ask(socket, port, Buffer.from(`from ${n}`))),
    );
    expect(answers.map(String)).toEqual(sockets.map((_, n) => `efrom ${n}`));
    await tunnel.server.event('connection.open', 20);
  });

  it('ends a flow when nothing moves, and begins another with the next datagram', async () => {
    const tunnel = await startUdpTunnel({
      applications: { 'echo/udp': await echo() },
      listen,
      connect: [...options, '--udp-idle', '200ms'],
    });
    const socket = await udpSocket();
    const port = tunnel.ports['echo/udp'] as number;
    await ask(socket, port, Buffer.from('a'));
    expect(await tunnel.client.event('connection.close')).toMatchObject({
      reason: 'idle',
      application: 'echo/udp',
      datagramsOut: 1,
      datagramsIn: 1,
      datagramsDropped: 0,
    });
    // The other side has been told; over DTLS there is no word for it, and its own clock decides.
    if (listen === undefined) await tunnel.server.event('connection.close');
    expect((await ask(socket, port, Buffer.from('b'))).toString()).toBe('eb');
    const { code } = await tunnel.client.stop();
    expect(code).toBe(0);
    expect(tunnel.client.events('stopped')[0]).toMatchObject({ failed: 0, datagramsOut: 2, datagramsIn: 2 });
  });

  it('bounds the flows: the one that was silent longest gives way', async () => {
    const tunnel = await startUdpTunnel({
      applications: { 'echo/udp': await echo() },
      listen,
      connect: [...options, '--max-udp-flows', '2'],
    });
    const port = tunnel.ports['echo/udp'] as number;
    const sockets = await Promise.all([udpSocket(), udpSocket(), udpSocket()]);
    for (const socket of sockets) await ask(socket, port, Buffer.from('x'));
    expect(await tunnel.client.event('connection.close')).toMatchObject({ reason: 'limit' });
    expect(tunnel.client.events('connection.close')).toHaveLength(1);
    // It may come back, in the place of another.
    await ask(sockets[0] as Socket, port, Buffer.from('y'));
  });

  it('stands beside TCP applications of the same name', async () => {
    const applications = { 'a/udp': await echo('a'), 'b/udp': await echo('b') };
    const tunnel = await startUdpTunnel({ applications, listen, connect: options });
    const socket = await udpSocket();
    expect((await ask(socket, tunnel.ports['a/udp'] as number, Buffer.from('1'))).toString()).toBe('a1');
    expect((await ask(socket, tunnel.ports['b/udp'] as number, Buffer.from('2'))).toString()).toBe('b2');
  });

  it('a target where nobody listens costs datagrams, and nothing else', async () => {
    const gone = createSocket('udp4').bind(0, '127.0.0.1');
    await once(gone, 'listening');
    const { port: target } = gone.address();
    await new Promise<void>((resolve) => gone.close(() => resolve()));
    const tunnel = await startUdpTunnel({ applications: { 'echo/udp': target }, listen, connect: options });
    const socket = await udpSocket();
    const port = tunnel.ports['echo/udp'] as number;
    socket.send('lost', port, '127.0.0.1');
    await tunnel.server.event('connection.open');
    await pause(100);
    const back = createSocket('udp4').bind(target, '127.0.0.1');
    onTestFinished(() => void back.close());
    await once(back, 'listening');
    back.on('message', (datagram, { port: from }) => back.send(datagram, from, '127.0.0.1'));
    expect((await ask(socket, port, Buffer.from('there'))).toString()).toBe('there');
  });
});

describe('sessions over UDP', () => {
  it('are of DTLS, and the log says so', async () => {
    const { client, server, ports } = await startUdpTunnel({
      applications: { 'echo/udp': await echo() },
      listen: 'udp:127.0.0.1:0',
    });
    await ask(await udpSocket(), ports['echo/udp'] as number, Buffer.from('x'));
    expect(await client.event('session.open')).toMatchObject({ protocol: 'DTLSv1.3' });
    expect(await server.event('session.open')).toMatchObject({ protocol: 'DTLSv1.3', mux: true });
    const { code } = await server.stop();
    expect(code).toBe(0);
    expect(await client.event('session.close')).toMatchObject({ reason: 'closed' });
  });

  it('carry a hundred applications at once', async () => {
    const applications: Record<string, number> = {};
    for (let n = 0; n < 100; n++)
      applications[`app-${n}/udp`] = await echo(String.fromCharCode(33 + (n % 90)));
    const { ports, server } = await startUdpTunnel({ applications, listen: 'udp:127.0.0.1:0' });
    const answers = await Promise.all(
      Object.keys(applications).map(async (name) => {
        const socket = await udpSocket();
        return String(await ask(socket, ports[name] as number, Buffer.from(name)));
      }),
    );
    expect(answers).toEqual(
      Object.keys(applications).map((name, n) => `${String.fromCharCode(33 + (n % 90))}${name}`),
    );
    expect(server.events('session.open')).toHaveLength(1);
  });

  it.each([
    [['--app', 'web=127.0.0.1:80'], 'TCP application'],
    [['--app', 'dns/udp=127.0.0.1:53', '--mux', 'allow'], '--mux allow'],
    [['--app', 'dns/udp=127.0.0.1:53', '--mux-mode', 'channels'], '--mux-mode channels'],
  ])('serve %j is refused: it needs TCP', async (words, hint) => {
    const { server, serverKey } = await pki();
    const result = await trellisHere(
      ...['serve', '--listen', 'udp:127.0.0.1:0', '--cert', server, '--key', serverKey],
      ...words,
    );
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(hint);
  });

  it.each([[['--forward', '5300=dns']], [['--socks', '0']]])(
    'connect %j is refused: it needs TCP',
    async (words) => {
      const result = await trellisHere('connect', 'udp:127.0.0.1:1', ...words);
      expect(result.code).toBe(2);
      expect(result.stderr).toContain('TCP');
    },
  );
});

describe('refusals', () => {
  it('an application that the server does not have is refused, and said so', async () => {
    const certificates = await pki();
    const { address } = await startServer(certificates, { 'echo/udp': await echo() });
    const { client, ports } = await startClient(certificates, address, [], ['--forward', '0/udp=other']);
    const socket = await udpSocket();
    socket.send('x', ports['other/udp'] as number, '127.0.0.1');
    expect(await client.event('connection.close')).toMatchObject({
      reason: 'refused',
      application: 'other/udp',
    });
  });

  it.each([
    ['--forward', '5300=dns/udp', 'write 5300/udp=dns'],
    ['--forward', 'x/udp=dns', 'does not work'],
  ])('%s %s is an error that says what to write', async (option, value, hint) => {
    const result = await trellisHere('connect', '127.0.0.1:1', option, value);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain(hint);
  });

  it('--sign does not take a UDP application', async () => {
    const certificates = await pki();
    const result = await trellisHere(
      ...['serve', '--listen', '127.0.0.1:0', '--cert', certificates.server, '--key', certificates.serverKey],
      ...['--client-ca', certificates.ca, '--app', 'dns/udp=127.0.0.1:53', '--sign', 'dns/udp=pkcs7'],
      ...['--archive', `${certificates.ca}.db`],
    );
    expect(result.code).toBe(2);
    expect(result.stderr).toContain('UDP application');
    // What to do instead.
    expect(result.stderr).toContain('trellis/dtls');
  });

  it('a UDP port that is taken is an error that says so', async () => {
    const certificates = await pki();
    const taken = await udpSocket();
    const client = startTrellis([
      ...['connect', '127.0.0.1:1', '--ca', certificates.ca],
      ...['--forward', `${taken.port}/udp=dns`],
    ]);
    const { code } = await client.exited;
    expect(code).not.toBe(0);
    expect(client.stderr).toContain('is in use');
  });
});

const iperf3 = need('iperf3');

itWith(iperf3, 'iperf3 measures over a UDP forward and its TCP control connection', async () => {
  const port = await freePort();
  const iperf = run('iperf3', ['-s', '-1', '-p', String(port), '-B', '127.0.0.1'], { limit: 30_000 });
  const certificates = await pki();
  const { address } = await startServer(certificates, {}, [
    ...['--app', `data/udp:1=127.0.0.1:${port}`, '--app', `control=127.0.0.1:${port}`],
  ]);
  // iperf3 wants both under one number.
  const local = await freePort();
  await startClient(
    certificates,
    address,
    [],
    [...['--forward', `${local}/udp=data`, '--forward', `${local}=control`]],
  );
  const result = await run(
    'iperf3',
    ['-u', '-c', '127.0.0.1', '-p', String(local), '-b', '2M', '-l', '1000', '-t', '2', '-J'],
    { limit: 30_000 },
  );
  expect(result.code, result.stdout + result.stderr).toBe(0);
  const { end } = JSON.parse(result.stdout) as { end: { sum: { packets: number; lost_packets: number } } };
  // UDP promises nothing, and a busy machine loses more: that most of them came is not for this test to say.
  expect(end.sum.packets - end.sum.lost_packets).toBeGreaterThan(50);
  await iperf;
});

const dig = need('dig');

itWith(dig, 'dig asks a name server over a DTLS session', async () => {
  // Answers any question with 192.0.2.1 (RFC 1035 §4).
  const dns = await udpSocket();
  dns.on('message', (query: Buffer, { port }: RemoteInfo) => {
    const end = query.indexOf(0, 12) + 5;
    const head = Buffer.concat([query.subarray(0, 2), Buffer.from([0x84, 0, 0, 1, 0, 1, 0, 0, 0, 0])]);
    const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
    dns.send(Buffer.concat([head, query.subarray(12, end), answer]), port, '127.0.0.1');
  });
  const { ports } = await startUdpTunnel({
    applications: { 'dns/udp': dns.port },
    listen: 'udp:127.0.0.1:0',
  });
  const port = String(ports['dns/udp']);
  const result = await run(dig.path, ['@127.0.0.1', '-p', port, '+short', '+tries=2', 'tunnel.example', 'A']);
  expect(result.stdout.trim()).toBe('192.0.2.1');
});

itWith(iperf3, 'iperf3 -u goes through a DTLS session, its control connection beside it', async () => {
  const port = await freePort();
  const measured = run(iperf3.path, ['-s', '-1', '-p', String(port), '-B', '127.0.0.1'], { limit: 30_000 });
  const certificates = await pki();
  const data = await startServer(certificates, { 'data/udp': port }, [], 'udp:127.0.0.1:0');
  const control = await startServer(certificates, { control: port });
  const local = await freePort();
  await startClient(certificates, data.address, [], ['--forward', `${local}/udp=data`]);
  await startClient(certificates, control.address, [], ['--forward', `${local}=control`]);
  const result = await run(
    iperf3.path,
    ['-u', '-c', '127.0.0.1', '-p', String(local), '-b', '2M', '-l', '1000', '-t', '2', '-J'],
    { limit: 30_000 },
  );
  expect(result.code, result.stdout + result.stderr).toBe(0);
  const { end } = JSON.parse(result.stdout) as { end: { sum: { packets: number; lost_packets: number } } };
  // UDP promises nothing, and a busy machine loses more: that most of them came is not for this test to say.
  expect(end.sum.packets - end.sum.lost_packets).toBeGreaterThan(50);
  await measured;
});

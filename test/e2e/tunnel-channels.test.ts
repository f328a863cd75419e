import { randomBytes } from 'node:crypto';
import http from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { itWith, need } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import {
  dial,
  echoServer,
  listen,
  outcome,
  pki,
  policy,
  portOf,
  readAll,
  run,
  startClient,
  startServer,
  startTunnel,
} from './tunnel-kit.ts';

const curl = need('curl');

describe('mode', () => {
  it('is channels, and ports by option at either side', async () => {
    const applications = { echo: await listen(echoServer()) };
    for (const [serve, connect] of [
      [[], []],
      [['--mux-mode', 'ports'], []],
      [[], ['--mux-mode', 'ports']],
    ] as const) {
      const { ports, server, client } = await startTunnel({ applications, serve, connect });
      const socket = dial(ports.echo as number);
      socket.end('hello');
      expect((await readAll(socket)).toString()).toBe('hello');
      await Promise.all([client.stop(), server.stop()]);
    }
  });
});

describe('policy', () => {
  it('applications are for those whom a rule names', async () => {
    const certificates = await pki();
    const port = await listen(echoServer());
    const tunnel = await startTunnel({
      pki: certificates,
      applications: { open: port, closed: await listen(echoServer()) },
      serve: policy(certificates, { applications: ['open'] }),
    });
    const socket = dial(tunnel.ports.open as number);
    socket.end('x');
    expect((await readAll(socket)).toString()).toBe('x');
    expect(await outcome(dial(tunnel.ports.closed as number))).toBe('ECONNRESET');
    expect(await tunnel.server.event('connection.denied')).toMatchObject({ target: 'closed' });
  });

  it('without a client CA it is refused at start', async () => {
    const certificates = await pki();
    const result = await run(process.execPath, [
      join(import.meta.dirname, '..', '..', 'dist', 'cli', 'main.js'),
      ...['serve', '--listen', '127.0.0.1:0', '--cert', certificates.server, '--key', certificates.serverKey],
      ...['--app', 'echo=127.0.0.1:7', ...policy(certificates, {})],
    ]);
    expect(result.code).not.toBe(0);
    expect(result.stderr + result.stdout).toContain('--client-ca');
  });
});

describe('SOCKS5', () => {
  async function socks(rule: Record<string, readonly string[]>): Promise<{ proxy: string; web: number }> {
    const certificates = await pki();
    const web = await listen(
      http.createServer((request, response) => response.end(`${request.headers.host}${request.url}`)),
    );
    const { address } = await startServer(
      certificates,
      { web },
      policy(
        certificates,
        Object.fromEntries(
          Object.entries(rule).map(([name, values]) => [
            name,
            values.map((one) => one.replace('WEB', `${web}`)),
          ]),
        ),
      ),
    );
    const { client } = await startClient(certificates, address, [], ['--socks', '0']);
    const { socks } = await client.result<{ socks: string[] }>();
    return { proxy: socks[0] as string, web };
  }

  itWith(curl, 'curl --socks5-hostname: the server resolves the name', async () => {
    const { proxy, web } = await socks({ destinations: ['localhost:WEB'] });
    const got = await run('curl', ['-sS', '--socks5-hostname', proxy, `http://localhost:${web}/page`]);
    expect(got).toMatchObject({ code: 0, stdout: `localhost:${web}/page` });
  });

  itWith(curl, 'what the policy does not permit is not reached', async () => {
    const { proxy, web } = await socks({ destinations: ['localhost:1', '*.internal:*'] });
    for (const host of ['localhost', '127.0.0.1']) {
      const got = await run('curl', ['-sS', '--socks5-hostname', proxy, `http://${host}:${web}/`]);
      expect(got.code).toBe(97);
      expect(got.stderr).toMatch(/\(2\)|not allowed/);
    }
  });

  it('what is not SOCKS5, or wants a password, or to bind, is told so', async () => {
    const { proxy } = await socks({ destinations: ['*:*'] });
    const say = async (...bytes: number[][]): Promise<Buffer> => {
      const socket = dial(portOf(proxy));
      for (const one of bytes) socket.write(Uint8Array.from(one));
      return readAll(socket);
    };
    expect([...(await say([4, 1]))]).toEqual([5, 0xff]);
    expect([...(await say([5, 1, 2]))]).toEqual([5, 0xff]);
    expect([...(await say([5, 1, 0], [5, 2, 0, 1, 127, 0, 0, 1, 0, 80]))].slice(2, 4)).toEqual([5, 7]);
  });
});

describe('reverse forward', () => {
  it('carries connections from the server’s port to the client’s side', async () => {
    const certificates = await pki();
    const [open, target] = [await freePort(), await listen(echoServer())];
    const { server, address } = await startServer(
      certificates,
      { echo: target },
      policy(certificates, { reverse: [`127.0.0.1:${open}`] }),
    );
    const { client } = await startClient(
      certificates,
      address,
      [],
      ['--reverse', `${open}=127.0.0.1:${target}`],
    );
    await client.event('reverse.open');
    const data = randomBytes(300_000);
    const answers = await Promise.all(
      [1, 2, 3].map(() => {
        const socket = dial(open);
        socket.end(data);
        return readAll(socket);
      }),
    );
    for (const answer of answers) expect(answer.equals(data)).toBe(true);
    // The port goes with the session.
    await client.stop();
    await server.event('session.close');
    expect(await outcome(dial(open))).toBe('ECONNREFUSED');
  });

  it('needs a rule for that port', async () => {
    const certificates = await pki();
    const port = await freePort();
    const { address, server } = await startServer(
      certificates,
      { echo: port },
      policy(certificates, { reverse: ['127.0.0.1:1'] }),
    );
    const { client } = await startClient(certificates, address, [], ['--reverse', `${port}=127.0.0.1:9`]);
    expect(await client.event('reverse.failed')).toMatchObject({ level: 'warn' });
    expect(server.events('reverse.open')).toEqual([]);
    expect(await outcome(dial(port))).toBe('ECONNREFUSED');
  });

  it('without a policy there is none', async () => {
    const certificates = await pki();
    const port = await freePort();
    const { address } = await startServer(certificates, { echo: port });
    const { client } = await startClient(certificates, address, [], ['--reverse', `${port}=127.0.0.1:9`]);
    await client.event('reverse.failed');
  });
});

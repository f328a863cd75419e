import { createHash, type Hash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import net, { type Socket } from 'node:net';
import { join } from 'node:path';
import { expect } from 'vitest';
import { itWith, need, needThat } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { startPostgres, startSshd } from './program-kit.ts';
import {
  dial,
  listen,
  pki,
  policy,
  readAll,
  run,
  scratch,
  startClient,
  startServer,
  type Trellis,
} from './tunnel-kit.ts';

/** TRELLIS_TEST_BULK=4294967296 for 4 GiB; then it prints figures. */
const ASKED = process.env.TRELLIS_TEST_BULK;
const BULK = Number(ASKED ?? 64 * 1024 * 1024);
/** Milliseconds; 5 MB/s on a machine that does other things, too. */
const LIMIT = 60_000 + BULK / 5_000;
const BLOCK = 1024 * 1024;
/** More than a window, the sockets and the streams on its way together take. */
const UNREAD = 32 * 1024 * 1024;
/** What a process of the tunnel may hold at most, whatever the transfer's length. */
const MEMORY_MAX = 400 * 1024 * 1024;

const [git, ssh, psql, curl] = [need('git'), need('ssh'), need('psql'), need('curl')];
const servers = [need('sshd'), need('ssh-keygen'), need('initdb'), need('pg_ctl')];
const asRoot = needThat(process.getuid?.() === 0, 'needs root, to run sshd and to become another user');

itWith(
  [git, ssh, psql, curl, ...servers, asRoot],
  'git over ssh, a WebSocket, psql, HTTP/2, a large transfer, SOCKS and a reverse forward share one session',
  async () => {
    const sent = createHash('sha256');
    const [sshd, database] = await Promise.all([startSshd(), startPostgres()]);
    const [web, h2, bulk, back] = await Promise.all([
      listen(
        http.createServer((request, response) => response.end(request.url)).on('upgrade', webSocketEcho),
      ),
      listen(http2.createServer((_request, response) => response.end('two'))),
      listen(net.createServer((socket) => pourOut(socket, sent))),
      listen(http.createServer((_request, response) => response.end('from behind the client'))),
    ]);
    const open = await freePort();
    const unread = await listen(net.createServer((socket) => socket.end(Buffer.alloc(UNREAD))));
    const applications = { ssh: sshd.port, db: database, web, h2, bulk, unread };
    const names = Object.keys(applications);
    const certificates = await pki();
    const rule = {
      applications: names,
      destinations: [`localhost:${web}`],
      reverse: [`127.0.0.1:${open}`],
    };
    const { server, address } = await startServer(certificates, applications, policy(certificates, rule));
    const more = ['--socks', '0', '--reverse', `${open}=127.0.0.1:${back}`];
    const { client, ports } = await startClient(certificates, address, names, more);
    const { socks } = await client.result<{ socks: string[] }>();
    await client.event('reverse.open');

    // Nobody reads this one while the others are under way.
    const away = dial(ports.unread as number).pause();
    let pouring = true;
    const started = performance.now();
    const transfer = digestOf(dial(ports.bulk as number)).finally(() => {
      pouring = false;
    });
    const others = [
      cloneOverSsh(sshd.words(ports.ssh as number)),
      chat(ports.web as number),
      queries(ports.db as number),
      requests(ports.h2 as number),
      getPage(['--socks5-hostname', socks[0] as string, `http://localhost:${web}/page`], '/page'),
      getPage([`http://127.0.0.1:${open}/`], 'from behind the client'),
    ];
    await Promise.all(others);
    // They were through while the transfer, as long as all of them together, was under way.
    const wereBeside = pouring;
    const received = await transfer;
    expect((await readAll(away.resume())).length).toBe(UNREAD);
    const seconds = (performance.now() - started) / 1000;
    expect(received).toEqual({ bytes: BULK, sha256: sent.digest('hex') });
    expect(server.events('session.open')).toHaveLength(1);
    expect(client.events('session.open')).toHaveLength(1);
    expect(client.events('session.close')).toEqual([]);
    const peaks = [server, client].map(peakMemory);
    if (ASKED !== undefined) console.log({ ...received, seconds, wereBeside, peaks });
    for (const peak of peaks) expect(peak).toBeLessThan(MEMORY_MAX);
  },
  LIMIT,
);

/** BULK bytes, no two blocks the same. */
function pourOut(socket: Socket, hash: Hash): void {
  const block = randomBytes(BLOCK);
  let left = BULK;
  const more = (): void => {
    while (left > 0) {
      const piece = Buffer.from(block.subarray(0, Math.min(left, BLOCK)));
      piece.writeUInt32BE(left >>> 0);
      hash.update(piece);
      left -= piece.length;
      if (!socket.write(piece)) {
        socket.once('drain', more);
        return;
      }
    }
    socket.end();
  };
  more();
}

async function digestOf(socket: Socket): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const piece of socket as AsyncIterable<Buffer>) {
    hash.update(piece);
    bytes += piece.length;
  }
  return { bytes, sha256: hash.digest('hex') };
}

async function cloneOverSsh(words: readonly string[]): Promise<void> {
  const folder = scratch();
  const [work, copy] = [join(folder, 'work'), join(folder, 'copy')];
  const env = { GIT_SSH_COMMAND: [ssh.path, ...words].join(' '), GIT_CONFIG_NOSYSTEM: '1', HOME: folder };
  const runGit = async (...rest: string[]): Promise<void> => {
    const identity = ['-c', 'user.name=test', '-c', 'user.email=test@localhost'];
    const { code, stderr } = await run(git.path, [...identity, ...rest], { env, limit: LIMIT });
    expect(code, stderr).toBe(0);
  };
  const content = randomBytes(3_000_000);
  await runGit('init', '--quiet', work);
  writeFileSync(join(work, 'file'), content);
  await runGit('-C', work, 'add', 'file');
  await runGit('-C', work, 'commit', '--quiet', '--message', 'a file');
  await runGit('clone', '--quiet', `ssh://root@127.0.0.1${work}`, copy);
  expect(readFileSync(join(copy, 'file')).equals(content)).toBe(true);
}

async function chat(port: number): Promise<void> {
  const { WebSocket } = await import('undici');
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`);
  await new Promise((resolve) => socket.addEventListener('open', resolve));
  for (let i = 0; i < 20; i++) {
    const heard = new Promise<string>((resolve) =>
      socket.addEventListener('message', ({ data }) => resolve(String(data)), { once: true }),
    );
    socket.send(`message ${i}`);
    expect(await heard).toBe(`message ${i}`);
  }
  socket.close();
}

async function queries(port: number): Promise<void> {
  const where = ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-X', '-q', '-A', '-t'];
  const input = "select g, repeat('x', 200) from generate_series(1, 20000) g;";
  const { code, stdout, stderr } = await run(psql.path, [...where, '-v', 'ON_ERROR_STOP=1'], {
    input,
    limit: LIMIT,
  });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const rows = stdout.trim().split('\n');
  expect([rows.length, rows.at(-1)]).toEqual([20_000, `20000|${'x'.repeat(200)}`]);
}

async function requests(port: number): Promise<void> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  const bodies = await Promise.all(
    Array.from({ length: 50 }, async () => {
      let body = '';
      for await (const piece of session.request({ ':path': '/' })) body += piece;
      return body;
    }),
  );
  expect(bodies).toEqual(Array.from({ length: 50 }, () => 'two'));
  session.close();
}

async function getPage(words: readonly string[], expected: string): Promise<void> {
  const got = await run(curl.path, ['--silent', '--show-error', '--fail', ...words], { limit: LIMIT });
  expect(got).toMatchObject({ code: 0, stdout: expected });
}

/** The most that it has had in memory, in bytes; 0 where nobody tells. */
function peakMemory({ child }: Trellis): number {
  if (process.platform !== 'linux') return 0;
  const [, kibibytes] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? [];
  return Number(kibibytes) * 1024;
}

/** RFC 6455, as far as one text message goes each way. */
function webSocketEcho(request: http.IncomingMessage, socket: Socket): void {
  const accept = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  socket.on('data', (frame: Buffer) => {
    const length = (frame[1] as number) & 0x7f;
    const mask = frame.subarray(2, 6);
    const text = frame.subarray(6, 6 + length).map((byte, i) => byte ^ (mask[i % 4] as number));
    socket.write(Buffer.concat([Uint8Array.of(frame[0] as number, length), text]));
  });
}

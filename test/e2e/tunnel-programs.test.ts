import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { describe, expect } from 'vitest';
import { describeWith, itWith, need, needThat } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { daemon, startPostgres, startSshd } from './program-kit.ts';
import {
  dial,
  echoServer,
  listen,
  pki,
  portOf,
  readAll,
  run,
  scratch,
  startClient,
  startServer,
  startTunnel,
} from './tunnel-kit.ts';

const asRoot = needThat(process.getuid?.() === 0, 'needs root, to become another user');

describe('curl', () => {
  const curl = need('curl');
  const web = () => http.createServer((request, response) => response.end(`you asked for ${request.url}`));

  itWith(curl, 'gets pages through the tunnel, many at once', async () => {
    const { client, ports } = await startTunnel({ applications: { web: await listen(web()) } });
    const pages = Array.from({ length: 20 }, (_, i) => `http://127.0.0.1:${ports.web}/${i}`);
    const { code, stdout, stderr } = await run(curl.path, [
      '--silent',
      '--show-error',
      '--no-progress-meter',
      '--parallel',
      '--fail',
      ...pages,
    ]);
    expect(code, stderr).toBe(0);
    for (const page of pages) expect(stdout).toContain(`you asked for ${new URL(page).pathname}`);
    expect(client.events('session.open')).toHaveLength(1);
  });

  itWith(curl, 'gets https:// from the server itself with --mux allow, and not with require', async () => {
    const certificates = await pki();
    const applications = { web: await listen(web()) };
    const get = (address: string, ...more: string[]) =>
      run(curl.path, [
        ...['--silent', '--show-error', '--fail', '--cacert', certificates.ca, ...more],
        `https://localhost:${portOf(address)}/direct`,
      ]);
    const own = ['--cert', certificates.client, '--key', certificates.clientKey];
    const lenient = await startTunnel({ applications, pki: certificates, serve: ['--mux', 'allow'] });
    expect(await get(lenient.address, ...own)).toMatchObject({ code: 0, stdout: 'you asked for /direct' });
    expect((await get(lenient.address)).code).not.toBe(0);
    const strict = await startTunnel({ applications, pki: certificates });
    expect((await get(strict.address, ...own)).code).toBe(35);
    expect(await strict.server.event('session.refused')).toMatchObject({ code: 'ERR_MUX_REQUIRED' });
  });
});

describe('iperf3', () => {
  const iperf = need('iperf3');
  const BYTES = 32 * 1_048_576;

  /**
   * After each test, and after any connection that is none, iperf3 closes its listening socket and opens another one:
   * who comes in between is refused, or accepted by the kernel and reset when the socket goes ("unable to receive control
   * message: Connection reset by peer"), tunnel or not. So nobody probes it by connecting, and each run waits for its word.
   * @returns waits for the nth listening socket
   */
  function startIperf(port: number): (nth: number) => Promise<void> {
    const words = ['--server', '--forceflush', '--bind', '127.0.0.1', '--port', String(port)];
    const server = daemon(iperf.path, words);
    let said = '';
    let check = (): void => {};
    server.stdout?.on('data', (chunk: Buffer) => {
      said += chunk;
      check();
    });
    return (nth) =>
      new Promise((resolve, reject) => {
        server.once('close', () => reject(new Error(`iperf3 ended: ${said}`)));
        check = () => {
          if (said.split('Server listening on').length > nth) resolve();
        };
        check();
      });
  }

  itWith(iperf, 'sends and receives with eight streams', async () => {
    const port = await freePort();
    const listening = startIperf(port);
    const { client, ports } = await startTunnel({ applications: { iperf: port } });
    for (const [i, direction] of [[], ['--reverse']].entries()) {
      await listening(i + 1);
      const words = ['--client', '127.0.0.1', '--port', String(ports.iperf), '--json'];
      const load = ['--parallel', '8', '--bytes', `${BYTES}`, ...direction];
      const { code, stdout } = await run(iperf.path, [...words, ...load], { limit: 25_000 });
      expect(code, stdout).toBe(0);
      const { error, end }: { error?: string; end: { sum_sent: { bytes: number } } } = JSON.parse(stdout);
      expect(error).toBeUndefined();
      expect(end.sum_sent.bytes).toBeGreaterThanOrEqual(BYTES);
    }
    expect(client.events('session.open')).toHaveLength(1);
    expect(client.events('session.close')).toEqual([]);
  });
});

describeWith([need('psql'), need('initdb'), need('pg_ctl'), asRoot], 'PostgreSQL', () => {
  const psql = need('psql');

  itWith(asRoot, 'a client session, with a bulk copy each way', async () => {
    const port = await startPostgres();
    const folder = scratch();
    const { client, ports } = await startTunnel({ applications: { db: port } });
    const rows = 20_000;
    const input = join(folder, 'rows');
    writeFileSync(input, Array.from({ length: rows }, (_, i) => `${i}\t${'x'.repeat(100)}\n`).join(''));
    const output = join(folder, 'back');
    const query = [
      'create table t (id int, text text);',
      `\\copy t from '${input}'`,
      `\\copy (select * from t order by id) to '${output}'`,
      'select count(*), sum(id) from t;',
    ].join('\n');
    const { code, stdout, stderr } = await run(
      psql.path,
      [
        '-h',
        '127.0.0.1',
        '-p',
        String(ports.db),
        '-U',
        'postgres',
        '-X',
        '-q',
        '-A',
        '-t',
        '-v',
        'ON_ERROR_STOP=1',
      ],
      { input: query },
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trim()).toBe(`${rows}|${(rows * (rows - 1)) / 2}`);
    expect(readFileSync(output).equals(readFileSync(input))).toBe(true);
    expect(await client.event('connection.close')).toMatchObject({ application: 'db', reason: 'end' });
  });
});

describeWith([need('sshd'), need('ssh'), need('ssh-keygen'), asRoot], 'ssh', () => {
  const [ssh, rsync] = [need('ssh'), need('rsync')];

  itWith(asRoot, 'runs a command with input and output', async () => {
    const { port, words } = await startSshd();
    const { client, ports } = await startTunnel({ applications: { ssh: port } });
    const input = randomBytes(200_000).toString('base64');
    const { code, stdout, stderr } = await run(
      ssh.path,
      [...words(ports.ssh ?? 0), 'root@127.0.0.1', 'cat; exit 7'],
      {
        input,
      },
    );
    expect({ code, stderr }).toEqual({ code: 7, stderr: '' });
    expect(stdout).toBe(input);
    expect(await client.event('connection.close')).toMatchObject({ application: 'ssh' });
  });

  itWith([rsync, asRoot], 'carries rsync', async () => {
    const { port, words } = await startSshd();
    const { ports } = await startTunnel({ applications: { ssh: port } });
    const from = scratch();
    const to = scratch();
    for (let i = 0; i < 20; i++) writeFileSync(join(from, `file${i}`), randomBytes(1 + i * 50_000));
    const shell = [ssh.path, ...words(ports.ssh ?? 0)].join(' ');
    const copied = await run(rsync.path, ['-a', '-e', shell, `${from}/`, `root@127.0.0.1:${to}/`]);
    expect(copied).toMatchObject({ code: 0, stderr: '' });
    for (let i = 0; i < 20; i++) {
      expect(readFileSync(join(to, `file${i}`)).equals(readFileSync(join(from, `file${i}`)))).toBe(true);
    }
  });
});

describeWith([need('tshark'), asRoot], 'what is on the wire', () => {
  const tshark = need('tshark');

  itWith(
    asRoot,
    'is one TCP connection with one handshake, and content type 28 inside application data',
    async () => {
      const folder = scratch();
      const capture = join(folder, 'capture.pcapng');
      const keys = join(folder, 'keys.log');
      const web = await listen(http.createServer((_, response) => response.end('a page')));
      const echo = await listen(echoServer());
      const certificates = await pki();
      const { server, address } = await startServer(certificates, { web, echo }, ['--keylog', keys]);
      const port = portOf(address);
      const recorder = daemon(tshark.path, ['-i', 'lo', '-f', `tcp port ${port}`, '-w', capture]);
      await says(recorder, /Capture started|Capturing on/);
      // dumpcap says so a little before it is true.
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const { client, ports } = await startClient(certificates, address, ['web', 'echo']);
      await Promise.all(
        Array.from({ length: 5 }, async (_, i) => {
          expect(await (await fetch(`http://127.0.0.1:${ports.web}/${i}`)).text()).toBe('a page');
          const socket = dial(ports.echo ?? 0);
          socket.end('some text');
          expect((await readAll(socket)).toString()).toBe('some text');
        }),
      );
      await client.stop();
      await server.stop();
      await new Promise((resolve) => setTimeout(resolve, 500));
      recorder.kill('SIGINT');
      await new Promise((resolve) => recorder.once('close', resolve));
      const fields = [
        'tcp.stream',
        'tls.record.opaque_type',
        'tls.record.content_type',
        'tls.handshake.type',
      ];
      const { stdout } = await run(tshark.path, [
        ...['-r', capture, '-d', `tcp.port==${port},tls`, '-o', `tls.keylog_file:${keys}`, '-T', 'fields'],
        ...[
          '-E',
          'separator=/t',
          ...[...fields, 'tls.handshake.extension.type'].flatMap((field) => ['-e', field]),
        ],
      ]);
      const column = (n: number): string[] =>
        stdout
          .split('\n')
          .flatMap((line) => (line.split('\t')[n] ?? '').split(',').filter((value) => value !== ''));
      const count = (values: string[], value: string): number =>
        values.filter((other) => other === value).length;
      expect(new Set(column(0))).toEqual(new Set(['0']));
      const handshakes = column(3);
      expect([count(handshakes, '1'), count(handshakes, '2')]).toEqual([1, 1]);
      // Outside all is application_data; inside, the content type of multiplexing beside handshake and alert.
      expect(new Set(column(1))).toEqual(new Set(['23']));
      const inner = column(2);
      expect(count(inner, '28')).toBeGreaterThan(10);
      expect(count(inner, '23')).toBe(0);
      // data_multiplexing, 0xff4d, in ClientHello and in EncryptedExtensions.
      expect(count(column(4), String(0xff4d))).toBe(2);
    },
  );
});

/** Waits for a line on standard error. */
function says(child: ChildProcess, pattern: RegExp): Promise<void> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      text += chunk;
      if (pattern.test(text)) resolve();
    });
    child.once('close', () => reject(new Error(`it ended before it said ${pattern}: ${text}`)));
  });
}

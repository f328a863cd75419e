import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../setup/ports.ts';
import { echoServer, listen, pki, scratch, startTrellis, trellis, trellisHere } from './tunnel-kit.ts';

/** Startup faults: one line on stderr, nothing on stdout, exit 2. */
async function refused(words: string[], hint: RegExp, run: typeof trellisHere = trellisHere): Promise<void> {
  const { code, stdout, stderr } = await run(...words);
  expect(stderr).toMatch(/^trellis: [^\n]+\n$/);
  expect(stderr).toMatch(hint);
  expect(stdout).toBe('');
  expect(code).toBe(2);
}

describe('trellis', () => {
  it('shows version and help', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
    expect(await trellis('--version')).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
    for (const command of [[], ['init'], ['serve'], ['connect']]) {
      const { code, stdout, stderr } = await trellisHere(...command, '--help');
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('trellis init --out ./pki'.slice(0, command.length === 0 ? undefined : 7));
    }
  });

  it('says what to do when told nothing, or what it does not know', async () => {
    await refused([], /init, serve, connect or probe/);
    await refused(['frobnicate'], /trellis --help/);
    await refused(['serve', '--lisen', 'x'], /Did you mean --listen/, trellis);
    await refused(['connect'], /HOST:PORT is missing/);
  });
});

describe('trellis init', () => {
  it('writes keys for their owner only and prints the next two commands, which work as they are', async () => {
    const folder = join(scratch(), 'pki');
    const { code, stdout, stderr } = await trellis('init', '--out', folder);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const name of ['ca.key', 'server.key', 'client.key']) {
      expect(statSync(join(folder, name)).mode & 0o777, name).toBe(0o600);
    }
    const commands = stdout.match(/^ {2}trellis .*$/gm) ?? [];
    expect(commands).toHaveLength(2);
    // The application and the ports are the reader's; all else is used as printed.
    const application = await listen(echoServer());
    const [serve = '', connect = ''] = commands.map((line) =>
      line
        .trim()
        .replace(/^trellis /, '')
        .replace(':8080', `:${application}`)
        .replace('9080=', '0='),
    );
    const server = startTrellis([...serve.replace(':4433', ':0').split(' '), '--json']);
    const { listen: address } = await server.result<{ listen: string }>();
    const client = startTrellis([
      ...connect.replace('localhost:4433', address.replace('127.0.0.1', 'localhost')).split(' '),
      ...['--json', '--eager'],
    ]);
    await client.event('session.open');
  });

  it('refuses to overwrite, unless forced', async () => {
    const folder = scratch();
    expect((await trellisHere('init', '--out', folder)).code).toBe(0);
    const before = readFileSync(join(folder, 'ca.key'), 'utf8');
    await refused(['init', '--out', folder], /would be overwritten.*--force/);
    expect(readFileSync(join(folder, 'ca.key'), 'utf8')).toBe(before);
    expect((await trellisHere('init', '--out', folder, '--force')).code).toBe(0);
    expect(readFileSync(join(folder, 'ca.key'), 'utf8')).not.toBe(before);
  });

  it('answers in JSON', async () => {
    const folder = scratch();
    const { stdout } = await trellisHere('init', '--out', folder, '--json', '--host', 'gateway.example.org');
    expect(JSON.parse(stdout)).toMatchObject({
      event: 'created',
      directory: folder,
      hosts: ['gateway.example.org'],
      files: expect.arrayContaining([join(folder, 'ca.pem')]),
      next: [
        expect.stringContaining('trellis serve --listen 0.0.0.0:4433'),
        expect.stringContaining('trellis connect gateway.example.org:4433'),
      ],
    });
  });

  it('refuses a bad host and a folder that cannot be', async () => {
    await refused(['init', '--out', scratch(), '--host', 'a:1'], /--host.*DNS name/);
    const file = join(scratch(), 'file');
    writeFileSync(file, '');
    await refused(['init', '--out', file], /cannot be written/);
    await refused(['init'], /--out DIR is missing/);
  });
});

describe('startup errors', () => {
  it('of files, keys and certificates', async () => {
    const { ca, server, serverKey, client, clientKey } = await pki();
    const folder = scratch();
    const serve = (...more: string[]) => [
      'serve',
      '--listen',
      '127.0.0.1:0',
      '--app',
      'a=127.0.0.1:1',
      ...more,
    ];
    await refused(
      serve('--cert', join(folder, 'none.pem'), '--key', serverKey),
      /--cert .*no such file/,
      trellis,
    );
    await refused(serve('--cert', server, '--key', folder), /--key .*it is a folder/);
    await refused(serve('--cert', serverKey, '--key', serverKey), /--cert .*it holds a private key/);
    await refused(serve('--cert', server, '--key', server), /--key .*it holds a certificate/);
    await refused(serve('--cert', server, '--key', clientKey), /key does not belong/);
    await refused(serve('--cert', server, '--key', serverKey, '--client-ca', serverKey), /--client-ca/);
    const broken = join(folder, 'broken.pem');
    writeFileSync(broken, readFileSync(server, 'utf8').replace(/[A-Za-z0-9+/]{40}/, 'A'.repeat(40)));
    await refused(serve('--cert', broken, '--key', serverKey), /cert/);
    writeFileSync(broken, '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n');
    await refused(serve('--cert', server, '--key', broken), /key/);
    const connect = (...more: string[]) => ['connect', '127.0.0.1:1', '--forward', '0=a', ...more];
    await refused(connect('--ca', join(folder, 'none.pem')), /--ca .*no such file/);
    await refused(connect('--ca', ca, '--cert', client), /key/);
    await refused(connect('--ca', ca, '--key', clientKey), /cert/);
    await refused(connect('--ca', ca, '--cert', client, '--key', serverKey), /key does not belong/);
    await refused(connect('--ca', ca, '--keylog', join(folder, 'none', 'keys.log')), /--keylog/);
  });

  it('of addresses and ports', async () => {
    const { ca, server, serverKey } = await pki();
    const taken = net.createServer().listen(0, '127.0.0.1');
    const port = await listen(taken);
    const serve = (address: string, ...apps: string[]) => [
      ...['serve', '--listen', address, '--cert', server, '--key', serverKey],
      ...apps.flatMap((app) => ['--app', app]),
    ];
    await refused(
      serve(`127.0.0.1:${port}`, 'a=127.0.0.1:1'),
      new RegExp(`127.0.0.1:${port} is in use`),
      trellis,
    );
    await refused(serve('192.0.2.1:0', 'a=127.0.0.1:1'), /192\.0\.2\.1:0.*not an address of this machine/);
    await refused(serve('name.invalid:0', 'a=127.0.0.1:1'), /name\.invalid/);
    await refused(serve('8443', 'a=127.0.0.1:1'), /--listen.*HOST:PORT/);
    await refused(serve('127.0.0.1:0'), /--app NAME\[\/udp\]\[:PORT\]=HOST:PORT is missing/);
    await refused(serve('127.0.0.1:0', 'a=127.0.0.1:1', 'b=127.0.0.1:1'), /both use port 1/);
    await refused(serve('127.0.0.1:0', 'a=127.0.0.1:1', 'a=127.0.0.1:2'), /given twice/);
    const connect = (...forwards: string[]) => [
      ...['connect', '127.0.0.1:1', '--ca', ca],
      ...forwards.flatMap((forward) => ['--forward', forward]),
    ];
    await refused(connect(`${port}=a`), new RegExp(`127.0.0.1:${port} is in use`), trellis);
    await refused(connect(), /forward is needed: --forward, --socks or --reverse/);
    await refused(connect('0=a', '9=b', '9=c'), /both listen on 127.0.0.1:9/);
    await refused(
      ['connect', '127.0.0.1:1', '--ca', ca, '--forward', '0=a', '--wait-timeout', 'x'],
      /--wait-timeout/,
    );
  });

  it('of the configuration file', async () => {
    const file = join(scratch(), 'trellis.toml');
    const config = (text: string) => {
      writeFileSync(file, text);
      return ['serve', '--config', file];
    };
    await refused(config('lisen = "x"'), /unknown option "lisen"; did you mean "listen"\?/, trellis);
    await refused(config('forward = "1=a"'), /belongs to trellis connect/);
    await refused(config('listen = 5'), /trellis\.toml: listen: 5 does not work/);
    await refused(config('listen ='), /line 1.*not TOML/);
    await refused(['serve', '--config', join(scratch(), 'none.toml')], /--config .*cannot be read/);
  });

  it('are one JSON line on stdout with --json', async () => {
    const { code, stdout, stderr } = await trellis('serve', '--json', '--listen', 'x');
    expect(code).toBe(2);
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^[^\n]+\n$/);
    expect(JSON.parse(stdout)).toEqual({
      event: 'error',
      code: 'ERR_TUNNEL_OPTION',
      message: expect.stringContaining('--listen'),
    });
    expect(JSON.parse((await trellisHere('serve', '--json', '--bogus')).stdout)).toMatchObject({
      event: 'error',
    });
  });
});

describe('configuration', () => {
  it('comes from the file, with the command line above it', async () => {
    const { ca, server, serverKey } = await pki();
    const file = join(scratch(), 'trellis.toml');
    const port = await freePort();
    writeFileSync(
      file,
      [
        `listen = "127.0.0.1:1"`,
        `cert = "${server}"`,
        `key = "${serverKey}"`,
        `client-ca = "${ca}"`,
        `app = ["web=127.0.0.1:80", "db=127.0.0.1:5432"]`,
        'json = true',
      ].join('\n'),
    );
    const program = startTrellis(['serve', '--config', file, '--listen', `127.0.0.1:${port}`]);
    expect(await program.result()).toMatchObject({
      event: 'ready',
      listen: `127.0.0.1:${port}`,
      applications: ['web:80=127.0.0.1:80', 'db:5432=127.0.0.1:5432'],
    });
    expect(await program.stop()).toEqual({ code: 0, signal: null });
  });

  it('warns in one line when anyone may reach the applications', async () => {
    const { server, serverKey, ca } = await pki();
    const words = [
      'serve',
      '--listen',
      '127.0.0.1:0',
      '--cert',
      server,
      '--key',
      serverKey,
      '--app',
      'a=127.0.0.1:1',
    ];
    const open = startTrellis(words);
    await open.until(() => open.stderr.includes('ready'), 'ready');
    expect(open.stderr.split('\n').filter((line) => / warn /.test(line))).toEqual([
      expect.stringMatching(/anyone who reaches .* may use the applications.*--client-ca/),
    ]);
    const closed = startTrellis([...words, '--client-ca', ca]);
    await closed.until(() => closed.stderr.includes('ready'), 'ready');
    expect(closed.stderr).not.toMatch(/ warn /);
  });

  it('binds forwards to loopback unless told otherwise, and tells which port it picked', async () => {
    const { ca } = await pki();
    const program = startTrellis([
      ...['connect', '[::1]:1', '--ca', ca, '--json'],
      ...['--forward', '0=a', '--forward', '[::1]:0=b', '--forward', '0.0.0.0:0=c'],
    ]);
    const { forwards } = await program.result<{ forwards: { listen: string; application: string }[] }>();
    expect(forwards.map(({ application }) => application)).toEqual(['a', 'b', 'c']);
    expect(forwards[0]?.listen).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(forwards[1]?.listen).toMatch(/^\[::1\]:[1-9]\d*$/);
    expect(forwards[2]?.listen).toMatch(/^0\.0\.0\.0:[1-9]\d*$/);
  });

  it('writes a key log for its owner only', async () => {
    const { ca, server, serverKey, client, clientKey } = await pki();
    const keys = join(scratch(), 'keys.log');
    const gateway = startTrellis([
      ...['serve', '--json', '--listen', '127.0.0.1:0', '--cert', server, '--key', serverKey],
      ...['--client-ca', ca, '--app', 'a=127.0.0.1:1', '--keylog', keys],
    ]);
    const { listen: address } = await gateway.result<{ listen: string }>();
    const user = startTrellis([
      ...['connect', address, '--json', '--eager', '--ca', ca, '--cert', client, '--key', clientKey],
      ...['--servername', 'localhost', '--forward', '0=a'],
    ]);
    await user.event('session.open');
    await gateway.event('session.open');
    expect(gateway.events('keylog')).toMatchObject([{ level: 'warn', file: keys }]);
    expect(existsSync(keys)).toBe(true);
    expect(statSync(keys).mode & 0o777).toBe(0o600);
    expect(readFileSync(keys, 'utf8')).toMatch(
      /^CLIENT_HANDSHAKE_TRAFFIC_SECRET [0-9a-f]{64} [0-9a-f]{64}$/m,
    );
  });
});

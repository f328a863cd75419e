import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { hasFlag } from '../../src/evidence/archive/record.ts';
import { MAX_OBJECT_BYTES } from '../../src/sign/limits.ts';
import { initPki } from '../../src/tunnel/init.ts';
import { TimeAuthority } from '../peers/support/time-authority.ts';
import { describeWith, need } from '../setup/need.ts';
import { evidenceOf, signedTunnel } from './sign-kit.ts';
import {
  dial,
  echoServer,
  listen,
  outcome,
  pki,
  readAll,
  run,
  scratch,
  startClient,
  startServer,
  startTunnel,
  trellis,
  trellisHere,
} from './tunnel-kit.ts';

const curl = need('curl');

const PAGE = 'a page\n'.repeat(100);

/** Answers in all the ways that HTTP has to say where an answer ends. */
function website(): http.Server {
  return http.createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      switch (request.url) {
        case '/chunked':
          response.write(PAGE.slice(0, 300));
          response.end(PAGE.slice(300));
          break;
        case '/close':
          response.useChunkedEncodingByDefault = false;
          response.removeHeader('content-length');
          response.shouldKeepAlive = false;
          response.write(PAGE);
          response.end();
          break;
        case '/nothing':
          response.writeHead(204).end();
          break;
        case '/same':
          response.writeHead(304, { etag: '"x"' }).end();
          break;
        case '/length':
          response
            .writeHead(200, { 'content-length': PAGE.length })
            .end(request.method === 'HEAD' ? undefined : PAGE);
          break;
        default:
          response.end(Buffer.concat(parts));
      }
    });
  });
}

describeWith(curl, 'curl through an application that is signed by HTTP message', () => {
  it.each(['pkcs7:receipt', 'smime:receipt', 'xmldsig:receipt', 'pkcs7'])('as %s', async (rule) => {
    const tunnel = await signedTunnel(await listen(website()), rule, 'http');
    const at = `http://127.0.0.1:${tunnel.port}`;
    const get = async (...words: string[]) => {
      const { stdout, stderr, code } = await run(curl.path, ['-sS', '--max-time', '15', ...words]);
      expect(code, stderr).toBe(0);
      return stdout;
    };
    // Several requests on one connection, each of which is told from the next.
    expect(await get(`${at}/chunked`, `${at}/length`)).toBe(PAGE + PAGE);
    expect(await get(`${at}/close`)).toBe(PAGE);
    expect(await get('--head', `${at}/length`)).toMatch(
      new RegExp(`^content-length: ${PAGE.length}\r$`, 'm'),
    );
    expect(await get('-w', '%{http_code} ', `${at}/nothing`, `${at}/same`)).toBe('204 304 ');
    expect(await get('-d', 'three chairs', `${at}/`)).toBe('three chairs');
    const form = join(tunnel.folder, 'form.bin');
    writeFileSync(form, 'x'.repeat(3_000_000));
    // A large body, which curl does not send before it was told to go on; and one of unknown length.
    expect(
      await get('--data-binary', `@${form}`, '-H', 'Expect: 100-continue', '-w', ' %{time_total}', `${at}/`),
    ).toMatch(/^x{3000000} /);
    expect(await get('-T', form, '-H', 'Transfer-Encoding: chunked', `${at}/`)).toHaveLength(3_000_000);

    const { client, server } = await tunnel.evidence();
    for (const { audit } of [client, server]) {
      expect(audit).toMatchObject({ ok: true, findings: [], signatures: { invalid: 0 } });
      expect(audit.witnesses).toMatchObject([{ same: audit.records, differing: 0, lacking: 0 }]);
    }
    const receipts = rule.endsWith(':receipt');
    const said = server.records.filter(({ kind, direction }) => kind === 'data' && direction === 'received');
    expect(said).toHaveLength(9);
    expect(said.every(({ status, application }) => status === 'verified' && application === 'app')).toBe(
      true,
    );
    const answers = server.records.filter(({ kind, direction }) => kind === 'data' && direction === 'sent');
    // Nine answers, and the server's own 100 Continue.
    expect(answers.length).toBeGreaterThanOrEqual(9);
    expect(server.records.filter(({ kind }) => kind === 'receipt')).toHaveLength(
      receipts ? said.length + answers.length : 0,
    );
    if (rule.startsWith('pkcs7')) {
      const objects = said.map(({ object }) => Buffer.from(object ?? '').toString('latin1'));
      expect(objects[0]).toContain('GET /chunked HTTP/1.1\r\n');
      expect(objects[0]).not.toContain('/length');
    }
    expect(tunnel.client.events('connection.close')[0]).toMatchObject({
      reason: 'end',
      messagesOut: 2,
      messagesIn: 2,
      receiptsIn: receipts ? 2 : 0,
    });
  });

  it('goes on as one message in each direction after a change of protocol', async () => {
    const web = http.createServer();
    web.on('upgrade', (_request, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
      socket.on('data', (part) => socket.write(part));
      socket.on('end', () => socket.end());
    });
    const tunnel = await signedTunnel(await listen(web), 'pkcs7:receipt', 'http');
    const socket = dial(tunnel.port);
    socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n');
    socket.end('after the change');
    expect(String(await readAll(socket))).toMatch(/^HTTP\/1\.1 101 .*\r\n\r\nafter the change$/s);
    const { server } = await tunnel.evidence();
    expect(
      server.records.filter(({ kind }) => kind === 'data').map(({ contentLength }) => contentLength),
    ).toContain(16);
  });

  it('is broken off where it is not HTTP, and says what to do', async () => {
    const tunnel = await signedTunnel(await listen(echoServer()), 'pkcs7', 'http');
    const socket = dial(tunnel.port);
    socket.write('SSH-2.0-OpenSSH_9.2\r\n\r\n');
    expect(await outcome(socket)).toBe('ECONNRESET');
    const closed = await tunnel.client.event('connection.close');
    expect(closed).toMatchObject({ level: 'warn', reason: 'unit', code: 'ERR_TUNNEL_UNIT' });
    expect(closed.error).toContain('--sign-unit');
    // The session is none the worse for it.
    const other = dial(tunnel.port);
    other.write('GET / HTTP/1.1\r\n\r\n');
    // The echo answers with a request, which is no response.
    expect(await outcome(other)).toBe('ECONNRESET');
    const { server } = tunnel;
    await server.until(
      () => server.events('connection.close').some(({ reason }) => reason === 'unit'),
      'a refusal',
    );
    expect(tunnel.server.events('session.open')).toHaveLength(1);
  });
});

describe('an application that is signed', () => {
  it('by line: a conversation goes on line by line', async () => {
    const tunnel = await signedTunnel(await listen(echoServer()), 'pkcs7:receipt', 'line');
    const socket = dial(tunnel.port);
    for (const line of ['one\n', 'two\r\n', '\n', 'four\n']) {
      socket.write(line);
      const answer = await new Promise((resolve) => socket.once('data', (text) => resolve(String(text))));
      expect(answer).toBe(line);
    }
    socket.end('no line end');
    expect(String(await readAll(socket))).toBe('no line end');
    const { client, server } = await tunnel.evidence();
    const sent = client.records.filter(({ direction, kind }) => direction === 'sent' && kind === 'data');
    expect(sent.map(({ contentLength }) => contentLength)).toEqual([4, 5, 1, 5, 11]);
    expect(server.audit).toMatchObject({ ok: true, records: 20 });
  });

  it('by length: messages of any content', async () => {
    const tunnel = await signedTunnel(await listen(echoServer()), 'smime', 'length-prefixed');
    const socket = dial(tunnel.port);
    const message = Buffer.concat([Buffer.from([0, 1, 0, 0]), Buffer.alloc(65_536, '\n')]);
    for (let i = 0; i < 5; i++) socket.write(message);
    socket.end();
    expect(await readAll(socket)).toEqual(Buffer.concat(Array.from({ length: 5 }, () => message)));
    const { server } = await tunnel.evidence();
    expect(server.records.map(({ contentLength }) => contentLength)).toEqual(
      Array.from({ length: 10 }, () => 65_540),
    );
  });

  it('by connection: each direction is one object, which is the document itself', async () => {
    const tunnel = await signedTunnel(await listen(echoServer()), 'smime:receipt', 'connection');
    const socket = dial(tunnel.port);
    const document = join(tunnel.folder, 'order.xml');
    writeFileSync(document, '<order>three chairs</order>');
    socket.end('<order>three chairs</order>');
    expect(String(await readAll(socket))).toBe('<order>three chairs</order>');
    const { client } = await tunnel.evidence();
    expect(client.records).toHaveLength(4);
    const found = await trellisHere(
      'evidence',
      'find',
      '--json',
      '--archive',
      join(tunnel.folder, 'client.db'),
      '--file',
      document,
    );
    // Both directions say the same here, and each has its receipt.
    expect(
      JSON.parse(found.stdout)
        .records.map(({ kind }: { kind: string }) => kind)
        .sort(),
    ).toEqual(['data', 'data', 'receipt', 'receipt']);
  });

  it('leaves its neighbours alone, which are not in the archive', async () => {
    const echo = await listen(echoServer());
    const tunnel = await signedTunnel(echo, 'pkcs7:receipt', 'line', {
      neighbours: { chat: await listen(echoServer()) },
    });
    const [signed, plain] = [dial(tunnel.port), dial(tunnel.ports.chat as number)];
    signed.end('signed\n');
    plain.end('plain\n');
    expect(String(await readAll(signed))).toBe('signed\n');
    expect(String(await readAll(plain))).toBe('plain\n');
    const { client, server } = await tunnel.evidence();
    expect(client.records).toHaveLength(4);
    expect(server.records.every(({ application }) => application === 'app')).toBe(true);
    expect(tunnel.server.events('session.open')).toMatchObject([{ signing: 'pkcs7' }]);
  });

  it('has a session for each format, and plain neighbours in the first', async () => {
    const folder = scratch();
    const rules = [
      '--sign',
      'one=pkcs7',
      '--sign',
      'other=smime',
      '--sign-unit',
      'line',
      '--sign-unit',
      'other=connection',
    ];
    const tunnel = await startTunnel({
      applications: {
        chat: await listen(echoServer()),
        one: await listen(echoServer()),
        other: await listen(echoServer()),
      },
      serve: [...rules, '--archive', join(folder, 'server.db')],
      connect: [...rules, '--archive', join(folder, 'client.db')],
    });
    for (const name of ['chat', 'one', 'other']) {
      const socket = dial(tunnel.ports[name] as number);
      socket.end(`${name}\n`);
      expect(String(await readAll(socket))).toBe(`${name}\n`);
    }
    expect(tunnel.server.events('session.open').map(({ signing }) => signing)).toEqual(['pkcs7', 'smime']);
    await tunnel.client.stop();
    await tunnel.server.stop();
    const { client } = await evidenceOf(folder, tunnel.pki.ca);
    expect(client.records.map(({ application, format }) => [application, format])).toEqual([
      ['one', 'pkcs7'],
      ['one', 'pkcs7'],
      ['other', 'smime'],
      ['other', 'smime'],
    ]);
  });

  it('is signed with another certificate where one is given, which --sign-ca vouches for', async () => {
    const signers = scratch();
    await initPki({ directory: signers });
    const at = (name: string) => join(signers, name);
    const folder = scratch();
    const certificates = await pki();
    const sign = ['--sign', 'app=pkcs7:receipt', '--sign-unit', 'line', '--sign-ca', at('ca.pem')];
    // The client shows no certificate in the handshake: there it is anybody.
    const { server, address } = await startServer(certificates, { app: await listen(echoServer()) }, [
      ...[
        ...sign,
        '--archive',
        join(folder, 'server.db'),
        '--sign-cert',
        at('server.pem'),
        '--sign-key',
        at('server.key'),
      ],
    ]);
    const { client, ports } = await startClient(
      certificates,
      address,
      ['app'],
      [
        ...[
          ...sign,
          '--archive',
          join(folder, 'client.db'),
          '--sign-cert',
          at('client.pem'),
          '--sign-key',
          at('client.key'),
        ],
      ],
    );
    const socket = dial(ports.app as number);
    socket.end('who am I\n');
    expect(String(await readAll(socket))).toBe('who am I\n');
    await client.stop();
    await server.stop();
    const evidence = await evidenceOf(folder, at('ca.pem'));
    expect(evidence.server.audit).toMatchObject({ ok: true, records: 4 });
    expect((await evidenceOf(folder, certificates.ca)).server.audit).toMatchObject({ ok: false });
  });
});

describeWith(need('openssl'), 'an archive of the tunnel', () => {
  // A token that could not be had is asked for again after 30 s.
  it('is dated by a time authority, which may be down for a while', { timeout: 120_000 }, async () => {
    const authority = new TimeAuthority(join(scratch(), 'tsa'));
    let asked: () => void = () => {};
    let isUp = false;
    const tsa = http.createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        if (isUp) response.end(authority.answer(Buffer.concat(parts)), () => asked());
        else response.writeHead(503).end();
      });
    });
    const dated = ['--timestamp', `http://127.0.0.1:${await listen(tsa)}/`];
    const app = await listen(echoServer());
    const tunnel = await signedTunnel(app, 'pkcs7:receipt', 'line', { serve: dated });
    const socket = dial(tunnel.port);
    socket.end('an order\n');
    expect(String(await readAll(socket))).toBe('an order\n');
    await tunnel.evidence();
    isUp = true;
    const fetched = new Promise<void>((resolve) => {
      asked = resolve;
    });
    const archive = join(tunnel.folder, 'server.db');
    const { server } = await startServer(tunnel.pki, { app }, [
      '--sign',
      'app=pkcs7',
      '--archive',
      archive,
      ...dated,
    ]);
    await fetched;
    const audit = async () =>
      JSON.parse(
        (
          await trellisHere(
            ...['evidence', 'audit', '--json', '--archive', archive],
            ...['--ca', tunnel.pki.ca, '--tsa-ca', authority.rootFile],
          )
        ).stdout,
      );
    // The token is on its way into the file.
    await server.stop();
    expect(await audit()).toMatchObject({
      ok: true,
      timestamps: { invalid: 0 },
      covered: { byTimestamp: 4 },
    });
  });
});

describe('an application that is signed by connection, as pkcs7', () => {
  it('is a conversation like any other, several at a time', async () => {
    const tunnel = await signedTunnel(await listen(echoServer()), 'pkcs7:receipt', 'connection');
    const sockets = [dial(tunnel.port), dial(tunnel.port), dial(tunnel.port)];
    for (const word of ['one', 'two', 'three']) {
      for (const socket of sockets) {
        socket.write(word);
        expect(await new Promise((resolve) => socket.once('data', (text) => resolve(String(text))))).toBe(
          word,
        );
      }
    }
    for (const socket of sockets) {
      socket.end('!');
      expect(String(await readAll(socket))).toBe('!');
    }
    // One more uses a session that is there.
    const again = dial(tunnel.port);
    again.end('again');
    expect(String(await readAll(again))).toBe('again');
    const { client, server } = await tunnel.evidence();
    expect(tunnel.server.events('session.open')).toHaveLength(3);
    expect(server.audit).toMatchObject({ ok: true, findings: [], records: 16 });
    const said = client.records.filter(({ kind }) => kind === 'data');
    expect(said.map(({ contentLength }) => contentLength).sort()).toEqual([12, 12, 12, 12, 12, 12, 5, 5]);
    expect(said.every(({ flags }) => hasFlag({ flags }, 'streamed'))).toBe(true);
  });

  it('is rejected and reset when it is cut off, and the next one goes on', async () => {
    const tunnel = await signedTunnel(await listen(echoServer()), 'pkcs7:receipt', 'connection');
    const socket = dial(tunnel.port);
    socket.write('half of an order');
    await new Promise((resolve) => socket.once('data', resolve));
    socket.resetAndDestroy();
    expect(await tunnel.server.event('connection.close')).not.toMatchObject({ reason: 'end' });
    const next = dial(tunnel.port);
    next.end('a whole one');
    expect(String(await readAll(next))).toBe('a whole one');
    const { server } = await tunnel.evidence();
    const [first] = server.records.filter(
      ({ direction, kind }) => direction === 'received' && kind === 'data',
    );
    expect(first).toMatchObject({ status: 'rejected', reason: 'ERR_SIGN_INCOMPLETE' });
    const whole = server.records.filter(
      ({ contentLength, status }) => contentLength === 11 && status === 'verified',
    );
    expect(whole).toHaveLength(1);
  });
});

describeWith(curl, 'curl through an application that is signed by connection', () => {
  it('carries small and large', { timeout: 120_000 }, async () => {
    // More than an object may hold that is not streamed.
    const LARGE = MAX_OBJECT_BYTES + 2 * 1_048_576;
    const web = http.createServer((request, response) => {
      const hash = createHash('sha256');
      request.on('data', (part: Buffer) => hash.update(part));
      request.on('end', () => {
        if (request.url === '/large') response.end(Buffer.alloc(LARGE, 'download'));
        else response.end(hash.digest('hex'));
      });
    });
    const tunnel = await signedTunnel(await listen(web), 'pkcs7:receipt', 'connection');
    const at = `http://127.0.0.1:${tunnel.port}`;
    const file = join(tunnel.folder, 'upload.bin');
    writeFileSync(file, Buffer.alloc(LARGE, 'upload'));
    const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex');
    const up = await run(curl.path, ['-sS', '--max-time', '60', '-T', file, `${at}/`], { limit: 70_000 });
    expect(up.stdout, up.stderr).toBe(sha256(Buffer.alloc(LARGE, 'upload')));
    const into = join(tunnel.folder, 'download.bin');
    const down = await run(curl.path, ['-sS', '--max-time', '60', '-o', into, `${at}/large`], {
      limit: 70_000,
    });
    expect(down, down.stderr).toMatchObject({ code: 0 });
    expect(sha256(readFileSync(into))).toBe(sha256(Buffer.alloc(LARGE, 'download')));
    const { client, server } = await tunnel.evidence();
    for (const { audit } of [client, server]) {
      expect(audit).toMatchObject({
        ok: true,
        findings: [],
        records: 8,
        signatures: { valid: 8, invalid: 0 },
      });
    }
    expect(server.records.filter(({ contentLength }) => contentLength > LARGE)).toHaveLength(2);
  });
});

describe('signing that one side wants and the other does not', () => {
  it('is refused at the client, when the server signs nothing, and neighbours go on', async () => {
    const folder = scratch();
    const tunnel = await startTunnel({
      applications: { app: await listen(echoServer()), chat: await listen(echoServer()) },
      connect: ['--sign', 'app=pkcs7', '--archive', join(folder, 'client.db')],
    });
    const socket = dial(tunnel.ports.app as number);
    expect(await outcome(socket)).toBe('ECONNRESET');
    expect(tunnel.client.events('session.unsigned')).toHaveLength(1);
    const closed = await tunnel.client.event('connection.close');
    expect(closed).toMatchObject({
      level: 'warn',
      reason: 'unsigned',
      code: 'ERR_TUNNEL_SIGN',
      application: 'app',
    });
    expect(closed.error).toContain('--sign app=pkcs7 --archive FILE');
    const plain = dial(tunnel.ports.chat as number);
    plain.end('hello');
    expect(String(await readAll(plain))).toBe('hello');
  });

  it('is refused at the server, when the client signs nothing, in another format, or nothing of this', async () => {
    const folder = scratch();
    const certificates = await pki();
    const applications = { app: await listen(echoServer()), more: await listen(echoServer()) };
    const { server, address } = await startServer(certificates, applications, [
      ...[
        '--sign',
        'app=pkcs7',
        '--sign',
        'more=smime',
        '--sign-unit',
        'line',
        '--archive',
        join(folder, 'server.db'),
      ],
    ]);
    let n = 0;
    const refused = async (rules: readonly string[], application: string) => {
      const archive = rules.length > 0 ? ['--archive', join(folder, `client${n}.db`)] : [];
      const { client, ports } = await startClient(
        certificates,
        address,
        [application],
        [...rules, ...archive],
      );
      const socket = dial(ports[application] as number);
      socket.write('hello\n');
      expect(await outcome(socket)).toBe('ECONNRESET');
      expect(await client.event('connection.close')).toMatchObject({ reason: 'refused' });
      await client.stop();
      return server.event('connection.close', ++n);
    };
    expect(await refused([], 'app')).toMatchObject({
      level: 'warn',
      reason: 'unsigned',
      code: 'ERR_TUNNEL_SIGN',
    });
    expect((await refused(['--sign', 'app=smime', '--sign-unit', 'line'], 'app')).error).toContain(
      'signs as smime',
    );
    expect(server.events('session.open').map(({ signing }) => signing)).toEqual([undefined, 'smime']);
  });

  it('is broken off where the client signs what the server does not', async () => {
    const folder = scratch();
    const certificates = await pki();
    const applications = { app: await listen(echoServer()), more: await listen(echoServer()) };
    const { server, address } = await startServer(certificates, applications, [
      ...['--sign', 'more=pkcs7', '--archive', join(folder, 'server.db')],
    ]);
    const { ports } = await startClient(
      certificates,
      address,
      ['app'],
      [...['--sign', 'app=pkcs7', '--sign-unit', 'line', '--archive', join(folder, 'client.db')]],
    );
    const socket = dial(ports.app as number);
    socket.write('hello\n');
    expect(await outcome(socket)).toBe('ECONNRESET');
    const closed = await server.event('connection.close');
    expect(closed).toMatchObject({ reason: 'unsigned', code: 'ERR_TUNNEL_SIGN' });
    expect(closed.error).toContain('The client signs "app"');
  });

  it.each([
    [['--sign', 'app=pkcs7'], '--sign needs --archive FILE'],
    [['--archive', 'x.db'], '--archive is for signing'],
    [['--sign', 'app=pkcs7', '--archive', 'x.db', '--timestamp', 'tsa.example'], 'write a URL'],
    [['--sign', 'app=pgp', '--archive', 'x.db'], 'write APP=pkcs7|smime|xmldsig[:receipt]'],
    [['--sign', 'app=pkcs7:maybe', '--archive', 'x.db'], 'write APP=pkcs7|smime|xmldsig[:receipt]'],
    [['--sign', 'other=pkcs7', '--archive', 'x.db'], 'there is no --app "other"; there are app'],
    [['--sign', 'app=pkcs7', '--sign', 'app=smime', '--archive', 'x.db'], 'given twice for "app"'],
    [
      ['--sign', 'app=pkcs7', '--sign-unit', 'page', '--archive', 'x.db'],
      'write one of connection, http, line',
    ],
    [['--sign', 'app=pkcs7', '--sign-unit', 'chat=line', '--archive', 'x.db'], 'add --sign chat=FORMAT'],
    [
      ['--sign', 'app=pkcs7', '--sign-unit', 'line', '--sign-unit', 'http', '--archive', 'x.db'],
      'given twice for all',
    ],
    [['--sign', 'app=pkcs7', '--sign-cert', 'x.pem', '--archive', 'x.db'], 'belong together'],
    [['--sign', 'app=pkcs7', '--archive', '/proc/x.db'], '/proc/x.db'],
  ])('does not start with %j', async (words, says) => {
    const certificates = await pki();
    const ran = await trellisHere(
      ...['serve', '--listen', '127.0.0.1:0', '--cert', certificates.server, '--key', certificates.serverKey],
      ...['--client-ca', certificates.ca, '--app', 'app=127.0.0.1:9', ...words],
    );
    expect(ran.code).toBe(2);
    expect(ran.stderr).toContain(says);
    expect(ran.stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('does not start without anybody to sign, or to judge', async () => {
    const certificates = await pki();
    const folder = scratch();
    const sign = ['--sign', 'app=pkcs7', '--archive', join(folder, 'x.db')];
    const serve = await trellis(
      ...['serve', '--listen', '127.0.0.1:0', '--cert', certificates.server, '--key', certificates.serverKey],
      ...['--app', 'app=127.0.0.1:9', ...sign],
    );
    expect(serve).toMatchObject({ code: 2 });
    expect(serve.stderr).toContain('--client-ca');
    const connect = await trellisHere(
      'connect',
      '127.0.0.1:9',
      '--ca',
      certificates.ca,
      '--forward',
      '0=app',
      ...sign,
    );
    expect(connect).toMatchObject({ code: 2 });
    expect(connect.stderr).toContain('--cert and --key');
  });
});

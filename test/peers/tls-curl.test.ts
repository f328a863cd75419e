import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { describeWith, need } from '../setup/need.ts';
import { type OurHttpServer, pattern, serveHttp } from './support/http.ts';
import { type Credential, makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

const curlProgram = need('curl');
const LARGE = 24 * 1024 * 1024;

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

const identity = ({ cert, key }: Credential) => ({ cert, key });

interface Run {
  readonly code: number | null;
  readonly output: string;
}

/** @param trust the CA that it is told to trust */
async function curl(
  { port }: OurHttpServer,
  args: readonly string[],
  trust: Credential = pki.ca,
): Promise<Run> {
  const program = new Program(curlProgram.path, [
    ...['--silent', '--show-error', '--max-time', '20', '--noproxy', '*'],
    ...['--cacert', trust.certFile, '--resolve', `localhost:${port}:127.0.0.1`],
    ...args,
  ]);
  const code = await program.end();
  return { code, output: program.output };
}

describeWith(curlProgram, 'curl, our server', () => {
  it('gets a page over HTTP/1.1', async () => {
    const server = await serveHttp(identity(pki.servers.p256));
    const { code, output } = await curl(server, ['--http1.1', '--verbose', server.url]);
    expect(code).toBe(0);
    expect(output).toContain('SSL connection using TLSv1.3 / TLS_AES_128_GCM_SHA256');
    expect(output).toContain('SSL certificate verify ok');
    expect(output).toContain('HTTP/1.1 200 OK');
    expect(output).toContain('Hello from Trellis');
    expect(server.sessions[0]?.servername).toBe('localhost');
  });

  it('gets pages over HTTP/2, several at once in one session', async () => {
    const server = await serveHttp({ ...identity(pki.servers.p256), ALPNProtocols: ['h2', 'http/1.1'] });
    const pages = Array.from({ length: 6 }, (_, i) => `${server.url}/bytes/${i}`);
    const { code, output } = await curl(server, [
      ...['--http2', '--parallel', '--write-out', '%{http_version} %{size_download}\\n'],
      ...pages.flatMap((page) => ['--output', join(pki.folder, 'page'), page]),
    ]);
    expect(code).toBe(0);
    // Between these lines is its progress meter.
    expect(output.match(/^2 \d$/gm)?.sort()).toEqual(pages.map((_, i) => `2 ${i}`));
    expect(server.sessions.every(({ alpnProtocol }) => alpnProtocol === 'h2')).toBe(true);
  });

  it.each([
    ['whole records', {}],
    ['small padded records', { maxSendFragment: 1500, padding: 256 }],
  ])('downloads a lot: %s', async (_, options) => {
    const server = await serveHttp({ ...identity(pki.servers.rsa2048), ...options });
    const file = join(pki.folder, 'download');
    const { code } = await curl(server, ['--output', file, `${server.url}/bytes/${LARGE}`]);
    expect(code).toBe(0);
    expect(readFileSync(file).equals(pattern(LARGE))).toBe(true);
  });

  it('uploads a lot', async () => {
    const server = await serveHttp(identity(pki.servers.ed25519));
    const file = join(pki.folder, 'upload');
    writeFileSync(file, pattern(LARGE));
    const { code, output } = await curl(server, ['--upload-file', file, server.url]);
    expect(code).toBe(0);
    expect(output).toContain(`${LARGE} ${createHash('sha256').update(pattern(LARGE)).digest('hex')}`);
  });

  it('keeps a connection for several requests', async () => {
    const server = await serveHttp(identity(pki.servers.p256));
    const { code, output } = await curl(server, [server.url, server.url, server.url]);
    expect(code).toBe(0);
    expect(output.match(/Hello from Trellis/g)).toHaveLength(3);
    expect(server.sessions).toHaveLength(1);
  });

  it('resumes its session for new connections', async () => {
    const server = await serveHttp(identity(pki.servers.p256), { close: true });
    const { code, output } = await curl(server, ['--verbose', server.url, server.url, server.url]);
    expect(code).toBe(0);
    // The words of curl 7 and of curl 8.
    expect(output).toMatch(/SSL re-using session ID|SSL reusing session/);
    expect(server.sessions.map((socket) => socket.isSessionReused())).toEqual([false, true, true]);
  });

  it.each([
    [['--tls13-ciphers', 'TLS_CHACHA20_POLY1305_SHA256'], 'TLS_CHACHA20_POLY1305_SHA256'],
    [['--tls13-ciphers', 'TLS_AES_256_GCM_SHA384', '--curves', 'P-384'], 'TLS_AES_256_GCM_SHA384'],
  ])('uses what it is told to: %s', async (args, suite) => {
    const server = await serveHttp(identity(pki.servers.p384));
    const { code, output } = await curl(server, ['--verbose', ...args, server.url]);
    expect(code).toBe(0);
    expect(output).toContain(`SSL connection using TLSv1.3 / ${suite}`);
  });

  it('shows a client certificate', async () => {
    const server = await serveHttp({ ...identity(pki.servers.p256), requestCert: true, ca: pki.ca.cert });
    const { certFile, keyFile } = pki.clients.p256;
    const { code } = await curl(server, ['--cert', certFile, '--key', keyFile, server.url]);
    expect(code).toBe(0);
    expect(server.sessions[0]?.getPeerCertificate().subject.CN).toBe('client p256');
    const without = await curl(server, [server.url]);
    expect(without.code).not.toBe(0);
    expect((await server.session()).authorized).toBe(true);
    expect((await server.failure()).code).toBe('ERR_TLS_CERTIFICATE_REQUIRED');
  });

  it('refuses our certificate, and the server is told why', async () => {
    const server = await serveHttp(identity(pki.servers.p256));
    // 60: the peer's certificate is not known to be good.
    expect((await curl(server, [server.url], pki.otherCa)).code).toBe(60);
    expect((await server.failure()).code).toBe('ERR_TLS_ALERT_UNKNOWN_CA');
  });

  it('speaks plain HTTP to the TLS port in vain', async () => {
    const server = await serveHttp(identity(pki.servers.p256));
    const { code } = await curl(server, [`http://localhost:${server.port}/`]);
    expect(code).not.toBe(0);
    expect((await server.failure()).code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });
});

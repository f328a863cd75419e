import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { NamedGroup } from '../../src/wire/codepoints.ts';
import { describeWith, need } from '../setup/need.ts';
import { type OurHttpServer, serveHttp } from './support/http.ts';
import { type Credential, makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

const chromium = need('chromium');
/** A browser takes seconds to start where others use the processor too. */
const TEST_MS = 60_000;

/** Loads more, by itself, and says in the document what came. */
const PAGE = `<!doctype html><title>Trellis</title><p id=result>waiting</p><script>
const sizes = [1, 1000, 300000, 1000000];
Promise.all(sizes.map(size => fetch('/bytes/' + size).then(r => r.arrayBuffer())))
  .then(all => fetch('/upload', { method: 'POST', body: all[2] }).then(r => r.text()).then(text =>
    document.getElementById('result').textContent =
      'got ' + all.map(a => a.byteLength).join(' ') + ', sent ' + text.split(' ')[0]),
    error => document.getElementById('result').textContent = String(error));
</script>`;
const RESULT = 'got 1 1000 300000 1000000, sent 300000';

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

const identity = ({ cert, key }: Credential) => ({ cert, key });

/** What the browser shows of the server's page once its script has run, as HTML. */
async function load({ url }: OurHttpServer, trusted: Credential | undefined): Promise<string> {
  const program = new Program(chromium.path, [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ...['--disable-dev-shm-usage', '--no-proxy-server', '--host-resolver-rules=MAP localhost 127.0.0.1'],
    `--user-data-dir=${mkdtempSync(join(pki.folder, 'chromium-'))}`,
    ...(trusted === undefined ? [] : [`--ignore-certificate-errors-spki-list=${trusted.spkiPin}`]),
    ...['--virtual-time-budget=20000', '--dump-dom', url],
  ]);
  try {
    await program.end(TEST_MS - 5_000);
    return program.output;
  } finally {
    await program.stop();
  }
}

describeWith(chromium, 'Chromium, our server', () => {
  it(
    'loads a page over HTTP/1.1 and resumes its session for more connections',
    async () => {
      const server = await serveHttp(identity(pki.servers.p256), { html: PAGE, close: true });
      expect(await load(server, pki.servers.p256)).toContain(RESULT);
      expect(server.sessions.length).toBeGreaterThan(1);
      expect(server.sessions.some((socket) => socket.isSessionReused())).toBe(true);
    },
    TEST_MS,
  );

  it(
    'loads a page over HTTP/2, after a HelloRetryRequest, with an RSA certificate',
    async () => {
      const server = await serveHttp(
        { ...identity(pki.servers.rsa2048), ALPNProtocols: ['h2', 'http/1.1'], ecdhCurve: 'P-384' },
        { html: PAGE },
      );
      expect(await load(server, pki.servers.rsa2048)).toContain(RESULT);
      expect(server.sessions[0]?.alpnProtocol).toBe('h2');
    },
    TEST_MS,
  );

  it(
    'agrees on X25519MLKEM768, takes a compressed certificate, and loads a page',
    async () => {
      const server = await serveHttp(
        {
          ...identity(pki.servers.p256),
          ecdhCurve: 'X25519MLKEM768',
          certificateCompression: ['brotli'],
        },
        { html: PAGE },
      );
      expect(await load(server, pki.servers.p256)).toContain(RESULT);
      expect(server.sessions[0]?.connection.info?.group).toBe(NamedGroup.x25519mlkem768);
    },
    TEST_MS,
  );

  it(
    'refuses a certificate that it does not trust, and the server is told',
    async () => {
      const server = await serveHttp(identity(pki.servers.p256), { html: PAGE });
      expect(await load(server, undefined)).not.toContain('id=result');
      expect((await server.failure()).code).toBe('ERR_TLS_ALERT_CERTIFICATE_UNKNOWN');
    },
    TEST_MS,
  );
});

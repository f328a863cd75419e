import { EventEmitter, once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect as netConnect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { nodeModuleKeys } from '../../src/crypto/node/module-keys.ts';
import { encodePem } from '../../src/der/pem.ts';
import { connect } from '../../src/node/connect.ts';
import {
  connect as connectDtls,
  createServer as createDtlsServer,
  type DtlsSocket,
} from '../../src/node/dtls/index.ts';
import { PcscTransport } from '../../src/node/module/pcsc.ts';
import { SecurityModule } from '../../src/node/module/security-module.ts';
import { insertVirtualCard, VPCD_PORT } from '../../src/node/module/vpcd.ts';
import { createServer, type Server } from '../../src/node/server.ts';
import { describeWith, need, needThat } from '../setup/need.ts';
import { CA, Card, cardWith, certificateFor, pin } from '../unit/module/kit.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import { Program } from './support/program.ts';

/*
 * A real pcscd with vsmartcard's virtual reader in it, and our module in that. vpcd listens on one port and pcscd on one
 * socket of the machine, so these tests run where no other pcscd does.
 */

const pcscdProgram = need('pcscd');
const vpcd = need('vpcd-config');
const opensc = need('opensc-tool');
const curl = need('curl');
const PCSCD_SOCKET = '/run/pcscd/pcscd.comm';
const alone = needThat(
  process.getuid?.() === 0 && !existsSync(PCSCD_SOCKET),
  'needs root, and no other pcscd on this machine',
);
const mini = needThat(await hasPcscMini(), 'no pcsc-mini here (npm install --no-save pcsc-mini@0.1.3)');
const needs = [pcscdProgram, vpcd, alone];

async function hasPcscMini(): Promise<boolean> {
  return loadPcscMini().then(
    () => true,
    () => false,
  );
}

/** What of the optional package is used here, beside what src/ does. */
interface PcscMini {
  readonly Client: new () => EventEmitter & { start(): unknown; stop(): void };
  readonly ReaderStatus: { readonly PRESENT: number };
}
interface Reader extends EventEmitter {
  name(): string;
}

async function loadPcscMini(): Promise<PcscMini> {
  const name = 'pcsc-mini';
  return import(name);
}

/** Hears from pcscd whether there is a card in the virtual reader. */
class ReaderWatch {
  readonly #client: InstanceType<PcscMini['Client']>;
  readonly #changes = new EventEmitter();
  #hasCard = false;

  constructor({ Client, ReaderStatus }: PcscMini) {
    this.#client = new Client();
    this.#client.on('error', () => undefined);
    this.#client.on('reader', (reader: Reader) => {
      // It has two slots; ours is the first.
      if (!reader.name().startsWith('Virtual PCD') || !reader.name().endsWith('00 00')) return;
      reader.on('change', (status: { has(flag: number): boolean }) => {
        this.#hasCard = status.has(ReaderStatus.PRESENT);
        this.#changes.emit('change');
      });
    });
    this.#client.start();
  }

  async until(hasCard: boolean): Promise<void> {
    while (this.#hasCard !== hasCard) await once(this.#changes, 'change');
  }

  stop(): void {
    this.#client.stop();
  }
}

const folder = mkdtempSync(join(tmpdir(), 'trellis-pcsc-'));
const caFile = join(folder, 'ca.pem');
let pcscd: Program | undefined;
let watch: ReaderWatch | undefined;
let inserted: Socket | undefined;
const servers: Server[] = [];
const modules: SecurityModule[] = [];

beforeAll(async () => {
  writeFileSync(caFile, encodePem('CERTIFICATE', CA));
  if (needs.some(({ available }) => !available)) return;
  pcscd = new Program(pcscdProgram.path, ['--foreground', '--error']);
  for (let tries = 0; !(await listens(VPCD_PORT)) && tries < 50; tries++) await delay(100);
  if (mini.available) watch = new ReaderWatch(await loadPcscMini());
});

afterEach(async () => {
  for (const server of servers.splice(0)) server.close();
  for (const module of modules.splice(0)) module.close();
  await delay(300);
  if (inserted === undefined) return;
  inserted.destroy();
  inserted = undefined;
  await cardIs(false);
});

afterAll(async () => {
  watch?.stop();
  pcscd?.child.kill('SIGTERM');
  await pcscd?.exited;
  rmSync(folder, { recursive: true });
});

async function listens(port: number): Promise<boolean> {
  const socket = netConnect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

async function insert(card: Card): Promise<void> {
  inserted = insertVirtualCard(card.applet);
  await once(inserted, 'connect');
  await cardIs(true);
}

/** Waits until pcscd has seen it. */
async function cardIs(inside: boolean): Promise<void> {
  if (watch !== undefined) await watch.until(inside);
  // Far longer than the interval in which it looks.
  else await delay(1500);
}

async function open(card: Card, fragmentSize?: number): Promise<SecurityModule> {
  await insert(card);
  const transport = await PcscTransport.connect('Virtual PCD');
  const module = await SecurityModule.open(transport, { pin: '1234', fragmentSize });
  modules.push(module);
  return module;
}

const SIZES: [string, number | undefined][] = [
  ['50 bytes', 50],
  ['100 bytes', 100],
  ['200 bytes', 200],
  ['the default size', undefined],
];

describeWith([...needs, mini, openssl], 'module in pcscd, client of openssl s_server', () => {
  it.each(SIZES)('TLS 1.3 with fragments of %s', (_name, size) => sayHello(size, 'TLSv1.3'), 60_000);
  it.each(SIZES)('TLS 1.2 with fragments of %s', (_name, size) => sayHello(size, 'TLSv1.2'), 60_000);

  async function sayHello(size: number | undefined, version: string): Promise<void> {
    const pkcs8 = nodeModuleKeys.generate('P-256');
    const certFile = join(folder, 'server.pem');
    const keyFile = join(folder, 'server.key');
    writeFileSync(
      certFile,
      encodePem('CERTIFICATE', certificateFor(nodeModuleKeys.load(pkcs8).spki, 'server')),
    );
    writeFileSync(keyFile, encodePem('PRIVATE KEY', pkcs8));
    const server = new OpensslServer({ certFile, keyFile } as never, [
      ...['-Verify', '3', '-CAfile', caFile, '-verify_return_error', '-rev'],
      version === 'TLSv1.2' ? '-tls1_2' : '-tls1_3',
    ]);
    const module = await open(cardWith({ kind: 'client' }), size);
    const port = await server.port;
    const socket = connect({ port, host: '127.0.0.1', servername: 'server.test', module });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    expect(socket.getProtocol()).toBe(version);
    socket.write('hello, card\n');
    const [reply] = (await once(socket, 'data')) as [Buffer];
    expect(reply.toString()).toBe('drac ,olleh\n');
    socket.end();
    socket.resume();
    await once(socket, 'close');
    expect(server.output).toContain('client.test');
    server.child.kill();
  }
});

describeWith([...needs, mini, curl], 'module in pcscd, server to curl', () => {
  it.each(SIZES)(
    'with fragments of %s',
    async (_name, size) => {
      const module = await open(cardWith({ kind: 'server' }), size);
      const server = createServer({ module }, (socket) => {
        socket.once('data', () =>
          socket.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello'),
        );
        socket.on('error', () => undefined);
      });
      servers.push(server);
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as AddressInfo;
      for (const version of ['--tlsv1.3', '--tls-max=1.2']) {
        const program = new Program(curl.path, [
          ...['--silent', '--show-error', '--verbose', '--max-time', '30', '--noproxy', '*'],
          ...['--cacert', caFile, '--resolve', `localhost:${port}:127.0.0.1`, '--http1.1'],
          ...(version === '--tlsv1.3' ? ['--tlsv1.3'] : ['--tls-max', '1.2']),
          `https://localhost:${port}/`,
        ]);
        expect(await program.end(40_000), program.output).toBe(0);
        expect(program.output).toContain('hello');
        expect(program.output).toContain(version === '--tlsv1.3' ? 'TLSv1.3' : 'TLSv1.2');
      }
    },
    90_000,
  );
});

describeWith([...needs, mini, openssl], 'module in pcscd, DTLS 1.2 with openssl', () => {
  it.each(SIZES)(
    'both roles, with fragments of %s',
    async (_name, size) => {
      const pkcs8 = nodeModuleKeys.generate('P-256');
      const [certFile, keyFile] = [join(folder, 'dtls.pem'), join(folder, 'dtls.key')];
      const leaf = certificateFor(nodeModuleKeys.load(pkcs8).spki, 'server');
      writeFileSync(certFile, encodePem('CERTIFICATE', leaf));
      writeFileSync(keyFile, encodePem('PRIVATE KEY', pkcs8));
      // One card with two identities: each session names its own.
      const card = cardWith(
        { kind: 'server', alias: 'server' },
        cardWith({ kind: 'client', alias: 'client' }),
      );
      await insert(card);
      const transport = await PcscTransport.connect('Virtual PCD');
      const asClient = await SecurityModule.open(transport, {
        pin: '1234',
        alias: 'client',
        fragmentSize: size,
      });
      modules.push(asClient);
      const words = ['-dtls1_2', '-Verify', '3', '-CAfile', caFile, '-verify_return_error'];
      const peer = new OpensslServer({ certFile, keyFile } as never, words);
      const port = await peer.port;
      const socket = connectDtls({ port, host: '127.0.0.1', servername: 'server.test', module: asClient });
      await once(socket, 'secureConnect');
      expect([socket.authorized, socket.getProtocol()]).toEqual([true, 'DTLSv1.2']);
      socket.send('hello from the card\n');
      await peer.until(/hello from the card/);
      const reply = once(socket, 'message');
      peer.say('hello, card');
      expect(String((await reply)[0])).toBe('hello, card\n');
      const closed = once(socket, 'close');
      socket.close();
      await closed;
      expect(peer.output).toContain('client.test');
      peer.child.kill();

      const asServer = await SecurityModule.open(transport, {
        pin: '1234',
        alias: 'server',
        fragmentSize: size,
      });
      modules.push(asServer);
      const endpoint = createDtlsServer({ module: asServer });
      endpoint.listen(0, '127.0.0.1');
      await once(endpoint, 'listening');
      const session = once(endpoint, 'secureConnection') as Promise<[DtlsSocket]>;
      const client = new OpensslClient(endpoint.address()?.port ?? 0, [
        ...['-dtls1_2', '-CAfile', caFile, '-servername', 'server.test'],
      ]);
      const [accepted] = await session;
      await client.connected();
      expect(client.output).toContain('Verify return code: 0 (ok)');
      const heard = once(accepted, 'message');
      client.say('hello from s_client');
      expect(String((await heard)[0])).toBe('hello from s_client\n');
      const gone = once(accepted, 'close');
      client.say('Q');
      await gone;
      endpoint.close();
    },
    90_000,
  );
});

describeWith([...needs, opensc], 'opensc-tool', () => {
  it('drives SELECT, Verify and Reset-State', async () => {
    await insert(cardWith());
    const apdus = [
      '00:A4:04:00:08:F0:54:52:45:4C:4C:49:53:00',
      'A0:20:00:00:08:31:31:31:31:FF:FF:FF:FF',
      'A0:20:00:00:08:31:32:33:34:FF:FF:FF:FF',
      'A0:19:10:00:01',
    ];
    const program = new Program(opensc.path, ['--reader', '0', ...apdus.flatMap((apdu) => ['-s', apdu])]);
    expect(await program.end(), program.output).toBe(0);
    expect([...program.output.matchAll(/SW1=0x(..), SW2=0x(..)/g)].map(([, a, b]) => `${a}${b}`)).toEqual([
      '9000',
      '63C2',
      '9000',
      '9000',
    ]);
    expect(program.output).toContain('Trellis');
  }, 30_000);
});

describeWith([...needs, mini], 'a card in a reader', () => {
  it('is held exclusively, and is missed when it is taken out', async () => {
    await insert(new Card());
    const transport = await PcscTransport.connect('Virtual PCD');
    await expect(PcscTransport.connect('Virtual PCD')).rejects.toMatchObject({ code: 'ERR_MODULE_BUSY' });
    inserted?.destroy();
    await cardIs(false);
    const command = Uint8Array.from([0xa0, 0x20, 0, 0, 8, ...pin('1234')]);
    await expect(transport.transmit(command)).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_MODULE_(REMOVED|GONE)$/),
    });
    transport.close();
    await expect(PcscTransport.connect('No such reader')).rejects.toMatchObject({ code: 'ERR_MODULE_GONE' });
  }, 30_000);

  // The last: there is no reader afterwards.
  it('is missed when pcscd has ended, and can be let go of then', async () => {
    await insert(new Card());
    const transport = await PcscTransport.connect('Virtual PCD');
    watch?.stop();
    watch = undefined;
    pcscd?.child.kill('SIGTERM');
    await pcscd?.exited;
    const command = Uint8Array.from([0xa0, 0x20, 0, 0]);
    await expect(transport.transmit(command)).rejects.toMatchObject({ code: 'ERR_MODULE_GONE' });
    // What it throws behind the promise would fail the run.
    transport.close();
    await delay(300);
  }, 30_000);
});

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type DemoModules, startModules } from '../../demo/module/modules.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { type ConnectionOptions, connect, createServer, type TLSSocket } from '../../src/index.ts';
import { Applet } from '../../src/module/applet/applet.ts';
import type { CardTransport } from '../../src/module/bridge/exchange.ts';
import { Permission } from '../../src/module/protocol.ts';
import { InProcessTransport } from '../../src/node/module/in-process.ts';
import { PcscTransport } from '../../src/node/module/pcsc.ts';
import { SecurityModule } from '../../src/node/module/security-module.ts';
import { openModuleFile } from '../../src/node/module/store-file.ts';
import { UnixTransport } from '../../src/node/module/unix.ts';
import { median } from '../harness.ts';
import { runFile } from './child.ts';
import { CountingTransport, type Dialogue } from './module-count.ts';
import { listen, once } from './stacks.ts';

/** The slides' sizes; `undefined` is as much as one APDU carries. */
const FRAGMENT_SIZES = [50, 100, 200, undefined] as const;
/** A reader takes its time for each APDU. */
const HANDSHAKES = { quick: 15, slow: 3 } as const;
const MEBIBYTE = 1_048_576;
const BULK = { host: 256 * MEBIBYTE, unix: 64 * MEBIBYTE, pcsc: 2 * MEBIBYTE } as const;
const CHUNK = Buffer.alloc(64 * 1024, 7);
/** Of the client's identity. */
const ALIAS = 'buyer';
/** A reader lets go of a card a moment after it was told to. */
const READER_PAUSE_MS = 500;
const SESSIONS = 120;
const WARM_UP = 20;

interface Place {
  readonly modules: DemoModules;
  readonly folder: string;
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  /** Of a server that asks for client certificates. */
  readonly port: number;
}

/** Two modules, of which the client's is used here, and a server that asks for its certificate. */
async function withPlace<T>(reader: boolean, use: (place: Place) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-bench-'));
  try {
    const permissions = Permission.sign | Permission.trafficKeys;
    const modules = await startModules(folder, { trace: false, permissions, reader });
    const file = (name: string): Buffer => readFileSync(join(folder, 'pki', name));
    const [ca, cert, key] = [file('ca.pem'), file('server.pem'), file('server.key')];
    const server = createServer({ cert, key, ca, requestCert: true }, (socket) => {
      socket.on('error', () => {});
      socket.resume();
    });
    try {
      return await use({ modules, folder, ca, cert, key, port: await listen(server) });
    } finally {
      server.close();
      await modules.close();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Median of some handshakes, in milliseconds, client certificate included. */
export function oneHandshake(where: 'module' | 'host'): Promise<number> {
  return withPlace(false, async (place) => {
    if (where === 'module') {
      const transport = await UnixTransport.connect(place.modules.client.socket);
      return (await handshakes(place, transport, undefined, HANDSHAKES.quick)).milliseconds;
    }
    const { port, ca } = place;
    const file = (name: string): Buffer => readFileSync(join(place.folder, 'pki', name));
    const [cert, key] = [file('client.pem'), file('client.key')];
    const times: number[] = [];
    for (let i = 0; i < HANDSHAKES.quick + 1; i++) {
      const start = performance.now();
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca, cert, key });
      await once(socket, 'secureConnect');
      times.push(performance.now() - start);
      socket.destroy();
    }
    return median(times.slice(1));
  });
}

interface HandshakeRow extends Dialogue {
  readonly transport: string;
  /** Bytes of an EAP packet. */
  readonly fragmentSize: number;
  readonly milliseconds: number;
}

/** Every way to a module that is here, with every size of fragments. A row is one handshake, from Open to the session's facts. */
export function handshakeTable(): Promise<
  readonly (HandshakeRow | { transport: string; skipped: string })[]
> {
  return withPlace(true, async (place) => {
    const { client, whyNoReader } = place.modules;
    const ways: [string, number, () => Promise<CardTransport>][] = [
      ['in process, short APDUs', HANDSHAKES.quick, async () => inProcess(place, 'short')],
      ['in process, extended APDUs', HANDSHAKES.quick, async () => inProcess(place, 'extended')],
      ['Unix socket', HANDSHAKES.quick, () => UnixTransport.connect(client.socket)],
    ];
    if (whyNoReader === undefined) {
      for (const extended of [false, true]) {
        const name = `vpcd in pcscd, ${extended ? 'extended' : 'short'} APDUs`;
        ways.push([name, HANDSHAKES.slow, () => PcscTransport.connect('Virtual PCD', { extended })]);
      }
    }
    const rows: (HandshakeRow | { transport: string; skipped: string })[] = [];
    for (const [transport, count, open] of ways) {
      for (const size of FRAGMENT_SIZES) {
        rows.push({ transport, ...(await handshakes(place, await open(), size, count)) });
        if (transport.startsWith('vpcd')) await sleep(READER_PAUSE_MS);
      }
    }
    if (whyNoReader !== undefined) rows.push({ transport: 'vpcd in pcscd', skipped: whyNoReader });
    return rows;
  });
}

async function handshakes(
  { port, modules }: Place,
  transport: CardTransport,
  fragmentSize: number | undefined,
  count: number,
): Promise<Omit<HandshakeRow, 'transport'>> {
  const counting = new CountingTransport(transport);
  const module = await SecurityModule.open(counting, {
    pin: Buffer.from(modules.client.pin),
    alias: ALIAS,
    fragmentSize,
  });
  try {
    const times: number[] = [];
    let dialogue: Dialogue | undefined;
    // The first one warms up.
    for (let i = 0; i < count + 1; i++) {
      counting.take();
      const start = performance.now();
      const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', module });
      await once(socket, 'secureConnect');
      times.push(performance.now() - start);
      dialogue = counting.take();
      socket.end();
      socket.resume();
      await once(socket, 'close');
    }
    const size = fragmentSize ?? Math.min(transport.maxCommandData, transport.maxResponseData);
    return { fragmentSize: size, milliseconds: median(times.slice(1)), ...(dialogue as Dialogue) };
  } finally {
    module.close();
  }
}

/** The module's own store, opened here: it is not written to meanwhile, but for PINs and time. */
function inProcess({ folder }: Place, form: 'short' | 'extended'): CardTransport {
  const secret = readFileSync(join(folder, 'client.secret'));
  const { state } = openModuleFile(join(folder, 'client.store'), secret);
  return new InProcessTransport(new Applet({ crypto: nodeCrypto, state }), form);
}

/** MB/s of one stream from a client to a receiving process. */
export function bulkRates(): Promise<Readonly<Record<string, number | string>>> {
  return withPlace(true, async (place) => {
    const { client, whyNoReader } = place.modules;
    const pin = () => Buffer.from(client.pin);
    const inModule = async (transport: CardTransport, bytes: number, offload = false): Promise<number> => {
      const module = await SecurityModule.open(transport, { pin: pin(), alias: ALIAS, offload });
      try {
        return await bulk(place, bytes, { module });
      } finally {
        module.close();
      }
    };
    return {
      unit: 'MB/s',
      withoutModule: await bulk(place, BULK.host, { ca: place.ca }),
      inModuleBehindUnixSocket: await inModule(await UnixTransport.connect(client.socket), BULK.unix),
      offloaded: await inModule(await UnixTransport.connect(client.socket), BULK.host, true),
      inModuleInPcscd: whyNoReader ?? (await inModule(await PcscTransport.connect('Virtual PCD'), BULK.pcsc)),
    };
  });
}

async function bulk(
  { ca, cert, key }: Place,
  total: number,
  options: Pick<ConnectionOptions, 'module' | 'ca'>,
): Promise<number> {
  process.env.TRELLIS_BENCH_FILES = JSON.stringify({
    ca: ca.toString(),
    cert: cert.toString(),
    key: key.toString(),
  });
  const sink = runFile('bench/support/sink.ts', ['ours', String(total)]);
  try {
    const { port } = await sink.next<{ port: number }>();
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ...options });
    await once(socket, 'secureConnect');
    const answered = once(socket, 'data');
    const start = performance.now();
    for (let left = total / CHUNK.length; left > 0; left--) {
      if (!socket.write(CHUNK)) await new Promise((resolve) => socket.once('drain', resolve));
    }
    await answered;
    const seconds = (performance.now() - start) / 1000;
    socket.destroy();
    return total / 1e6 / seconds;
  } finally {
    await sink.stop();
  }
}

/** What an open session takes in a module's process that serves nothing else. */
export function memoryPerSession(): Promise<Readonly<Record<string, number>>> {
  return withPlace(false, async (place) => {
    const { folder, modules, port } = place;
    const secret = readFileSync(join(folder, 'client.secret'), 'latin1');
    const path = join(folder, 'memory.sock');
    const child = runFile(
      'bench/support/module-memory.ts',
      [join(folder, 'client.store'), secret, path],
      ['--expose-gc'],
    );
    const kept: TLSSocket[] = [];
    let module: SecurityModule | undefined;
    try {
      await child.next();
      const transport = await UnixTransport.connect(path);
      module = await SecurityModule.open(transport, { pin: Buffer.from(modules.client.pin), alias: ALIAS });
      const open = async (count: number): Promise<{ used: number; rss: number }> => {
        for (let i = 0; i < count; i++) {
          const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', module });
          kept.push(socket);
          socket.on('error', () => {});
          await once(socket, 'secureConnect');
        }
        child.process.kill('SIGUSR2');
        return child.next();
      };
      const before = await open(WARM_UP);
      const after = await open(SESSIONS - WARM_UP);
      const each = (what: 'used' | 'rss'): number =>
        (after[what] - before[what]) / (SESSIONS - WARM_UP) / 1024;
      return { kibibytesInUse: each('used'), kibibytesResident: each('rss'), sessions: SESSIONS - WARM_UP };
    } finally {
      for (const socket of kept) socket.destroy();
      module?.close();
      await child.stop();
    }
  });
}

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net, { type AddressInfo, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ROOT } from '../../scripts/root.mjs';
import { program } from '../../src/cli/program.ts';
import { initPki } from '../../src/tunnel/init.ts';

const CLI = join(ROOT, 'dist', 'cli', 'main.js');
/** Nothing here takes so long; a test that waits this long has failed. */
const LIMIT = 60_000;

export interface LogLine {
  readonly event: string;
  readonly level: string;
  readonly message: string;
  readonly [field: string]: unknown;
}

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A `trellis` process. It is ended with the test that started it, if it is still there. */
export class Trellis {
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
  stdout = '';
  stderr = '';
  readonly #log: LogLine[] = [];
  /** Where the first line of `stderr` begins that is not whole yet. */
  #unread = 0;
  readonly #watchers = new Set<() => void>();

  constructor(words: readonly string[], environment: Record<string, string> = {}) {
    this.child = spawn(process.execPath, [CLI, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    });
    this.exited = new Promise((resolve) =>
      this.child.once('close', (code, signal) => {
        resolve({ code, signal });
        this.#changed();
      }),
    );
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk;
      this.#changed();
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk;
      this.#changed();
    });
  }

  get log(): readonly LogLine[] {
    const end = this.stderr.lastIndexOf('\n') + 1;
    for (const line of this.stderr.slice(this.#unread, end).split('\n')) {
      if (line.startsWith('{')) this.#log.push(JSON.parse(line));
    }
    this.#unread = end;
    return this.#log;
  }

  events(event: string): LogLine[] {
    return this.log.filter((line) => line.event === event);
  }

  /** The ready line, or the error line, whichever came. */
  async result<T>(): Promise<T> {
    await this.until(() => this.stdout.includes('\n'), 'a line on stdout');
    return JSON.parse(this.stdout.slice(0, this.stdout.indexOf('\n')));
  }

  /** Waits for the nth line of this event (the first by default). */
  async event(event: string, n = 1): Promise<LogLine> {
    await this.until(() => this.events(event).length >= n, `event ${event}`);
    return this.events(event)[n - 1] as LogLine;
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        this.#watchers.delete(check);
        if (error === undefined) resolve();
        else reject(error);
      };
      const check = (): void => {
        if (condition()) settle();
        else if (this.child.exitCode !== null || this.child.signalCode !== null) {
          settle(new Error(`trellis ended before ${what}: ${this.stdout}${this.stderr}`));
        }
      };
      const timer = setTimeout(
        () => settle(new Error(`waited in vain for ${what}: ${this.stdout}${this.stderr}`)),
        LIMIT,
      );
      this.#watchers.add(check);
    });
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.child.kill(signal);
    return this.exited;
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

/** Runs `trellis WORDS` until it ends. */
export async function trellis(...words: string[]): Promise<Exit & { stdout: string; stderr: string }> {
  const program = startTrellis(words);
  const exit = await program.exited;
  return { ...exit, stdout: program.stdout, stderr: program.stderr };
}

/**
 * The same in this process, without what src/cli/main.ts adds: for commands that are refused, or that end by themselves
 * when they have looked at files. A process takes a third of a second for each.
 */
export async function trellisHere(...words: string[]): Promise<Exit & { stdout: string; stderr: string }> {
  let [stdout, stderr] = ['', ''];
  const context = {
    printResult: (result: object) => {
      stdout += `${JSON.stringify(result)}\n`;
    },
    printText: (text: string) => {
      stdout += text;
    },
  };
  const code = await program(words, context, (line) => {
    stderr += line;
  });
  return { code, signal: null, stdout, stderr };
}

export function startTrellis(words: readonly string[], environment?: Record<string, string>): Trellis {
  const program = new Trellis(words, environment);
  onTestFinished(async () => {
    await program.stop('SIGKILL');
  });
  return program;
}

/** A folder that goes with the test. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-e2e-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Paths of certificates as `trellis init` makes them. */
export async function pki(): Promise<Record<'ca' | 'server' | 'serverKey' | 'client' | 'clientKey', string>> {
  const folder = scratch();
  await initPki({ directory: folder });
  const at = (name: string): string => join(folder, name);
  return {
    ca: at('ca.pem'),
    server: at('server.pem'),
    serverKey: at('server.key'),
    client: at('client.pem'),
    clientKey: at('client.key'),
  };
}

export type Pki = Awaited<ReturnType<typeof pki>>;

/** Options of a server: a configuration file with one rule for the client's certificate. */
export function policy({ client }: Pki, rule: Record<string, readonly string[]>): string[] {
  const certificate = new X509Certificate(readFileSync(client));
  const spki = createHash('sha256')
    .update(certificate.publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');
  const file = join(scratch(), 'serve.toml');
  const lines = Object.entries(rule).map(([name, values]) => `${name} = ${JSON.stringify(values)}`);
  writeFileSync(file, ['[[policy]]', `spki = "${spki}"`, ...lines, ''].join('\n'));
  return ['--config', file];
}

export interface TunnelOptions {
  /** Application name and its port on 127.0.0.1. */
  readonly applications: Readonly<Record<string, number>>;
  readonly serve?: readonly string[];
  readonly connect?: readonly string[];
  readonly pki?: Pki;
  /** What the client connects to, when not the server itself: a relay. */
  readonly via?: (server: string) => Promise<string>;
}

export interface TunnelUnderTest {
  readonly pki: Pki;
  readonly server: Trellis;
  readonly client: Trellis;
  /** Where the server listens. */
  readonly address: string;
  /** Local port of each application. */
  readonly ports: Readonly<Record<string, number>>;
}

export async function startServer(
  certificates: Pki,
  applications: Readonly<Record<string, number>>,
  more: readonly string[] = [],
  listen = '127.0.0.1:0',
): Promise<{ server: Trellis; address: string }> {
  const server = startTrellis([
    ...['serve', '--json', '--log-level', 'debug', '--listen', listen],
    ...['--cert', certificates.server, '--key', certificates.serverKey, '--client-ca', certificates.ca],
    ...Object.entries(applications).flatMap(([name, port]) => ['--app', `${name}=127.0.0.1:${port}`]),
    ...more,
  ]);
  const { listen: address } = await server.result<{ listen: string }>();
  return { server, address };
}

export async function startClient(
  certificates: Pki,
  address: string,
  names: readonly string[],
  more: readonly string[] = [],
): Promise<{ client: Trellis; ports: Record<string, number> }> {
  const client = startTrellis([
    ...['connect', address, '--json', '--log-level', 'debug', '--servername', 'localhost'],
    ...['--ca', certificates.ca, '--cert', certificates.client, '--key', certificates.clientKey],
    ...names.flatMap((name) => ['--forward', `0=${name}`]),
    ...more,
  ]);
  const { forwards } = await client.result<{ forwards: { listen: string; application: string }[] }>();
  const ports = Object.fromEntries(forwards.map(({ listen, application }) => [application, portOf(listen)]));
  return { client, ports };
}

/** `trellis serve` and `trellis connect`, ready. */
export async function startTunnel(options: TunnelOptions): Promise<TunnelUnderTest> {
  const certificates = options.pki ?? (await pki());
  const { server, address } = await startServer(certificates, options.applications, options.serve);
  const where = options.via === undefined ? address : await options.via(address);
  const { client, ports } = await startClient(
    certificates,
    where,
    Object.keys(options.applications),
    options.connect,
  );
  return { pki: certificates, server, client, address, ports };
}

export function portOf(endpoint: string): number {
  return Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
}

/** Listens on a free port of 127.0.0.1 until the test ends. @returns the port */
export async function listen(server: Server, port = 0): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => sockets.delete(socket));
  });
  server.listen(port, '127.0.0.1');
  await new Promise((resolve, reject) => server.once('listening', resolve).once('error', reject));
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

/** An application that gives back what it gets, also after the client's end of data. */
export function echoServer(): Server {
  return net.createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
}

export function dial(port: number): Socket {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.on('error', () => {});
  onTestFinished(() => {
    socket.destroy();
  });
  return socket;
}

/** All that comes until the end of data. @throws the socket's error */
export function readAll(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => resolve(Buffer.concat(chunks)));
    socket.on('error', reject);
  });
}

/** How a socket ends: its error's code, or 'end'. */
export function outcome(socket: Socket): Promise<string> {
  return new Promise((resolve) => {
    socket.on('end', () => resolve('end'));
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.resume();
  });
}

/** Runs a program to its end, bounded in time. */
export function run(
  program: string,
  words: readonly string[],
  options: { readonly input?: string; readonly env?: Record<string, string>; readonly limit?: number } = {},
): Promise<Exit & { stdout: string; stderr: string }> {
  const child = spawn(program, words, { env: { ...process.env, ...options.env } });
  const timer = setTimeout(() => child.kill('SIGKILL'), options.limit ?? LIMIT);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, stdout, stderr });
    });
  });
}

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Applications, startApplications } from '../applications.ts';
import { mebibytes } from '../demo.ts';
import { type StartOptions, startProgram } from '../programs.ts';
import { startTunnel, type Tunnel } from '../tunnel.ts';
import { runWorkload, type Work } from '../workload.ts';
import { type MemoryScan, type Needle, scanMemory, whyNoScan } from './memory.ts';
import { type DemoModules, startModules } from './modules.ts';

export interface ModuleDemoOptions extends Partial<Work> {
  /** For tests: the gateway has copies of everything that it should not have, so that what is claimed is not true. */
  readonly plant?: boolean;
  readonly onProgress?: (line: string) => void;
}

export interface ModuleDemoResult {
  /** Every claim held. */
  readonly ok: boolean;
  readonly claims: readonly Claim[];
  /** How each side's module was reached. */
  readonly transports: { readonly gateway: 'unix' | 'pcsc'; readonly client: 'unix' | 'pcsc' };
  /** Where none was used. */
  readonly whyNoReader?: string;
  readonly scans: readonly HostScan[];
  /** Where memory cannot be read; `scans` is empty then, and nothing is claimed of it. */
  readonly whyNoScan?: string;
  readonly sha256: string;
  readonly seconds: number;
}

export interface Claim {
  readonly claim: string;
  readonly held: boolean;
  readonly detail?: string;
}

interface HostScan extends MemoryScan {
  readonly process: 'gateway' | 'client' | 'control';
  readonly when: 'during the work' | 'after the work' | 'with planted copies';
}

/** A card takes one command of 255 bytes after the other: less goes through it than through a socket. */
const WORK = {
  unix: { requests: 100, bytes: 16 * 1_048_576 },
  pcsc: { requests: 20, bytes: 131_072 },
} as const;
/** So many records are a handshake and something after it. */
const RECORDS_UNDER_WAY = 20;
const WATCH_MS = 50;
const PLANT = fileURLToPath(new URL('./plant.mjs', import.meta.url));

/**
 * The demo's applications over one session, both of whose engines run in security modules, each in a process of its own.
 * The memory of the host processes is searched for what they must not have.
 */
export async function runModuleDemo(options: ModuleDemoOptions = {}): Promise<ModuleDemoResult> {
  const { onProgress = () => {} } = options;
  const folder = await mkdtemp(join(tmpdir(), 'trellis-demo-module-'));
  const applications = await startApplications();
  try {
    onProgress('making two modules, and a key in each');
    const modules = await startModules(folder);
    try {
      return await new Case(modules, folder, options).run(applications, onProgress);
    } finally {
      await modules.close();
    }
  } finally {
    applications.close();
    await rm(folder, { recursive: true, force: true });
  }
}

class Case {
  readonly #modules: DemoModules;
  readonly #folder: string;
  readonly #options: ModuleDemoOptions;
  readonly #secrets: readonly Needle[];
  readonly #whyNoScan = whyNoScan();
  readonly #claims: Claim[] = [];
  readonly #scans: HostScan[] = [];

  constructor(modules: DemoModules, folder: string, options: ModuleDemoOptions) {
    this.#modules = modules;
    this.#folder = folder;
    this.#options = options;
    this.#secrets = [...modules.gateway.secrets, ...modules.client.secrets];
  }

  async run(applications: Applications, onProgress: (line: string) => void): Promise<ModuleDemoResult> {
    const { gateway, client, ca, whyNoReader } = this.#modules;
    const { requests, bytes } = { ...WORK[client.transport], ...given(this.#options) };
    const start = performance.now();
    onProgress('starting the gateway and the client');
    const credentials = {
      gateway: [...gateway.options, '--client-ca', ca],
      client: [...client.options, '--ca', ca],
      gatewayStart: this.#options.plant === true ? await this.#plant() : {},
    };
    const tunnel = await startTunnel(credentials, applications);
    let sha256: string;
    try {
      onProgress(`${requests} HTTP requests, ${mebibytes(bytes)} to the sink and an echo, all at once`);
      const working = runWorkload(tunnel.clients, { requests, bytes });
      let done = false;
      const settled = working.finally(() => {
        done = true;
      });
      while (!done && tunnel.seen.records < RECORDS_UNDER_WAY) await delay(WATCH_MS);
      await this.#look(tunnel, 'during the work');
      const result = await settled;
      await this.#look(tunnel, 'after the work');
      sha256 = result.sha256;
      this.#claim(`${requests} concurrent HTTP requests were answered rightly`, result.pages === requests);
      this.#claim(`${mebibytes(bytes)} arrived with the right SHA-256`, result.checksumOk, sha256);
      this.#claim('the echo came back unchanged', result.echoOk);
      this.#claim('all of it was one handshake', tunnel.seen.serverHellos === 1);
    } finally {
      await tunnel.close();
    }
    this.#claimModules();
    if (this.#whyNoScan === undefined) {
      onProgress('searching a host with planted copies');
      await this.#control();
      this.#claimMemory();
    }
    return {
      ok: this.#claims.every(({ held }) => held),
      claims: this.#claims,
      transports: { gateway: gateway.transport, client: client.transport },
      ...(whyNoReader !== undefined && { whyNoReader }),
      scans: this.#scans,
      ...(this.#whyNoScan !== undefined && { whyNoScan: this.#whyNoScan }),
      sha256,
      seconds: (performance.now() - start) / 1000,
    };
  }

  async #look({ pids }: Tunnel, when: HostScan['when']): Promise<void> {
    if (this.#whyNoScan !== undefined) return;
    for (const process of ['gateway', 'client'] as const) {
      this.#scans.push({ process, when, ...(await scanMemory(pids[process], this.#secrets)) });
    }
  }

  /** The traces of the modules say what they did. */
  #claimModules(): void {
    for (const name of ['gateway', 'client'] as const) {
      const { transport, count, trace } = this.#modules[name];
      const [handshake, sealed, opened] = [count('processEap'), count('encrypt'), count('decrypt')];
      const way = transport === 'pcsc' ? 'a PC/SC reader' : 'a Unix socket';
      this.#claim(
        `the ${name}'s handshake and records were made in its module, behind ${way}`,
        handshake > 0 && sealed > 0 && opened > 0,
        `${handshake} Process-EAP, ${sealed} Process-EAP-Encrypt, ${opened} Process-EAP-Decrypt`,
      );
      const dialogue = trace();
      this.#claim(
        `the trace of the ${name}'s module holds no key and no PIN`,
        !this.#secrets.some(({ bytes }) => holds(dialogue, bytes)),
        `${dialogue.length} bytes`,
      );
    }
  }

  #claimMemory(): void {
    for (const name of ['gateway', 'client'] as const) {
      const scans = this.#scans.filter(({ process }) => process === name);
      const found = [...new Set(scans.flatMap(({ found }) => found))];
      const size = mebibytes(Math.max(...scans.map(({ bytes }) => bytes)));
      this.#claim(
        `the ${name}'s process has no part of a private key and no PIN in its memory, during the work and after it`,
        scans.length === 2 && found.length === 0,
        found.length === 0 ? `${scans.length} searches, ${size} each` : found.join('; '),
      );
    }
    const names = new Set(this.#secrets.map(({ name }) => name));
    const control = this.#scans.find(({ process }) => process === 'control');
    const missed = [...names].filter((name) => control?.found.includes(name) !== true);
    this.#claim(
      'the same search of a host with a planted copy of each finds them all',
      missed.length === 0,
      missed.length === 0 ? `${names.size} of ${names.size}` : `missed: ${missed.join('; ')}`,
    );
  }

  /** One more host of the same kind, at the same module. */
  async #control(): Promise<void> {
    const { gateway, ca } = this.#modules;
    const host = await startProgram(
      'src/cli/main.ts',
      [
        ...['serve', '--json', '--log-level', 'warn', '--listen', '127.0.0.1:0', '--app', 'none=127.0.0.1:9'],
        ...[...gateway.options, '--client-ca', ca],
      ],
      await this.#plant(),
    );
    try {
      const scan = await scanMemory(host.pid, this.#secrets);
      this.#scans.push({ process: 'control', when: 'with planted copies', ...scan });
    } finally {
      await host.stop();
    }
  }

  async #plant(): Promise<StartOptions> {
    const file = join(this.#folder, 'planted.json');
    const copies = this.#secrets.map(({ name, bytes }) => ({
      name,
      hex: Buffer.from(bytes).toString('hex'),
    }));
    await writeFile(file, JSON.stringify(copies), { mode: 0o600 });
    return { flags: ['--import', PLANT], environment: { TRELLIS_DEMO_PLANT: file } };
  }

  #claim(claim: string, held: boolean, detail?: string): void {
    this.#claims.push({ claim, held, ...(detail !== undefined && { detail }) });
  }
}

/** As it is, or in the hexadecimal that a trace is written in. */
function holds(text: Buffer, bytes: Uint8Array): boolean {
  const needle = Buffer.from(bytes);
  return text.includes(needle) || text.includes(needle.toString('hex'));
}

function given({ requests, bytes }: ModuleDemoOptions): Partial<Work> {
  return { ...(requests !== undefined && { requests }), ...(bytes !== undefined && { bytes }) };
}

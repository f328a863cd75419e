import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RUN_TS = fileURLToPath(new URL('../scripts/run-ts.mjs', import.meta.url));

/** For compiling a program of this repository and for its start, on a machine that is busy with others. */
const START_LIMIT = 60_000;
const STOP_LIMIT = 5_000;
/** None of them has more to do than some seconds of work. */
const RUN_LIMIT = 60_000;

export interface StartOptions {
  /** For node itself. */
  readonly flags?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
}

/** A program of this repository in a process of its own. */
export interface Program<Ready> {
  readonly pid: number;
  /** What it printed when it was ready. */
  readonly ready: Ready;
  /** Everything it wrote to standard error so far. */
  readonly log: () => string;
  /** SIGTERM, and if that does not help in time SIGKILL. @returns the exit code */
  stop(): Promise<number | null>;
}

/**
 * Starts a TypeScript program that prints one JSON line with `"event": "ready"` when it is ready.
 * @throws Error with what the program wrote when it ends, or is not ready in time
 */
export async function startProgram<Ready>(
  file: string,
  words: readonly string[],
  { flags = [], environment = {} }: StartOptions = {},
): Promise<Program<Ready>> {
  const child = spawn(process.execPath, [...flags, RUN_TS, file, ...words], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...environment },
  });
  const endWithUs = (): void => void child.kill('SIGKILL');
  process.once('exit', endWithUs);
  const exited = new Promise<number | null>((resolve) => child.once('close', resolve));
  void exited.then(() => process.off('exit', endWithUs));
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log += chunk;
  });
  try {
    const ready = await firstLine<Ready>(child, exited, () => log);
    return { pid: child.pid ?? -1, ready, log: () => log, stop: () => stop(child, exited) };
  } catch (error) {
    await stop(child, exited);
    throw error;
  }
}

/** Runs a TypeScript program to its end. */
export async function runProgram(
  file: string,
  words: readonly string[],
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(process.execPath, [RUN_TS, file, ...words], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: RUN_LIMIT,
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code: code ?? -1, stdout, stderr };
}

function firstLine<Ready>(
  child: ChildProcess,
  exited: Promise<number | null>,
  log: () => string,
): Promise<Ready> {
  return new Promise((resolve, reject) => {
    const at = child.spawnargs.indexOf(RUN_TS) + 1;
    const name = child.spawnargs.slice(at, at + 2).join(' ');
    const timer = setTimeout(() => reject(new Error(`${name} was not ready in time: ${log()}`)), START_LIMIT);
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      output += chunk;
      const end = output.indexOf('\n');
      if (end < 0) return;
      const line: { event: string } & Ready = JSON.parse(output.slice(0, end));
      clearTimeout(timer);
      if (line.event === 'ready') resolve(line);
      else reject(new Error(`${name} did not start: ${output}`));
    });
    void exited.then((code) => {
      clearTimeout(timer);
      reject(new Error(`${name} ended with code ${code} before it was ready: ${output}${log()}`));
    });
  });
}

async function stop(child: ChildProcess, exited: Promise<number | null>): Promise<number | null> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_LIMIT);
  const code = await exited;
  clearTimeout(timer);
  return code;
}

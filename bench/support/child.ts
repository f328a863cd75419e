import { type ChildProcess, spawn } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** A process of a bench that runs a TypeScript file of this repository and talks in JSON lines on standard output. */
export interface Child {
  readonly process: ChildProcess;
  /** The next line, parsed. */
  next<T>(): Promise<T>;
  stop(): Promise<void>;
}

/** @param flags for node itself, such as --expose-gc */
export function runFile(file: string, args: readonly string[], flags: readonly string[] = []): Child {
  return run(process.execPath, [...flags, join(ROOT, 'scripts', 'run-ts.mjs'), join(ROOT, file), ...args]);
}

/** They must not outlive a bench that somebody stops. Without any, signals are nobody's business here. */
const running = new Set<ChildProcess>();
const SIGNALS = ['SIGINT', 'SIGTERM'] as const;

function add(child: ChildProcess): void {
  if (running.size === 0) for (const signal of SIGNALS) process.on(signal, onSignal);
  running.add(child);
}

function remove(child: ChildProcess): void {
  if (running.delete(child) && running.size === 0) heedNoSignals();
}

function heedNoSignals(): void {
  for (const signal of SIGNALS) process.off(signal, onSignal);
}

function onSignal(signal: NodeJS.Signals): void {
  for (const child of running) child.kill('SIGKILL');
  heedNoSignals();
  process.kill(process.pid, signal);
}

export function run(command: string, args: readonly string[]): Child {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  add(child);
  const lines: string[] = [];
  const waiting: { resolve(line: string): void; reject(error: Error): void }[] = [];
  let partial = '';
  let exited: Error | undefined;
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (partial + text).split('\n');
    partial = parts.pop() ?? '';
    for (const line of parts) {
      const first = waiting.shift();
      if (first === undefined) lines.push(line);
      else first.resolve(line);
    }
  });
  const end = (why: string): void => {
    remove(child);
    exited = new Error(`${command} ${why}`);
    for (const { reject } of waiting.splice(0)) reject(exited);
  };
  child.once('error', (error) => end(error.message));
  child.once('exit', (code, signal) => end(`ended with ${signal ?? code}`));
  return {
    process: child,
    async next<T>() {
      const line =
        lines.shift() ??
        (await new Promise<string>((resolve, reject) => {
          if (exited !== undefined) reject(exited);
          else waiting.push({ resolve, reject });
        }));
      return JSON.parse(line) as T;
    },
    stop: () =>
      new Promise((resolve) => {
        if (exited !== undefined) resolve();
        else {
          child.once('exit', () => resolve());
          child.kill();
        }
      }),
  };
}

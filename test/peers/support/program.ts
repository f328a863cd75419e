import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { afterAll } from 'vitest';

/** Nothing that a test waits for takes so long on a busy machine; a wait that does has failed. */
const LIMIT_MS = 45_000;
/** Of its output, in the message of a failed wait. */
const SHOWN = 6000;
/** What a program has to say at most; more is a flood that no test reads. */
const OUTPUT_LIMIT = 8 * 1024 * 1024;

export interface ProgramOptions {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Gets standard output instead of `output`, for programs that print what they receive. */
  readonly onStdout?: (chunk: Buffer) => void;
}

/** A program that no one here wrote, with what it printed. It is ended with the test file that started it. */
export class Program {
  readonly name: string;
  readonly child: ChildProcessWithoutNullStreams;
  /** Its exit code once all its output is here; null when a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Standard output and standard error as they came, as latin1. */
  output = '';
  #ended = false;
  readonly #watchers = new Set<() => void>();

  constructor(path: string, args: readonly string[], options: ProgramOptions = {}) {
    this.name = path.slice(path.lastIndexOf('/') + 1);
    this.child = spawn(path, args, {
      cwd: options.cwd,
      env: { ...process.env, ...options.env },
      stdio: 'pipe',
    });
    running.add(this);
    const append = (chunk: Buffer) => {
      if (this.output.length < OUTPUT_LIMIT) this.output += chunk.toString('latin1');
      this.#changed();
    };
    const onStdout = options.onStdout;
    this.child.stdout.on('data', onStdout ?? append);
    this.child.stderr.on('data', append);
    // A program that has ended reads no more: its exit is what the test looks at.
    this.child.stdin.on('error', () => {});
    this.exited = new Promise((resolve, reject) => {
      this.child.once('error', reject);
      this.child.once('close', (code) => {
        this.#ended = true;
        running.delete(this);
        resolve(code);
        this.#changed();
      });
    });
    this.exited.catch(() => {});
  }

  /** Writes a line on its standard input. */
  say(line: string): void {
    this.child.stdin.write(`${line}\n`);
  }

  /** Waits until its output matches, from `from` on. */
  async until(pattern: RegExp | string, from = 0): Promise<RegExpExecArray> {
    const expression = typeof pattern === 'string' ? new RegExp(literally(pattern)) : pattern;
    return this.#wait(() => expression.exec(this.output.slice(from)) ?? undefined, `${pattern}`);
  }

  /** Waits until its output matches so many times. */
  async untilTimes(pattern: RegExp, times: number): Promise<void> {
    const all = new RegExp(pattern, 'g');
    await this.#wait(
      () => ([...this.output.matchAll(all)].length >= times ? true : undefined),
      `${pattern} ${times} times`,
    );
  }

  /** Waits for its end. */
  async end(limitMs = LIMIT_MS): Promise<number | null> {
    await this.#wait(() => (this.#ended ? true : undefined), 'its end', limitMs, true);
    return this.exited;
  }

  async stop(): Promise<void> {
    if (this.#ended) return;
    this.child.kill('SIGKILL');
    await this.exited;
  }

  async #wait<T>(
    look: () => T | undefined,
    what: string,
    limitMs = LIMIT_MS,
    outlivesExit = false,
  ): Promise<T> {
    const first = look();
    if (first !== undefined) return first;
    return new Promise<T>((resolve, reject) => {
      const settle = (error?: Error): void => {
        clearTimeout(timer);
        this.#watchers.delete(check);
        if (error !== undefined) reject(error);
      };
      const check = (): void => {
        const found = look();
        if (found !== undefined) {
          settle();
          resolve(found);
        } else if (this.#ended && !outlivesExit) {
          settle(new Error(`${this.name} ended before ${what}:\n${this.#tail()}`));
        }
      };
      const timer = setTimeout(
        () => settle(new Error(`waited in vain for ${what} of ${this.name}:\n${this.#tail()}`)),
        limitMs,
      );
      this.#watchers.add(check);
      if (this.#ended) check();
    });
  }

  #tail(): string {
    return this.output.slice(-SHOWN);
  }

  #changed(): void {
    for (const watcher of [...this.#watchers]) watcher();
  }
}

const running = new Set<Program>();

afterAll(async () => {
  await Promise.all([...running].map((program) => program.stop()));
});

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

import { runFile } from './child.ts';
import type { MuxStackName } from './mux-stacks.ts';
import { makeFiles } from './stacks.ts';

/** Milliseconds for a scenario; one that takes longer has failed. */
const RUN_LIMIT = 120_000;

const FILE = 'bench/support/mux-run.ts';

/** Runs one scenario of mux-run.ts between two processes. @returns what the client has said */
export async function runMux<T>(stack: MuxStackName, scenario: string): Promise<T> {
  return withServer(stack, async (port) => {
    const client = runFile(FILE, ['client', stack, String(port), scenario], ['--expose-gc']);
    const timer = setTimeout(() => client.process.kill(), RUN_LIMIT);
    try {
      return await client.next<T>();
    } finally {
      clearTimeout(timer);
      await client.stop();
    }
  });
}

/** Bytes that an idle channel holds: of both ends, the one that holds more. */
export async function muxMemory(stack: MuxStackName): Promise<number> {
  return withServer(stack, async (port, server) => {
    const before = await server();
    const client = runFile(FILE, ['client', stack, String(port), 'memory'], ['--expose-gc']);
    try {
      const { bytes, count } = await client.next<{ bytes: number; count: number }>();
      return Math.max(bytes, ((await server()) - before) / count);
    } finally {
      await client.stop();
    }
  });
}

async function withServer<T>(
  stack: MuxStackName,
  work: (port: number, held: () => Promise<number>) => Promise<T>,
): Promise<T> {
  const { ca, cert, key } = await makeFiles();
  process.env.TRELLIS_BENCH_FILES = JSON.stringify({ ca: `${ca}`, cert: `${cert}`, key: `${key}` });
  const server = runFile(FILE, ['server', stack], ['--expose-gc']);
  try {
    const { port } = await server.next<{ port: number }>();
    return await work(port, async () => {
      server.process.kill('SIGUSR2');
      return (await server.next<{ bytes: number }>()).bytes;
    });
  } finally {
    await server.stop();
  }
}

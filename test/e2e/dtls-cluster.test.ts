import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it, onTestFinished } from 'vitest';
import { ROOT } from '../../scripts/root.mjs';
import { ask } from '../setup/datagrams.ts';
import { dialed, rebindingRelay } from './dtls-kit.ts';
import { SERVER } from './node-kit.ts';

interface Answer {
  readonly workerId: number;
  /** Datagrams that this worker has read and that were the other's. */
  readonly handed: number;
  readonly text: string;
  /** Where the client is, as the worker sees it. */
  readonly port: number;
}

const CLIENTS = 20;

it('workers of node:cluster share a port, and each session stays with the worker that its connection ID names', async () => {
  const port = await startCluster();
  const socketOf = async () => {
    const relay = await rebindingRelay(port);
    return { socket: await dialed(relay.port), rebind: relay.rebind };
  };
  const clients = await Promise.all(Array.from({ length: CLIENTS }, socketOf));
  const askAll = () =>
    Promise.all(
      clients.map(async ({ socket }, n) => JSON.parse(String(await ask(socket, `${n}`))) as Answer),
    );
  const first = await askAll();
  expect(first.map(({ text }) => text)).toEqual(clients.map((_, n) => `${n}`));
  // That all addresses are of one worker happens once in 500,000 runs.
  expect(new Set(first.map(({ workerId }) => workerId))).toEqual(new Set([0, 1]));
  // From other addresses now, whose hash may be the other worker's.
  for (const { rebind } of clients) rebind();
  const second = await askAll();
  expect(second.map(({ workerId }) => workerId)).toEqual(first.map(({ workerId }) => workerId));
  expect(second.map(({ text }) => text)).toEqual(first.map(({ text }) => text));
  for (const [n, { port }] of second.entries()) expect(port).not.toBe(first[n]?.port);
  // Whoever reads, and if only one of them does: what is not its own it has handed over.
  expect(second.some(({ handed }) => handed > 0)).toBe(true);
});

async function startCluster(): Promise<number> {
  const cookieSecret = Buffer.alloc(32, 5).toString('hex');
  const child = spawn(
    process.execPath,
    [join(ROOT, 'scripts', 'run-ts.mjs'), 'test/e2e/dtls-cluster-program.ts'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, CLUSTER_TERMS: JSON.stringify({ ...SERVER, cookieSecret }) },
    },
  );
  const ended = once(child, 'exit');
  onTestFinished(async () => {
    child.kill();
    await ended;
  });
  const [line] = (await Promise.race([
    once(createInterface(child.stdout), 'line'),
    ended.then(() => Promise.reject(new Error('the cluster has ended'))),
  ])) as [string];
  const { ports } = JSON.parse(line) as { ports: number[] };
  expect(new Set(ports).size).toBe(1);
  return ports[0] as number;
}

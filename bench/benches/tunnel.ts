import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect as dial, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { initPki } from '../../src/tunnel/init.ts';
import { defineBench } from '../harness.ts';
import { type Child, run, runFile } from '../support/child.ts';
import { pour } from '../support/pour.ts';
import { listen, once } from '../support/stacks.ts';

const TOTAL = 512 * 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, 7);
const STUNNEL = ['stunnel4', 'stunnel'].find((name) => spawnSync(name, ['-version']).error === undefined);
const START_LIMIT_MS = 10_000;

/** One TCP stream through the two ends of a tunnel, each a process, as are the sink and this sender. */
export default defineBench({
  name: 'tunnel',
  unit: 'MB/s',
  higherIsBetter: true,
  peerName: 'stunnel4',
  ours: () => measure(trellis),
  peer: () => (STUNNEL === undefined ? undefined : measure(stunnel)),
});

/** Starts both ends in front of the application's port. */
type Tunnel = (directory: string, application: number, gateway: number, local: number) => readonly Child[];

const trellis: Tunnel = (directory, application, gateway, local) => {
  const file = (name: string): string => join(directory, name);
  const serve = [
    ...[
      'serve',
      '--listen',
      `127.0.0.1:${gateway}`,
      '--cert',
      file('server.pem'),
      '--key',
      file('server.key'),
    ],
    ...['--client-ca', file('ca.pem'), '--app', `sink=127.0.0.1:${application}`, '--log-level', 'error'],
  ];
  const connect = [
    ...['connect', `127.0.0.1:${gateway}`, '--ca', file('ca.pem'), '--servername', 'localhost'],
    ...['--cert', file('client.pem'), '--key', file('client.key')],
    ...['--forward', `${local}=sink`, '--log-level', 'error'],
  ];
  return [serve, connect].map((args) => runFile('src/cli/main.ts', args));
};

const stunnel: Tunnel = (directory, application, gateway, local) => {
  const file = (name: string): string => join(directory, name);
  const common = (name: string): string =>
    `foreground = yes\ndebug = err\npid =\n[${name}]\nsslVersion = TLSv1.3\nciphersuites = TLS_AES_128_GCM_SHA256\n`;
  writeFileSync(
    file('server.conf'),
    `${common('server')}accept = 127.0.0.1:${gateway}\nconnect = 127.0.0.1:${application}\n` +
      `cert = ${file('server.pem')}\nkey = ${file('server.key')}\nCAfile = ${file('ca.pem')}\nverifyChain = yes\n`,
  );
  writeFileSync(
    file('client.conf'),
    `${common('client')}client = yes\naccept = 127.0.0.1:${local}\nconnect = 127.0.0.1:${gateway}\n` +
      `cert = ${file('client.pem')}\nkey = ${file('client.key')}\nCAfile = ${file('ca.pem')}\nverifyChain = yes\n`,
  );
  return ['server.conf', 'client.conf'].map((name) => run(STUNNEL as string, [file(name)]));
};

async function measure(start: Tunnel): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'trellis-bench-'));
  const children: Child[] = [];
  try {
    await initPki({ directory });
    const sink = runFile('bench/support/plain-sink.ts', [String(TOTAL)]);
    children.push(sink);
    const { port } = await sink.next<{ port: number }>();
    const local = await freePort();
    children.push(...start(directory, port, await freePort(), local));
    const socket = await dialWhenUp(local);
    const answered = once(socket, 'data');
    const began = performance.now();
    pour(socket, CHUNK, TOTAL);
    await answered;
    const seconds = (performance.now() - began) / 1000;
    socket.destroy();
    return TOTAL / 1e6 / seconds;
  } finally {
    await Promise.all(children.map((child) => child.stop()));
    rmSync(directory, { recursive: true });
  }
}

/** The tunnel's two processes need a moment before they listen. */
async function dialWhenUp(port: number): Promise<Socket> {
  const deadline = performance.now() + START_LIMIT_MS;
  for (;;) {
    const socket = dial(port, '127.0.0.1');
    try {
      await once(socket, 'connect');
      return socket;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(50);
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

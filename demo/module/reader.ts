import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { locate } from '../../scripts/peers.mjs';
import { PcscTransport } from '../../src/node/module/pcsc.ts';
import { VPCD_PORT } from '../../src/node/module/vpcd.ts';

/** The virtual reader of vpcd in pcscd: one that runs already, or one that was started for this. */
export interface VirtualReader {
  /** What `--vpcd` takes. */
  readonly place: string;
  /** What `--module pcsc:` takes. */
  readonly name: string;
  /** Until a program finds the card. @throws Error when none does in time */
  awaitCard(): Promise<void>;
  close(): Promise<void>;
}

const NAME = 'Virtual PCD';
const PCSCD_SOCKET = '/run/pcscd/pcscd.comm';
const START_TRIES = 50;
const CARD_TRIES = 20;
const TRY_MS = 200;

/** @returns the reader, or why there is none */
export async function findReader(): Promise<VirtualReader | string> {
  if (!(await isInstalled('pcsc-mini'))) return 'the package pcsc-mini is not here (npm install pcsc-mini)';
  if (await listens()) return reader(undefined);
  const program = locate('pcscd');
  if (program === undefined || locate('vpcd-config') === undefined) {
    return 'pcscd and vpcd are not here (Debian: apt-get install pcscd vsmartcard-vpcd)';
  }
  if (existsSync(PCSCD_SOCKET)) return 'a pcscd without the virtual reader runs here already';
  if (process.getuid?.() !== 0) return 'no pcscd runs here, and only root can start one';
  const child = spawn(program, ['--foreground', '--error'], { stdio: 'ignore' });
  process.once('exit', () => child.kill('SIGTERM'));
  for (let tries = 0; tries < START_TRIES && child.exitCode === null; tries++) {
    if (await listens()) return reader(child);
    await delay(TRY_MS);
  }
  await end(child);
  return 'pcscd does not start';
}

function reader(child: ChildProcess | undefined): VirtualReader {
  return {
    place: `127.0.0.1:${VPCD_PORT}`,
    name: NAME,
    awaitCard: async () => {
      for (let tries = 1; ; tries++) {
        try {
          (await PcscTransport.connect(NAME)).close();
          // It lets go a moment later, and holds the card alone until then.
          return void (await delay(2 * TRY_MS));
        } catch (error) {
          if (tries >= CARD_TRIES) throw error;
          await delay(TRY_MS);
        }
      }
    },
    close: () => (child === undefined ? Promise.resolve() : end(child)),
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  await ended;
}

async function isInstalled(name: string): Promise<boolean> {
  return import(name).then(
    () => true,
    () => false,
  );
}

async function listens(): Promise<boolean> {
  const socket = connect(VPCD_PORT, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { need } from '../setup/need.ts';
import { freePort } from '../setup/ports.ts';
import { run, scratch } from './tunnel-kit.ts';

/** Starts a server program and ends it with the test. */
export function daemon(
  program: string,
  words: readonly string[],
  options: { uid?: number } = {},
): ChildProcess {
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
  child.stdout?.resume();
  child.stderr?.resume();
  const exited = new Promise((resolve) => child.once('close', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return child;
}

/** Waits until something accepts connections there. */
async function accepting(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = net.connect(port, '127.0.0.1', () => {
        // At once: a server may talk to one client at a time.
        socket.destroy();
        resolve(true);
      });
      socket.on('error', () => resolve(false));
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nobody listens on port ${port}`);
}

/**
 * A server of our own on a free port, with keys of its own; as root only.
 * @returns the options of ssh to reach it by `port`
 */
export async function startSshd(): Promise<{ port: number; words: (port: number) => string[] }> {
  const [sshd, keygen] = [need('sshd'), need('ssh-keygen')];
  const folder = scratch();
  const port = await freePort();
  for (const name of ['host', 'user']) {
    const { code } = await run(keygen.path, ['-q', '-t', 'ed25519', '-N', '', '-f', join(folder, name)]);
    expect(code).toBe(0);
  }
  const config = join(folder, 'config');
  const lines = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${join(folder, 'host')}`,
    `AuthorizedKeysFile ${join(folder, 'user.pub')}`,
    `PidFile ${join(folder, 'pid')}`,
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin prohibit-password',
    'Subsystem sftp internal-sftp',
  ];
  writeFileSync(config, lines.join('\n'));
  // sshd separates its privileges in this folder, which only its service makes.
  mkdirSync('/run/sshd', { recursive: true });
  daemon(sshd.path, ['-D', '-e', '-f', config]);
  await accepting(port);
  const settings = [
    `IdentityFile=${join(folder, 'user')}`,
    'IdentitiesOnly=yes',
    'BatchMode=yes',
    'StrictHostKeyChecking=no',
    'UserKnownHostsFile=/dev/null',
    'LogLevel=ERROR',
  ];
  return {
    port,
    words: (through) => ['-p', String(through), ...settings.flatMap((setting) => ['-o', setting])],
  };
}

/** A server of our own on a free port, for the user `postgres` without a password; as root only. @returns its port */
export async function startPostgres(): Promise<number> {
  const [initdb, pgCtl] = [need('initdb'), need('pg_ctl')];
  const folder = scratch();
  const { uid, gid } = await userIds('postgres');
  chmodSync(folder, 0o755);
  const data = join(folder, 'data');
  mkdirSync(data);
  chownSync(data, uid, gid);
  const as = (program: string, words: string[]) =>
    run('setpriv', [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', program, ...words]);
  const port = await freePort();
  const made = await as(initdb.path, ['-D', data, '-A', 'trust', '-N', '-U', 'postgres']);
  expect(made).toMatchObject({ code: 0 });
  const settings = `-c listen_addresses=127.0.0.1 -c port=${port} -c unix_socket_directories=${data} -c fsync=off`;
  onTestFinished(async () => {
    await as(pgCtl.path, ['-D', data, '-m', 'immediate', 'stop']);
  });
  const started = await as(pgCtl.path, ['-D', data, '-w', '-l', join(data, 'log'), '-o', settings, 'start']);
  expect(started).toMatchObject({ code: 0 });
  return port;
}

async function userIds(name: string): Promise<{ uid: number; gid: number }> {
  const [uid, gid] = await Promise.all([run('id', ['-u', name]), run('id', ['-g', name])]);
  return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
}

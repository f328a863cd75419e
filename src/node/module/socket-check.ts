import { lstatSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { ModuleError } from '../../errors/module.ts';

/** Others may write, the owner alone may delete: /tmp. */
const STICKY = 0o1000;
const OTHERS_WRITE = 0o022;
const OTHERS = 0o077;
const ROOT = 0;

/**
 * Node cannot ask who is at the other end of a Unix socket (SO_PEERCRED). So both ends make sure that nobody but their own
 * user could have made this socket, or can put another in its place: by owner and mode of the socket and of its folder.
 * @throws ModuleError ERR_MODULE_NOT_PERMITTED; ERR_MODULE_GONE when there is no such socket
 */
export function checkSocket(path: string): void {
  const uid = process.getuid?.();
  // Windows has pipes, with rights of their own.
  if (uid === undefined) return;
  checkFolder(path, uid);
  const socket = look(path, () => lstatSync(path));
  if (!socket.isSocket()) throw refused(path, 'it is no socket');
  if (socket.uid !== uid)
    throw refused(path, `it belongs to user ${socket.uid}, not to ${uid}, who runs this`);
  if ((socket.mode & OTHERS) !== 0)
    throw refused(path, 'others than its owner may use it; its mode must be 0600');
}

/** The same, before the socket is made. @throws ModuleError ERR_MODULE_NOT_PERMITTED, ERR_MODULE_GONE */
export function checkSocketFolder(path: string): void {
  const uid = process.getuid?.();
  if (uid !== undefined) checkFolder(path, uid);
}

function checkFolder(path: string, uid: number): void {
  const folder = dirname(resolve(path));
  const { uid: owner, mode } = look(path, () => statSync(folder));
  if (owner !== uid && owner !== ROOT) {
    throw refused(path, `its folder belongs to user ${owner}, who could put another socket in its place`);
  }
  if ((mode & OTHERS_WRITE) !== 0 && (mode & STICKY) === 0) {
    throw refused(
      path,
      'others may write to its folder and put another socket in its place; use one of mode 0700',
    );
  }
}

function look(path: string, stat: () => Stats): Stats {
  try {
    return stat();
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new ModuleError('ERR_MODULE_GONE', `The module's socket ${path} is not there: ${why}`, { cause });
  }
}

function refused(path: string, why: string): ModuleError {
  return new ModuleError(
    'ERR_MODULE_NOT_PERMITTED',
    `The module's socket ${path} is not safe to use: ${why}`,
  );
}

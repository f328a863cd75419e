import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { nodeCrypto } from '../../crypto/node/provider.ts';
import { ModuleError } from '../../errors/module.ts';
import { Tracer } from '../../module/apdu/trace.ts';
import { Applet } from '../../module/applet/applet.ts';
import type { PersistentState } from '../../module/applet/persistent.ts';
import { openModuleFile } from '../../node/module/store-file.ts';
import { serveModule } from '../../node/module/unix.ts';
import { insertVirtualCard } from '../../node/module/vpcd.ts';
import { errorMessage, TunnelError } from '../../tunnel/errors.ts';
import type { CommandContext } from '../context.ts';
import { EXIT_FAILURE, EXIT_OK, SIGNALS } from '../lifecycle.ts';
import { readSecret } from './input.ts';

interface ServeArguments {
  readonly store: string;
  readonly secretFile: string;
  readonly socket?: string;
  readonly vpcd?: string;
  readonly sessions?: string;
  readonly trace?: string;
  readonly json?: boolean;
}

type OnExchange = (command: Uint8Array, response: Uint8Array) => void;

/** `trellis module serve`: runs until a signal, or until the virtual reader is gone. */
export async function serve(options: ServeArguments, context: CommandContext): Promise<number> {
  const { socket: path, vpcd, json } = options;
  if (path === undefined && vpcd === undefined) {
    throw new TunnelError('ERR_TUNNEL_OPTION', 'Say where: --socket PATH, --vpcd HOST:PORT, or both.');
  }
  const sessions = options.sessions === undefined ? undefined : Number(options.sessions);
  const secret = readSecret('--secret-file', options.secretFile);
  const file = openModuleFile(options.store, secret);
  secret.fill(0);
  const onExchange = tracing(options.trace);
  let server: Server | undefined;
  let reader: Socket | undefined;
  try {
    if (path !== undefined) server = await serveModule({ state: file.state, path, sessions, onExchange });
    if (vpcd !== undefined) reader = await insert(file.state, vpcd, sessions, onExchange);
    // Before anybody is told that it is ready: they may send a signal at once.
    const stopped = untilStopped(reader);
    const places = [
      path === undefined ? [] : `unix:${path}`,
      vpcd === undefined ? [] : `vpcd at ${vpcd}`,
    ].flat();
    if (json === true)
      context.printResult({ event: 'ready', command: 'module serve', pid: process.pid, places });
    else context.printText(`module at ${places.join(' and ')}\n`);
    return await stopped;
  } finally {
    server?.close();
    reader?.destroy();
    file.close();
  }
}

async function insert(
  state: PersistentState,
  place: string,
  sessions: number | undefined,
  onExchange: OnExchange | undefined,
): Promise<Socket> {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(place) ?? [];
  if (host === undefined) throw new TunnelError('ERR_TUNNEL_OPTION', `--vpcd ${place} is not HOST:PORT.`);
  const applet = new Applet({ crypto: nodeCrypto, state, sessions });
  const socket = insertVirtualCard(applet, { host, port: Number(port) }, onExchange);
  try {
    await once(socket, 'connect');
  } catch (cause) {
    throw new ModuleError('ERR_MODULE_GONE', `No vpcd waits at ${place}: ${errorMessage(cause)}`, { cause });
  }
  socket.on('error', () => undefined);
  return socket;
}

/** Synchronous: a trace that is behind what happened helps nobody who looks for a crash. */
function tracing(path: string | undefined): OnExchange | undefined {
  if (path === undefined) return undefined;
  const tracer = new Tracer();
  return (command, response) => {
    const line = JSON.stringify({ time: new Date().toISOString(), ...tracer.describe(command, response) });
    appendFileSync(path, `${line}\n`, { mode: 0o600 });
  };
}

function untilStopped(reader: Socket | undefined): Promise<number> {
  return new Promise((resolve) => {
    const end = (code: number): void => {
      for (const signal of SIGNALS) process.off(signal, onSignal);
      resolve(code);
    };
    const onSignal = (): void => end(EXIT_OK);
    for (const signal of SIGNALS) process.on(signal, onSignal);
    reader?.once('close', () => end(EXIT_FAILURE));
  });
}

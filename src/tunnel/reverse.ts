import net from 'node:net';
import type { MuxConnection, MuxSession } from '../node/mux.ts';
import { type Endpoint, formatEndpoint, parseEndpoint } from './addresses.ts';
import { errorMessage, TunnelError } from './errors.ts';
import { listenOn } from './listen.ts';

/** A port that the server opens, and where the client takes its connections. */
export interface Reverse {
  readonly listen: Endpoint;
  readonly target: Endpoint;
}

/**
 * Name under which a client asks the server to listen. It writes `HOST:PORT` and a line end, the server answers with the
 * address that it listens on, or refuses the channel; the port is open as long as the channel. Each connection to it is
 * a channel that the server opens, with HOST:PORT, as the client has asked for it, as its destination.
 */
export const REVERSE_CHANNEL = 'tunnel-reverse';

/** Ports that one session may have open: nobody needs as many, and each costs a descriptor. */
export const REVERSES_MAX = 64;

/** The longest line: a name of 255 bytes with its port. */
const LINE_MAX = 300;

/**
 * `[BIND:]PORT=HOST:PORT`: `9000=127.0.0.1:3000`, `0.0.0.0:9000=db.internal:5432`. BIND is loopback by default.
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
export function parseReverse(text: string): Reverse {
  const split = text.indexOf('=');
  if (split < 0) {
    throw new TunnelError(
      'ERR_TUNNEL_OPTION',
      `"${text}" does not work: write [BIND:]PORT=HOST:PORT, as in 9000=127.0.0.1:3000.`,
    );
  }
  const target = parseEndpoint(text.slice(split + 1));
  if (target.port === 0)
    throw new TunnelError(
      'ERR_TUNNEL_OPTION',
      `"${text}" does not work: the target must have a port of 1–65535.`,
    );
  const listen = parseListen(text.slice(0, split));
  if (listen.port === 0)
    throw new TunnelError('ERR_TUNNEL_OPTION', `"${text}" does not work: the server's port must be 1–65535.`);
  return { listen, target };
}

/** `[BIND:]PORT`; BIND is loopback by default. @throws TunnelError ERR_TUNNEL_OPTION */
export function parseListen(text: string): Endpoint {
  return parseEndpoint(/^\d+$/.test(text) ? `127.0.0.1:${text}` : text);
}

/** Client: asks for one port over this session. @returns what the server listens on */
export function askForReverse(session: MuxSession, { listen }: Reverse): Promise<Endpoint> {
  return new Promise((resolve, reject) => {
    const channel = session.open(REVERSE_CHANNEL, { allowHalfOpen: true });
    channel.once('error', reject);
    channel.write(`${formatEndpoint(listen)}\n`);
    readLine(channel, (line) => {
      channel.on('error', () => {});
      if (line.startsWith('! ')) {
        reject(
          new TunnelError(
            'ERR_TUNNEL_LISTEN',
            `The server does not listen on ${formatEndpoint(listen)}: ${line.slice(2)}`,
          ),
        );
        return;
      }
      try {
        resolve(parseEndpoint(line));
      } catch (error) {
        reject(error);
      }
      // Whatever else comes is nothing; the end of the channel is the end of the port.
      channel.resume();
    });
  });
}

export interface ReverseHost {
  readonly session: MuxSession;
  mayListen(endpoint: Endpoint): string | undefined;
  opened(asked: Endpoint, actual: Endpoint): void;
  /** A connection has come to the port. */
  accept(socket: net.Socket, asked: Endpoint): void;
}

/** Server: answers one request. Ports of the session are counted in `open`. */
export function serveReverse(channel: MuxConnection, host: ReverseHost, open: Set<net.Server>): void {
  channel.on('error', () => {});
  const refuse = (reason: string): void => {
    channel.destroy(new TunnelError('ERR_TUNNEL_LISTEN', reason));
  };
  readLine(channel, (line) => {
    let asked: Endpoint;
    try {
      asked = parseEndpoint(line);
    } catch (error) {
      refuse(errorMessage(error));
      return;
    }
    const isTooMuch = open.size >= REVERSES_MAX || asked.port === 0;
    const reason = isTooMuch ? 'this session has enough ports open' : host.mayListen(asked);
    if (reason !== undefined) {
      channel.end(`! ${reason}\n`);
      return;
    }
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) =>
      host.accept(socket, asked),
    );
    open.add(server);
    channel.on('close', () => {
      open.delete(server);
      server.close();
    });
    listenOn(server, asked).then(
      (actual) => {
        if (channel.destroyed) {
          server.close();
          return;
        }
        server.on('error', () => channel.destroy());
        host.opened(asked, actual);
        channel.write(`${formatEndpoint(actual)}\n`);
        channel.resume().on('end', () => channel.end());
      },
      (error) => {
        open.delete(server);
        channel.end(`! ${errorMessage(error)}\n`);
      },
    );
  });
}

/** Calls `then` with the first line; destroys a channel that says too much or nothing. */
function readLine(channel: MuxConnection, then: (line: string) => void): void {
  let text = '';
  const onData = (chunk: Buffer): void => {
    text += chunk.toString('latin1');
    const end = text.indexOf('\n');
    if (end < 0 && text.length <= LINE_MAX) return;
    channel.off('data', onData);
    channel.pause();
    if (end < 0 || end > LINE_MAX) channel.destroy();
    else then(text.slice(0, end));
  };
  channel.on('data', onData);
}

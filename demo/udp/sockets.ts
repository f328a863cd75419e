import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

export const LOOPBACK = '127.0.0.1';
/** In what every application here sends, so that the relay can look for it. */
export const MARK = 'trellis-demo';
/** Bytes: a burst waits for a busy reader instead of being lost where nobody counts it. */
const RECEIVE_BUFFER = 1_048_576;

/** An application on a UDP port of 127.0.0.1. */
export interface DatagramServer {
  readonly port: number;
  close(): void;
}

/** A socket on a free port of 127.0.0.1. */
export async function openSocket(): Promise<Socket> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BUFFER });
  socket.bind(0, LOOPBACK);
  await once(socket, 'listening');
  return socket;
}

/** Gives every datagram to `answer`, and what that returns back to where it came from. */
export async function serveDatagrams(
  answer: (datagram: Buffer, clientPort: number) => Uint8Array | undefined,
): Promise<DatagramServer> {
  const socket = await openSocket();
  socket.on('message', (datagram, { port }) => {
    const reply = answer(datagram, port);
    if (reply !== undefined) socket.send(reply, port, LOOPBACK);
  });
  return { port: socket.address().port, close: () => void socket.close() };
}

export interface Exchange<T> {
  readonly request: Uint8Array;
  /** @returns `undefined` for a datagram that is no answer to this request */
  readonly read: (datagram: Buffer) => T | undefined;
}

export interface Exchanged<T> {
  readonly answer: T;
  /** How often it was sent, the first time included. */
  readonly tries: number;
}

/** Milliseconds until a request is sent again, doubled each time: RFC 7252 §4.2, sooner than its 2 s for a path that is here. */
const ACK_TIMEOUT = 200;
/** RFC 7252 §4.8 has 4; with a tenth of all exchanges lost, one in 100,000 would fail. */
const MAX_RETRANSMIT = 8;
const MAX_ACK_TIMEOUT = 2_000;

/**
 * A request and its answer over a path that loses datagrams: what is not answered is sent again.
 * @throws Error when there is no answer after the last try
 */
export function exchange<T>(
  socket: Socket,
  port: number,
  { request, read }: Exchange<T>,
): Promise<Exchanged<T>> {
  return new Promise((resolve, reject) => {
    let tries = 0;
    let timer: NodeJS.Timeout;
    const end = (): void => {
      clearTimeout(timer);
      socket.off('message', onMessage);
    };
    const onMessage = (datagram: Buffer): void => {
      const answer = read(datagram);
      if (answer === undefined) return;
      end();
      resolve({ answer, tries });
    };
    const attempt = (): void => {
      if (tries > MAX_RETRANSMIT) {
        end();
        reject(new Error(`port ${port} has not answered ${tries} datagrams`));
        return;
      }
      socket.send(request, port, LOOPBACK);
      timer = setTimeout(attempt, Math.min(ACK_TIMEOUT * 2 ** tries, MAX_ACK_TIMEOUT));
      tries++;
    };
    socket.on('message', onMessage);
    attempt();
  });
}

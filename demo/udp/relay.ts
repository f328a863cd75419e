import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';

const LOOPBACK = '127.0.0.1';
/** Bytes: a burst waits for a busy reader instead of being lost where nobody counts it. */
const RECEIVE_BUFFER = 1_048_576;

/**
 * What becomes of a datagram: it is handed on so many times, each after so many milliseconds.
 * @param client its port
 */
export type Fate = (datagram: Buffer, towards: 'server' | 'client', client: number) => readonly number[];

export interface Relay {
  readonly port: number;
  close(): void;
}

/** A UDP relay before a port of 127.0.0.1. Each client has a port of its own at the server's side. */
export async function startRelay(target: number, fate: Fate): Promise<Relay> {
  const front = openSocket();
  await once(front, 'listening');
  const backs = new Map<number, Socket>();
  let open = true;
  const pass = (delays: readonly number[], send: () => void): void => {
    for (const delay of delays) {
      if (delay === 0) send();
      else setTimeout(() => open && send(), delay);
    }
  };
  const backFor = (client: number): Socket => {
    const back = openSocket();
    back.on('message', (answer) =>
      pass(fate(answer, 'client', client), () => front.send(answer, client, LOOPBACK, ignore)),
    );
    // A server that has gone is what a path cannot know of.
    back.on('error', ignore);
    return back;
  };
  front.on('message', (datagram, { port: client }) => {
    const back = backs.get(client) ?? backFor(client);
    backs.set(client, back);
    pass(fate(datagram, 'server', client), () => back.send(datagram, target, LOOPBACK, ignore));
  });
  return {
    port: front.address().port,
    close() {
      open = false;
      front.close();
      for (const back of backs.values()) back.close();
    },
  };
}

/** Hands each datagram on, or loses it: this share of them in each direction, the same ones in every run. */
export function losing(share: number, seed: number): Fate {
  const random = { server: randomFrom(seed), client: randomFrom(seed + 1) };
  return (_, towards) => (random[towards]() < share ? LOST : PASSED);
}

const LOST: readonly number[] = [];
const PASSED: readonly number[] = [0];

/** Numbers in [0, 1) that are the same in every run. */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function openSocket(): Socket {
  return createSocket({ type: 'udp4', recvBufferSize: RECEIVE_BUFFER }).bind(0, LOOPBACK);
}

function ignore(): void {}

import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { TLSSocket } from '../../../src/node/tls-socket.ts';
import { duplexPair } from '../../e2e/node-duplex-pair.ts';
import { CA, pattern, SERVER } from '../../e2e/node-kit.ts';

/** What one side does next; the other side's reader is slow or fast as its own steps say. */
type Step =
  | { readonly do: 'write'; readonly length: number }
  | { readonly do: 'pause' | 'resume' | 'cork' | 'uncork' | 'tick' | 'updateKeys' };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), length: fc.nat(70_000) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('pause', 'resume', 'cork', 'uncork', 'tick', 'updateKeys') }),
  },
);

class Side {
  readonly socket: TLSSocket;
  readonly events: string[] = [];
  readonly #chunks: Buffer[] = [];
  #sent = 0;

  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (chunk: Buffer) => this.#chunks.push(chunk));
    for (const event of ['end', 'finish', 'error', 'close']) socket.on(event, () => this.events.push(event));
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get sent(): Buffer {
    return pattern(this.#sent);
  }

  async take(steps: readonly Step[]): Promise<void> {
    for (const next of steps) {
      if (next.do === 'write') {
        this.socket.write(pattern(this.#sent + next.length).subarray(this.#sent));
        this.#sent += next.length;
      } else if (next.do === 'tick') await sleep(0);
      else if (next.do !== 'updateKeys') this.socket[next.do]();
      else if (!this.socket.secureConnecting && this.socket.writable) this.socket.updateKeys(true);
    }
    this.socket.end();
  }
}

it('delivers everything, once and in order, and ends cleanly, whatever both sides do in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 12 }),
      fc.array(step, { maxLength: 12 }),
      async (left, right) => {
        const [a, b] = duplexPair();
        const server = new Side(new TLSSocket(b, { isServer: true, allowHalfOpen: true, ...SERVER }));
        const client = new Side(new TLSSocket(a, { servername: 'localhost', ca: CA, allowHalfOpen: true }));
        const closed = Promise.all(
          [client, server].map(({ socket }) => new Promise((resolve) => socket.once('close', resolve))),
        );
        await Promise.all([client.take(left), server.take(right)]);
        for (const { socket } of [client, server]) socket.resume();
        await closed;
        expect(server.received.equals(client.sent)).toBe(true);
        expect(client.received.equals(server.sent)).toBe(true);
        for (const { events } of [client, server]) {
          expect([...events].sort()).toEqual(['close', 'end', 'finish']);
          expect(events.at(-1)).toBe('close');
        }
      },
    ),
    { numRuns: 60 },
  );
});

it('closes both sides whenever one is destroyed, with an error at most at the other', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 8 }), fc.nat(8), fc.boolean(), async (steps, when, who) => {
      const [a, b] = duplexPair();
      const server = new Side(new TLSSocket(b, { isServer: true, ...SERVER }));
      const client = new Side(new TLSSocket(a, { servername: 'localhost', ca: CA }));
      const [victim, other] = who ? [client, server] : [server, client];
      const closed = Promise.all(
        [client, server].map(({ socket }) => new Promise((resolve) => socket.once('close', resolve))),
      );
      const taken = other.take(steps);
      for (let i = 0; i < when; i++) await sleep(0);
      victim.socket.destroy();
      other.socket.resume();
      await Promise.all([closed, taken]);
      expect(victim.events.filter((event) => event === 'error')).toEqual([]);
      expect(other.events.filter((event) => event === 'error').length).toBeLessThanOrEqual(1);
      expect(victim.sent.subarray(0, other.received.length).equals(other.received)).toBe(true);
    }),
    { numRuns: 60 },
  );
});

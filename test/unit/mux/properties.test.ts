import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TlsError } from '../../../src/errors/errors.ts';
import type { MultiplexedConnection, MuxOptions } from '../../../src/mux/index.ts';
import { OVERSHOOT } from '../../../src/mux/limits.ts';
import { type Cut, ECHO, Pair, SINK, type Side } from './pair.ts';

const KIB = 1024;
const LIMITS: MuxOptions = { receiveBuffer: 64 * KIB, sessionBudget: 192 * KIB };

/** Bytes of one direction of one connection: the n-th byte follows from n, so order, loss and repetition show. */
const SEED_STEP = 31;
const byteAt = (seed: number, index: number): number => (seed + index * SEED_STEP + (index >>> 8)) & 0xff;

/** What one application does with its end of a connection. */
class User {
  readonly connection: MultiplexedConnection;
  readonly readSeed: number;
  readonly writeSeed: number;
  wrote = 0;
  got = 0;
  ended = false;
  sawEnd = false;
  failed: string | undefined;

  constructor(connection: MultiplexedConnection, role: 'client' | 'server') {
    this.connection = connection;
    const seed = connection.clientPort * 2 + connection.application.port;
    [this.writeSeed, this.readSeed] = role === 'client' ? [seed, seed + 1] : [seed + 1, seed];
    connection.attachment = this;
  }

  get over(): boolean {
    return this.failed !== undefined || (this.ended && this.sawEnd);
  }

  write(length: number): void {
    if (this.ended || this.failed !== undefined) return;
    const data = new Uint8Array(length);
    for (let i = 0; i < length; i++) data[i] = byteAt(this.writeSeed, this.wrote + i);
    this.connection.write(data);
    this.wrote += length;
  }

  end(): void {
    if (this.failed !== undefined) return;
    this.ended = true;
    this.connection.end();
  }

  abort(): void {
    if (this.over) return;
    this.connection.abort();
    this.failed = 'here';
  }

  /** As an adapter whose user wants no more of it. */
  close(now: number): void {
    if (this.over) return;
    this.connection.close(now);
    this.failed = 'here';
  }

  read(pieces: number): void {
    for (; pieces > 0; pieces--) {
      const piece = this.connection.read();
      if (piece === undefined) break;
      for (const byte of piece) {
        if (byte !== byteAt(this.readSeed, this.got)) throw new Error(`byte ${this.got} is wrong`);
        this.got++;
      }
      this.connection.consume(piece.length);
    }
    if (this.connection.ended) this.sawEnd = true;
  }
}

/** Both ends of a pair with their applications, as an adapter would run them. */
class World {
  readonly pair = new Pair(LIMITS, { ...LIMITS, applications: [ECHO, SINK] });
  readonly clients: User[] = [];
  readonly servers: User[] = [];
  now = 0;

  get users(): User[] {
    return [...this.clients, ...this.servers];
  }

  open(application: string): void {
    if (this.clients.length >= 40) return;
    this.clients.push(new User(this.pair.client.session.open(application), 'client'));
  }

  /** Delivers at most one read of the network each way; a paused side does not read. */
  deliver(cut: Cut): void {
    for (const [from, to] of [
      [this.pair.client, this.pair.server],
      [this.pair.server, this.pair.client],
    ] as const) {
      from.session.flush();
      for (let room = 64 * KIB; room > 0 && !to.session.paused; ) {
        const content = from.sent.take((available) => Math.min(cut(available), room));
        if (content === undefined) break;
        room -= content.length;
        to.receive(content);
      }
      this.#handle(to);
    }
  }

  /** Time passes; pauses run out. */
  pass(milliseconds: number): void {
    for (const { session } of [this.pair.client, this.pair.server]) {
      const at = session.nextTimeout(this.now);
      if (at !== undefined && at <= this.now + milliseconds) session.handleTimeout(at);
    }
    this.now += milliseconds;
    for (const side of [this.pair.client, this.pair.server]) this.#handle(side);
  }

  check(): void {
    for (const side of [this.pair.client, this.pair.server]) {
      const users = side === this.pair.client ? this.clients : this.servers;
      const held = users.reduce((sum, user) => sum + user.connection.unread, 0);
      expect(held).toBeLessThanOrEqual((LIMITS.sessionBudget ?? 0) + OVERSHOOT);
      for (const { connection } of users) {
        expect(connection.unread).toBeLessThanOrEqual((LIMITS.receiveBuffer ?? 0) + OVERSHOOT);
      }
    }
  }

  #handle(side: Side): void {
    for (const event of side.events()) {
      if (event.type === 'connection') this.servers.push(new User(event.connection, 'server'));
      else if (event.type === 'failed') (event.connection.attachment as User).failed = event.error.code;
    }
  }

  /** Everyone reads all and ends; then nothing is left anywhere. */
  finish(): void {
    for (let round = 0; round < 10_000; round++) {
      for (const user of this.users) {
        user.read(Number.POSITIVE_INFINITY);
        if (!user.ended) user.end();
      }
      this.deliver((available) => available);
      const flying = this.pair.client.sent.bytes + this.pair.server.sent.bytes;
      if (flying === 0 && this.users.every((user) => user.over)) break;
    }
    this.deliver((available) => available);
  }
}

const user = fc.nat({ max: 79 });
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ open: fc.constantFrom('echo', 'sink') }) },
  {
    weight: 6,
    arbitrary: fc.record({ write: user, length: fc.oneof(fc.nat({ max: 100 }), fc.nat({ max: 70_000 })) }),
  },
  { weight: 4, arbitrary: fc.record({ read: user, pieces: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 1, arbitrary: fc.record({ end: user }) },
  { weight: 1, arbitrary: fc.record({ abort: user }) },
  { weight: 1, arbitrary: fc.record({ close: user }) },
  { weight: 1, arbitrary: fc.record({ pass: fc.nat({ max: 8_000 }) }) },
  { weight: 6, arbitrary: fc.record({ cut: fc.constantFrom(1, 5, 7, 1000, 16_384, 40_000) }) },
);

function run(steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[]): World {
  const world = new World();
  const pick = (index: number): User | undefined => world.users[index % Math.max(1, world.users.length)];
  for (const one of steps) {
    if ('open' in one) world.open(one.open);
    else if ('write' in one) pick(one.write)?.write(one.length);
    else if ('read' in one) pick(one.read)?.read(one.pieces);
    else if ('end' in one) pick(one.end)?.end();
    else if ('abort' in one) pick(one.abort)?.abort();
    else if ('close' in one) pick(one.close)?.close(world.now);
    else if ('pass' in one) world.pass(one.pass);
    // Single bytes only as long as that is quick.
    else world.deliver((available) => (available > 2_000 ? Math.max(one.cut, 1000) : one.cut));
    world.check();
  }
  return world;
}

describe('any schedule of opening, writing, reading, ending, closing, aborting, waiting', () => {
  it('loses, repeats and reorders nothing, holds no more than the budget, frees every pair', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), (steps) => {
        const world = run(steps);
        world.finish();
        const serverOf = new Map(world.servers.map((one) => [one.connection, one]));
        expect(serverOf.size).toBe(world.servers.length);
        expect(world.pair.client.session.connections).toBe(0);
        expect(world.pair.server.session.connections).toBe(0);
        // User.read has compared every byte; here, that an end came only after all of them.
        for (const near of world.clients) {
          const { clientPort, application } = near.connection;
          const far = world.servers.find(
            ({ connection }) =>
              connection.clientPort === clientPort && connection.application === application,
          );
          if (far === undefined) continue;
          if (near.sawEnd) expect(near.got).toBe(far.wrote);
          if (far.sawEnd) expect(far.got).toBe(near.wrote);
          expect(near.got).toBeLessThanOrEqual(far.wrote);
          expect(far.got).toBeLessThanOrEqual(near.wrote);
          if (near.failed === undefined) expect(near.sawEnd).toBe(true);
          if (far.failed === undefined) expect(far.sawEnd).toBe(true);
        }
        // Every pair can be had again.
        for (const { connection } of world.clients) {
          const again = world.pair.client.session.open(connection.application, {
            localPort: connection.clientPort,
          });
          expect(again.clientPort).toBe(connection.clientPort);
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('random bytes', () => {
  const port = fc.constantFrom(0, 1, 7, 9, 80, 49_152, 49_153);
  const u16 = (value: number): number[] => [value >> 8, value & 0xff];
  /** Frames that mostly hit something, so that the machine behind the parser is tried too. */
  const plausible = fc
    .tuple(port, port, fc.uint8Array({ maxLength: 20 }), fc.nat({ max: 2 }), fc.boolean())
    .map(([source, destination, data, code, isControl]) =>
      isControl
        ? new Uint8Array([0, 0, 0, 0, 0, 5, ...u16(source), ...u16(destination), code])
        : new Uint8Array([...u16(source), ...u16(destination), ...u16(data.length), ...data]),
    );
  const content = fc.oneof(
    { weight: 20, arbitrary: plausible },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }) },
  );

  it.each(['client', 'server'] as const)('at the %s end in a TlsError at worst, within bounds', (role) => {
    fc.assert(
      fc.property(fc.array(content, { maxLength: 60 }), (contents) => {
        const pair = new Pair();
        const side = pair[role];
        pair.client.session.open('echo');
        pair.client.session.open('sink').write(new Uint8Array(3));
        pair.settle();
        try {
          for (const one of contents) {
            side.receive(one);
            for (const event of side.events()) {
              if (event.type === 'connection' && event.connection.clientPort === 7) event.connection.refuse();
              if (event.type === 'readable') while (event.connection.read() !== undefined);
            }
            side.session.flush();
          }
        } catch (error) {
          expect(error).toBeInstanceOf(TlsError);
        }
        side.protocol.closed(undefined);
        for (const event of side.events()) {
          expect(event.type).toBe('failed');
          event.connection.consume(1_000);
        }
      }),
      { numRuns: 300 },
    );
  });
});

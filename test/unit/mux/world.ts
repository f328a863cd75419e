import fc from 'fast-check';
import { expect } from 'vitest';
import type { MultiplexedConnection, MuxOptions } from '../../../src/mux/index.ts';
import { OVERSHOOT } from '../../../src/mux/limits.ts';
import { type Cut, ECHO, Pair, SINK, type Side } from './pair.ts';

const KIB = 1024;
const LIMITS: MuxOptions = { receiveBuffer: 64 * KIB, sessionBudget: 192 * KIB };

export type Mode = 'ports' | 'channels';

/** Bytes of one direction of one connection: the n-th byte follows from n, so order, loss and repetition show. */
const SEED_STEP = 31;
const byteAt = (seed: number, index: number): number => (seed + index * SEED_STEP + (index >>> 8)) & 0xff;

/** What one application does with its end of a connection. */
export class User {
  readonly connection: MultiplexedConnection;
  /** By which both ends of a connection, and no others of the same application, can be told. */
  readonly port: number;
  readonly readSeed: number;
  readonly writeSeed: number;
  wrote = 0;
  got = 0;
  ended = false;
  sawEnd = false;
  failed: string | undefined;

  constructor(connection: MultiplexedConnection, role: 'client' | 'server') {
    this.connection = connection;
    this.port = role === 'client' ? connection.localPort : connection.remotePort;
    const seed = this.port * 2 + connection.application.name.charCodeAt(0);
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
    // What was dropped with a failure is no end.
    if (this.failed !== undefined) return;
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
export class World {
  readonly pair: Pair;
  readonly clients: User[] = [];
  readonly servers: User[] = [];
  now = 0;

  constructor(mode: Mode) {
    this.pair = new Pair({ ...LIMITS, mode }, { ...LIMITS, applications: [ECHO, SINK] });
  }

  get users(): User[] {
    return [...this.clients, ...this.servers];
  }

  open(application: string): void {
    if (this.clients.length >= 40) return;
    const localPort = 50_000 + this.clients.length;
    this.clients.push(new User(this.pair.client.session.open(application, { localPort }), 'client'));
  }

  /** Delivers at most one read of the network each way; a paused side does not read. */
  deliver(cut: Cut): void {
    for (const [from, to] of [
      [this.pair.client, this.pair.server],
      [this.pair.server, this.pair.client],
    ] as const) {
      from.now = this.now;
      from.push();
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
      if (event.type === 'connection') {
        event.connection.accept();
        this.servers.push(new User(event.connection, 'server'));
      } else if (event.type === 'failed') (event.connection.attachment as User).failed = event.error.code;
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
export const step = fc.oneof(
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

export function run(
  steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
  mode: Mode,
): World {
  const world = new World(mode);
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

/** What must hold when all is over: no byte lost, repeated or out of order, and an end only after all of them. */
export function checkOutcome({ clients, servers, pair }: World): void {
  const serverOf = new Map(servers.map((one) => [one.connection, one]));
  expect(serverOf.size).toBe(servers.length);
  expect(pair.client.session.connections).toBe(0);
  expect(pair.server.session.connections).toBe(0);
  // User.read has compared every byte.
  for (const near of clients) {
    const { name } = near.connection.application;
    const far = servers.find(
      ({ port, connection }) => port === near.port && connection.application.name === name,
    );
    if (far === undefined) continue;
    if (near.sawEnd) expect(near.got).toBe(far.wrote);
    if (far.sawEnd) expect(far.got).toBe(near.wrote);
    expect(near.got).toBeLessThanOrEqual(far.wrote);
    expect(far.got).toBeLessThanOrEqual(near.wrote);
    if (near.failed === undefined) expect(near.sawEnd).toBe(true);
    if (far.failed === undefined) expect(far.sawEnd).toBe(true);
  }
}

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { pipeline } from 'node:stream/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { MuxOptions } from '../../src/mux/index.ts';
import type { MuxConnection, MuxSession } from '../../src/node/mux.ts';

export type Mode = 'ports' | 'channels';

/** Two sessions over some transport, which serve `echo` and `sink` and let connections half-close. */
export interface Sessions {
  readonly client: MuxSession;
  readonly server: MuxSession;
  /** The transport breaks. */
  drop(): void;
}

export type MakeSessions = (mode: Mode, options: MuxOptions) => Promise<Sessions>;

const MANY = 10_000;
const KIB = 1024;

/** What a multiplexed session owes its users, whatever its mode and transport. */
export function muxCompliance(transport: string, make: MakeSessions): void {
  describe.each<Mode>(['ports', 'channels'])(`${transport}, %s mode`, (mode) => {
    let sessions: Sessions | undefined;

    afterEach(() => {
      sessions?.client.destroy();
      sessions?.server.destroy();
      sessions = undefined;
    });

    async function start(options: MuxOptions = {}): Promise<Sessions> {
      sessions = await make(mode, options);
      for (const side of [sessions.client, sessions.server]) side.on('error', () => {});
      return sessions;
    }

    /** A connection with both its ends, which may end one after the other. */
    async function pair({ client, server }: Sessions): Promise<{ near: MuxConnection; far: MuxConnection }> {
      const accepted = once(server, 'connection') as Promise<[MuxConnection]>;
      const near = client.open('echo', { allowHalfOpen: true });
      const [far] = await accepted;
      return { near, far };
    }

    it('speaks the mode that it is asked for', async () => {
      const { client, server } = await start();
      expect([client.agreement?.mode, server.agreement?.mode]).toEqual([mode, mode]);
    });

    it('opens: both ends know the application, and the opener hears of it', async () => {
      const { client, server } = await start();
      const accepted = once(server, 'connection') as Promise<[MuxConnection]>;
      const near = client.open('sink', { localPort: 4711 });
      await once(near, 'connect');
      const [far] = await accepted;
      expect(near.connecting).toBe(false);
      expect([near.application.name, far.application.name]).toEqual(['sink', 'sink']);
      expect([near.localPort, far.remotePort]).toEqual([4711, 4711]);
      expect([client.connections, server.connections]).toEqual([1, 1]);
    });

    it('lets the acceptor speak first', async () => {
      const { near, far } = await pair(await start());
      far.write('220 ready');
      const [greeting] = await once(near, 'data');
      expect(String(greeting)).toBe('220 ready');
    });

    it('refuses, when nobody listens', async () => {
      const { client } = await start();
      const near = client.open('echo');
      expect(await fault(near)).toMatchObject({ code: 'ERR_MUX_REFUSED' });
      expect(client.connections).toBe(0);
    });

    it('refuses, when the listener does, and says why where the mode can', async () => {
      const { client, server } = await start();
      server.on('connection', (connection) => connection.defer().refuse('out of order'));
      const error = await fault(client.open('echo'));
      expect(error).toMatchObject({ code: 'ERR_MUX_REFUSED' });
      if (mode === 'channels') expect(error).toMatchObject({ reason: 'out of order' });
      await until(() => server.connections === 0);
    });

    it('echoes: a mebibyte comes back as it went', async () => {
      const { client, server } = await start();
      server.on('connection', (connection) => connection.pipe(connection));
      const data = randomBytes(KIB * KIB);
      const near = client.open('echo', { allowHalfOpen: true });
      near.end(data);
      expect(digest(await all(near))).toBe(digest(data));
      await until(() => client.connections + server.connections === 0);
    });

    it('half-closes from the opener’s side', async () => {
      const { near, far } = await pair(await start());
      near.end('question');
      expect(String(await all(far))).toBe('question');
      expect(far.writable).toBe(true);
      far.end('answer');
      expect(String(await all(near))).toBe('answer');
    });

    it('half-closes from the acceptor’s side', async () => {
      const { near, far } = await pair(await start());
      far.end('answer');
      expect(String(await all(near))).toBe('answer');
      expect(near.writable).toBe(true);
      near.end('thanks');
      expect(String(await all(far))).toBe('thanks');
    });

    it.each(['opener', 'acceptor'] as const)('resets from the %s', async (who) => {
      const { client, server } = await start();
      const { near, far } = await pair({ client, server, drop: () => {} });
      const [one, other] = who === 'opener' ? [near, far] : [far, near];
      const failed = fault(other);
      one.on('error', () => {});
      one.destroy(new Error('enough'));
      expect(await failed).toMatchObject({ code: 'ERR_MUX_ABORTED' });
      await until(() => client.connections + server.connections === 0);
    });

    it('a reader that stays away does not hold up the others, and loses nothing', async () => {
      const { client, server } = await start({ receiveBuffer: KIB * KIB });
      const slow: MuxConnection[] = [];
      server.on('connection', (connection) => {
        if (connection.application.name === 'sink') slow.push(connection);
        else connection.pipe(connection);
      });
      const data = randomBytes(512 * KIB);
      const sink = client.open('sink', { allowHalfOpen: true });
      sink.end(data);
      for (let i = 0; i < 3; i++) {
        const near = client.open('echo', { allowHalfOpen: true });
        near.end(data);
        expect(digest(await all(near))).toBe(digest(data));
      }
      expect(slow).toHaveLength(1);
      expect(digest(await all(slow[0] as MuxConnection))).toBe(digest(data));
    });

    it('survives reads of one byte', async () => {
      const { near, far } = await pair(await start());
      const data = randomBytes(3_000);
      near.end(data);
      const got: number[] = [];
      const ended = once(far, 'end');
      far.on('readable', () => {
        for (let byte = far.read(1) as Buffer | null; byte !== null; byte = far.read(1) as Buffer | null)
          got.push(...byte);
      });
      await ended;
      expect(Buffer.from(got).equals(data)).toBe(true);
    });

    it(`carries ${MANY} connections at once`, async () => {
      const { client, server } = await start({ maxConnections: MANY });
      server.on('connection', (connection) => connection.on('error', () => {}).pipe(connection));
      const open = Array.from({ length: MANY }, () => client.open('echo', { allowHalfOpen: true }));
      await Promise.all(
        open.map(async (connection, i) => {
          connection.write(`${i}`);
          const [echo] = await once(connection, 'data');
          expect(String(echo)).toBe(`${i}`);
        }),
      );
      expect([client.connections, server.connections]).toEqual([MANY, MANY]);
      for (const connection of open) connection.end();
      await until(() => client.connections + server.connections === 0);
    }, 60_000);

    it('an orderly close of the session waits for data in flight', async () => {
      const { client, server } = await start();
      const received = new Promise<Buffer>((resolve) =>
        server.on('connection', (connection) => resolve(all(connection.end()))),
      );
      const data = randomBytes(700 * KIB);
      const near = client.open('sink');
      near.resume().end(data);
      const closed = new Promise<void>((resolve) => client.close(() => resolve()));
      expect(digest(await received)).toBe(digest(data));
      await closed;
    });

    it('destroying one with data in flight harms no other', async () => {
      const { client, server } = await start();
      server.on('connection', (connection) => connection.on('error', () => {}).pipe(connection));
      const doomed = client.open('echo');
      const kept = client.open('echo', { allowHalfOpen: true });
      const data = randomBytes(300 * KIB);
      doomed.write(randomBytes(300 * KIB));
      kept.end(data);
      doomed.destroy();
      expect(digest(await all(kept))).toBe(digest(data));
      await until(() => client.connections + server.connections === 0);
    });

    it('when the session breaks, every connection has a typed error', async () => {
      const broken = await start();
      const { client, server } = broken;
      const accepted: MuxConnection[] = [];
      server.on('connection', (connection) => accepted.push(connection));
      const opened = Array.from({ length: 50 }, () => client.open('echo'));
      for (const connection of opened) connection.write('x');
      await until(() => accepted.length === opened.length);
      const faults = [...opened, ...accepted].map(fault);
      broken.drop();
      for (const error of await Promise.all(faults))
        expect(error).toMatchObject({ code: 'ERR_MUX_SESSION_CLOSED' });
      expect([client.connections, server.connections]).toEqual([0, 0]);
      expect(() => client.open('echo')).toThrow(expect.objectContaining({ code: 'ERR_MUX_SESSION_CLOSED' }));
    });

    it('counts', async () => {
      const { client, server } = await start();
      server.listen('echo', (connection) => void pipeline(connection, connection).catch(() => {}));
      const near = client.open('echo', { allowHalfOpen: true });
      near.end('12345');
      await all(near);
      await until(() => client.connections + server.connections === 0);
      expect(client.stats()).toMatchObject({ mode, opened: 1, bytesSent: 5, bytesReceived: 5, unread: 0 });
      expect(server.stats()).toMatchObject({ mode, accepted: 1, bytesSent: 5, bytesReceived: 5 });
    });
  });
}

const digest = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex');

/** All that a stream gives until its end. */
function all(stream: MuxConnection): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  stream.on('data', (piece: Uint8Array) => pieces.push(piece));
  return new Promise((resolve, reject) => {
    stream.once('end', () => resolve(Buffer.concat(pieces)));
    stream.once('error', reject);
  });
}

function fault(stream: MuxConnection): Promise<Error> {
  return new Promise((resolve) => stream.once('error', resolve));
}

/** Waits for the event loop to bring it about; the test's own time limit is the bound. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Archive } from '../../src/evidence/archive/archive.ts';
import { openArchive } from '../../src/evidence/archive/open.ts';
import {
  createSecureContext,
  type Identity,
  type MuxConnection,
  type MuxSession,
  muxSession,
  type SigningKey,
} from '../../src/index.ts';
import { muxServer } from '../../src/mux/index.ts';
import { connectMux } from '../../src/node/mux.ts';
import {
  type EvidenceEntry,
  type EvidenceSink,
  type EvidenceWriter,
  type SignClientOptions,
  type SignServerOptions,
  signClient,
  signServer,
} from '../../src/sign/index.ts';
import { CA, CLIENT, closeAll, nextError, serve, track, trellis } from './node-kit.ts';
import { ours, signedSession } from './sign-sockets.ts';

afterEach(closeAll);

const text = (data: Uint8Array): string => Buffer.from(data).toString();

/** Durable only after a turn of the event loop, as a disk would be. */
class SlowArchive implements EvidenceSink {
  readonly entries: EvidenceEntry[] = [];
  treeHead = () => Buffer.from(`head ${this.entries.length}`);
  addSession = () => ({ digest: new Uint8Array(32) });
  async newContent(): Promise<EvidenceWriter> {
    throw new Error('nothing is streamed here');
  }
  async append(entry: EvidenceEntry): Promise<number> {
    await turn();
    return this.entries.push(entry) - 1;
  }
}

describe('signing over sockets', () => {
  it('gives a receipt for each message, and each message to the reader', async () => {
    const archives = { client: new SlowArchive(), server: new SlowArchive() };
    const { client, server } = await signedSession(
      { archive: archives.client },
      { archive: archives.server },
    );
    client.signing?.on();
    const orders = ['three chairs', 'a table', 'x'.repeat(300_000)];
    const receipts = Promise.all(orders.map((order) => client.signWrite(order)));
    const read: string[] = [];
    for await (const message of server.signed) {
      read.push(text(message.content));
      expect(message.signer?.leaf.subject.toString()).toBe('CN=alice');
      if (read.length === orders.length) break;
    }
    expect(read).toEqual(orders);
    expect((await receipts).map((receipt) => receipt?.record)).toEqual(
      [3, 4, 5].map(() => expect.any(Number)),
    );
    expect(client.signing?.pendingReceipts).toBe(0);
    const kinds = (archive: SlowArchive) =>
      archive.entries.map(({ direction, kind }) => `${direction} ${kind}`).sort();
    const three = (what: string) => [what, what, what];
    expect(kinds(archives.client)).toEqual([...three('received receipt'), ...three('sent data')]);
    expect(kinds(archives.server)).toEqual([...three('received data'), ...three('sent receipt')]);
    // Plain data travels beside it.
    client.end('plain');
    expect(String((await once(server, 'data'))[0])).toBe('plain');
  });

  it.each(['pkcs7', 'smime', 'xmldsig'] as const)('speaks %s', async (format) => {
    const { client, server } = await signedSession({ formats: [format] });
    expect(client.signing?.agreement.format).toBe(format);
    for (const from of [client, server]) {
      const to = from === client ? server : client;
      from.signing?.on();
      const receipt = from.signWrite('three chairs');
      for await (const { content, verified } of to.signed) {
        expect([text(content), verified?.format]).toEqual(['three chairs', format]);
        break;
      }
      expect((await receipt)?.verified.format).toBe(format);
    }
  });

  it('keeps it all in an archive of SQLite on either side', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'trellis-sign-'));
    const [near, far] = await Promise.all(['near', 'far'].map((name) => openArchive(join(folder, name))));
    if (near === undefined || far === undefined) throw new Error('no archive');
    try {
      const { client, server } = await signedSession({ archive: near }, { archive: far });
      client.signing?.on();
      for (const order of ['one', 'two']) await client.signWrite(order);
      const records = async (archive: Archive) =>
        Promise.all(Array.from({ length: archive.size }, (_, index) => archive.store.record(index)));
      const [sent, , , acknowledged] = await records(near);
      expect(sent).toMatchObject({ direction: 'sent', kind: 'data', sequence: 0, contentLength: 3 });
      expect(acknowledged).toMatchObject({
        direction: 'received',
        kind: 'receipt',
        status: 'verified',
        target: 2,
      });
      const received = (await records(far)).filter((record) => record?.direction === 'received');
      expect(received).toMatchObject([{ status: 'verified', kind: 'data' }, { sequence: 1 }]);
      expect(received[0]?.objectDigest).toEqual(sent?.objectDigest);
      // Each has the other's head: the second order names what was in the archive after the first.
      expect(received[1]?.treeHead.length).toBeGreaterThan(0);
      server.destroy();
    } finally {
      await Promise.all([near.close(), far.close()]);
      rmSync(folder, { recursive: true });
    }
  });

  it('answers what came before the end, although its own end was asked for', async () => {
    const { client, server } = await signedSession({}, { archive: new SlowArchive() });
    client.signing?.on();
    const receipt = client.signWrite('last words');
    // It leaves with the next turn.
    await turn();
    client.end();
    client.resume();
    server.resume();
    // The receipt and the end come together: which is told of first is not settled.
    const closed = once(client, 'close');
    expect((await receipt)?.signer.leaf.subject.toString()).toBe('CN=localhost');
    const read: string[] = [];
    for await (const { content } of server.signed) read.push(text(content));
    expect(read).toEqual(['last words']);
    await closed;
  });

  it('without a receipt, tells when it has left', async () => {
    const { client, server } = await signedSession();
    client.signing?.on();
    expect(await client.signWrite('no receipt', { receipt: false })).toBeUndefined();
    for await (const { content, receiptRequested } of server.signed) {
      expect([text(content), receiptRequested]).toEqual(['no receipt', false]);
      break;
    }
  });

  it('is refused where it was not agreed on, or is switched off', async () => {
    const { client, server } = await signedSession(
      { policy: 'allow', types: ['origin'] },
      { types: ['delivery'] },
    );
    expect(client.signing).toBeUndefined();
    expect(() => client.signed).toThrow(expect.objectContaining({ code: 'ERR_SIGN_UNAVAILABLE' }));
    await expect(server.signWrite('x')).rejects.toMatchObject({ code: 'ERR_SIGN_UNAVAILABLE' });
    const agreed = await signedSession();
    await expect(agreed.client.signWrite('x')).rejects.toMatchObject({ code: 'ERR_SIGN_UNAVAILABLE' });
  });

  it('tells who waits for a receipt that it will not come', async () => {
    const { client, server } = await signedSession();
    client.on('error', () => {});
    client.signing?.on();
    const receipt = client.signWrite('hello');
    const failure = expect(receipt).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_/) });
    server.destroy();
    await failure;
  });

  it('ends the session with bad_sign on both sides where data must be signed and is not', async () => {
    const { client, server } = await signedSession(
      { types: ['origin'] },
      {
        types: ['origin'],
        policy: 'require',
        demand: true,
      },
    );
    const [found, told] = [nextError(server), nextError(client)];
    client.write('unsigned');
    expect((await found).code).toBe('ERR_SIGN_UNSIGNED');
    expect((await told).code).toBe('ERR_TLS_ALERT_BAD_SIGN');
  });

  it('signs with a key that answers later', async () => {
    const [{ key, chain }] = createSecureContext(CLIENT).identities as [Identity];
    const slow: SigningKey = {
      schemes: key.schemes,
      async sign(scheme, data) {
        await turn();
        return key.sign(scheme, data);
      },
    };
    const session = await signedSession({ signer: { chain, key: slow } });
    session.client.signing?.on();
    const receipts = await Promise.all(['a', 'b', 'c'].map((word) => session.client.signWrite(word)));
    expect(receipts.map((receipt) => receipt?.sequence)).toEqual([0, 1, 2]);
  });
});

describe('signing over a multiplexed session', () => {
  const APPLICATIONS = [
    { name: 'orders', port: 7 },
    { name: 'chat', port: 9 },
  ];

  async function gateway(options: SignServerOptions = {}, client: SignClientOptions = {}) {
    const accepted: MuxConnection[] = [];
    const { port } = await serve(
      trellis,
      {
        requestCert: true,
        ca: CA,
        subProtocols: [signServer(options), muxServer({ applications: APPLICATIONS })],
      },
      (socket) => {
        const served = muxSession(ours(socket));
        // Those that are not ended in order end with the session.
        served?.on('error', () => {});
        served?.on('connection', (connection) => accepted.push(connection.on('error', () => {})));
      },
    );
    const session: MuxSession = connectMux({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ca: CA,
      ...CLIENT,
      subProtocols: [signClient(client)],
    });
    track(session);
    await once(session, 'ready');
    return { session, accepted };
  }

  it.each(['pkcs7', 'smime', 'xmldsig'] as const)(
    'signs for one application, its neighbour is plain: %s',
    async (format) => {
      const archive = new SlowArchive();
      const { session, accepted } = await gateway({ archive }, { formats: [format] });
      const [orders, chat] = [session.open('orders'), session.open('chat')];
      chat.on('error', () => {});
      orders.signing?.on();
      const receipt = orders.signWrite('three chairs');
      chat.write('hi');
      expect((await receipt)?.verified.binding).toMatchObject({ application: 'orders', contentType: 28 });
      const [served, neighbour] = accepted as [MuxConnection, MuxConnection];
      expect(served.application.name).toBe('orders');
      for await (const { content, application } of served.signed) {
        expect([text(content), application]).toEqual(['three chairs', 'orders']);
        break;
      }
      neighbour.setEncoding('utf8');
      expect(neighbour.read()).toBe('hi');
      expect(served.read()).toBeNull();
      expect(archive.entries[0]).toMatchObject({
        application: 'orders',
        contentType: 28,
        status: 'verified',
        format,
      });
      // And back, on the same connection.
      served.signing?.on();
      const back = served.signWrite('confirmed');
      for await (const { content } of orders.signed) {
        expect(text(content)).toBe('confirmed');
        break;
      }
      await back;
      // Its end is the end of its messages.
      orders.end();
      served.resume();
      const rest: string[] = [];
      for await (const { content } of served.signed) rest.push(text(content));
      expect(rest).toEqual([]);
      session.destroy();
    },
  );

  it('may demand it of one application', async () => {
    const { session } = await gateway(
      { types: ['origin'], policy: 'require', demand: ['orders'] },
      { types: ['origin'] },
    );
    session.on('error', () => {});
    const told = nextError(session);
    const [orders, chat] = [session.open('orders'), session.open('chat')];
    for (const stream of [orders, chat]) stream.on('error', () => {});
    chat.write('plain is fine here');
    orders.signing?.on();
    await orders.signWrite('signed');
    orders.write('plain');
    expect(await told).toMatchObject({ code: 'ERR_TLS_ALERT_BAD_SIGN' });
  });

  it('gives up with its connection', async () => {
    const { session, accepted } = await gateway({}, {});
    const orders = session.open('orders');
    orders.on('error', () => {});
    orders.signing?.on();
    await orders.signWrite('first');
    const receipt = orders.signWrite('second');
    const failure = expect(receipt).rejects.toMatchObject({ code: 'ERR_SIGN_NO_RECEIPT' });
    orders.destroy();
    await failure;
    expect(accepted).toHaveLength(1);
    session.destroy();
  });
});

import { once } from 'node:events';
import { createServer as createNetServer, connect as netConnect, type Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type SubProtocol, type SubProtocolLink, TLSSocket } from '../../src/index.ts';
import { duplexPair } from './node-duplex-pair.ts';
import {
  CA,
  closeAll,
  closed,
  dial,
  nextError,
  node,
  OUR_CLIENT,
  OUR_SERVER,
  PAIRINGS,
  pattern,
  readAll,
  record,
  SERVER,
  serve,
  session,
  ticket,
  track,
  trellis,
  until,
} from './node-kit.ts';

afterEach(closeAll);

describe.each(PAIRINGS)('a stream, $name', (pairing) => {
  it('echoes', async () => {
    const { client, server } = await session(pairing);
    server.pipe(server);
    client.end('ping');
    expect((await readAll(client)).toString()).toBe('ping');
  });

  it('delivers what was written before the handshake was complete', async () => {
    const { port } = await serve(pairing.server, {}, (socket) => void socket.pipe(socket));
    const client = dial(pairing.client, port);
    client.write('one ');
    client.write('two ');
    client.end('three');
    expect((await readAll(client)).toString()).toBe('one two three');
  });

  it('ends both ways when one side ends, and closes without error', async () => {
    const { client, server } = await session(pairing);
    const clientSaw = record(client, 'end', 'error', 'close');
    const serverSaw = record(server, 'end', 'error', 'close');
    client.resume();
    server.resume();
    client.end();
    await Promise.all([closed(client), closed(server)]);
    expect(clientSaw).toEqual(['end', 'close false']);
    expect(serverSaw).toEqual(['end', 'close false']);
  });

  it('half-closes from the client: the server goes on sending', async () => {
    const { client, server } = await session(pairing, { allowHalfOpen: true });
    client.end('question');
    expect((await readAll(server)).toString()).toBe('question');
    const answer = pattern(300_000);
    server.end(answer);
    expect((await readAll(client)).equals(answer)).toBe(true);
  });

  it('half-closes from the server: the client goes on sending', async () => {
    const { client, server } = await session(pairing, { allowHalfOpen: true }, { allowHalfOpen: true });
    // node:tls sends no close_notify when it ends before its tickets have left (OpenSSL: shutdown while in init).
    await ticket(client, pairing);
    server.end('greeting');
    expect((await readAll(client)).toString()).toBe('greeting');
    const rest = pattern(300_000);
    client.end(rest);
    expect((await readAll(server)).equals(rest)).toBe(true);
  });

  it('carries 32 MiB in chunks of odd sizes, unchanged', async () => {
    const { client, server } = await session(pairing);
    const sent = pattern(32 * 1024 * 1024);
    const received = readAll(server);
    for (let at = 0, size = 1; at < sent.length; at += size, size = ((size * 7) % 200_000) + 1) {
      if (!client.write(sent.subarray(at, at + size))) await once(client, 'drain');
    }
    client.end();
    expect((await received).equals(sent)).toBe(true);
  });

  it('carries one write of 24 MiB', async () => {
    const { client, server } = await session(pairing);
    const sent = pattern(24 * 1024 * 1024);
    server.end(sent);
    expect((await readAll(client)).equals(sent)).toBe(true);
  });

  it('carries 20,000 writes of one byte', async () => {
    const { client, server } = await session(pairing);
    const sent = pattern(20_000);
    const received = readAll(server);
    for (const byte of sent) client.write(Buffer.of(byte));
    client.end();
    expect((await received).equals(sent)).toBe(true);
  });

  it('counts the plaintext in bytesRead and bytesWritten', async () => {
    const { client, server } = await session(pairing);
    const received = readAll(server);
    client.write(pattern(1000));
    client.end(pattern(100_000));
    expect(client.bytesWritten).toBe(101_000);
    await received;
    expect(server.bytesRead).toBe(101_000);
    expect(client.bytesWritten).toBe(101_000);
  });

  it('loses nothing when the reader pauses, reads by hand, and the sender has long ended', async () => {
    const { client, server } = await session(pairing);
    const sent = pattern(700_000);
    client.pause();
    server.end(sent);
    await sleep(50);
    await once(client, 'readable');
    const first = client.read(1000);
    client.resume();
    const rest = await readAll(client);
    expect(Buffer.concat([first as Buffer, rest]).equals(sent)).toBe(true);
  });

  it('says so when it is destroyed: the other side does not take it for the end', async () => {
    const { client, server } = await session(pairing);
    const saw = record(server, 'end', 'close');
    const failed = nextError(server).catch(() => undefined);
    server.resume();
    client.write('half a mess');
    await once(server, 'data');
    await ticket(client, pairing);
    client.destroy();
    await closed(server);
    // node:tls takes a transport's end for the session's end; ours does not, unless told to.
    if (pairing.server === trellis) {
      expect((await failed)?.code).toBe('ERR_TLS_TRUNCATED');
      expect(saw).toEqual(['close true']);
    } else {
      expect(saw).toEqual(['end', 'close false']);
    }
  });

  it('can be destroyed in the middle of a transfer, from both sides, with an error of one’s own', async () => {
    const { client, server } = await session(pairing);
    server.on('error', () => {});
    const failed = nextError(client);
    const bothClosed = Promise.all([closed(client), closed(server)]);
    server.once('data', () => client.destroy(new Error('enough')));
    const feed = () => {
      while (!client.destroyed && client.write(pattern(100_000)));
    };
    client.on('drain', feed);
    feed();
    server.resume();
    expect((await failed).message).toBe('enough');
    await bothClosed;
    expect(client.destroyed).toBe(true);
  });

  it('calls the callback of a write, with an error when the socket is destroyed first', async () => {
    const { client } = await session(pairing);
    client.on('error', () => {});
    await new Promise<void>((resolve, reject) => {
      client.write('fine', (error) => (error ? reject(error) : resolve()));
    });
    client.cork();
    const failed = new Promise((resolve) => client.write('late', resolve));
    client.destroy();
    expect(await failed).toBeInstanceOf(Error);
  });

  it('works with pipeline() in both directions', async () => {
    const { client, server } = await session(pairing, { allowHalfOpen: true });
    const sent = pattern(2_000_000);
    const echo = pipeline(server, server);
    const [received] = await Promise.all([
      readAll(client),
      pipeline(
        async function* () {
          for (let at = 0; at < sent.length; at += 50_000) yield sent.subarray(at, at + 50_000);
        },
        client,
        { end: true },
      ),
      echo,
    ]);
    expect(received.equals(sent)).toBe(true);
  });

  it('aborts by signal', async () => {
    const abort = new AbortController();
    const { client, server } = await session(pairing, {}, { signal: abort.signal });
    server.on('error', () => {});
    server.resume();
    const failed = nextError(client);
    abort.abort();
    expect((await failed).name).toBe('AbortError');
    await closed(server);
  });
});

/** What kernels and both ends buffer for a loopback connection, with room to spare. */
const IN_FLIGHT = 16 * 1024 * 1024;

describe.each(PAIRINGS)('back-pressure, $name', (pairing) => {
  it('holds the sender when the reader does not read, in bounded memory', async () => {
    const { client, server } = await session(pairing);
    const chunk = pattern(64 * 1024);
    let accepted = 0;
    let peak = 0;
    let blocked = false;
    const deadline = Date.now() + 20_000;
    while (!blocked && Date.now() < deadline) {
      accepted += chunk.length;
      if (!client.write(chunk)) {
        blocked = (await Promise.race([once(client, 'drain'), sleep(300, 'blocked')])) === 'blocked';
      }
      peak = Math.max(peak, client.writableLength + pendingOutput(client));
    }
    expect(blocked).toBe(true);
    expect(accepted).toBeLessThan(IN_FLIGHT);
    expect(peak).toBeLessThan(1024 * 1024);
    expect(server.readableLength).toBeLessThan(256 * 1024);
    // And nothing was lost by it.
    client.end();
    expect((await readAll(server)).length).toBe(accepted);
  });

  it('takes one huge write piece by piece', async () => {
    if (pairing.client !== trellis) return;
    const { client, server } = await session(pairing);
    const sent = pattern(48 * 1024 * 1024);
    client.end(sent);
    await sleep(100);
    // The plaintext is the caller's own memory; what must not pile up is the ciphertext.
    expect(pendingOutput(client)).toBeLessThan(1024 * 1024);
    expect((await readAll(server)).equals(sent)).toBe(true);
  });

  it('both sides can send much at once', async () => {
    const { client, server } = await session(pairing);
    const sent = pattern(8 * 1024 * 1024);
    client.end(sent);
    server.end(sent);
    const [a, b] = await Promise.all([readAll(client), readAll(server)]);
    expect(a.equals(sent) && b.equals(sent)).toBe(true);
  });
});

function pendingOutput(socket: object): number {
  return 'outputPending' in socket ? (socket.outputPending as number) : 0;
}

describe.each([...OUR_CLIENT, ...OUR_SERVER])(
  'a transport that ends without close_notify, $name',
  (pairing) => {
    const ourClient = pairing.client === trellis;

    /** A relay that cuts the connection on demand. */
    async function cut(options: object): Promise<{ ours: import('node:tls').TLSSocket; sever: () => void }> {
      const sides: Socket[] = [];
      let accepted: (socket: import('node:tls').TLSSocket) => void = () => {};
      const other = new Promise<import('node:tls').TLSSocket>((resolve) => {
        accepted = resolve;
      });
      const { port } = await serve(pairing.server, ourClient ? {} : options, accepted);
      const relay = createNetServer({ allowHalfOpen: true }, (inbound) => {
        const outbound = netConnect({ port, host: '127.0.0.1', allowHalfOpen: true });
        for (const side of [inbound, outbound]) {
          side.on('error', () => {});
          sides.push(track(side));
        }
        inbound.pipe(outbound, { end: false });
        outbound.pipe(inbound, { end: false });
      });
      relay.listen(0, '127.0.0.1');
      await once(relay, 'listening');
      const address = relay.address() as { port: number };
      const client = dial(pairing.client, address.port, ourClient ? options : {});
      const [server] = await Promise.all([other, once(client, 'secureConnect')]);
      relay.close();
      const ours = ourClient ? client : server;
      const theirs = ourClient ? server : client;
      theirs.on('error', () => {});
      theirs.write('some of it');
      const sever = () => {
        for (const side of sides) side.end();
      };
      return { ours, sever };
    }

    it('is ERR_TLS_TRUNCATED, after the data that did arrive', async () => {
      const { ours, sever } = await cut({});
      await once(ours, 'readable');
      sever();
      await sleep(30);
      const chunks: Buffer[] = [];
      ours.on('data', (chunk: Buffer) => chunks.push(chunk));
      const saw = record(ours, 'end', 'close');
      expect((await nextError(ours)).code).toBe('ERR_TLS_TRUNCATED');
      await closed(ours);
      expect(Buffer.concat(chunks).toString()).toBe('some of it');
      expect(saw).toEqual(['close true']);
    });

    it('is the end with allowTruncation', async () => {
      const { ours, sever } = await cut({ allowTruncation: true });
      await once(ours, 'readable');
      sever();
      const saw = record(ours, 'end', 'error', 'close');
      const gone = closed(ours);
      expect((await readAll(ours)).toString()).toBe('some of it');
      await gone;
      expect(saw).toEqual(['end', 'close false']);
    });
  },
);

describe('transports that are not TCP', () => {
  function overDuplex() {
    const [a, b] = duplexPair();
    const server = track(new TLSSocket(b, { isServer: true, ...SERVER }));
    const client = track(new TLSSocket(a, { servername: 'localhost', ca: CA }));
    return { client, server };
  }

  it('carries a session over any Duplex', async () => {
    const { client, server } = overDuplex();
    const sent = pattern(3_000_000);
    server.pipe(server);
    client.end(sent);
    expect((await readAll(client)).equals(sent)).toBe(true);
    expect(client.authorized).toBe(true);
  });

  it('emits timeout without traffic, with a timer of its own', async () => {
    const { client } = overDuplex();
    await once(client, 'secureConnect');
    client.setTimeout(20);
    await once(client, 'timeout');
    client.setTimeout(0);
  });

  it('carries TLS in TLS', async () => {
    const { client: outer, server: outerServer } = await session({ name: '', client: trellis, server: node });
    const inner = track(new TLSSocket(outerServer, { isServer: true, ...SERVER }));
    inner.pipe(inner);
    const client = track(new TLSSocket(outer, { servername: 'localhost', ca: CA }));
    client.end('nested');
    expect((await readAll(client)).toString()).toBe('nested');
  });
});

describe("a server's TCP sockets", () => {
  // The memory of what they have read is given back at once, but not under another reader's hands.
  it('leave what they have read to another listener', async () => {
    const { listener, port } = await serve(trellis, {}, (socket) => void socket.pipe(socket));
    const seen: Buffer[] = [];
    let read = 0;
    listener.on('connection', (transport: Socket) => {
      transport.on('data', (bytes) => {
        read += bytes.length;
        seen.push(bytes);
      });
    });
    const client = dial(trellis, port);
    const sent = pattern(500_000);
    client.end(sent);
    expect((await readAll(client)).equals(sent)).toBe(true);
    const kept = Buffer.concat(seen);
    expect(kept.length).toBe(read);
    expect(kept.length).toBeGreaterThan(sent.length);
    // The last record is whole: its header says how long it is (RFC 8446 §5.2), and it is a close_notify.
    expect(kept.subarray(-24, -19)).toEqual(Buffer.from([23, 3, 3, 0, 19]));
  });
});

describe('a stream that is emitted as a connection', () => {
  it('keeps the memory of what was written to it', async () => {
    const { listener } = await serve(trellis, {}, (socket) => void socket.pipe(socket));
    const [near, far] = duplexPair();
    const seen: Buffer[] = [];
    const push = far.push.bind(far);
    far.push = (bytes: Buffer | null) => {
      if (bytes !== null) seen.push(bytes);
      return push(bytes);
    };
    listener.emit('connection', far);
    const client = new TLSSocket(near, { servername: 'localhost', ca: CA });
    client.end(pattern(300_000));
    await readAll(client as never);
    expect(seen.some(({ length }) => length > 10_000)).toBe(true);
    expect(seen.filter(({ length }) => length === 0)).toEqual([]);
  });
});

describe('for a multiplexer', () => {
  it('stops and starts reading the network', async () => {
    const { client, server } = await session({ name: '', client: trellis, server: node });
    const ours = client as unknown as TLSSocket;
    let received = 0;
    client.on('data', (chunk: Buffer) => {
      received += chunk.length;
    });
    ours.pauseReading();
    server.write(pattern(1000));
    await sleep(50);
    expect(received).toBe(0);
    // The reader's own wishes do not undo it.
    client.pause();
    client.resume();
    await sleep(20);
    expect(received).toBe(0);
    ours.resumeReading();
    await once(client, 'data');
    expect(received).toBe(1000);
  });

  it('tells when the network is full and when it has room again', async () => {
    const { client, server } = await session({ name: '', client: trellis, server: node });
    const ours = client as unknown as TLSSocket;
    const chunk = pattern(256 * 1024);
    let sent = 0;
    while (!ours.outputBlocked) {
      ours.connection.send(chunk);
      ours.flush();
      sent += chunk.length;
      await sleep(1);
    }
    expect(ours.outputPending).toBeGreaterThan(0);
    const drained = once(ours, 'outputDrain');
    let received = 0;
    server.on('data', (data: Buffer) => {
      received += data.length;
    });
    await drained;
    expect(ours.outputBlocked).toBe(false);
    client.end();
    await once(server, 'end');
    expect(received).toBe(sent);
  });

  it('does not read on when the peer does not read the answers that it provokes', async () => {
    const answers = new Chatty((link) => link.send(CHATTY, new Uint8Array(16_000)));
    const questions = new Chatty(() => {});
    const { client, server } = await session(
      { name: '', client: trellis, server: trellis },
      { subProtocols: [() => answers] } as object,
      { subProtocols: [() => questions] } as object,
    );
    const peer = client as unknown as TLSSocket;
    const victim = server as unknown as TLSSocket;
    peer.pauseReading();
    let peak = 0;
    for (let i = 0; i < 2000; i++) {
      questions.link?.send(CHATTY, new Uint8Array(4_000));
      if (i % 20 === 0) {
        peer.flush();
        await sleep(0);
        peak = Math.max(peak, victim.outputPending);
      }
    }
    // 2,000 answers would be 32 MB, of which the kernel takes a few.
    expect(peak).toBeGreaterThan(1_000_000);
    expect(peak).toBeLessThan(5 * 1024 * 1024);
    expect(answers.records).toBeLessThan(1500);
    // When it reads again, all are answered.
    peer.resumeReading();
    peer.flush();
    await until(() => questions.records === 2000);
  });
});

const CHATTY = 30;

/** A sub-protocol of the test: a content type, and what to do for each record. */
class Chatty implements SubProtocol {
  readonly name = 'chatty';
  readonly extensionType = 0xff7f;
  readonly contentTypes = [CHATTY];
  readonly handshakeTypes = [];
  link: SubProtocolLink | undefined;
  records = 0;
  readonly #onRecord: (link: SubProtocolLink) => void;

  constructor(onRecord: (link: SubProtocolLink) => void) {
    this.#onRecord = onRecord;
  }

  offer(): Uint8Array {
    return new Uint8Array(0);
  }
  answer(offered: Uint8Array | undefined): Uint8Array | undefined {
    return offered;
  }
  confirm(): void {}
  start(link: SubProtocolLink): void {
    this.link = link;
  }
  receiveRecord(): void {
    this.records++;
    if (this.link !== undefined) this.#onRecord(this.link);
  }
  receiveHandshake(): void {}
  receiveEnd(): void {}
  closed(): void {}
}

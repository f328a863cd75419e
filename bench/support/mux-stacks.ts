import { once } from 'node:events';
import http2 from 'node:http2';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { yamux } from '@chainsafe/libp2p-yamux';
import { createSecureContext, createServer, type TLSSocket } from '../../src/index.ts';
import { muxServer } from '../../src/mux/index.ts';
import { connectMux, muxSession } from '../../src/node/mux.ts';
import { close, type Files, listen, nodes, ours } from './stacks.ts';

const HOST = '127.0.0.1';
const SUITE = 'TLS_AES_128_GCM_SHA256';
/** Both sides of every stack allow so many streams in a session. */
const STREAMS = 12_000;
const APPLICATIONS = [{ name: 'echo', port: 7 }];

/** Streams over one session, or in place of them connections. */
export interface MuxStack {
  readonly name: MuxStackName;
  serve(onStream: (stream: Duplex) => void): Promise<{ port: number; stop(): Promise<void> }>;
  dial(port: number): Promise<MuxDialled>;
}

export interface MuxDialled {
  open(): Duplex;
  stop(): void;
}

export const MUX_STACKS = ['channels', 'ports', 'http2', 'yamux', 'tls', 'trellis-tls'] as const;
export type MuxStackName = (typeof MUX_STACKS)[number];

export function muxStack(name: MuxStackName, files: Files): MuxStack {
  switch (name) {
    case 'channels':
    case 'ports':
      return ourMux(name, files);
    case 'http2':
      return http2Stack(files);
    case 'yamux':
      return yamuxStack(files);
    case 'tls':
    case 'trellis-tls':
      return plainStack(name, files);
  }
}

function ourMux(mode: 'channels' | 'ports', { ca, cert, key }: Files): MuxStack {
  return {
    name: mode,
    serve: async (onStream) => {
      const server = createServer(
        {
          cert,
          key,
          ciphers: SUITE,
          subProtocols: [muxServer({ applications: APPLICATIONS, maxConnections: STREAMS })],
        },
        (socket: TLSSocket) => {
          socket.on('error', () => {});
          muxSession(socket)
            ?.on('error', () => {})
            .on('connection', (stream) => onStream(stream.on('error', () => {})));
        },
      );
      return { port: await listen(server), stop: () => close(server) };
    },
    dial: async (port) => {
      const session = connectMux({
        host: HOST,
        port,
        servername: 'localhost',
        secureContext: createSecureContext({ ca, ciphers: SUITE }),
        mux: { mode, maxConnections: STREAMS },
      });
      await once(session, 'ready');
      session.on('error', () => {});
      return { open: () => session.open('echo').on('error', () => {}), stop: () => session.destroy() };
    },
  };
}

function http2Stack({ ca, cert, key }: Files): MuxStack {
  return {
    name: 'http2',
    serve: async (onStream) => {
      const server = http2.createSecureServer({
        cert,
        key,
        ciphers: SUITE,
        minVersion: 'TLSv1.3',
        settings: { maxConcurrentStreams: STREAMS, initialWindowSize: 262_144 },
        maxSessionMemory: 1_000,
      });
      server.on('session', (session) => session.on('error', () => {}).setLocalWindowSize(16_777_216));
      server.on('stream', (stream) => {
        stream.on('error', () => {});
        stream.respond({ ':status': 200 });
        onStream(stream);
      });
      return { port: await listen(server), stop: () => close(server) };
    },
    dial: async (port) => {
      const session = http2.connect(`https://localhost:${port}`, {
        ca,
        host: HOST,
        servername: 'localhost',
        settings: { initialWindowSize: 262_144 },
        maxSessionMemory: 1_000,
      });
      session.on('error', () => {});
      await once(session, 'remoteSettings');
      session.setLocalWindowSize(16_777_216);
      return {
        open: () => session.request({ ':method': 'POST' }, { endStream: false }).on('error', () => {}),
        stop: () => session.destroy(),
      };
    },
  };
}

function yamuxStack(files: Files): MuxStack {
  const { serve, dial } = nodes(files);
  return {
    name: 'yamux',
    serve: async (onStream) => {
      const server = serve((socket) => {
        yamuxOver(socket, 'inbound', (stream) => onStream(duplexOf(stream)));
      });
      return { port: await listen(server), stop: () => close(server) };
    },
    dial: async (port) => {
      const socket = dial(port);
      await once(socket, 'secureConnect');
      const muxer = yamuxOver(socket, 'outbound', () => {});
      return { open: () => duplexOf(muxer.newStream() as YamuxStream), stop: () => socket.destroy() };
    },
  };
}

type YamuxFactory = ReturnType<ReturnType<typeof yamux>>;
type Yamux = ReturnType<YamuxFactory['createStreamMuxer']>;
type YamuxStream = Awaited<ReturnType<Yamux['newStream']>>;

function yamuxOver(socket: Duplex, direction: Role, onIncomingStream: (stream: YamuxStream) => void): Yamux {
  const muxer = yamux({ maxInboundStreams: STREAMS, maxOutboundStreams: STREAMS, enableKeepAlive: false })({
    logger: { forComponent: () => SILENT },
  }).createStreamMuxer({ direction, onIncomingStream });
  socket.on('error', () => {});
  // A frame's header and its data are two writes, between which Nagle's algorithm would wait for an acknowledgment.
  if (socket instanceof Socket) socket.setNoDelay(true);
  Promise.resolve(muxer.sink(readAll(socket))).catch(() => {});
  void writeAll(muxer.source, socket);
  return muxer;
}

type Role = 'inbound' | 'outbound';

type Logger = ReturnType<Parameters<ReturnType<typeof yamux>>[0]['logger']['forComponent']>;
const SILENT: Logger = Object.assign(() => {}, {
  error: () => {},
  trace: () => {},
  enabled: false,
  newScope: () => SILENT,
});

/** libp2p's streams are pairs of asynchronous iterables; the scenarios want Node's. */
function duplexOf(stream: YamuxStream): Duplex {
  let give: ((chunk: Uint8Array | undefined) => void) | undefined;
  let taken: (() => void) | undefined;
  let wanted: (() => void) | undefined;
  async function* written(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await new Promise<Uint8Array | undefined>((resolve) => {
        give = resolve;
        const done = taken;
        taken = undefined;
        done?.();
      });
      if (chunk === undefined) return;
      yield chunk;
    }
  }
  const write = (chunk: Uint8Array | undefined, done: () => void): void => {
    const now = give;
    if (now === undefined) {
      taken = () => write(chunk, done);
      return;
    }
    give = undefined;
    taken = done;
    now(chunk);
  };
  const duplex = new Duplex({
    read: () => {
      wanted?.();
      wanted = undefined;
    },
    write: (chunk: Uint8Array, _encoding, done) => write(chunk, () => done()),
    final: (done) => {
      write(undefined, () => {});
      done();
    },
  });
  duplex.on('error', () => {});
  stream.sink(written()).catch(() => duplex.destroy());
  void (async () => {
    try {
      for await (const list of stream.source) {
        const asked = new Promise<void>((resolve) => {
          wanted = resolve;
        });
        if (!duplex.push(list.subarray())) await asked;
      }
      duplex.push(null);
    } catch {
      duplex.destroy();
    }
  })();
  return duplex;
}

async function* readAll(socket: Duplex): AsyncGenerator<Uint8Array> {
  for await (const chunk of socket) yield chunk as Uint8Array;
}

async function writeAll(
  source: AsyncIterable<Uint8Array | { subarray(): Uint8Array }>,
  socket: Duplex,
): Promise<void> {
  for await (const chunk of source) {
    if (!socket.write(chunk.subarray())) await once(socket, 'drain');
  }
}

/** A connection of its own for each stream. */
function plainStack(name: 'tls' | 'trellis-tls', files: Files): MuxStack {
  const { serve, dial } = name === 'tls' ? nodes(files) : ours(files);
  return {
    name,
    serve: async (onStream) => {
      const server = serve((socket) => {
        socket.on('error', () => {});
        onStream(socket);
      });
      return { port: await listen(server), stop: () => close(server) };
    },
    dial: async (port) => {
      const sockets: Duplex[] = [];
      return {
        open: () => {
          const socket = dial(port);
          socket.on('error', () => {});
          sockets.push(socket);
          return socket;
        },
        stop: () => {
          for (const socket of sockets) socket.destroy();
        },
      };
    },
  };
}

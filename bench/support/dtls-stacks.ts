import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DtlsServer, DtlsSocket as WeriftSocket } from 'werift';
import { createSecureContext } from '../../src/index.ts';
import { connect, createServer, type DtlsSocket } from '../../src/node/dtls/index.ts';
import {
  type Auth,
  HOST,
  MTU,
  NODE_DTLS_CLIENT,
  PSK_IDENTITY,
  PSK_KEY,
  type StackName,
  SUITE,
} from './dtls-terms.ts';

/** One end of a session, in the hands of a bench. */
export interface BenchSession {
  send(datagram: Buffer): void;
  /** Tells the peer where the stack can, and lets go of the port. */
  close(): void;
}

/** What the benches need of an implementation. DTLS 1.2, `SUITE`, X25519; one UDP port for each client. */
export interface DtlsStack {
  /** Serves on a free port; `undefined` where the stack is a client only. */
  readonly serve?: (onMessage: (datagram: Buffer, session: BenchSession) => void) => Promise<ServerPort>;
  dial(port: number, onMessage?: (datagram: Buffer) => void): Promise<BenchSession>;
}

interface ServerPort {
  readonly port: number;
  /** Complete handshakes so far. */
  readonly sessions: () => number;
}

/** @param directory with what `initPki` has written */
export function stackOf(name: StackName, auth: Auth, directory: string): Promise<DtlsStack> {
  const read = (file: string): string => readFileSync(join(directory, file), 'utf8');
  if (name === 'ours') return ours(auth, read);
  return name === 'werift' ? werift(read) : nodeDtlsClient();
}

async function ours(auth: Auth, read: (file: string) => string): Promise<DtlsStack> {
  // The others have no connection IDs, which make a record nine bytes longer.
  const terms = { mtu: MTU, connectionId: false, handshakeTimeout: 20_000 } as const;
  const common = { ciphers: SUITE[auth], ecdhCurve: 'X25519:P-256', maxVersion: 'TLSv1.2' } as const;
  // As a program would: the context is made once and shared by all connections.
  const secureContext = createSecureContext({ ...common, ca: read('ca.pem') });
  const psk = { identity: PSK_IDENTITY, key: PSK_KEY };
  return {
    async serve(onMessage) {
      let sessions = 0;
      const credentials =
        auth === 'cert'
          ? { cert: read('server.pem'), key: read('server.key') }
          : // node-dtls-client does not know it.
            { psk, requireExtendedMasterSecret: false };
      const server = createServer({ ...terms, ...common, ...credentials }, (socket) => {
        sessions++;
        socket.on('error', () => {});
        socket.on('message', (datagram) => onMessage(datagram, socket));
      });
      server.listen(0, HOST);
      await once(server, 'listening');
      return { port: server.address()?.port as number, sessions: () => sessions };
    },
    async dial(port, onMessage = () => {}) {
      const who = auth === 'cert' ? { servername: 'localhost' } : { psk };
      const socket: DtlsSocket = connect({ ...terms, host: HOST, port, secureContext, ...who });
      socket.on('message', onMessage);
      await once(socket, 'secureConnect');
      return socket;
    },
  };
}

/** What werift puts its DTLS on. */
type WeriftTransport = ConstructorParameters<typeof DtlsServer>[0]['transport'];
/** `sha256`, `ecdsa`, by their numbers in TLS 1.2. */
const ECDSA_SHA256 = { hash: 4, signature: 3 } as const;

/** Its server serves one peer; which datagram is whose is left to whoever uses it. */
async function werift(read: (file: string) => string): Promise<DtlsStack> {
  // Only where it is measured: it is large.
  const { DtlsClient, DtlsServer } = await import('werift');
  const terms = { signatureHash: ECDSA_SHA256, extendedMasterSecret: true } as const;
  const credentials = { cert: read('server.pem'), key: read('server.key') };
  const sessionOf = (socket: WeriftSocket): BenchSession => ({
    send: (datagram) => void socket.send(datagram),
    close: () => socket.close(),
  });
  return {
    async serve(onMessage) {
      let sessions = 0;
      const udp = await bound();
      const peers = new Map<number, WeriftTransport>();
      udp.on('message', (datagram, { port }) => {
        let transport = peers.get(port);
        if (transport === undefined) {
          transport = transportOn(udp, port, () => peers.delete(port));
          peers.set(port, transport);
          const server = new DtlsServer({ ...terms, ...credentials, transport });
          const session = sessionOf(server);
          server.onConnect.subscribe(() => void sessions++);
          server.onData.subscribe((data) => onMessage(data, session));
          server.onError.subscribe(() => {});
        }
        transport.onData(datagram, [HOST, port]);
      });
      return { port: udp.address().port, sessions: () => sessions };
    },
    async dial(port, onMessage = () => {}) {
      const udp = await bound();
      const transport = transportOn(udp, port, () => udp.close());
      udp.on('message', (datagram) => transport.onData(datagram, [HOST, port]));
      const client = new DtlsClient({ ...terms, transport });
      const connected = new Promise<void>((resolve, reject) => {
        client.onConnect.subscribe(() => resolve());
        client.onError.subscribe(reject);
      });
      client.onData.subscribe(onMessage);
      // Done when its first flight is not needed any more, which it looks at every half a second.
      client.connect().catch(() => {});
      await connected;
      return sessionOf(client);
    },
  };
}

function transportOn(udp: Socket, port: number, close: () => void): WeriftTransport {
  return {
    type: 'udp',
    address: udp.address() as WeriftTransport['address'],
    closed: false,
    onData: () => {},
    send: (datagram) =>
      new Promise((resolve, reject) =>
        udp.send(datagram, port, HOST, (error) => (error === null ? resolve() : reject(error))),
      ),
    close: async () => close(),
  };
}

async function bound(): Promise<Socket> {
  const udp = createSocket('udp4').bind(0, HOST);
  await once(udp, 'listening');
  return udp;
}

/** What of the package node-dtls-client is used. It brings native code, so it is no dependency, and may not be there. */
interface NodeDtls {
  readonly dtls: {
    createSocket(options: {
      readonly type: 'udp4';
      readonly address: string;
      readonly port: number;
      readonly timeout: number;
      readonly psk: Readonly<Record<string, string>>;
      readonly ciphers: readonly string[];
    }): {
      send(datagram: Buffer): void;
      close(): void;
      on(event: 'connected', listener: () => void): void;
      on(event: 'message', listener: (datagram: Buffer) => void): void;
      on(event: 'error', listener: (error: Error) => void): void;
    };
  };
}

/** A client with pre-shared keys, and nothing else. It says nothing again that was lost. */
async function nodeDtlsClient(): Promise<DtlsStack> {
  const { default: nodeDtls } = (await import(NODE_DTLS_CLIENT)) as { readonly default: NodeDtls };
  return {
    dial: (port, onMessage = () => {}) =>
      new Promise((resolve, reject) => {
        const socket = nodeDtls.dtls.createSocket({
          type: 'udp4',
          address: HOST,
          port,
          timeout: 5_000,
          psk: { [PSK_IDENTITY]: PSK_KEY.toString() },
          ciphers: ['TLS_PSK_WITH_AES_128_GCM_SHA256'],
        });
        socket.on('connected', () =>
          resolve({ send: (datagram) => socket.send(datagram), close: () => socket.close() }),
        );
        socket.on('message', onMessage);
        socket.on('error', reject);
      }),
  };
}

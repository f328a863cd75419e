// The same job without Trellis: one node:tls connection for each local connection.   separate.ts gateway|client JSON
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import { pump, socketLeg, streamLeg } from '../src/tunnel/pump.ts';
import { listenOnLoopback } from './applications.ts';

export interface SeparateOptions {
  /** Folder of `trellis init`. */
  readonly pki: string;
  /** Gateway: ports of the applications. Client: ports to connect to, one for each application. */
  readonly targets: readonly number[];
}

const [role, json = '{}'] = process.argv.slice(2);
const { pki, targets }: SeparateOptions = JSON.parse(json);
const read = (name: string): Buffer => readFileSync(`${pki}/${name}`);

/** What the tunnel does by default, so that both do the same work. */
const settings = {
  ca: read('ca.pem'),
  minVersion: 'TLSv1.3',
  ciphers: 'TLS_AES_128_GCM_SHA256',
  allowHalfOpen: true,
} as const;

const servers = role === 'gateway' ? targets.map(gateway) : targets.map(client);
const ports = await Promise.all(servers.map(listenOnLoopback));
process.once('SIGTERM', () => process.exit(0));
console.log(JSON.stringify({ event: 'ready', ports }));

function gateway(target: number): net.Server {
  const server = tls.createServer(
    { ...settings, cert: read('server.pem'), key: read('server.key'), requestCert: true },
    (socket) => carry(net.connect({ host: '127.0.0.1', port: target, allowHalfOpen: true }), socket),
  );
  server.on('tlsClientError', () => {});
  return server;
}

function client(target: number): net.Server {
  const secureContext = tls.createSecureContext({
    ...settings,
    cert: read('client.pem'),
    key: read('client.key'),
  });
  return net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const options = { ...settings, secureContext, host: '127.0.0.1', port: target, servername: 'localhost' };
    carry(socket, tls.connect(options));
  });
}

function carry(plain: net.Socket, secure: tls.TLSSocket): void {
  pump(socketLeg(plain), streamLeg(secure), () => {});
}

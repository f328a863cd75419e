import { once } from 'node:events';
import { afterAll, expect, onTestFinished } from 'vitest';
import {
  connect,
  createServer,
  type DtlsConnectOptions,
  type DtlsServerOptions,
  type DtlsSocket,
} from '../../../src/node/dtls/index.ts';
import { echo } from '../../setup/datagrams.ts';
import { HOST, type Pki } from './pki.ts';

/** Our end of DTLS, for tests with other programs. */
export class OurDtls {
  readonly #rows: string[] = [];
  readonly #pki: () => Pki;

  /** @param title of the table that is printed once all tests of the file are done */
  constructor(title: string, pki: () => Pki) {
    this.#pki = pki;
    afterAll(() => console.log(`${title}\n${this.#rows.map((row) => `  ${row}`).join('\n')}`));
  }

  /** A row of the table. */
  passed(
    peer: string,
    ours: 'client' | 'server',
    what: string,
    socket: DtlsSocket,
    protocol = 'DTLSv1.2',
  ): void {
    expect(socket.getProtocol()).toBe(protocol);
    const suite = socket.getCipher()?.name;
    this.#rows.push(`${peer.padEnd(16)} ${protocol}  our ${ours.padEnd(7)} ${what.padEnd(34)} ${suite}`);
  }

  /** A server that sends everything back. @returns its port, the first session, and all so far */
  async server(
    options: Partial<DtlsServerOptions>,
  ): Promise<{ port: number; session: Promise<DtlsSocket>; accepted: readonly DtlsSocket[] }> {
    const { cert, key } = this.#pki().servers.p256;
    const server = createServer({ ...(options.psk === undefined ? { cert, key } : {}), ...options });
    const accepted: DtlsSocket[] = [];
    server.on('secureConnection', (socket: DtlsSocket) => {
      accepted.push(socket);
      echo(socket);
    });
    const session = once(server, 'secureConnection').then(([socket]) => socket as DtlsSocket);
    server.on('tlsClientError', (error) => this.#rows.push(`refused: ${error.message}`));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    return { port: server.address()?.port as number, session, accepted };
  }

  async dial(port: number, options: Partial<DtlsConnectOptions> = {}): Promise<DtlsSocket> {
    const trust = options.psk === undefined ? { ca: this.#pki().ca.cert } : {};
    const socket = connect({ host: '127.0.0.1', port, servername: HOST, ...trust, ...options });
    onTestFinished(() => void socket.destroy());
    await once(socket, 'secureConnect');
    return socket;
  }
}

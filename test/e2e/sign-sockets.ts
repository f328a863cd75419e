import { once } from 'node:events';
import type { TLSSocket } from '../../src/index.ts';
import {
  type SignClientOptions,
  type SignServerOptions,
  signClient,
  signServer,
} from '../../src/sign/index.ts';
import { CA, CLIENT, deferred, dial, serve, trellis } from './node-kit.ts';

/** As `TLSSocket`; the kit types both stacks as node:tls. */
export const ours = (socket: unknown): TLSSocket => socket as TLSSocket;

/** Two sockets that have agreed to sign. */
export async function signedSession(
  client: SignClientOptions = {},
  server: SignServerOptions = {},
  versions: { readonly maxVersion?: 'TLSv1.2' } = {},
): Promise<{ client: TLSSocket; server: TLSSocket }> {
  const accepted = deferred<TLSSocket>();
  const { port } = await serve(
    trellis,
    { ...versions, requestCert: true, ca: CA, subProtocols: [signServer(server)] },
    (socket) => accepted.resolve(ours(socket)),
  );
  const socket = ours(dial(trellis, port, { ...CLIENT, subProtocols: [signClient(client)] }));
  await once(socket, 'secureConnect');
  return { client: socket, server: await accepted.promise };
}

import type { EventEmitter } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import type { DtlsEndpoint } from '../node/dtls/index.ts';
import { type Endpoint, formatEndpoint } from './addresses.ts';
import { errorCode, errorMessage, TunnelError } from './errors.ts';

/** Below these the kernel wants root or CAP_NET_BIND_SERVICE. */
const PRIVILEGED_PORTS = 1024;

/**
 * Starts listening.
 * @returns the address with the port that was picked, if the endpoint left it open
 * @throws TunnelError ERR_TUNNEL_LISTEN that says what to do
 */
export async function listenOn(server: Server, endpoint: Endpoint): Promise<Endpoint> {
  await opened(server, endpoint, (done) => server.listen({ host: endpoint.host, port: endpoint.port }, done));
  return endpointOf(server);
}

/** The same for a port of DTLS. */
export async function listenOnUdp(server: DtlsEndpoint, endpoint: Endpoint): Promise<Endpoint> {
  await opened(server, endpoint, (done) => server.listen(endpoint.port, endpoint.host, done));
  const { host } = endpoint;
  const { address, port } = server.address() ?? { address: host, port: endpoint.port };
  return { host: address, port, transport: 'udp' };
}

async function opened(
  server: Server | DtlsEndpoint,
  endpoint: Endpoint,
  listen: (done: () => void) => void,
): Promise<void> {
  const emitter: EventEmitter = server;
  try {
    await new Promise<void>((resolve, reject) => {
      emitter.once('error', reject);
      listen(() => {
        emitter.off('error', reject);
        resolve();
      });
    });
  } catch (cause) {
    throw new TunnelError(
      'ERR_TUNNEL_LISTEN',
      `Cannot listen on ${formatEndpoint(endpoint)}: ${bindAdvice(endpoint, cause)}.`,
      {
        cause,
      },
    );
  }
}

function endpointOf(server: Server): Endpoint {
  // Listening on TCP, so it is neither null nor the path of a local socket.
  const { address, port } = server.address() as AddressInfo;
  return { host: address, port };
}

export function bindAdvice(endpoint: Endpoint, error: unknown): string {
  switch (errorCode(error)) {
    case 'EADDRINUSE':
      return `${formatEndpoint(endpoint)} is in use; choose another port, or stop the program that has it`;
    case 'EADDRNOTAVAIL':
      return `${endpoint.host} is not an address of this machine; use one that is, or 0.0.0.0 for all`;
    case 'EACCES':
      return endpoint.port < PRIVILEGED_PORTS
        ? `ports below ${PRIVILEGED_PORTS} are reserved; choose one above, or run with the right to bind them`
        : 'the system does not allow it; choose another port';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
      return `the name ${endpoint.host} has no address; write an IP address of this machine`;
    default:
      return errorMessage(error);
  }
}

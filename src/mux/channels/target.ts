import { unknownApplication } from '../errors.ts';
import type { Application } from '../extension.ts';
import { ADDRESS_MAX, APPLICATION_NAME_MAX, LAST_PORT, RESERVED_NAMES } from '../limits.ts';
import { badOption } from '../negotiation.ts';
import type { Destination, OpenTarget } from '../session.ts';
import type { Channel, ChannelFacts } from './channel.ts';
import type { Request } from './message.ts';

/** `source_address` of whoever says nothing of its socket: an address has at least a byte. */
export const UNSPECIFIED = '0.0.0.0';

interface Target {
  readonly application: Application;
  readonly destination: Destination | undefined;
}

/**
 * An application is destination_address = its name with port 0; a destination is its host and port.
 * @throws ConnectionError ERR_MUX_UNKNOWN_APPLICATION for what has no name, ERR_TLS_OPTION for what cannot be written
 */
export function targetOf(target: OpenTarget): Target {
  if (typeof target === 'object' && 'host' in target) {
    const { host, port } = target;
    checkAddress('host', host);
    if (!Number.isInteger(port) || port < 1 || port > LAST_PORT) {
      throw badOption(`The port ${port} of ${JSON.stringify(host)} must be 1 to 65535`);
    }
    return { application: { name: host, port }, destination: { host, port } };
  }
  const reference = typeof target === 'object' && 'application' in target ? target.application : target;
  const name = typeof reference === 'object' ? reference.name : reference;
  if (typeof name !== 'string') {
    throw unknownApplication(
      `In channel mode applications have names, not ports: give the name of the application at port ${name}, or { host, port }.`,
    );
  }
  checkAddress('application', name);
  if (name.length > APPLICATION_NAME_MAX || RESERVED_NAMES.includes(name)) {
    throw badOption(
      `The application ${JSON.stringify(name)} must have a name of 1 to 16 characters of its own`,
    );
  }
  return { application: { name, port: 0 }, destination: undefined };
}

/** Of a channel that the peer asks for. */
export function factsOf({ source, destination: { address, port } }: Request): ChannelFacts {
  return {
    application: { name: address, port },
    destination: port === 0 ? undefined : { host: address, port },
    localPort: port,
    remotePort: source.port,
    sourceAddress: source.address === UNSPECIFIED ? '' : source.address,
  };
}

export function sourceOf(localAddress: string | undefined): string {
  if (localAddress === undefined) return '';
  checkAddress('localAddress', localAddress);
  return localAddress;
}

/** How both sides call it. */
export function labelOf({ name }: Application, destination: Destination | undefined): string {
  if (destination === undefined) return name;
  const { host, port } = destination;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** In messages; what a peer has named may be anything. */
export function describe({ application, destination }: Channel): string {
  return `the channel to ${JSON.stringify(labelOf(application, destination))}`;
}

function checkAddress(what: string, value: string): void {
  if (!/^[\x21-\x7e]+$/.test(value) || value.length > ADDRESS_MAX) {
    throw badOption(`The ${what} ${JSON.stringify(value)} must be 1 to 255 printable ASCII characters`);
  }
}

import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import { clientConfig, serverConfig } from './engine-config.ts';
import { Pair, type Tamper } from './pair.ts';

/** Two sides that have said everything they have to say. */
export function connectPair(
  client: Partial<ClientConfig> = {},
  server: Partial<ServerConfig> = {},
  tamper?: Tamper | undefined,
): Pair {
  return new Pair({
    client: clientConfig(client),
    server: serverConfig(server),
    ...(tamper === undefined ? {} : { tamper }),
  }).run();
}

/** The same, with this fault. */
export function runTampered(
  tamper: Tamper | undefined,
  client: Partial<ClientConfig> = {},
  server: Partial<ServerConfig> = {},
): Pair {
  return connectPair(client, server, tamper);
}

import type { Identity } from '../../../src/handshake/config.ts';
import { DtlsPair, type Network, perfect } from '../../setup/dtls-pair.ts';
import { clientConfig, clientIdentity, serverConfig, serverIdentity } from '../../setup/engine-config.ts';

/**
 * Both sides show a chain, so that both have a flight that takes many records.
 * @param issuer bytes of each of the two certificates above their own
 * @param only further options of both sides
 */
export function pairWithLongFlights(
  issuer: number,
  mtu: number,
  only: object = {},
  network: Network = perfect,
): DtlsPair {
  const long = (identity: Identity): Identity => ({
    ...identity,
    chain: [...identity.chain, new Uint8Array(issuer), new Uint8Array(issuer)],
  });
  const datagrams = { mtu, initialTimeout: 1000, maxTimeout: 60_000 };
  const common = { ...only, datagrams, handshakeTimeout: 300_000 };
  return new DtlsPair({
    client: clientConfig({ ...common, identities: [long(clientIdentity)] }),
    server: serverConfig({
      ...common,
      clientCertificate: 'require',
      selectIdentities: () => [long(serverIdentity)],
    }),
    network,
  });
}

import { describe, expect, test } from 'vitest';
import { TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { clientConfig, ONLY_TLS12, serverConfig, testIdentity } from '../../setup/engine-config.ts';
import { expectAlive } from '../../setup/faults.ts';
import { Pair, type PairSetup } from '../../setup/pair.ts';

const ecdsa = testIdentity('p256');
const rsa = testIdentity('rsa');

const connect = (
  client: Partial<ClientConfig> = {},
  server: Partial<ServerConfig> = {},
  setup: Partial<PairSetup> = {},
) =>
  new Pair({
    client: clientConfig({ ...ONLY_TLS12, ...client }),
    server: serverConfig({ ...ONLY_TLS12, selectIdentities: () => [ecdsa, rsa], ...server }),
    ...setup,
  }).run();

describe('a TLS 1.2 handshake', () => {
  test.each(TLS12_SUITES)('completes with $name', (suite) => {
    const tls12 = { ...ONLY_TLS12.tls12, suites: [suite] };
    const pair = connect({ tls12 });
    expectAlive(pair);
    for (const { connection } of [pair.client, pair.server]) {
      expect(connection.info).toMatchObject({ suite, protocol: 'TLSv1.2', resumed: false });
    }
  });
});

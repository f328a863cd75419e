import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import type { ExternalPsk } from '../../../src/handshake/psk.ts';
import { clientConfig, ONLY_TLS12, serverConfig, testIdentity } from '../../setup/engine-config.ts';
import { type Endpoint, Pair, type PairSetup } from '../../setup/pair.ts';
import { toHex } from '../../vectors/rfc8448.ts';

export const TLS12 = ONLY_TLS12.tls12;

/** A key that both sides know, and how each is told. */
const KEY = { identity: Uint8Array.of(1, 2, 3), key: new Uint8Array(32).fill(5), hash: 'sha256' } as const;
export const PSK = { ...KEY, binder: 'external' } as const satisfies ExternalPsk;
export const WITH_PSK = {
  client: { psks: [PSK] },
  server: {
    findPsk: (identity: Uint8Array) => (toHex(identity) === toHex(PSK.identity) ? PSK : undefined),
  },
} as const;

/** One identity for each kind of suite. */
export const EVERY_IDENTITY = { p256: testIdentity('p256'), rsa: testIdentity('rsa') };

/** Two sides that speak TLS 1.2 alone, run to the end. */
export function connect12(
  client: Partial<ClientConfig> = {},
  server: Partial<ServerConfig> = {},
  setup: Partial<PairSetup> = {},
): Pair {
  const { p256, rsa } = EVERY_IDENTITY;
  return new Pair({
    client: clientConfig({ ...ONLY_TLS12, ...client }),
    server: serverConfig({ ...ONLY_TLS12, selectIdentities: () => [p256, rsa], ...server }),
    ...setup,
  }).run();
}

export function both12(pair: Pair): readonly Endpoint[] {
  return [pair.client, pair.server];
}

/** What both sides export; they must agree. */
export function exported(pair: Pair, context: Uint8Array | undefined): string {
  const [ours, theirs] = both12(pair).map(({ connection }) =>
    toHex(connection.exportKeyingMaterial('EXPORTER-test', context, 42)),
  );
  if (ours === undefined || ours !== theirs) throw new Error('the sides export different keys');
  return ours;
}

import { setImmediate as nextTurn } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { CryptoProvider } from '../../src/crypto/provider.ts';
import { DtlsPair, perfect } from '../setup/dtls-pair.ts';
import { clientConfig, clientIdentity, ONLY_TLS12, serverConfig } from '../setup/engine-config.ts';
import { Pair } from '../setup/pair.ts';

/*
 * An established session holds nothing of its handshake: the transcript and the handshake's secrets stay in memory as long as
 * anything, such as a function made beside them, keeps the state that has them.
 */

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** nodeCrypto, and how many of the transcripts that it made for one side are still held. */
class Watched {
  readonly #made: WeakRef<object>[] = [];
  readonly crypto: CryptoProvider = {
    ...nodeCrypto,
    hash: (name) => {
      const hash = nodeCrypto.hash(name);
      this.#made.push(new WeakRef(hash));
      return hash;
    },
  };

  get made(): number {
    return this.#made.length;
  }

  get held(): number {
    return this.#made.filter((reference) => reference.deref() !== undefined).length;
  }
}

const mutual = { clientCertificate: 'require' } as const;
const versions = [
  ['1.3', {}],
  ['1.2', ONLY_TLS12],
] as const;

describe.each(versions)('after a handshake of version %s', (_version, only) => {
  test.each([
    ['TLS', (setup: ConstructorParameters<typeof Pair>[0]) => new Pair(setup)],
    ['DTLS', (setup: ConstructorParameters<typeof Pair>[0]) => new DtlsPair({ ...setup, network: perfect })],
  ] as const)('%s holds no transcript', async (_transport, make) => {
    const watched = { client: new Watched(), server: new Watched() };
    const pair = make({
      client: clientConfig({ ...only, identities: [clientIdentity], crypto: watched.client.crypto }),
      server: serverConfig({ ...only, ...mutual, crypto: watched.server.crypto }),
    });
    pair.run();
    expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
    expect(Math.min(watched.client.made, watched.server.made)).toBeGreaterThan(0);
    // A WeakRef holds what it refers to until the end of the turn that made it.
    await nextTurn();
    collectGarbage();
    expect({ client: watched.client.held, server: watched.server.held }).toEqual({ client: 0, server: 0 });
    // Alive until here, with their sessions.
    expect([pair.client.error, pair.server.error]).toEqual([undefined, undefined]);
  });
});

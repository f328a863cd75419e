import { beforeAll, describe, expect, test } from 'vitest';
import {
  CIPHERTEXT_LENGTH,
  ENCAPSULATION_KEY_LENGTH,
  hasNativeMlKem,
  mlKem768,
  nativeMlKem768,
  nobleMlKem768,
} from '../../../src/crypto/node/ml-kem.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { KeyExchangeGroup } from '../../../src/crypto/provider.ts';
import { keyShareClientHello, keyShareServerHello } from '../../../src/messages/extensions.ts';
import { ExtensionType, NamedGroup } from '../../../src/wire/codepoints.ts';
import { clientConfig, serverConfig } from '../../setup/engine-config.ts';
import {
  changingClientHello,
  changingServerHello,
  expectAlive,
  expectFound,
  setExtension,
} from '../../setup/faults.ts';
import { itWith, needThat } from '../../setup/need.ts';
import { flipBit, Pair, type Tamper } from '../../setup/pair.ts';

const id = NamedGroup.x25519mlkem768;
const group = nodeCrypto.group(id) as KeyExchangeGroup;
const [CLIENT_SHARE, SERVER_SHARE] = [ENCAPSULATION_KEY_LENGTH + 32, CIPHERTEXT_LENGTH + 32];

// On Node without ML-KEM this loads the library, which is not to be counted to the first test.
beforeAll(() => void mlKem768());

const isIllegal = expect.objectContaining({ code: 'ERR_TLS_ILLEGAL_PARAMETER' });
const fault = (work: () => unknown): unknown => {
  try {
    work();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
};

describe('X25519MLKEM768', () => {
  test('both sides come to the same 64 bytes, and shares have the lengths of the draft', () => {
    const own = group.begin();
    const { share, secret } = group.respond(own.share);
    expect([own.share.length, share.length, secret.length]).toEqual([1216, 1120, 64]);
    expect(own.complete(share)).toEqual(secret);
  });

  test('the secret depends on each half', () => {
    const own = group.begin();
    const { share, secret } = group.respond(own.share);
    const [first, second] = [
      own.complete(flipBit(share, 0)),
      own.complete(flipBit(share, CIPHERTEXT_LENGTH)),
    ];
    // ML-KEM comes first; a changed ciphertext is rejected by a secret that nobody has (FIPS 203 §6.3).
    expect(first.subarray(0, 32)).not.toEqual(secret.subarray(0, 32));
    expect(first.subarray(32)).toEqual(secret.subarray(32));
    expect(second.subarray(0, 32)).toEqual(secret.subarray(0, 32));
    expect(second.subarray(32)).not.toEqual(secret.subarray(32));
  });

  test.each([0, 32, CLIENT_SHARE - 1, CLIENT_SHARE + 1])(
    'a client share of %i bytes is refused',
    (length) => {
      expect(fault(() => group.respond(new Uint8Array(length)))).toEqual(isIllegal);
    },
  );

  test.each([0, 32, SERVER_SHARE - 1, SERVER_SHARE + 1])(
    'a server share of %i bytes is refused',
    (length) => {
      expect(fault(() => group.begin().complete(new Uint8Array(length)))).toEqual(isIllegal);
    },
  );

  itWith(needThat(hasNativeMlKem(), 'this Node has no ML-KEM'), 'the library and node:crypto agree', () => {
    const noble = nobleMlKem768();
    for (const [a, b] of [
      [noble, nativeMlKem768],
      [nativeMlKem768, noble],
    ] as const) {
      const key = a.generate();
      const { ciphertext, secret } = b.encapsulate(key.encapsulationKey);
      expect(Buffer.from(key.decapsulate(ciphertext))).toEqual(Buffer.from(secret));
    }
  });
});

describe('a handshake with X25519MLKEM768', () => {
  const run = (tamper?: Tamper, keyShares: readonly number[] = [id]) =>
    new Pair({
      client: clientConfig({ groups: [id, NamedGroup.x25519], keyShares }),
      server: serverConfig({ groups: [id, NamedGroup.x25519] }),
      ...(tamper === undefined ? {} : { tamper }),
    }).run();

  test('completes, also by way of HelloRetryRequest', () => {
    for (const pair of [run(), run(undefined, [])]) {
      expectAlive(pair);
      expect(pair.client.connection.info?.group).toBe(id);
      expect(pair.server.connection.info?.group).toBe(id);
    }
  });

  /** Changes the hybrid share in ClientHello. */
  const clientShare = (change: (share: Uint8Array) => Uint8Array) =>
    changingClientHello((hello) => {
      const body = hello.extensions.find(({ type }) => type === ExtensionType.key_share)?.body as Uint8Array;
      const shares = keyShareClientHello.parse(body).map(({ group: g, keyExchange }) => ({
        group: g,
        keyExchange: change(keyExchange),
      }));
      return setExtension(hello, ExtensionType.key_share, keyShareClientHello.build(shares));
    });
  const serverShare = (change: (share: Uint8Array) => Uint8Array) =>
    changingServerHello((hello) => {
      const body = hello.extensions.find(({ type }) => type === ExtensionType.key_share)?.body as Uint8Array;
      const { group: g, keyExchange } = keyShareServerHello.parse(body);
      const changed = keyShareServerHello.build({ group: g, keyExchange: change(keyExchange) });
      return setExtension(hello, ExtensionType.key_share, changed);
    });
  const zeroX25519 = (share: Uint8Array) => Uint8Array.from(share).fill(0, share.length - 32);

  test.each<[string, (share: Uint8Array) => Uint8Array]>([
    ['that is short', (share) => share.slice(1)],
    ['that is long', (share) => Uint8Array.from([...share, 0])],
    [
      'whose ML-KEM half has coefficients beyond the modulus',
      (share) => Uint8Array.from(share).fill(255, 0, 1152),
    ],
    ['whose X25519 half is of small order', zeroX25519],
    ['that is X25519 alone', (share) => share.slice(-32)],
  ])('a client share %s is illegal_parameter', (_what, change) => {
    expectFound(run(clientShare(change)), 'server', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test.each<[string, (share: Uint8Array) => Uint8Array]>([
    ['that is short', (share) => share.slice(1)],
    ['whose X25519 half is of small order', zeroX25519],
  ])('a server share %s is illegal_parameter', (_what, change) => {
    expectFound(run(serverShare(change)), 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });
});

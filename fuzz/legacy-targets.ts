import { nodeCrypto } from '../src/crypto/node/provider.ts';
import { unpadPremaster } from '../src/crypto/premaster.ts';
import { LEGACY_SUITES, type Suite12, TLS12_SUITES } from '../src/crypto/suites12.ts';
import { stripMacAndPadding } from '../src/record/tls/mac-then-encrypt.ts';
import { makeOpener12, makeSealer12 } from '../src/record/tls/protection12.ts';
import type { Keys12 } from '../src/record/tls/record12.ts';
import { ContentType, ProtocolVersion } from '../src/wire/codepoints.ts';
import { concat } from '../src/wire/writer.ts';
import { decoder, type Target } from './target.ts';

/** Records of TLS 1.2 and before as a hostile peer makes them: one that has no keys, and one that has. */

const CBC = [...TLS12_SUITES, ...LEGACY_SUITES].filter(({ protection }) => 'cbc' in protection);

function keysFor(suite: Suite12, macThenEncrypt: boolean, chained: boolean): Keys12 {
  const { macKeyLength, keyLength } = suite.protection;
  const ivLength = 'cbc' in suite.protection && chained ? suite.protection.blockLength : 0;
  return {
    suite,
    macKey: new Uint8Array(macKeyLength).fill(1),
    key: Uint8Array.from({ length: keyLength }, (_, i) => i + 1),
    iv: new Uint8Array(ivLength).fill(3),
    macThenEncrypt,
  };
}

/** Every way of CBC; an input says which is meant. */
const WAYS = CBC.flatMap((suite) => [
  { version: ProtocolVersion.tls12, keys: keysFor(suite, true, false) },
  { version: ProtocolVersion.tls12, keys: keysFor(suite, false, false) },
  { version: ProtocolVersion.tls10, keys: keysFor(suite, true, true) },
]);

function sealed(): Uint8Array[] {
  return WAYS.map(({ version, keys }) => {
    const out: Uint8Array[] = [];
    makeSealer12(nodeCrypto, keys, version).seal(ContentType.handshake, new Uint8Array(40), 40, out);
    return concat(out);
  });
}

const HEAD = new Uint8Array(13);
const MACS = ['sha1', 'sha256', 'sha384'] as const;

export const LEGACY_TARGETS: readonly Target[] = [
  decoder('cbc-record', sealed, (input) => {
    if (input.length < 5) return;
    const way = WAYS[(input[input.length - 1] as number) % WAYS.length];
    if (way === undefined) return;
    makeOpener12(nodeCrypto, way.keys, way.version).open(input.subarray(0, 5), input.subarray(5));
  }),
  decoder(
    'mac-then-encrypt',
    () => [new Uint8Array(64), new Uint8Array(400).fill(255), new Uint8Array(64).fill(15)],
    (input) => {
      for (const mac of MACS) {
        const content = stripMacAndPadding(nodeCrypto, mac, HEAD, HEAD, input);
        if (content !== undefined) throw new Error('noise has a right MAC');
      }
    },
  ),
  decoder(
    'premaster',
    () => [Uint8Array.from({ length: 256 }, (_, i) => (i === 0 || i === 207 ? 0 : i === 1 ? 2 : 3))],
    (input) => {
      const otherwise = new Uint8Array(48).fill(9);
      const secret = unpadPremaster(input, ProtocolVersion.tls12, otherwise);
      const isOther = secret.every((byte) => byte === 9);
      const isRight = input[0] === 0 && input[1] === 2 && input[input.length - 49] === 0;
      if (secret.length !== 48 || (!isOther && !isRight)) throw new Error('not a premaster secret');
    },
  ),
];

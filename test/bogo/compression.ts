import type { CertificateCompression } from '../../src/handshake/config.ts';
import { concat } from '../../src/wire/writer.ts';

/** The runner's own algorithms, which make certificates shorter, longer, and different each time. */
const EXPANDING_PREFIX = Uint8Array.of(1, 2, 3, 4);
/** How a Certificate message of a server begins: no context, and a length below 2^16. */
const SHRINKING_PREFIX = Uint8Array.of(0, 0);

const startsWith = (bytes: Uint8Array, prefix: Uint8Array): boolean =>
  bytes.length >= prefix.length && prefix.every((byte, i) => byte === bytes[i]);

const ifLong = (bytes: Uint8Array, length: number): Uint8Array | undefined =>
  bytes.length === length ? bytes : undefined;

/** In the order in which BoringSSL's shim installs them. */
export const COMPRESSIONS: readonly CertificateCompression[] = [
  {
    id: 0xff02,
    compress: (message) => concat([EXPANDING_PREFIX, message]),
    expand: (compressed, length) =>
      startsWith(compressed, EXPANDING_PREFIX)
        ? ifLong(compressed.subarray(EXPANDING_PREFIX.length), length)
        : undefined,
  },
  {
    id: 0xff01,
    compress(message) {
      if (!startsWith(message, SHRINKING_PREFIX)) throw new Error('a Certificate begins otherwise');
      return message.subarray(SHRINKING_PREFIX.length);
    },
    expand: (compressed, length) => ifLong(concat([SHRINKING_PREFIX, compressed]), length),
  },
  {
    id: 0xff03,
    compress: (message) => concat([Uint8Array.of(Math.floor(Math.random() * 256)), message]),
    expand: (compressed, length) => ifLong(compressed.subarray(1), length),
  },
];

import zlib from 'node:zlib';
import type { CertificateCompression } from '../handshake/config.ts';
import { optionError } from './options.ts';

/** Algorithms of RFC 8879; zstd where Node has it (22.15 and newer). */
export type CompressionName = 'zlib' | 'brotli' | 'zstd';

/** Bytes that CompressedCertificate has around what it carries: algorithm and two lengths (RFC 8879 §4). */
const FRAME = 8;

type Compress = (data: Uint8Array) => Buffer;
type Expand = (data: Uint8Array, options: { readonly maxOutputLength: number }) => Buffer;

/** The types of Node 20 do not have zstd. */
const zstd = zlib as { readonly zstdCompressSync?: Compress; readonly zstdDecompressSync?: Expand };

const ALGORITHMS: Readonly<Record<CompressionName, CertificateCompression | undefined>> = {
  zlib: algorithm(1, zlib.deflateSync, zlib.inflateSync),
  brotli: algorithm(2, zlib.brotliCompressSync, zlib.brotliDecompressSync),
  zstd:
    zstd.zstdCompressSync === undefined || zstd.zstdDecompressSync === undefined
      ? undefined
      : algorithm(3, zstd.zstdCompressSync, zstd.zstdDecompressSync),
};

/** @throws ConnectionError ERR_TLS_OPTION */
export function compressionFor(
  names: readonly CompressionName[] | undefined,
): readonly CertificateCompression[] | undefined {
  if (names === undefined || names.length === 0) return undefined;
  return names.map((name) => {
    const found = Object.hasOwn(ALGORITHMS, name) ? ALGORITHMS[name] : undefined;
    if (found !== undefined) return found;
    const known = Object.entries(ALGORITHMS).flatMap(([key, value]) => (value === undefined ? [] : [key]));
    throw optionError('certificateCompression', `this Node has no '${name}'; use ${known.join(', ')}`);
  });
}

function algorithm(id: number, compress: Compress, expand: Expand): CertificateCompression {
  return {
    id,
    compress(message) {
      const compressed = compress(message);
      return compressed.length + FRAME < message.length ? compressed : undefined;
    },
    expand(compressed, length) {
      try {
        // A byte more is an error of zlib's own, thrown before it is made.
        return expand(compressed, { maxOutputLength: Math.max(length, 1) });
      } catch {
        return undefined;
      }
    },
  };
}

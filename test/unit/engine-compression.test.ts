import { brotliCompressSync, deflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import {
  buildCompressedCertificate,
  type CompressedCertificate,
  parseCompressedCertificate,
} from '../../src/messages/authentication.ts';
import { MAX_HANDSHAKE_MESSAGE } from '../../src/messages/handshake.ts';
import { compressionFor } from '../../src/node/certificate-compression.ts';
import { ExtensionType, HandshakeType } from '../../src/wire/codepoints.ts';
import { clientConfig, clientIdentity, serverConfig, serverIdentity } from '../setup/engine-config.ts';
import { changing, changingClientHello, expectAlive, expectFound, setExtension } from '../setup/faults.ts';
import { Pair, splitMessages, type Tamper } from '../setup/pair.ts';

/* RFC 8879. A chain with something to compress: the second "certificate" is nothing but zeros. */

const long = (identity: typeof serverIdentity) => ({
  ...identity,
  chain: [...identity.chain, new Uint8Array(3000)],
});
const certificateCompression = compressionFor(['brotli', 'zlib']);

/** Types of the handshake messages that came from a side, under encryption. */
const run = (client: Partial<ClientConfig>, server: Partial<ServerConfig>, tamper?: Tamper) => {
  const seen = { client: [] as number[], server: [] as number[] };
  const pair = new Pair({
    client: clientConfig({ certificateCompression, ...client }),
    server: serverConfig({ selectIdentities: () => [long(serverIdentity)], ...server }),
    tamper: (record) => {
      if (record.type === 22) {
        seen[record.from].push(...splitMessages(record.content).map(({ type }) => type));
      }
      return tamper?.(record);
    },
  }).run();
  return { pair, seen };
};
const { certificate, compressed_certificate } = HandshakeType;

describe('a compressed certificate', () => {
  test.each(['brotli', 'zlib'] as const)('of a server, by %s', (name) => {
    const { pair, seen } = run({}, { certificateCompression: compressionFor([name]) });
    expectAlive(pair);
    expect(seen.server).toContain(compressed_certificate);
    expect(seen.server).not.toContain(certificate);
    expect(pair.client.connection.info?.peer?.chain).toHaveLength(2);
  });

  test('of a client', () => {
    const { pair, seen } = run(
      { identities: [long(clientIdentity)] },
      { certificateCompression, clientCertificate: 'require' },
    );
    expectAlive(pair);
    expect(seen.client).toContain(compressed_certificate);
    expect(pair.server.connection.info?.peer?.chain).toHaveLength(2);
  });

  test.each<[string, Partial<ClientConfig>, Partial<ServerConfig>]>([
    ['the server has no algorithm', {}, {}],
    ['the client offers none', { certificateCompression: undefined }, { certificateCompression }],
    [
      'they share none',
      { certificateCompression: compressionFor(['zlib']) },
      { certificateCompression: compressionFor(['brotli']) },
    ],
    [
      'it would be no shorter',
      {},
      // A bare key, which is as good as random.
      { certificateCompression, selectIdentities: () => [serverIdentity] },
    ],
  ])('is not sent where %s', (_what, client, server) => {
    const { pair, seen } = run(client, server);
    expectAlive(pair);
    expect(seen.server).toContain(certificate);
    expect(seen.server).not.toContain(compressed_certificate);
  });

  test('is made once for an identity and what is stapled to it', () => {
    let times = 0;
    const [first] = certificateCompression ?? expect.fail();
    const counting = [
      {
        ...(first ?? expect.fail()),
        compress: (message: Uint8Array) => {
          times++;
          return brotliCompressSync(message);
        },
      },
    ];
    const identity = { ...long(serverIdentity), ocspResponse: new Uint8Array(100) };
    const server = { certificateCompression: counting, selectIdentities: () => [identity] };
    for (const requestOcsp of [false, true, false, true]) expectAlive(run({ requestOcsp }, server).pair);
    expect(times).toBe(2);
  });

  const rewritten = (change: (message: CompressedCertificate) => Partial<CompressedCertificate>): Tamper =>
    changing('server', compressed_certificate, ({ body }) => {
      const message = parseCompressedCertificate(body);
      return [buildCompressedCertificate({ ...message, ...change(message) })];
    });
  const server = { certificateCompression };

  test.each<[string, (message: CompressedCertificate) => Partial<CompressedCertificate>]>([
    ['announces a byte less', ({ uncompressedLength: n }) => ({ uncompressedLength: n - 1 })],
    ['announces a byte more', ({ uncompressedLength: n }) => ({ uncompressedLength: n + 1 })],
    ['announces nothing', () => ({ uncompressedLength: 0 })],
    ['announces more than any message has', () => ({ uncompressedLength: MAX_HANDSHAKE_MESSAGE + 1 })],
    ['is a bomb', () => ({ compressed: brotliCompressSync(new Uint8Array(2 ** 24)) })],
    ['is rubbish', () => ({ compressed: new Uint8Array(50).fill(7) })],
    ['ends early', ({ compressed }) => ({ compressed: compressed.subarray(0, -3) })],
  ])('that %s: bad_certificate', (_what, change) => {
    const { pair } = run({}, server, rewritten(change));
    expectFound(pair, 'client', 'ERR_TLS_BAD_CERTIFICATE', 'bad_certificate');
  });

  test('by an algorithm that was not offered: illegal_parameter', () => {
    const { pair } = run(
      {},
      server,
      rewritten(() => ({ algorithm: 3 })),
    );
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('by another algorithm than it says: bad_certificate', () => {
    const { pair } = run(
      {},
      server,
      rewritten(() => ({ algorithm: 1 })),
    );
    expectFound(pair, 'client', 'ERR_TLS_BAD_CERTIFICATE', 'bad_certificate');
  });

  test('without anything in it: decode_error', () => {
    const { pair } = run(
      {},
      server,
      rewritten(() => ({ compressed: new Uint8Array(0) })),
    );
    expectFound(pair, 'client', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('that expands to what is no Certificate: decode_error', () => {
    const body = new Uint8Array(100).fill(255);
    const fake = { algorithm: 1, uncompressedLength: 100, compressed: deflateSync(body) };
    const { pair } = run(
      {},
      server,
      rewritten(() => fake),
    );
    expectFound(pair, 'client', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('that was not asked for: unexpected_message', () => {
    const swap = changing('server', certificate, ({ body }) => [
      buildCompressedCertificate({
        algorithm: 1,
        uncompressedLength: body.length,
        compressed: deflateSync(body),
      }),
    ]);
    const { pair } = run({ certificateCompression: undefined }, {}, swap);
    expectFound(pair, 'client', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('an offer that is malformed: decode_error', () => {
    const twice = Uint8Array.of(6, 0, 1, 0, 2, 0, 1);
    for (const body of [Uint8Array.of(0), Uint8Array.of(1, 2), Uint8Array.of(3, 0, 1, 0), twice]) {
      const tamper = changingClientHello((hello) =>
        setExtension(hello, ExtensionType.compress_certificate, body),
      );
      expectFound(run({}, server, tamper).pair, 'server', 'ERR_TLS_DECODE', 'decode_error');
    }
  });
});

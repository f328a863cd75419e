import { AnswerReader } from '../src/node/probe/hello.ts';
import { parseGreeting, parseRequest } from '../src/tunnel/socks.ts';
import { HeadReader, readChunkSize, readRequest, readResponse } from '../src/tunnel/units/http-head.ts';
import { ONLY_TLS12 } from '../test/setup/engine-config.ts';
import { recordsOf } from './connection-targets.ts';
import { decoder, type Target, tryAll } from './target.ts';

/** What applications on this machine say to the tunnel, and servers to `trellis probe`. */

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const POST = 'POST /orders HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n';

/** What a server that is probed answers, whatever was asked. */
const probeTarget = decoder(
  'probe-answer',
  () => {
    const [first = new Uint8Array(0), ...rest] = recordsOf('server', {
      suffix: '',
      client: ONLY_TLS12,
      server: ONLY_TLS12,
    });
    return [Buffer.concat([first, ...rest]), first, Uint8Array.of(21, 3, 3, 0, 2, 2, 40), bytes(OK)];
  },
  (input) => {
    for (const wantsKeyExchange of [true, false]) {
      const reader = new AnswerReader(wantsKeyExchange);
      for (let at = 0; at < input.length; at += 17)
        if (reader.receive(input.subarray(at, at + 17)) !== undefined) break;
    }
  },
);

export const TUNNEL_TARGETS: readonly Target[] = [
  probeTarget,
  decoder(
    'socks',
    () => [
      Uint8Array.of(5, 1, 0),
      Uint8Array.of(5, 1, 0, 3, 3, 97, 46, 98, 0, 80),
      Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, 0, 80),
    ],
    (input) => {
      parseGreeting(input);
      const result = parseRequest(input);
      if (result.kind === 'request' && result.length > input.length)
        throw new Error('More was taken than came');
    },
  ),
  decoder(
    'http-head',
    () => [bytes(POST), bytes(OK), bytes('1a;name=value\r\n')],
    (input) => {
      const heads = [readRequest, (head: Uint8Array) => readResponse(head, undefined), readChunkSize];
      tryAll(input, heads);
      const reader = new HeadReader();
      for (let at = 0; at < input.length; ) at = reader.take(input.subarray(0, at + 7), at, 'head').at;
    },
  ),
];

import { parseGreeting, parseRequest } from '../src/tunnel/socks.ts';
import { HeadReader, readChunkSize, readRequest, readResponse } from '../src/tunnel/units/http-head.ts';
import { decoder, isVerdict, type Target } from './target.ts';

/** What applications on this machine say to the tunnel. */

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const POST = 'POST /orders HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n';
const OK = 'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n';

export const TUNNEL_TARGETS: readonly Target[] = [
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
      for (const read of heads) {
        try {
          read(input);
        } catch (error) {
          if (!isVerdict(error)) throw error;
        }
      }
      const reader = new HeadReader();
      for (let at = 0; at < input.length; ) at = reader.take(input.subarray(0, at + 7), at, 'head').at;
    },
  ),
];

import { createHash, randomBytes, randomInt } from 'node:crypto';
import { type DatagramServer, exchange, MARK, openSocket, serveDatagrams } from './sockets.ts';

export interface FetchResult {
  readonly blocks: number;
  /** Requests that were sent again, because they or their answers were lost. */
  readonly repeated: number;
  /** Of what arrived. */
  readonly sha256: string;
}

/** RFC 7252 §3: version 1; CON asks, ACK carries the answer. */
const CONFIRMABLE = 0x40;
const ACKNOWLEDGEMENT = 0x60;
const TOKEN_LENGTH = 4;
const HEAD_LENGTH = 4 + TOKEN_LENGTH;
const GET = 0x01;
const CONTENT = 0x45;
const PAYLOAD_MARKER = 0xff;
/** Uri-Path is option 11, Block2 option 23 (RFC 7959 §2.1): the distance between them, and from 0 in the long form. */
const URI_PATH = 11;
const BLOCK2 = 23;
/** RFC 7959 §2.2: NUM, M and SZX; SZX 6 is 1,024 bytes, the most. */
const SZX = 6;
const BLOCK_LENGTH = 1_024;
const MORE = 0x08;

/** A CoAP server that gives `file` in blocks (RFC 7252, RFC 7959), the same to each path. */
export function startFileServer(file: Buffer): Promise<DatagramServer> {
  return serveDatagrams((request) => {
    const block2At = HEAD_LENGTH + 1 + MARK.length;
    const isGet =
      request.length > block2At && request[0] === (CONFIRMABLE | TOKEN_LENGTH) && request[1] === GET;
    if (!isGet) return undefined;
    const length = (request[block2At] ?? 0) & 0x0f;
    if (length < 1 || length > 3 || request.length !== block2At + 1 + length) return undefined;
    const number = request.readUIntBE(block2At + 1, length) >> 4;
    const at = number * BLOCK_LENGTH;
    const more = at + BLOCK_LENGTH < file.length;
    const value = blockValue(number, more);
    return Buffer.concat([
      Buffer.from([ACKNOWLEDGEMENT | TOKEN_LENGTH, CONTENT]),
      request.subarray(2, HEAD_LENGTH),
      Buffer.from([0xd0 | value.length, BLOCK2 - 13]),
      value,
      Buffer.of(PAYLOAD_MARKER),
      file.subarray(at, at + BLOCK_LENGTH),
    ]);
  });
}

/** Fetches the file, one block after the other. */
export async function fetchFile(port: number): Promise<FetchResult> {
  const socket = await openSocket();
  const token = randomBytes(TOKEN_LENGTH);
  const firstId = randomInt(0x1_0000);
  const hash = createHash('sha256');
  let repeated = 0;
  try {
    for (let number = 0; ; number++) {
      const request = askFor(number, (firstId + number) & 0xffff, token);
      const { answer, tries } = await exchange(socket, port, {
        request,
        read: (datagram) => readBlock(datagram, request, number),
      });
      repeated += tries - 1;
      hash.update(answer.payload);
      if (!answer.more) return { blocks: number + 1, repeated, sha256: hash.digest('hex') };
    }
  } finally {
    socket.close();
  }
}

function askFor(number: number, id: number, token: Buffer): Buffer {
  const value = blockValue(number, false);
  return Buffer.concat([
    Buffer.from([CONFIRMABLE | TOKEN_LENGTH, GET, id >> 8, id & 0xff]),
    token,
    Buffer.of((URI_PATH << 4) | MARK.length),
    Buffer.from(MARK),
    Buffer.of(((BLOCK2 - URI_PATH) << 4) | value.length),
    value,
  ]);
}

/** RFC 7252 §4.2, §5.3.2: message ID and token say which request it answers; an answer that comes again has others. */
function readBlock(
  datagram: Buffer,
  request: Buffer,
  number: number,
): { readonly payload: Buffer; readonly more: boolean } | undefined {
  if (datagram[0] !== (ACKNOWLEDGEMENT | TOKEN_LENGTH) || datagram[1] !== CONTENT) return undefined;
  if (!datagram.subarray(2, HEAD_LENGTH).equals(request.subarray(2, HEAD_LENGTH))) return undefined;
  for (const more of [true, false]) {
    const value = blockValue(number, more);
    const at = HEAD_LENGTH + 2;
    if (!datagram.subarray(at, at + value.length).equals(value)) continue;
    return { payload: datagram.subarray(at + value.length + 1), more };
  }
  return undefined;
}

/** As few bytes as it takes (RFC 7252 §3.2). */
function blockValue(number: number, more: boolean): Buffer {
  const value = (number << 4) | (more ? MORE : 0) | SZX;
  const bytes = Buffer.alloc(value < 0x100 ? 1 : value < 0x1_0000 ? 2 : 3);
  bytes.writeUIntBE(value, 0, bytes.length);
  return bytes;
}

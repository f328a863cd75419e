import { createHash, randomInt } from 'node:crypto';
import {
  type DatagramServer,
  type Exchanged,
  exchange,
  MARK,
  openSocket,
  serveDatagrams,
} from './sockets.ts';

/** RFC 1035 §4.1.1: id(2) flags(2) and four counts. */
const HEADER_LENGTH = 12;
const QUERY_FLAGS = 0x0100;
/** QR, AA and the query's RD. */
const ANSWER_FLAGS = 0x8500;
/** TYPE A, CLASS IN. */
const TYPE_AND_CLASS = Buffer.from([0, 1, 0, 1]);

/** A name server (RFC 1035) that knows an address for every name: `addressOf`. */
export function startNameServer(): Promise<DatagramServer> {
  return serveDatagrams((query) => {
    if (query.length <= HEADER_LENGTH + TYPE_AND_CLASS.length) return undefined;
    const question = query.subarray(HEADER_LENGTH);
    if (!question.subarray(-TYPE_AND_CLASS.length).equals(TYPE_AND_CLASS)) return undefined;
    return answerTo(query.readUInt16BE(0), question);
  });
}

/** Asks for one name from a port of its own, as resolvers do. @returns whether the answer is exactly the right one */
export async function askName(port: number, host: number): Promise<Exchanged<boolean>> {
  const socket = await openSocket();
  try {
    const id = randomInt(0x1_0000);
    const question = Buffer.concat([encodeName(`host-${host}.${MARK}.example`), TYPE_AND_CLASS]);
    const expected = answerTo(id, question);
    return await exchange(socket, port, {
      request: Buffer.concat([header(id, QUERY_FLAGS, 0), question]),
      read: (datagram) => (datagram.readUInt16BE(0) === id ? datagram.equals(expected) : undefined),
    });
  } finally {
    socket.close();
  }
}

function answerTo(id: number, question: Buffer): Buffer {
  const name = question.subarray(0, -TYPE_AND_CLASS.length);
  return Buffer.concat([
    header(id, ANSWER_FLAGS, 1),
    question,
    // §4.1.3: a pointer to the name of the question, TTL 60 s, RDLENGTH 4.
    ...[Buffer.from([0xc0, HEADER_LENGTH]), TYPE_AND_CLASS, Buffer.from([0, 0, 0, 60, 0, 4])],
    addressOf(name),
  ]);
}

function addressOf(name: Buffer): Buffer {
  return Buffer.concat([Buffer.from([10]), createHash('sha256').update(name).digest().subarray(0, 3)]);
}

function header(id: number, flags: number, answers: number): Buffer {
  const bytes = Buffer.alloc(HEADER_LENGTH);
  for (const [i, field] of [id, flags, 1, answers].entries()) bytes.writeUInt16BE(field, 2 * i);
  return bytes;
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').map((label) => Buffer.from(`${String.fromCharCode(label.length)}${label}`));
  return Buffer.concat([...labels, Buffer.of(0)]);
}

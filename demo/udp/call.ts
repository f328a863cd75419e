import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { type DatagramServer, exchange, LOOPBACK, MARK, openSocket, serveDatagrams } from './sockets.ts';

/** What one side has heard of the other's frames. */
export interface Heard {
  /** Whole, and for the first time. */
  readonly received: number;
  /** Their checksum is not that of their contents. */
  readonly broken: number;
  readonly doubled: number;
}

export interface CallResult {
  /** Frames that the caller and the called side sent. */
  readonly sent: { readonly caller: number; readonly called: number };
  /** What the caller heard of the called side, and the other way about. */
  readonly heard: { readonly caller: Heard; readonly called: Heard };
}

interface Report extends Heard {
  readonly sent: number;
}

/** Frames go in bursts of so many, and so many milliseconds between them: 1,000 in a second. */
const BURST = 10;
const BURST_MS = 10;
/** 20 ms of speech at 64 kbit/s. */
const SPEECH_LENGTH = 160;
const FRAME = 0;
const BYE = 1;
const REPORT = 2;
/** kind(1) number(4) */
const HEAD_LENGTH = 5;
const CHECKSUM_LENGTH = 32;
const FRAME_LENGTH = HEAD_LENGTH + MARK.length + SPEECH_LENGTH + CHECKSUM_LENGTH;

/** The called side: answers each frame with one of its own, and the end of a call with what it has heard. */
export function startCalled(): Promise<DatagramServer> {
  const calls = new Map<number, { readonly ear: Ear; sent: number }>();
  return serveDatagrams((datagram, caller) => {
    const call = calls.get(caller) ?? { ear: new Ear(), sent: 0 };
    calls.set(caller, call);
    if (datagram[0] === BYE) {
      const report: Report = { ...call.ear.heard, sent: call.sent };
      return Buffer.concat([Buffer.of(REPORT), Buffer.from(JSON.stringify(report))]);
    }
    call.ear.hear(datagram);
    return makeFrame(call.sent++);
  });
}

/** Sends this many frames, none of them twice, as speech is sent, and hears what comes. */
export async function makeCall(port: number, frames: number): Promise<CallResult> {
  const socket = await openSocket();
  const ear = new Ear();
  socket.on('message', (datagram) => {
    if (datagram[0] === FRAME) ear.hear(datagram);
  });
  try {
    for (let sent = 0; sent < frames; ) {
      for (let i = 0; i < BURST && sent < frames; i++) socket.send(makeFrame(sent++), port, LOOPBACK);
      await pause(BURST_MS);
    }
    const { answer } = await exchange<Report>(socket, port, {
      request: Buffer.from([BYE, ...Buffer.from(MARK)]),
      read: (datagram) => (datagram[0] === REPORT ? JSON.parse(datagram.subarray(1).toString()) : undefined),
    });
    const { sent, ...called } = answer;
    return { sent: { caller: frames, called: sent }, heard: { caller: ear.heard, called } };
  } finally {
    socket.close();
  }
}

/** Hears frames, and knows which were there before. */
export class Ear {
  readonly #numbers = new Set<number>();
  #broken = 0;
  #doubled = 0;

  get heard(): Heard {
    return { received: this.#numbers.size, broken: this.#broken, doubled: this.#doubled };
  }

  hear(frame: Buffer): void {
    const contents = frame.subarray(0, -CHECKSUM_LENGTH);
    if (frame.length !== FRAME_LENGTH || !checksum(contents).equals(frame.subarray(-CHECKSUM_LENGTH))) {
      this.#broken++;
      return;
    }
    const number = frame.readUInt32BE(1);
    if (this.#numbers.has(number)) this.#doubled++;
    this.#numbers.add(number);
  }
}

export function makeFrame(number: number): Buffer {
  const head = Buffer.alloc(HEAD_LENGTH);
  head.writeUInt8(FRAME, 0);
  head.writeUInt32BE(number, 1);
  const contents = Buffer.concat([head, Buffer.from(MARK), randomBytes(SPEECH_LENGTH)]);
  return Buffer.concat([contents, checksum(contents)]);
}

function checksum(contents: Buffer): Buffer {
  return createHash('sha256').update(contents).digest();
}

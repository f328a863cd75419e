import type { Duplex } from 'node:stream';

/**
 * Bytes read from the kernel at once by sockets that `connect()` makes. The longer, the fewer records straddle two
 * reads and have to be copied; and it is one buffer for the whole process.
 */
const READ_BUFFER_LENGTH = 256 * 1024;

/** Pieces shorter than this are copied together: a writev entry costs more than copying them. */
const SMALL_PIECE = 1024;
/** A batch no longer than this goes out as one buffer: cheaper than cork, two writes and writev (bench/bulk). */
const SMALL_BATCH = 4096;

/** How long a transport that carried a fatal alert is kept, so that the alert is not lost to a reset. */
const LINGER_MS = 1000;
/** What a lingering transport reads and discards at most before it is closed. */
const LINGER_BYTES = 1024 * 1024;

let sharedBuffer: Buffer | undefined;

/**
 * The buffer that sockets made by `connect()` read into. One serves them all: a read and the callback that consumes
 * it are one step of the event loop. Windows may hold a buffer across steps, so there each socket has its own.
 */
export function readBuffer(): Buffer {
  if (process.platform === 'win32') return Buffer.allocUnsafeSlow(READ_BUFFER_LENGTH);
  sharedBuffer ??= Buffer.allocUnsafeSlow(READ_BUFFER_LENGTH);
  return sharedBuffer;
}

/**
 * Gives back the memory of bytes that nobody needs any more; `bytes` is empty afterwards. The kernel's answer to a read of a
 * server's socket has 64 KiB, a record 16: given back at once they are used again while the processor has them in its cache,
 * and garbage collection, which comes the more often the more of them there are, does not have to (docs/performance.md).
 */
export function freeNow(bytes: Uint8Array): void {
  const buffer = bytes.buffer as Transferable;
  // A part of a larger buffer belongs to someone else too.
  if (bytes.length === buffer.byteLength) free(buffer);
}

type Transferable = ArrayBuffer & { transfer?(length: number): ArrayBuffer };

/** Node 20 has no ArrayBuffer.prototype.transfer; what is moved to a port that is closed is gone as well. */
const free: (buffer: Transferable) => void =
  'transfer' in ArrayBuffer.prototype ? (buffer) => buffer.transfer?.(0) : makeDrain();

function makeDrain(): (buffer: ArrayBuffer) => void {
  const { port1, port2 } = new MessageChannel();
  port1.close();
  port2.close();
  return (buffer) => port1.postMessage(undefined, [buffer]);
}

/**
 * Writes `pieces` in order as one batch. Long pieces are not copied (one writev), runs of short ones are joined.
 * @param own a socket that nobody else writes to or looks into: what the kernel has taken at once is given back
 */
export function writePieces(transport: Duplex, pieces: readonly Uint8Array[], own = false): void {
  if (pieces.length === 0) return;
  if (pieces.length === 1) transport.write(pieces[0]);
  else writeBatch(transport, pieces);
  // What waits is left to the garbage collector: a callback for each write costs more.
  if (own && transport.writableLength === 0) giveBack(pieces);
}

function writeBatch(transport: Duplex, pieces: readonly Uint8Array[]): void {
  let total = 0;
  for (const piece of pieces) total += piece.length;
  if (total <= SMALL_BATCH) {
    transport.write(Buffer.concat(pieces, total));
    return;
  }
  transport.cork();
  for (let at = 0; at < pieces.length; ) {
    let length = 0;
    let end = at;
    while (end < pieces.length && (pieces[end] as Uint8Array).length < SMALL_PIECE) {
      length += (pieces[end] as Uint8Array).length;
      end++;
    }
    if (end - at > 1) {
      transport.write(Buffer.concat(pieces.slice(at, end), length));
      at = end;
    } else {
      transport.write(pieces[at]);
      at++;
    }
  }
  transport.uncork();
}

function giveBack(pieces: readonly Uint8Array[]): void {
  for (const piece of pieces) if (piece.length >= SMALL_PIECE) freeNow(piece);
}

/**
 * Ends a transport whose last bytes are an alert. Closing it at once while the peer is still sending would answer
 * with a reset, and a reset may overtake the alert (RFC 8446 §6.2 wants the alert to arrive). So it is ended,
 * what still comes is discarded, and it is closed when the peer has ended too, within bounds.
 */
export function lingerAndClose(transport: Duplex): void {
  let discarded = 0;
  const close = () => {
    clearTimeout(timer);
    transport.destroy();
  };
  const timer = setTimeout(close, LINGER_MS);
  timer.unref();
  transport.on('error', close);
  transport.on('data', (chunk: Uint8Array) => {
    discarded += chunk.length;
    if (discarded > LINGER_BYTES) close();
  });
  transport.on('end', () => {
    if (transport.writableFinished) close();
    else transport.once('finish', close);
  });
  transport.end();
  transport.resume();
}

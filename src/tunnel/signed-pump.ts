import type { Duplex } from 'node:stream';
import { ConnectionError } from '../errors/errors.ts';
import type { SignSource } from '../node/sign-source.ts';
import type { SignedMessages, StreamedMessage } from '../node/signed-messages.ts';
import type { ReceivedReceipt } from '../sign/index.ts';
import { TunnelError } from './errors.ts';
import type { Leg, Pump, PumpResult, SignedCounts } from './pump.ts';
import { isStreamed, MAX_UNIT_BYTES, type SignedApplication } from './signing-rules.ts';
import { UnitSource } from './unit-source.ts';
import { conversation } from './units/conversation.ts';
import { type Conversation, type Cutter, NOTHING, type Part, unitError } from './units/cutter.ts';

/** A connection of a session in which signing was agreed on. MuxConnection and TLSSocket are ones. */
export interface SignedStream extends Duplex {
  signWrite(
    data: Uint8Array | SignSource,
    options: { receipt: boolean },
  ): Promise<ReceivedReceipt | undefined>;
  readonly signed: SignedMessages;
}

export interface SignedPumpOptions {
  readonly application: SignedApplication;
  /** Is the local program the one that has opened the connection? */
  readonly role: 'client' | 'server';
  /** Bytes that wait for a local program that does not read. Above it, the session's other messages wait with them. */
  readonly buffer: number;
  /** Of all connections of the tunnel. */
  readonly budget: UnitBudget;
  /** After an agreed change of protocol the rest is one unit, which most protocols do not expect. */
  readonly onUpgrade?: () => void;
}

/** What units hold that are not streamed and have not left, in all connections together. */
export class UnitBudget {
  readonly #max: number;
  #used = 0;

  /** @param max bytes */
  constructor(max = UNIT_BUDGET) {
    this.#max = max;
  }

  /** @throws TunnelError ERR_TUNNEL_LIMIT */
  take(bytes: number): void {
    if (this.#used + bytes > this.#max) {
      throw new TunnelError(
        'ERR_TUNNEL_LIMIT',
        `Signed units that are under way have more than ${this.#max} bytes together; choose a smaller --sign-unit, or connection with pkcs7, which streams`,
      );
    }
    this.#used += bytes;
  }

  give(bytes: number): void {
    this.#used -= bytes;
  }
}

/** Sixteen of the largest units, or thousands of usual ones; without it, 4,096 connections could hold 64 GiB. */
const UNIT_BUDGET = 256 * 1024 * 1024;
/** Units of a connection that are under way: signed, not yet kept or acknowledged. More, and its program waits. */
const MAX_UNDER_WAY = 256;
const MAX_BYTES_UNDER_WAY = 1024 * 1024;
/** Milliseconds that a full buffer may stop the session, as with plain connections (docs/limits.md). */
const STALL_LIMIT = 10_000;
/** RFC 9110 §15.2.1. */
const CONTINUE = Buffer.from('HTTP/1.1 100 Continue\r\n\r\n');

/**
 * As `pump`, for an application that is signed: what comes from the near end is cut into units, each of which is signed
 * and sent as one object; what comes from the far end is handed on when it was verified and is in the archive. A unit
 * that is cut off is never sent as if it were complete, and its connection is broken off at both ends.
 *
 * A unit that is streamed leaves as it comes, and is handed on as it comes: unverified, before the signature at its end.
 */
export function signedPump(
  near: Leg,
  far: SignedStream,
  options: SignedPumpOptions,
  done: (result: PumpResult) => void,
): Pump {
  return new SignedCarriage(near, far, options, done);
}

/** For a connection whose messages are not handed on: they are taken all the same, or the session would wait for it. */
export function onSignedMessage(far: Pick<SignedStream, 'signed'>, tell: () => void): void {
  void takeAll(far, tell);
}

async function takeAll(far: Pick<SignedStream, 'signed'>, tell: () => void): Promise<void> {
  try {
    for await (const message of far.signed.streaming()) {
      if (!(message.content instanceof Uint8Array)) (message as StreamedMessage).discard();
      tell();
    }
  } catch {
    // Whoever looks after the connection is told by its events.
  }
}

class SignedCarriage implements Pump {
  bytesFromNear = 0;
  bytesFromFar = 0;
  readonly #counts = { messagesOut: 0, messagesIn: 0, receiptsIn: 0 };
  readonly #near: Leg;
  readonly #far: SignedStream;
  readonly #options: SignedPumpOptions;
  readonly #done: (result: PumpResult) => void;
  readonly #conversation: Conversation;
  readonly #outgoing: Cutter;
  readonly #incoming: Cutter;
  #result: PumpResult = { brokenBy: undefined, error: undefined };
  #isBroken = false;
  #open = 3;
  // The unit that is being gathered.
  #parts: Uint8Array[] = [];
  #gathered = 0;
  /** Or streamed. */
  #source: UnitSource | undefined;
  readonly #isStreamed: boolean;
  #hasUpgraded = false;
  // Units that are under way.
  #underWay = 0;
  #bytesUnderWay = 0;
  #nearEnded = false;
  #farEnding = false;
  /** Waits for the near end's buffer to empty. */
  #onRoom: (() => void) | undefined;

  constructor(near: Leg, far: SignedStream, options: SignedPumpOptions, done: (result: PumpResult) => void) {
    this.#near = near;
    this.#far = far;
    this.#options = options;
    this.#done = done;
    this.#isStreamed = isStreamed(options.application);
    this.#conversation = conversation(options.application.unit, MAX_UNIT_BYTES);
    const { forth, back } = this.#conversation;
    [this.#outgoing, this.#incoming] = options.role === 'client' ? [forth, back] : [back, forth];
    this.#watchNear(near.stream);
    this.#watchFar(far);
    void this.#receive();
  }

  get signed(): SignedCounts {
    return this.#counts;
  }

  abort(error: Error): void {
    this.#break('far', error);
  }

  // ── from the near end ──────────────────────────────────────────────────────────────────────────

  #watchNear(stream: Duplex): void {
    let isFinished = false;
    stream.on('data', (chunk: Uint8Array) => {
      this.bytesFromNear += chunk.length;
      this.#cut((cutter) => cutter.push(chunk));
    });
    stream.on('end', () => {
      this.#nearEnded = true;
      this.#cut((cutter) => cutter.end());
    });
    stream.on('finish', () => {
      isFinished = true;
    });
    stream.on('error', (error: Error) => this.#break('near', error));
    const onClose = once(() => {
      if (!this.#nearEnded || !isFinished) this.#break('near', undefined);
      this.#onRoom?.();
      this.#closed();
    });
    stream.on('close', onClose);
    // One that is gone already has perhaps said so before we listened.
    if (stream.destroyed) queueMicrotask(onClose);
    else stream.resume();
  }

  #cut(how: (cutter: Cutter) => Part[]): void {
    if (this.#isBroken) return;
    try {
      for (const part of how(this.#outgoing)) this.#gather(part);
      if (this.#options.role === 'client' && this.#conversation.takeContinue())
        this.#near.stream.write(CONTINUE);
    } catch (error) {
      this.#break('near', error as Error);
      return;
    }
    this.#noteUpgrade();
    this.#throttle();
    this.#endFar();
  }

  #noteUpgrade(): void {
    if (this.#hasUpgraded || !this.#conversation.isUpgraded) return;
    this.#hasUpgraded = true;
    this.#options.onUpgrade?.();
  }

  #gather({ bytes, last }: Part): void {
    if (this.#isBroken) return;
    if (this.#isStreamed) {
      this.#stream(bytes, last);
      return;
    }
    const { application, budget } = this.#options;
    if (this.#gathered + bytes.length > MAX_UNIT_BYTES) throw tooLarge(application);
    budget.take(bytes.length);
    this.#gathered += bytes.length;
    if (bytes.length > 0) this.#parts.push(bytes);
    if (!last) return;
    const [only] = this.#parts;
    const content = this.#parts.length === 1 && only !== undefined ? only : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#gathered = 0;
    if (content.length > 0) this.#send(content);
  }

  #stream(bytes: Uint8Array, last: boolean): void {
    if (this.#source === undefined) {
      this.#source = new UnitSource(() => this.#throttle());
      this.#send(this.#source);
    }
    this.#source.push(bytes);
    if (!last) return;
    this.#source.end();
    this.#source = undefined;
  }

  #send(content: Uint8Array | UnitSource): void {
    const { receipt } = this.#options.application;
    const length = content instanceof UnitSource ? 0 : content.length;
    this.#underWay++;
    this.#bytesUnderWay += length;
    this.#counts.messagesOut++;
    this.#far.signWrite(content, { receipt }).then(
      () => {
        if (receipt) this.#counts.receiptsIn++;
        this.#settle(length);
        this.#throttle();
        this.#endFar();
      },
      (error: Error) => {
        this.#settle(length);
        this.#break('far', error);
      },
    );
  }

  #settle(length: number): void {
    this.#underWay--;
    this.#bytesUnderWay -= length;
    this.#options.budget.give(length);
  }

  #throttle(): void {
    const { stream } = this.#near;
    const isFull =
      this.#underWay >= MAX_UNDER_WAY ||
      this.#bytesUnderWay >= MAX_BYTES_UNDER_WAY ||
      this.#source?.isFull === true;
    if (this.#isBroken || stream.readableEnded || stream.destroyed) return;
    if (isFull || this.#outgoing.isWaiting) stream.pause();
    else if (stream.isPaused()) stream.resume();
  }

  /** After the last unit has arrived: an end that overtook it would be taken for the end of the connection. */
  #endFar(): void {
    const isDone = this.#nearEnded && !this.#outgoing.isWaiting && this.#underWay === 0;
    if (!isDone || this.#isBroken || this.#farEnding) return;
    this.#farEnding = true;
    this.#far.end();
  }

  // ── from the far end ───────────────────────────────────────────────────────────────────────────

  #watchFar(stream: SignedStream): void {
    let hasEnded = false;
    // The engine does not let plain data in where they must be signed. Its end is part of the stream all the same.
    stream.on('data', () => {
      this.#break('far', new TunnelError('ERR_TUNNEL_SIGN', 'Data came without a signature'));
    });
    stream.on('end', () => {
      hasEnded = true;
    });
    stream.on('error', (error: Error) => this.#break('far', error));
    const onClose = once(() => {
      if (!hasEnded || !stream.writableFinished) this.#break('far', undefined);
      this.#closed();
    });
    stream.on('close', onClose);
    if (stream.destroyed) queueMicrotask(onClose);
    else stream.resume();
  }

  /** To the end of the messages in any case: what nobody takes stops the session. */
  async #receive(): Promise<void> {
    try {
      if (this.#isStreamed) await this.#receiveStreams();
      else {
        for await (const { content } of this.#far.signed) {
          if (this.#isBroken || !this.#follow(content)) continue;
          this.#counts.messagesIn++;
          await this.#deliver(content);
        }
      }
      // A unit that was cut off was never sent, so the end is where a unit ends.
      if (!this.#isBroken) this.#near.stream.end();
    } catch (error) {
      this.#break('far', error as Error);
    }
    this.#closed();
  }

  async #receiveStreams(): Promise<void> {
    for await (const message of this.#far.signed.streaming()) {
      if (message.content instanceof Uint8Array) await this.#deliver(message.content);
      else {
        // Fails with the verdict, when all has been handed on: then the program gets a reset in place of an end.
        for await (const { bytes } of message.content) {
          // Whoever breaks off reads no more of it; the session ends with it anyway.
          if (this.#isBroken) break;
          await this.#deliver(bytes);
        }
      }
      this.#counts.messagesIn++;
    }
  }

  /** How this side goes on may depend on it. @returns false when it cannot be followed */
  #follow(content: Uint8Array): boolean {
    const wasWaiting = this.#outgoing.isWaiting;
    try {
      this.#incoming.push(content);
    } catch (error) {
      this.#break('far', error as Error);
      return false;
    }
    if (wasWaiting && !this.#outgoing.isWaiting) this.#cut((cutter) => cutter.push(NOTHING));
    this.#noteUpgrade();
    return true;
  }

  async #deliver(content: Uint8Array): Promise<void> {
    const { stream } = this.#near;
    this.bytesFromFar += content.length;
    if (stream.destroyed || stream.writableEnded) return;
    stream.write(content, () => {
      if (stream.writableLength <= this.#options.buffer) this.#onRoom?.();
    });
    if (stream.writableLength > this.#options.buffer) await this.#room();
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#break('near', stalled());
        this.#onRoom?.();
      }, STALL_LIMIT);
      this.#onRoom = () => {
        clearTimeout(timer);
        this.#onRoom = undefined;
        resolve();
      };
    });
  }

  // ── the end ────────────────────────────────────────────────────────────────────────────────────

  /** The first to break it off is the cause; what follows is our own doing. */
  #break(by: 'near' | 'far', error: Error | undefined): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#result = { brokenBy: by, error };
    this.#parts = [];
    this.#options.budget.give(this.#gathered);
    this.#gathered = 0;
    this.#source?.end(error ?? new TunnelError('ERR_TUNNEL_UNIT', 'The connection was broken off'));
    this.#near.reset();
    this.#far.destroy();
  }

  /** Both streams have closed, and the messages have ended. */
  #closed(): void {
    if (--this.#open === 0) this.#done(this.#result);
  }
}

function tooLarge({ name, format, unit }: SignedApplication): TunnelError {
  return unitError(
    `a unit of ${name} (${unit}) is longer than the ${MAX_UNIT_BYTES} bytes that an object of ${format} can have; choose a smaller --sign-unit`,
  );
}

function stalled(): ConnectionError {
  return new ConnectionError('ERR_MUX_OVERFLOW', `The program has not read for ${STALL_LIMIT / 1000} s`);
}

function once(run: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) run();
    isDone = true;
  };
}

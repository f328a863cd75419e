import { Duplex } from 'node:stream';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SignatureError } from '../../../src/errors/errors.ts';
import type { SignSource } from '../../../src/node/sign-source.ts';
import { SignedMessages, StreamedMessage } from '../../../src/node/signed-messages.ts';
import type { ReceivedMessage, ReceivedStream, StreamVerdict } from '../../../src/sign/index.ts';
import { errorCode } from '../../../src/tunnel/errors.ts';
import type { Leg, PumpResult } from '../../../src/tunnel/pump.ts';
import { signedPump, UnitBudget } from '../../../src/tunnel/signed-pump.ts';
import { MAX_UNIT_BYTES, type SignedApplication } from '../../../src/tunnel/signing-rules.ts';

/*
 * Both ends are made up here: a program that does as it is told, and a session that keeps what it is to sign until the
 * test settles it. The real ones are in test/e2e/tunnel-sign.test.ts.
 */

class Near extends Duplex {
  readonly written: Buffer[] = [];
  /** A program that does not read. */
  isStuck = false;
  wasReset = false;

  constructor() {
    super({ allowHalfOpen: true });
  }
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.written.push(chunk);
    if (!this.isStuck) done();
  }
  get leg(): Leg {
    const reset = (): void => {
      this.wasReset = true;
      this.destroy();
    };
    return { stream: this, gathers: false, reset };
  }
}

interface Wanted {
  readonly data: Uint8Array | SignSource;
  settle(): void;
  fail(error: Error): void;
}

class Far extends Duplex {
  readonly wanted: Wanted[] = [];
  hasEnded = false;
  readonly signed = new SignedMessages({ release: () => {}, maxObject: 1 << 24, refuse: () => {} });

  constructor() {
    super({ allowHalfOpen: true });
  }
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
  override _final(done: () => void): void {
    this.hasEnded = true;
    done();
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.signed.end(error ?? undefined);
    done(error);
  }
  signWrite(data: Uint8Array | SignSource): Promise<undefined> {
    return new Promise((resolve, reject) => {
      this.wanted.push({ data, settle: () => resolve(undefined), fail: reject });
    });
  }
  message(text: string): void {
    this.signed.push({ content: Buffer.from(text) } as unknown as ReceivedMessage);
  }
  /** What was to be signed while it comes. */
  source(): AsyncIterator<Uint8Array> {
    const [wanted] = this.wanted;
    if (wanted === undefined) throw new Error('nothing was to be signed');
    return (wanted.data as AsyncIterable<Uint8Array>)[Symbol.asyncIterator]();
  }
  /** What was to be signed as a whole. */
  get units(): string[] {
    return this.wanted.map(({ data }) => Buffer.from(data as Uint8Array).toString());
  }
}

function pumped(
  change: Partial<SignedApplication> = {},
  options: { budget?: UnitBudget; buffer?: number } = {},
) {
  const [near, far] = [new Near(), new Far()];
  const application: SignedApplication = {
    name: 'app',
    format: 'smime',
    receipt: true,
    unit: 'line',
    ...change,
  };
  let result: PumpResult | undefined;
  const pump = signedPump(
    near.leg,
    far,
    {
      application,
      role: 'client',
      buffer: options.buffer ?? 1000,
      budget: options.budget ?? new UnitBudget(),
    },
    (done) => {
      result = done;
    },
  );
  return { near, far, pump, result: () => result };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const turns = async () => {
  for (let i = 0; i < 5; i++) await turn();
};
afterEach(() => {
  vi.useRealTimers();
});

describe('a signed connection', () => {
  it('ends when its last unit has arrived, and not before', async () => {
    const { near, far, result, pump } = pumped();
    near.push('one\ntwo\nthree');
    near.push(null);
    await turns();
    expect(far.units).toEqual(['one\n', 'two\n', 'three']);
    far.wanted[0]?.settle();
    far.wanted[1]?.settle();
    await turns();
    expect(far.hasEnded).toBe(false);
    far.wanted[2]?.settle();
    await turns();
    expect(far.hasEnded).toBe(true);
    far.message('answer\n');
    far.signed.end(undefined);
    far.push(null);
    await turns();
    expect(Buffer.concat(near.written).toString()).toBe('answer\n');
    expect(result()).toEqual({ brokenBy: undefined, error: undefined });
    expect(pump).toMatchObject({
      bytesFromNear: 13,
      bytesFromFar: 7,
      signed: { messagesOut: 3, messagesIn: 1, receiptsIn: 3 },
    });
  });

  it('asks its program to wait while 256 units are under way', async () => {
    const { near, far } = pumped();
    near.push('\n'.repeat(256));
    await turns();
    expect(far.wanted).toHaveLength(256);
    expect(near.isPaused()).toBe(true);
    far.wanted[0]?.settle();
    await turns();
    expect(near.isPaused()).toBe(false);
  });

  it('is reset when a unit cannot be signed', async () => {
    const { near, far, result } = pumped();
    near.push('one\ntw');
    await turns();
    far.wanted[0]?.fail(new SignatureError('ERR_SIGN_CERTIFICATE', 'expired'));
    await turns();
    expect(near.wasReset).toBe(true);
    expect(result()).toMatchObject({ brokenBy: 'far', error: { code: 'ERR_SIGN_CERTIFICATE' } });
    // What was cut off was never to be signed.
    expect(far.units).toEqual(['one\n']);
  });

  it('is reset when its program breaks off, with half a unit in hand', async () => {
    const { near, far, result } = pumped();
    near.push('half');
    await turns();
    near.destroy();
    await turns();
    expect(far.destroyed).toBe(true);
    expect(far.units).toEqual([]);
    expect(result()).toMatchObject({ brokenBy: 'near' });
  });

  it('takes no plain data', async () => {
    const { near, far, result } = pumped();
    far.push('plain');
    await turns();
    expect(near.written).toEqual([]);
    expect(errorCode(result()?.error)).toBe('ERR_TUNNEL_SIGN');
  });

  it('holds no unit that is longer than an object can be', async () => {
    const { near, far, result } = pumped();
    for (let i = 0; i < 16; i++) near.push(Buffer.alloc(1_048_576));
    await turns();
    expect(near.wasReset).toBe(false);
    near.push(Buffer.alloc(1));
    await turns();
    expect(MAX_UNIT_BYTES).toBe(16 * 1_048_576);
    expect(errorCode(result()?.error)).toBe('ERR_TUNNEL_UNIT');
    expect(far.wanted).toEqual([]);
  });

  it('shares a budget with the others, and gives back what it has taken', async () => {
    const budget = new UnitBudget(100);
    const [one, other] = [pumped({}, { budget }), pumped({}, { budget })];
    one.near.push('x'.repeat(60));
    other.near.push('x'.repeat(39));
    await turns();
    other.near.push('xx');
    await turns();
    expect(errorCode(other.result()?.error)).toBe('ERR_TUNNEL_LIMIT');
    one.near.push(`${'x'.repeat(39)}\n`);
    await turns();
    expect(one.far.units[0]).toHaveLength(100);
    one.far.wanted[0]?.settle();
    await turns();
    const third = pumped({}, { budget });
    third.near.push(`${'x'.repeat(99)}\n`);
    await turns();
    expect(third.far.units).toHaveLength(1);
    expect(() => budget.take(1)).toThrow(/--sign-unit/);
  });

  it('does not let a program that does not read stop the session for ever', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { near, far, result } = pumped({}, { buffer: 10 });
    near.isStuck = true;
    for (let i = 0; i < 5; i++) far.message('0123456789\n');
    await turns();
    expect(near.wasReset).toBe(false);
    vi.advanceTimersByTime(10_000);
    await turns();
    expect(near.wasReset).toBe(true);
    expect(errorCode(result()?.error)).toBe('ERR_MUX_OVERFLOW');
  });
});

describe('a connection that is streamed', () => {
  const streamed = () => pumped({ format: 'pkcs7', unit: 'connection' });

  it('gives what comes as it comes, and waits for a slow session', async () => {
    const { near, far } = streamed();
    near.push('one');
    await turns();
    const source = far.source();
    expect(String((await source.next()).value)).toBe('one');
    near.push(Buffer.alloc(131_072));
    await turns();
    expect(near.isPaused()).toBe(true);
    expect((await source.next()).value).toHaveLength(131_072);
    expect(near.isPaused()).toBe(false);
    near.push(null);
    expect(await source.next()).toEqual({ value: undefined, done: true });
    expect(far.hasEnded).toBe(false);
    far.wanted[0]?.settle();
    await turns();
    expect(far.hasEnded).toBe(true);
  });

  it('does not end its unit when it is broken off', async () => {
    const { near, far } = streamed();
    near.push('half');
    await turns();
    const source = far.source();
    near.destroy();
    await turns();
    await expect(source.next()).rejects.toThrow();
  });

  /** A message that has its bytes, and no verdict. */
  function incoming(...pieces: string[]) {
    const stream: ReceivedStream = {
      contentType: 23,
      application: 'app',
      connection: undefined,
      sequence: 0,
      receiptRequested: true,
      attachment: undefined,
      read: () => {
        const text = pieces.shift();
        return text === undefined ? undefined : { verified: false, bytes: Buffer.from(text) };
      },
      drop: () => {
        pieces.length = 0;
      },
    };
    return new StreamedMessage(stream);
  }

  it('hands on what has no verdict yet, and resets its program when that is bad', async () => {
    const { near, far, result } = streamed();
    const message = incoming('pay ', '100');
    far.signed.push(message);
    await turns();
    expect(Buffer.concat(near.written).toString()).toBe('pay 100');
    expect(near.writableEnded).toBe(false);
    message.fail(new SignatureError('ERR_SIGN_BAD_SIGNATURE', 'not his'));
    await turns();
    expect(near.wasReset).toBe(true);
    expect(near.writableFinished).toBe(false);
    expect(result()).toMatchObject({ brokenBy: 'far', error: { code: 'ERR_SIGN_BAD_SIGNATURE' } });
  });

  it('ends in order when it is good', async () => {
    const { near, far } = streamed();
    const message = incoming('pay 100');
    far.signed.push(message);
    message.conclude({} as StreamVerdict);
    far.signed.end(undefined);
    await turns();
    expect(near.writableFinished).toBe(true);
    expect(near.wasReset).toBe(false);
  });
});

import type { CryptoProvider } from '../../crypto/provider.ts';
import { TrellisError } from '../../errors/errors.ts';
import type { SignerJudge } from '../../formats/format.ts';
import { encodeTimeStampRequest, NONCE_BYTES } from '../../formats/tsp/request.ts';
import { MAX_RESPONSE_BYTES, readTimeStampResponse } from '../../formats/tsp/response.ts';
import { verifyTimeStampToken } from '../../formats/tsp/verify.ts';
import type { TrustStore } from '../../x509/trust-store.ts';
import { EvidenceError, reasonOf } from '../errors.ts';
import { checkpointBody } from '../merkle/tree-head.ts';
import { anySigner } from '../verify/judge.ts';
import type { EvidenceStore, StoredHead, StoredTimestamp } from './store.ts';

/** An answer takes a second; one that has not come by then is asked for again later. Milliseconds. */
export const AUTHORITY_TIMEOUT = 30_000;
/** Pause after the first failure; it doubles up to the longest. Milliseconds. */
export const FIRST_RETRY = 30_000;
export const LONGEST_RETRY = 3_600_000;
/** How often to look for what is due. Milliseconds. */
const POLL_INTERVAL = 15_000;
/** Tokens fetched in one go: after an outage there may be many. */
const TOKENS_AT_ONCE = 20;

/** What is used of `fetch`. */
export type FetchLike = (
  url: string,
  init: {
    readonly method: 'POST';
    readonly headers: Readonly<Record<string, string>>;
    readonly body: Uint8Array<ArrayBuffer>;
    readonly signal: AbortSignal;
  },
) => Promise<{ readonly status: number; readonly body: AsyncIterable<Uint8Array> | null }>;

export interface TimestampOptions {
  /** URL of an RFC 3161 time authority that answers by HTTP (§3.4). */
  readonly authority: string;
  /** Its trust anchors. Without them a token is kept when its signature verifies; whose it is, is judged later. */
  readonly trust?: TrustStore | undefined;
  /** Default: the global one. */
  readonly fetch?: FetchLike | undefined;
}

/**
 * Has checkpoints dated. The wish is stored with the checkpoint and the token fetched when the authority answers, be it
 * days later: evidence never waits for it.
 */
export class Timestamping {
  readonly #crypto: CryptoProvider;
  readonly #store: EvidenceStore;
  readonly #archive: Uint8Array;
  readonly #now: () => number;
  readonly #options: TimestampOptions;
  readonly #abort = new AbortController();
  #running: Promise<TimestampResult> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    crypto: CryptoProvider,
    store: EvidenceStore,
    archive: Uint8Array,
    now: () => number,
    options: TimestampOptions,
  ) {
    this.#crypto = crypto;
    this.#store = store;
    this.#archive = archive;
    this.#now = now;
    this.#options = options;
  }

  /** Looks for what is due from now on. */
  start(): void {
    this.#timer = setInterval(() => this.#runQuietly(), POLL_INTERVAL);
    this.#timer.unref();
    this.#runQuietly();
  }

  /** Ends what is under way; the wishes stay. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#abort.abort();
    await this.#running?.catch(() => {});
  }

  /** Stores the wish that the checkpoint of this size be dated, and fetches the token in the background. */
  async want(size: number): Promise<void> {
    await this.#store.saveTimestamp({
      size,
      authority: this.#options.authority,
      token: undefined,
      attempts: 0,
      nextAttempt: this.#now(),
      lastError: '',
    });
    if (this.#timer !== undefined) this.#runQuietly();
  }

  /** Fetches what is due now. One run at a time; who asks meanwhile gets the result of that one. */
  async run(): Promise<TimestampResult> {
    this.#running ??= this.#runOnce().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  #runQuietly(): void {
    // What went wrong is stored with the wish.
    this.run().catch(() => {});
  }

  async #runOnce(): Promise<TimestampResult> {
    const result: TimestampResult = { fetched: 0, failed: 0, lastError: undefined };
    for (const wish of await this.#store.dueTimestamps(this.#now(), TOKENS_AT_ONCE)) {
      if (this.#abort.signal.aborted) break;
      try {
        const token = await this.#fetchToken(wish);
        await this.#store.saveTimestamp({ ...wish, token, attempts: wish.attempts + 1, lastError: '' });
        result.fetched++;
      } catch (error) {
        if (this.#abort.signal.aborted) break;
        result.failed++;
        result.lastError = reasonOf(error);
        const pause = Math.min(FIRST_RETRY * 2 ** wish.attempts, LONGEST_RETRY);
        await this.#store.saveTimestamp({
          ...wish,
          attempts: wish.attempts + 1,
          nextAttempt: this.#now() + pause,
          lastError: result.lastError.slice(0, 500),
        });
      }
    }
    return result;
  }

  async #fetchToken({ size, authority }: StoredTimestamp): Promise<Uint8Array> {
    const head = await this.#store.head(size);
    if (head?.signature === undefined) {
      throw new EvidenceError('ERR_EVIDENCE_TIMESTAMP', `There is no checkpoint at ${size} records any more`);
    }
    const digest = checkpointDigest(this.#crypto, this.#archive, head);
    return fetchTimestamp(this.#crypto, authority, digest, { ...this.#options, signal: this.#abort.signal });
  }
}

/**
 * Has one SHA-256 dated, now.
 * @returns the TimeStampToken, DER, verified
 * @throws EvidenceError ERR_EVIDENCE_TIMESTAMP
 */
export async function fetchTimestamp(
  crypto: CryptoProvider,
  authority: string,
  digest: Uint8Array,
  options: Pick<TimestampOptions, 'trust' | 'fetch'> & { readonly signal?: AbortSignal },
): Promise<Uint8Array> {
  const nonce = crypto.randomBytes(NONCE_BYTES);
  const answer = await ask(authority, encodeTimeStampRequest({ digest, nonce }), options);
  const { token, status, text, failures } = reading(() => readTimeStampResponse(answer));
  if (token === undefined) {
    throw fault(`the time authority refuses (status ${status}): ${[text, ...failures].join(' ')}`);
  }
  const trust: TrustStore | SignerJudge = options.trust ?? anySigner(crypto);
  reading(() => verifyTimeStampToken(crypto, token, { digest, nonce, trust }));
  return token;
}

/** RFC 3161 §3.4. */
async function ask(
  authority: string,
  request: Uint8Array,
  options: Pick<TimestampOptions, 'fetch'> & { readonly signal?: AbortSignal },
): Promise<Uint8Array> {
  const fetch = options.fetch ?? (globalThis.fetch as unknown as FetchLike);
  const timeout = AbortSignal.timeout(AUTHORITY_TIMEOUT);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]);
  try {
    const response = await fetch(authority, {
      method: 'POST',
      headers: { 'content-type': 'application/timestamp-query' },
      body: new Uint8Array(request),
      signal,
    });
    if (response.status !== 200) throw fault(`it answers with HTTP status ${response.status}`);
    const parts: Uint8Array[] = [];
    let length = 0;
    for await (const part of response.body ?? []) {
      length += part.length;
      if (length > MAX_RESPONSE_BYTES) throw fault('its answer is too long to be a timestamp');
      parts.push(part);
    }
    return Buffer.concat(parts);
  } catch (cause) {
    if (cause instanceof EvidenceError) throw cause;
    throw fault(`it cannot be reached: ${networkReason(cause)}`, cause);
  }
}

export interface TimestampResult {
  fetched: number;
  failed: number;
  lastError: string | undefined;
}

/** What is dated: SHA-256 of what the checkpoint's signature covers. */
export function checkpointDigest(
  crypto: CryptoProvider,
  archive: Uint8Array,
  { size, root, time }: StoredHead,
): Uint8Array {
  return crypto.digest('sha256', checkpointBody({ archive, size, root }, time));
}

function reading<T>(run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (!(cause instanceof TrellisError)) throw cause;
    throw fault(`its answer is no timestamp for this: ${cause.message}`, cause);
  }
}

/** `fetch` says "fetch failed" and keeps the reason in its cause. */
function networkReason(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  return reasonOf(cause) || reasonOf(error);
}

function fault(what: string, cause?: unknown): EvidenceError {
  return new EvidenceError('ERR_EVIDENCE_TIMESTAMP', `The time authority: ${what}`, { cause });
}

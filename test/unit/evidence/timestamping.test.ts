import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { DerReader } from '../../../src/der/reader.ts';
import { encodeDer, integer, sequence } from '../../../src/der/writer.ts';
import {
  type FetchLike,
  FIRST_RETRY,
  fetchTimestamp,
  LONGEST_RETRY,
  Timestamping,
} from '../../../src/evidence/archive/timestamping.ts';
import { readTimeStampResponse } from '../../../src/formats/tsp/response.ts';
import { appendMany, openAt, sessionInfo, sha256, temporaryFolder } from './support.ts';

/** A time authority that is down, or talks nonsense. One that works is in test/peers/timestamps.test.ts. */

const URL = 'http://tsa.test/';

function answering(status: number, ...pieces: Uint8Array[]): FetchLike {
  return async () => ({
    status,
    body: (async function* () {
      yield* pieces;
    })(),
  });
}

const refused = (status: number) => encodeDer(sequence(sequence(integer(status))));

describe('a timestamp that cannot be had', () => {
  it.each<[string, FetchLike, string]>([
    [
      'since nobody is there',
      () => Promise.reject(new TypeError('fetch failed', { cause: new Error('ECONNREFUSED') })),
      'ECONNREFUSED',
    ],
    ['since the server has a fault', answering(500), 'HTTP status 500'],
    ['since the answer is empty', answering(200), 'no timestamp'],
    ['since the answer is no response', answering(200, Buffer.from('<html>')), 'no timestamp'],
    ['since the answer is endless', answering(200, ...Array(20).fill(new Uint8Array(60_000))), 'too long'],
    ['since it is refused', answering(200, refused(2)), 'refuses'],
    ['since there is no token', answering(200, refused(0)), 'without token'],
    [
      'since the token is none',
      answering(200, encodeDer(sequence(sequence(integer(0)), sequence()))),
      'no timestamp',
    ],
  ])('is an error that says why: %s', async (_why, fetch, says) => {
    const asked = fetchTimestamp(nodeCrypto, URL, sha256('x'), { fetch });
    await expect(asked).rejects.toMatchObject({ code: 'ERR_EVIDENCE_TIMESTAMP' });
    await expect(asked).rejects.toThrow(says);
  });

  it('harms no evidence, and is asked for again, later and later', async () => {
    const archive = await openAt(temporaryFolder());
    await appendMany(archive, archive.addSession(sessionInfo()), 3);
    const { head } = await archive.checkpoint();
    let now = 1_000_000;
    let asked = 0;
    const fetch: FetchLike = async () => {
      asked++;
      return { status: 503, body: null };
    };
    const dating = new Timestamping(nodeCrypto, archive.store, archive.id, () => now, {
      authority: URL,
      fetch,
    });
    await dating.want(head.size);
    let pause = FIRST_RETRY;
    for (let attempt = 1; attempt <= 10; attempt++) {
      expect(await dating.run()).toMatchObject({ fetched: 0, failed: 1 });
      expect(asked).toBe(attempt);
      const [wish] = await archive.store.timestamps({ limit: 10 });
      expect(wish).toMatchObject({ size: 3, attempts: attempt, token: undefined, nextAttempt: now + pause });
      expect(wish?.lastError).toContain('503');
      // Too early.
      now += pause - 1;
      expect(await dating.run()).toMatchObject({ fetched: 0, failed: 0 });
      now += 1;
      pause = Math.min(2 * pause, LONGEST_RETRY);
    }
    await archive.close();
  });

  it('survives a restart, and is not waited for at close', async () => {
    const folder = temporaryFolder();
    const never: FetchLike = (_url, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('aborted'))));
    const archive = await openAt(folder, { timestamps: { authority: URL, fetch: never } });
    await appendMany(archive, archive.addSession(sessionInfo()), 3);
    await archive.checkpoint();
    await appendMany(archive, archive.addSession(sessionInfo()), 1);
    await archive.close();
    const again = await openAt(folder);
    const wishes = await again.store.timestamps({ limit: 10 });
    expect(wishes.map(({ size, attempts, token }) => [size, attempts, token])).toEqual([
      [3, 0, undefined],
      [4, 0, undefined],
    ]);
    await again.close();
  });
});

describe('a request', () => {
  it('asks for SHA-256, with a nonce and with certificates', async () => {
    let body = new Uint8Array(0);
    const fetch: FetchLike = async (url, init) => {
      expect(url).toBe(URL);
      expect(init.headers['content-type']).toBe('application/timestamp-query');
      body = init.body;
      return { status: 500, body: null };
    };
    await expect(fetchTimestamp(nodeCrypto, URL, sha256('x'), { fetch })).rejects.toThrow();
    const fields = new DerReader(body, 'request').sequence();
    expect(fields.smallInteger(9)).toBe(1);
    const imprint = fields.sequence();
    expect(imprint.sequence().oid()).toBe('2.16.840.1.101.3.4.2.1');
    expect(Buffer.from(imprint.octetString()).equals(sha256('x'))).toBe(true);
    expect(fields.integer().length).toBeGreaterThan(10);
    expect(fields.boolean()).toBe(true);
    fields.end();
  });
});

describe('a response', () => {
  it('contradicting itself is malformed', () => {
    const token = sequence(integer(1));
    for (const bytes of [
      refused(0),
      encodeDer(sequence(sequence(integer(2)), token)),
      encodeDer(sequence(sequence(integer(0)), token, token)),
      encodeDer(sequence(token)),
      new Uint8Array(300_000),
    ]) {
      expect(() => readTimeStampResponse(bytes)).toThrowError(
        expect.objectContaining({ code: 'ERR_TLS_DECODE' }),
      );
    }
    expect(readTimeStampResponse(refused(2))).toMatchObject({ status: 2, token: undefined, failures: [] });
  });
});

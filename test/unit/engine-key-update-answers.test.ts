import { describe, test } from 'vitest';
import { MAX_KEY_UPDATES } from '../../src/handshake/established.ts';
import { clientConfig, serverConfig } from '../setup/engine-config.ts';
import { expectAlive, expectFound, expectUnharmed } from '../setup/faults.ts';
import { Pair, peerOf } from '../setup/pair.ts';

/*
 * A peer may answer each request for a KeyUpdate as it meets it, before it has data to send (OpenSSL does). Many
 * requests in a row then have many KeyUpdates in a row for answer, which are not the peer's flood.
 */

describe.each(['client', 'server'] as const)('KeyUpdates that the %s asks for', (asker) => {
  const peer = peerOf[asker];
  const REQUESTS = 3 * MAX_KEY_UPDATES;

  function ask(times: number): Pair {
    const pair = new Pair({ client: clientConfig(), server: serverConfig() }).run();
    for (let i = 0; i < times; i++) {
      pair[asker].connection.updateKeys(true);
      // Data keeps the requests themselves from being a flood.
      pair[asker].connection.send(Uint8Array.of(i));
    }
    return pair;
  }

  /** Our engine answers once for all requests that came together; this makes it as many as there were. */
  function answerEach(pair: Pair, answers: number): Pair {
    pair.run();
    for (let i = 1; i < answers; i++) pair[peer].connection.updateKeys(false);
    return pair.run();
  }

  test('may be answered one by one', () => {
    const pair = answerEach(ask(REQUESTS), REQUESTS);
    expectUnharmed(pair);
    expectAlive(pair);
  });

  test('excuse no more KeyUpdates than were asked for', () => {
    expectUnharmed(answerEach(ask(REQUESTS), REQUESTS + MAX_KEY_UPDATES));
    const flooded = answerEach(ask(REQUESTS), REQUESTS + MAX_KEY_UPDATES + 1);
    expectFound(flooded, asker, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });
});

import { describe, expect, it } from 'vitest';
import { AlertDescription } from '../../../../src/errors/alerts.ts';
import { alertFor } from '../../../../src/errors/errors.ts';
import { MessageType } from '../../../../src/mux/channels/message.ts';
import { CHURN_MAX, CHURN_RATE } from '../../../../src/mux/limits.ts';
import type { Pair } from '../pair.ts';
import { channels, close, request, said, say } from './kit.ts';

/** A peer that opens a channel, has it accepted, perhaps sends a byte, and closes it; so many times. @returns how often */
function churn(pair: Pair, times: number, withData = false): number {
  for (let i = 0; i < times; i++) {
    say(pair.server, request((i * 2) % 65_536));
    for (const event of pair.server.events()) if (event.type === 'connection') event.connection.accept();
    const success = said(pair.server).find(
      (message) => 'type' in message && message.type === MessageType.RequestEstablishmentSuccess,
    );
    if (success === undefined || !('receiver' in success)) throw new Error('it was not accepted');
    const channel = success.sender * 65_536 + success.receiver;
    if (withData) say(pair.server, { channel, data: 'x' });
    try {
      say(pair.server, close(channel));
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_MUX_FLOOD' });
      expect(alertFor(error)).toBe(AlertDescription.unexpected_message);
      return i;
    }
    // The adapter hears of the end, and lets go.
    for (const { connection } of pair.server.events()) connection.abort();
    said(pair.server);
  }
  return times;
}

describe('a peer that opens and closes channels without end', () => {
  it('is thrown out when it never sends a byte on them: ERR_MUX_FLOOD, unexpected_message', () => {
    const pair = channels();
    expect(churn(pair, CHURN_MAX + 10)).toBe(CHURN_MAX);
    expect(pair.server.session.stats()).toMatchObject({ accepted: CHURN_MAX + 1, unread: 0 });
  }, 30_000);

  it('may go on when time passes between', () => {
    const pair = channels();
    expect(churn(pair, CHURN_MAX)).toBe(CHURN_MAX);
    pair.server.now = 5_000;
    said(pair.server);
    expect(churn(pair, CHURN_RATE * 5 + 10)).toBe(CHURN_RATE * 5);
  }, 30_000);

  it('may go on when the channels are used, and nothing of them stays', () => {
    const pair = channels();
    expect(churn(pair, CHURN_MAX + 100, true)).toBe(CHURN_MAX + 100);
    expect(pair.server.session.stats()).toMatchObject({ connections: 0, committed: 0, unread: 0 });
  }, 30_000);
});

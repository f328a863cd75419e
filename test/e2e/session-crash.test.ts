import { expect, it } from 'vitest';
import { runSessionCrashTest } from '../../scripts/session-crash.mjs';

/** `node scripts/session-crash.mjs` does it 200 times. */
const KILLS = 10;

it('loses no order that was receipted, whichever side is killed, and neither archive looks tampered with', async () => {
  const figures = await runSessionCrashTest({ kills: KILLS, seed: 7 });
  expect(figures).toMatchObject({ lost: { server: 0, client: 0 }, uncleanOpens: 0, findings: 0 });
  expect(figures.kills.server + figures.kills.client).toBe(KILLS);
  expect(figures.receipts).toBeGreaterThan(KILLS);
  expect(figures.records.server).toBeGreaterThanOrEqual(2 * figures.receipts);
}, 240_000);

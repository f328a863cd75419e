import { expect, it } from 'vitest';
import { runCrashTest } from '../../scripts/evidence-crash.mjs';

/** `node scripts/evidence-crash.mjs` does it 200 times. */
const KILLS = 20;

it('loses nothing that was acknowledged when it is killed, and opens clean', async () => {
  const figures = await runCrashTest({ kills: KILLS, seed: 7 });
  expect(figures).toMatchObject({ kills: KILLS, lost: 0, uncleanOpens: 0, findings: 0 });
  expect(figures.acknowledged).toBeGreaterThan(KILLS);
  expect(figures.inFile).toBeGreaterThanOrEqual(figures.acknowledged);
}, 120_000);

import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';
import { LongestFirst } from './test/setup/sequencer.ts';

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

/** Programs, sockets and servers compete for the same cores: more at once only makes time limits fire. */
const WORKERS_WITH_PROCESSES = Math.max(2, Math.floor(availableParallelism() / 2));

/**
 * Groups run one after the other, the fast one first. Peers do not run beside e2e: there is one pcscd for a machine.
 * Unit tests share what they import, which takes longer than they do.
 */
const LAYERS = [
  { name: 'unit', group: 0, testTimeout: 30_000, maxWorkers: availableParallelism(), isolate: false },
  { name: 'peers', group: 1, testTimeout: 90_000, maxWorkers: WORKERS_WITH_PROCESSES },
  { name: 'e2e', group: 2, testTimeout: 120_000, maxWorkers: WORKERS_WITH_PROCESSES, runsDist: true },
  { name: 'package', group: 2, testTimeout: 180_000, maxWorkers: WORKERS_WITH_PROCESSES, runsDist: true },
];

export default defineConfig({
  test: {
    reporters: ['default', './test/setup/reporter.ts'],
    passWithNoTests: true,
    sequence: { sequencer: LongestFirst },
    // What is waited for comes late on a busy machine, and is missing in none. One second, vitest's own, is too short.
    expect: { poll: { timeout: 30_000 } },
    projects: LAYERS.map(
      ({ name, group, testTimeout, maxWorkers, isolate, runsDist }): TestProjectInlineConfiguration => ({
        resolve: {
          alias: {
            'trellis/dtls': source('node/dtls/index.ts'),
            'trellis/mux': source('mux/index.ts'),
            'trellis/sign': source('sign/index.ts'),
            'trellis/evidence': source('evidence/index.ts'),
            'trellis/module': source('module/index.ts'),
            trellis: source('index.ts'),
          },
        },
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          environment: 'node',
          testTimeout,
          hookTimeout: testTimeout,
          sequence: { groupOrder: group },
          maxWorkers,
          ...(isolate === undefined ? {} : { isolate }),
          ...(runsDist ? { globalSetup: ['./test/setup/dist.ts'] } : {}),
        },
      }),
    ),
  },
});

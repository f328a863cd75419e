import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';

const source = (path: string): string => fileURLToPath(new URL(`./src/${path}`, import.meta.url));

/** Programs, sockets and servers compete for the same cores: more at once only makes time limits fire. */
const WORKERS_WITH_PROCESSES = Math.max(2, Math.floor(availableParallelism() / 2));

/** Layers run one after the other, the fast one first. */
const LAYERS = [
  { name: 'unit', testTimeout: 30_000 },
  { name: 'peers', testTimeout: 90_000, maxWorkers: WORKERS_WITH_PROCESSES },
  { name: 'e2e', testTimeout: 120_000, maxWorkers: WORKERS_WITH_PROCESSES, runsDist: true },
  { name: 'package', testTimeout: 180_000, maxWorkers: 1, runsDist: true },
];

export default defineConfig({
  test: {
    reporters: ['default', './test/setup/reporter.ts'],
    passWithNoTests: true,
    // What is waited for comes late on a busy machine, and is missing in none. One second, vitest's own, is too short.
    expect: { poll: { timeout: 30_000 } },
    projects: LAYERS.map(
      ({ name, testTimeout, maxWorkers, runsDist }, order): TestProjectInlineConfiguration => ({
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
          sequence: { groupOrder: order },
          ...(maxWorkers === undefined ? {} : { maxWorkers }),
          ...(runsDist ? { globalSetup: ['./test/setup/dist.ts'] } : {}),
        },
      }),
    ),
  },
});

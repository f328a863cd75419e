import { describe, it } from 'vitest';
import { locate, PEERS, type Program } from '../../scripts/peers.mjs';

/** What a test needs from the machine. Without it the test is skipped, and the table at the end says why. */
export interface Need {
  readonly available: boolean;
  /** Why not, for the table; empty when available. */
  readonly reason: string;
}

/** A `Need` of one program. */
export interface ProgramNeed extends Need {
  /** The program's path; its bare name when it is not available. */
  readonly path: string;
}

declare module 'vitest' {
  interface TaskMeta {
    /** Reason of a skip; test/setup/reporter.ts prints it. */
    skipReason?: string;
  }
}

/**
 * A program of the list in scripts/peers.mjs. `TRELLIS_TEST_WITHOUT=openssl,curl` makes programs absent, to see what a
 * machine without them would show.
 */
export function need(program: Program): ProgramNeed {
  const hidden = (process.env.TRELLIS_TEST_WITHOUT ?? '').split(',').includes(program);
  const path = hidden ? undefined : locate(program);
  return path === undefined
    ? {
        available: false,
        reason: `no ${program} here (Debian: apt-get install ${PEERS[program]})`,
        path: program,
      }
    : { available: true, reason: '', path };
}

/** Anything else a test needs, such as root or a version: `needThat(process.getuid?.() === 0, 'needs root')`. */
export function needThat(available: boolean, reason: string): Need {
  return { available, reason: available ? '' : reason };
}

/** `describe`, skipped with its reasons unless every need is met. `body` runs in both cases, to name its tests. */
export function describeWith(needs: Need | readonly Need[], name: string, body: () => void): void {
  describe(name, skipUnless(needs), body);
}

/** `it`, skipped with its reasons unless every need is met. */
export function itWith(
  needs: Need | readonly Need[],
  name: string,
  body: () => void | Promise<void>,
  timeoutMs?: number,
): void {
  it(name, timeoutMs === undefined ? skipUnless(needs) : { ...skipUnless(needs), timeout: timeoutMs }, body);
}

function skipUnless(needs: Need | readonly Need[]): { skip?: true; meta?: { skipReason: string } } {
  const missing = [needs].flat().filter(({ available }) => !available);
  return missing.length === 0
    ? {}
    : { skip: true, meta: { skipReason: missing.map(({ reason }) => reason).join('; ') } };
}

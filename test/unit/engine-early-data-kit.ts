import type { EarlyDataPolicy } from '../../src/handshake/config.ts';
import type { EarlyDataGuard } from '../../src/handshake/early-data-guard.ts';

/** A server's terms with this guard. */
export function keyed(maxBytes: number, guard: EarlyDataGuard): EarlyDataPolicy {
  return { maxBytes, firstUse: (...use) => guard.firstUse(...use) };
}

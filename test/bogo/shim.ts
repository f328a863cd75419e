import { runConnection } from './exchange.ts';
import { parseFlags } from './flags.ts';
import { failed, passed, type Result, Unexpected } from './report.ts';
import { Shared } from './settings.ts';

/**
 * One run of the shim, as the runner starts it for each test.
 *
 * @param argv arguments without program and script
 * @param signal ends the run where it is
 */
export async function runShim(argv: readonly string[], signal?: AbortSignal): Promise<Result> {
  let connection = 0;
  try {
    const { initial, resume, retry } = parseFlags(argv);
    // Splitting a handshake between processes is a feature of BoringSSL's servers.
    if (initial.isHandshakerSupported) return passed('No\n');
    const shared = new Shared();
    for (let i = 0; i <= initial.resumeCount; i++) {
      connection = i + 1;
      const flags = i === 0 ? initial : resume;
      if (i > 0 && !flags.server && shared.session === undefined) {
        throw new Unexpected('there is no session to offer');
      }
      await runConnection({ flags, retry, resumes: i > 0 }, shared, signal);
      shared.now += flags.resumptionDelay * 1000;
    }
    return passed();
  } catch (error) {
    return failed(error, connection);
  }
}

import { TlsError, TrellisError } from '../../src/errors/errors.ts';

/** What the runner reads from a shim's exit code. */
export const ExitCode = { passed: 0, failed: 1, unimplemented: 89 } as const;

/** The runner asks for something that the engine, or this shim, does not have. */
export class Unimplemented extends Error {
  override name = 'Unimplemented';
}

/** The connection did not turn out as a flag says it must. */
export class Unexpected extends Error {
  override name = 'Unexpected';
}

/** The engine ended the connection. */
export class Ended extends Error {
  override name = 'Ended';
  constructor(error: TrellisError) {
    super(describe(error), { cause: error });
  }
}

/** What a run of the shim comes to: its exit code, and what it says on standard error. */
export interface Result {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export function passed(stdout = ''): Result {
  return { exitCode: ExitCode.passed, stdout, stderr: '' };
}

/** @param connection which of a test, from 1 on */
export function failed(error: unknown, connection: number): Result {
  const exitCode = error instanceof Unimplemented ? ExitCode.unimplemented : ExitCode.failed;
  const text = error instanceof Error ? tell(error) : String(error);
  // What is not implemented is counted by its text.
  const where = exitCode === ExitCode.unimplemented ? '' : ` (connection ${connection})`;
  return { exitCode, stdout: '', stderr: `${text}${where}\n` };
}

/** Ours, to the point; anything else is a bug in the shim, for which the stack is wanted. */
function tell(error: Error): string {
  if (error instanceof TrellisError) return describe(error);
  const ours = error instanceof Unimplemented || error instanceof Unexpected || error instanceof Ended;
  return ours ? `${error.name}: ${error.message}` : (error.stack ?? error.message);
}

/**
 * Codes are what `ErrorMap` in config.json maps the runner's errors to. The alert comes behind, so that a mapping may
 * ask for both, and the text last, for people.
 */
function describe(error: TrellisError): string {
  const alert = error instanceof TlsError ? ` [${error.alert}]` : '';
  const cause = error.code === 'ERR_TLS_INTERNAL' ? `\n${(error.cause as Error | undefined)?.stack}` : '';
  return `${error.code}${alert}: ${error.message}${cause}`;
}

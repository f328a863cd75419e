import { ConnectionError } from '../errors/errors.ts';

/** What a connection is told when its session ends under it. */
export function sessionClosed(cause: Error | undefined): ConnectionError {
  return new ConnectionError(
    'ERR_MUX_SESSION_CLOSED',
    cause === undefined
      ? 'The session under this connection was closed; open a new session.'
      : `The session under this connection ended: ${cause.message}`,
    cause === undefined ? undefined : { cause },
  );
}

export function unknownApplication(message: string): ConnectionError {
  return new ConnectionError('ERR_MUX_UNKNOWN_APPLICATION', message);
}

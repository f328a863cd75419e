import { TrellisError } from '../errors/errors.ts';

/** Why a tunnel could not start, or could not carry a connection. Stable; programs may test them. */
export type TunnelErrorCode =
  | 'ERR_TUNNEL_OPTION' // an option that cannot work; the message says which and what would
  | 'ERR_TUNNEL_FILE' // a file that cannot be read or written
  | 'ERR_TUNNEL_CREDENTIALS' // a certificate or key that is not one, or that do not belong together
  | 'ERR_TUNNEL_LISTEN' // an address that cannot be listened on
  | 'ERR_TUNNEL_SIGN' // signing that one side wants and the other does not do; the message says what to do
  | 'ERR_TUNNEL_UNIT' // bytes that are not of the unit that is signed, or a unit that is too long
  | 'ERR_TUNNEL_LIMIT' // more connections than may be open
  | 'ERR_TUNNEL_SILENT' // a server that does not answer over UDP; another session is opened
  | 'ERR_TUNNEL_WAIT' // no session within the time that a connection may wait for one
  | 'ERR_TUNNEL_CLOSED'; // the tunnel was closed meanwhile

/** What the tunnel itself reports. Faults of the TLS session keep the errors of the floors below. */
export class TunnelError extends TrellisError {
  declare readonly code: TunnelErrorCode;
  constructor(code: TunnelErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** The `code` of an error, whatever threw it: Node's, ours, or none. */
export function errorCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The text of an error, whatever was thrown. */
export function errorMessage(error: unknown): string {
  // A host with several addresses that all fail: Node gives the errors and no text.
  if (error instanceof AggregateError && error.message === '')
    return error.errors.map(errorMessage).join('; ');
  return error instanceof Error ? error.message : String(error);
}

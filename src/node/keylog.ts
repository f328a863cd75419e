import { appendFileSync, closeSync, openSync } from 'node:fs';
import { ConnectionError } from '../errors/errors.ts';

/** Only the owner may read session secrets. */
const MODE = 0o600;

/**
 * A function that appends lines to a key log in NSS's format (what SSLKEYLOGFILE means, and what Wireshark reads).
 * Give it to the event 'keylog' of a socket or a server. Whoever has the file can decrypt the sessions in it.
 *
 * When the file cannot be written any more, there is one process warning, and sessions go on without log.
 *
 * @throws ConnectionError ERR_TLS_OPTION at once when the file cannot be opened for appending
 */
export function keyLogFile(path: string): (line: Uint8Array) => void {
  try {
    closeSync(openSync(path, 'a', MODE));
  } catch (cause) {
    throw new ConnectionError(
      'ERR_TLS_OPTION',
      `Cannot write the key log '${path}': ${cause instanceof Error ? cause.message : cause}. ` +
        'Name a file in a folder that exists and that you may write to.',
      { cause },
    );
  }
  let broken = false;
  return (line) => {
    if (broken) return;
    try {
      // At once and line by line: whoever follows the file must have the secret before the record.
      appendFileSync(path, line, { mode: MODE });
    } catch (error) {
      broken = true;
      process.emitWarning(
        `The key log '${path}' is not written any more: ${error instanceof Error ? error.message : error}`,
      );
    }
  };
}

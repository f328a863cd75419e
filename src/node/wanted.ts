import type { CommandWanted, SessionEngine } from '../connection/engine.ts';
import { asTrellisError } from '../errors/errors.ts';
import type { Wanted } from '../handshake/step.ts';

/** Gives the engine its answer. */
type Give = () => void;

/**
 * Does what a session waits for: a signature, a decryption, a command to a module, the identities for a name.
 * @returns what gives the answer to the engine, at once or later. It never throws and never rejects: what fails ends the
 *   session.
 */
export function doWanted(engine: SessionEngine, wanted: Wanted | CommandWanted): Give | Promise<Give> {
  const provide = (answer: Uint8Array): void => engine.provide(answer, Date.now());
  const abandon = (error: unknown): void => engine.abandon(asTrellisError(error));
  try {
    if (wanted.kind === 'command') return given(wanted.perform(), provide, abandon);
    if (wanted.kind === 'signature') {
      return given(wanted.key.sign(wanted.scheme, wanted.input), provide, abandon);
    }
    if (wanted.kind === 'decryption') {
      return given(wanted.key.decrypt(wanted.ciphertext), provide, abandon);
    }
    return given(
      wanted.source.select(wanted.serverName, wanted.wishes),
      (identities) => engine.provideIdentities(identities, Date.now()),
      abandon,
    );
  } catch (error) {
    return () => abandon(error);
  }
}

function given<T extends object>(
  answer: T | Promise<T>,
  give: (answer: T) => void,
  abandon: (error: unknown) => void,
): Give | Promise<Give> {
  if (!('then' in answer)) return () => give(answer);
  return answer.then(
    (later) => () => give(later),
    (error: unknown) => () => abandon(error),
  );
}

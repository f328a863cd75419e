import { type ClientSession, parseSession, serializeSession } from './session.ts';
import { buildSession12, type ClientSession12, FORMAT_12, parseSession12 } from './tls12/session.ts';

/** What a client keeps to resume a session, of whichever version. Holds a secret: store it like a key. */
export type ResumableSession = ClientSession | ClientSession12;

/** Bytes for `getSession()`; read back by `parseResumable`. */
export function serializeResumable(session: ResumableSession): Uint8Array {
  return 'psk' in session ? serializeSession(session) : buildSession12(session);
}

/** @throws DecodeError when the bytes are not a session, or one of another version of this library */
export function parseResumable(bytes: Uint8Array): ResumableSession {
  return bytes[0] === FORMAT_12 ? parseSession12(bytes) : parseSession(bytes);
}

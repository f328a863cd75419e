import { type Suite12, suite12ById } from '../../crypto/suites12.ts';
import { DecodeError } from '../../errors/errors.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import { readIdentity, readPeer, writePeer } from '../session.ts';
import { MASTER_SECRET_LENGTH } from './key-schedule.ts';

/** What both sides keep of a TLS 1.2 session (RFC 5246 §F.1.4, RFC 7627 §5.3). Holds a secret. */
export interface SessionState12 {
  readonly version: number;
  readonly suite: Suite12;
  readonly masterSecret: Uint8Array;
  /** Only sessions with it are resumed unless the configuration does without. */
  readonly extendedMasterSecret: boolean;
  /** Unix milliseconds; kept in whole seconds. */
  readonly createdAt: number;
  readonly serverName: string | undefined;
  /** The peer's certificates, judged again at each resumption. */
  readonly peerChain: readonly Uint8Array[];
  /** The raw public key that it showed in place of them, SubjectPublicKeyInfo; judged again as well. */
  readonly peerKey?: Uint8Array | undefined;
  /** The session began with this external key; it is resumed while that key is still given. */
  readonly pskIdentity?: Uint8Array | undefined;
  /** By which the session began; `undefined` without (EC)DHE. */
  readonly group?: number | undefined;
}

/** What a client keeps to resume a TLS 1.2 session: a session id of the server's, or a ticket. */
export interface ClientSession12 extends SessionState12 {
  /** Empty with a ticket. */
  readonly sessionId: Uint8Array;
  /** Empty without one (RFC 5077 §3.3). */
  readonly ticket: Uint8Array;
  /** Seconds. */
  readonly lifetime: number;
}

/** In `ClientSession` and tickets; those of TLS 1.3 begin otherwise, in each format that they have had. */
export const FORMAT_12 = 0x13;

const utf8 = new TextEncoder();

/** Bytes for a ticket or a session store. */
export function buildState12(state: SessionState12): Uint8Array {
  return writeState(new Writer(256), state).finish();
}

/** @throws DecodeError */
export function parseState12(bytes: Uint8Array): SessionState12 {
  const r = new Reader(bytes, 'session');
  const state = readState(r);
  r.end();
  return state;
}

export function buildSession12(session: ClientSession12): Uint8Array {
  return writeState(new Writer(1024), session)
    .vector(1, session.sessionId)
    .vector(2, session.ticket)
    .u32(session.lifetime)
    .finish();
}

/** @throws DecodeError */
export function parseSession12(bytes: Uint8Array): ClientSession12 {
  const r = new Reader(bytes, 'session');
  const state = readState(r);
  const session = { sessionId: r.vector(1, 0, 32), ticket: r.vector(2), lifetime: r.u32(), ...state };
  r.end();
  return session;
}

function writeState(writer: Writer, state: SessionState12): Writer {
  writer
    .u8(FORMAT_12)
    .u16(state.version)
    .u16(state.suite.id)
    .bytes(state.masterSecret)
    .u8(state.extendedMasterSecret ? 1 : 0)
    .u32(Math.floor(state.createdAt / 1000))
    .vector(2, utf8.encode(state.serverName ?? ''));
  writePeer(writer, state);
  return writer.vector(2, state.pskIdentity ?? NOTHING).u16(state.group ?? NO_GROUP);
}

function readState(r: Reader): SessionState12 {
  if (r.u8() !== FORMAT_12) throw new DecodeError('session: made by another version; it cannot be resumed');
  const version = r.u16();
  const suite = suite12ById(r.u16());
  if (suite === undefined) throw new DecodeError('session: unknown cipher suite');
  const known = {
    version,
    suite,
    masterSecret: r.bytes(MASTER_SECRET_LENGTH),
    extendedMasterSecret: r.u8() === 1,
    createdAt: r.u32() * 1000,
    serverName: new TextDecoder().decode(r.vector(2)) || undefined,
  };
  const peer = readPeer(r);
  return { pskIdentity: readIdentity(r), group: r.u16() || undefined, ...known, ...peer };
}

const NOTHING = new Uint8Array(0);
const NO_GROUP = 0;

import type { Suite } from '../crypto/suites.ts';
import { suiteById } from '../crypto/suites.ts';
import { DecodeError } from '../errors/errors.ts';
import { latin1Bytes, latin1Text } from '../wire/latin1.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';

/** RFC 8446 §4.6.1: a ticket lives at most seven days, whatever the server says. */
export const MAX_TICKET_LIFETIME = 604_800;

/** What a session keeps of who the peer was, to judge it again when it is resumed: never the verdict of then. */
export interface KeptPeer {
  /** DER, end entity first; empty for a raw key, and for a client that showed nothing. */
  readonly peerChain: readonly Uint8Array[];
  /** A raw public key (RFC 7250), SubjectPublicKeyInfo. */
  readonly peerKey?: Uint8Array | undefined;
}

/** What a client keeps to resume a session (RFC 8446 §4.6.1). Holds a secret: store it like a key. */
export interface ClientSession {
  /** TLS 1.3, or DTLS 1.3: it is resumed in its own. */
  readonly version: number;
  readonly suite: Suite;
  readonly psk: Uint8Array;
  readonly ticket: Uint8Array;
  readonly ageAdd: number;
  /** Seconds, at most MAX_TICKET_LIFETIME. */
  readonly lifetime: number;
  /** Unix milliseconds. */
  readonly receivedAt: number;
  /** The name under which the server was authenticated; resumption is for this name only. */
  readonly serverName: string | undefined;
  /** The server's certificates, judged again at each resumption; empty with `peerKey` and with `pskIdentity`. */
  readonly peerChain: readonly Uint8Array[];
  /** The raw public key that it showed in place of them, SubjectPublicKeyInfo; judged again as well. */
  readonly peerKey?: Uint8Array | undefined;
  /** The session began with this external key; it is resumed while that key is still given. */
  readonly pskIdentity?: Uint8Array | undefined;
  /** Bytes of early data that the server would take (max_early_data_size); absent for none. */
  readonly maxEarlyData?: number | undefined;
  /** Early data is for the protocol that was agreed on then (RFC 8446 §4.2.10). */
  readonly alpnProtocol?: string | undefined;
}

export function sessionIsFresh(session: ClientSession, now: number): boolean {
  const age = now - session.receivedAt;
  return age >= 0 && age < session.lifetime * 1000;
}

const FORMAT = 6;
const utf8 = new TextEncoder();

/** Bytes for `getSession()`; read back by `parseSession`. */
export function serializeSession(session: ClientSession): Uint8Array {
  const writer = new Writer(1024)
    .u8(FORMAT)
    .u16(session.version)
    .u16(session.suite.id)
    .vector(1, session.psk)
    .vector(2, session.ticket)
    .u32(session.ageAdd)
    .u32(session.lifetime)
    .u32(Math.floor(session.receivedAt / 1000))
    .vector(2, utf8.encode(session.serverName ?? ''));
  writePeer(writer, session);
  writer.u32(session.maxEarlyData ?? 0).vector(1, latin1Bytes(session.alpnProtocol ?? ''));
  writer.vector(2, session.pskIdentity ?? NOTHING);
  return writer.finish();
}

/** @throws DecodeError when the bytes are not a session of this version */
export function parseSession(bytes: Uint8Array): ClientSession {
  const r = new Reader(bytes, 'session');
  if (r.u8() !== FORMAT) throw new DecodeError('session: made by another version; it cannot be resumed');
  const version = r.u16();
  const suite = suiteById(r.u16());
  if (suite === undefined) throw new DecodeError('session: unknown cipher suite');
  const known = {
    version,
    suite,
    psk: r.vector(1, suite.hashLength, suite.hashLength),
    ticket: r.vector(2, 1),
    ageAdd: r.u32(),
    lifetime: Math.min(r.u32(), MAX_TICKET_LIFETIME),
    receivedAt: r.u32() * 1000,
    serverName: new TextDecoder().decode(r.vector(2)) || undefined,
  };
  const peer = readPeer(r);
  const session = {
    maxEarlyData: r.u32() || undefined,
    alpnProtocol: latin1Text(r.vector(1)) || undefined,
    pskIdentity: readIdentity(r),
    ...known,
    ...peer,
  };
  r.end();
  return session;
}

/** `vector(2)`: an identity has one byte at least (RFC 8446 §4.2.11), and one that is empty in TLS 1.2 is kept as none. */
export function readIdentity(r: Reader): Uint8Array | undefined {
  const identity = r.vector(2);
  return identity.length === 0 ? undefined : new Uint8Array(identity);
}

const NOTHING = new Uint8Array(0);

/** Who the peer was: its certificates, or its raw key, or neither. */
export function writePeer(writer: Writer, { peerChain, peerKey }: KeptPeer): void {
  writeChain(writer, peerChain);
  writer.vector(2, peerKey ?? NOTHING);
}

export function readPeer(reader: Reader): KeptPeer {
  const peerChain = readChain(reader);
  const peerKey = reader.vector(2);
  return { peerChain, peerKey: peerKey.length === 0 ? undefined : new Uint8Array(peerKey) };
}

export function writeChain(writer: Writer, chain: readonly Uint8Array[]): void {
  writer.vector(3, (list) => {
    for (const certificate of chain) list.vector(3, certificate);
  });
}

export function readChain(reader: Reader): Uint8Array[] {
  return reader.list(3, (certificate) => certificate.vector(3, 1));
}

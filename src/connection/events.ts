import type { Suite } from '../crypto/suites.ts';
import type { TrellisError } from '../errors/errors.ts';
import type { Agreement } from '../handshake/established.ts';
import type { KeylogLabel } from '../handshake/io.ts';
import type { ResumableSession } from '../handshake/resumable-session.ts';
import type { RecordLimits } from '../record/tls/record-layer.ts';
import { ProtocolVersion } from '../wire/codepoints.ts';
import type { PeerIdentity } from '../x509/verify.ts';

/** What happened, in order; the reader polls with `nextEvent()`. */
export type ConnectionEvent =
  /** Both Finished messages have been verified. */
  | { readonly type: 'connected' }
  | { readonly type: 'data'; readonly data: Uint8Array }
  /**
   * Server: early data (RFC 8446 §2.3), before 'connected'. Whoever recorded it could send it again within the bounds of
   * the server's guard, and the client has not proven yet that it is there: act on it only where that does no harm.
   */
  | { readonly type: 'early-data'; readonly data: Uint8Array }
  /** Client: this session can be resumed. */
  | { readonly type: 'ticket'; readonly session: ResumableSession }
  /** Server: the client has answered `requestCertificate`; `info.peer` is who it is now, nobody where it showed nothing. */
  | { readonly type: 'authenticated' }
  /** One line of SSLKEYLOGFILE, without its newline. */
  | { readonly type: 'keylog'; readonly line: string }
  /** The peer's close_notify: it will send no more. */
  | { readonly type: 'end' }
  /** The session failed. At most once, and nothing follows. */
  | { readonly type: 'error'; readonly error: TrellisError };

/** What the handshake settled, once it is complete. */
export interface ConnectionInfo extends Agreement {
  readonly protocol: 'TLSv1.3' | 'TLSv1.2' | 'TLSv1.1' | 'TLSv1' | 'DTLSv1.3' | 'DTLSv1.2' | 'DTLSv1';
  readonly peer: PeerIdentity | undefined;
  /** Transcript-Hash(ClientHello … client Finished), which bindings to this session are made from. */
  readonly transcriptHash: Uint8Array;
  /** Names of the sub-protocols that were negotiated. */
  readonly subProtocols: readonly string[];
}

/** Names of versions, as node:tls has them. */
export const PROTOCOL_NAME: Readonly<Record<number, ConnectionInfo['protocol']>> = {
  [ProtocolVersion.tls13]: 'TLSv1.3',
  [ProtocolVersion.tls12]: 'TLSv1.2',
  [ProtocolVersion.tls11]: 'TLSv1.1',
  [ProtocolVersion.tls10]: 'TLSv1',
  [ProtocolVersion.dtls13]: 'DTLSv1.3',
  [ProtocolVersion.dtls12]: 'DTLSv1.2',
  [ProtocolVersion.dtls10]: 'DTLSv1',
};

/** A session at one moment, for another record layer: both traffic secrets (RFC 8446 §7.2) and where they stand. */
export interface TrafficState {
  readonly suite: Suite;
  readonly read: { readonly secret: Uint8Array; readonly sequence: number };
  readonly write: { readonly secret: Uint8Array; readonly sequence: number };
  readonly limits: RecordLimits;
}

/** A line of SSLKEYLOGFILE. */
export function keylogLine(label: KeylogLabel, clientRandom: Uint8Array, secret: Uint8Array): string {
  return `${label} ${hex(clientRandom)} ${hex(secret)}`;
}

function hex(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += byte.toString(16).padStart(2, '0');
  return text;
}

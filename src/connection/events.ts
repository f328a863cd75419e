import type { TrellisError } from '../errors/errors.ts';
import type { Agreement } from '../handshake/established.ts';
import type { ResumableSession } from '../handshake/resumable-session.ts';
import type { PeerIdentity } from '../x509/verify.ts';

/** What happened, in order; the reader polls with `nextEvent()`. */
export type ConnectionEvent =
  /** Both Finished messages have been verified. */
  | { readonly type: 'connected' }
  | { readonly type: 'data'; readonly data: Uint8Array }
  /** Client: this session can be resumed. */
  | { readonly type: 'ticket'; readonly session: ResumableSession }
  /** One line of SSLKEYLOGFILE, without its newline. */
  | { readonly type: 'keylog'; readonly line: string }
  /** The peer's close_notify: it will send no more. */
  | { readonly type: 'end' }
  /** The session failed. At most once, and nothing follows. */
  | { readonly type: 'error'; readonly error: TrellisError };

/** What the handshake settled, once it is complete. */
export interface ConnectionInfo extends Agreement {
  readonly protocol: 'TLSv1.3' | 'TLSv1.2';
  readonly peer: PeerIdentity | undefined;
  /** Names of the sub-protocols that were negotiated. */
  readonly subProtocols: readonly string[];
}

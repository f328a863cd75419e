import type { SubProtocolFactory } from '../../connection/sub-protocol.ts';
import type { ClientConfig } from '../../handshake/config.ts';
import type { Extension } from '../../messages/extensions.ts';
import type { Dialer } from './dialer.ts';

/** What is known of the server after the first handshake, for all questions after it. */
export interface Subject {
  readonly dialer: Dialer;
  readonly serverName: string | undefined;
  /** Offers of multiplexing and signing, where the server has answered them: it may serve nobody without. */
  readonly extensions: readonly Extension[];
  /** The same, for handshakes of this engine. */
  protocols(): readonly SubProtocolFactory[];
  /** A configuration of this engine that takes every certificate. */
  configure(changes: Partial<ClientConfig>): ClientConfig;
}

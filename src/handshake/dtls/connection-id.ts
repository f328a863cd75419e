import { connectionId, type Extension } from '../../messages/extensions.ts';
import { ExtensionType } from '../../wire/codepoints.ts';
import type { ClientConfig, ServerConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { optionalExtension } from '../tls13/shared.ts';

/*
 * Connection IDs (RFC 9146 §3, RFC 9147 §9): each side says in its hello what it wants to see in the records of the other,
 * an empty one where it only does the other the favour. They begin with the first protected record.
 */

/** Client: for ClientHello. */
export function connectionIdOffer({ datagrams }: ClientConfig): Extension[] {
  const own = datagrams?.connectionId;
  return own === undefined ? [] : [{ type: ExtensionType.connection_id, body: connectionId.build(own) }];
}

/** Server: for ServerHello. */
export function answerConnectionId(
  { datagrams }: ServerConfig,
  offered: readonly Extension[],
  io: HandshakeIO,
): Extension[] {
  const own = datagrams?.connectionId;
  const theirs = optionalExtension(offered, ExtensionType.connection_id, connectionId.parse);
  if (own === undefined || theirs === undefined) return [];
  io.useConnectionIds({ receiving: own, sending: theirs });
  return [{ type: ExtensionType.connection_id, body: connectionId.build(own) }];
}

/** Client: what ServerHello says. */
export function confirmConnectionId(
  { datagrams }: ClientConfig,
  answered: readonly Extension[],
  io: HandshakeIO,
): void {
  const own = datagrams?.connectionId;
  const theirs = optionalExtension(answered, ExtensionType.connection_id, connectionId.parse);
  if (own !== undefined && theirs !== undefined) io.useConnectionIds({ receiving: own, sending: theirs });
}

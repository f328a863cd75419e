import { TlsError } from '../errors/errors.ts';
import { HandshakeType } from '../wire/codepoints.ts';
import { Reader } from '../wire/reader.ts';
import { type Extension, readExtensions, writeExtensions } from './extensions.ts';
import { handshakeMessage } from './handshake.ts';

/**
 * ```
 * struct {
 *     uint32 ticket_lifetime;          // seconds
 *     uint32 ticket_age_add;
 *     opaque ticket_nonce<0..255>;
 *     opaque ticket<1..2^16-1>;
 *     Extension extensions<0..2^16-2>;
 * } NewSessionTicket;                  // RFC 8446 §4.6.1
 * ```
 */
export interface NewSessionTicket {
  readonly lifetime: number;
  readonly ageAdd: number;
  readonly nonce: Uint8Array;
  readonly ticket: Uint8Array;
  readonly extensions: readonly Extension[];
}

export function parseNewSessionTicket(body: Uint8Array): NewSessionTicket {
  const r = new Reader(body, 'NewSessionTicket');
  const message = {
    lifetime: r.u32(),
    ageAdd: r.u32(),
    nonce: r.vector(1),
    ticket: r.vector(2, 1),
    extensions: readExtensions(r),
  };
  r.end();
  return message;
}

export function buildNewSessionTicket(message: NewSessionTicket): Uint8Array {
  return handshakeMessage(HandshakeType.new_session_ticket, (w) => {
    w.u32(message.lifetime).u32(message.ageAdd).vector(1, message.nonce).vector(2, message.ticket);
    writeExtensions(w, message.extensions);
  });
}

/**
 * `KeyUpdateRequest request_update;`, RFC 8446 §4.6.3: 0 update_not_requested, 1 update_requested.
 * @returns whether the peer wants an update from us as well
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for any other value
 */
export function parseKeyUpdate(body: Uint8Array): boolean {
  const r = new Reader(body, 'KeyUpdate');
  const request = r.u8();
  r.end();
  if (request > 1) throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `KeyUpdate: request_update is ${request}`);
  return request === 1;
}

export function buildKeyUpdate(requestUpdate: boolean): Uint8Array {
  return handshakeMessage(HandshakeType.key_update, (w) => w.u8(requestUpdate ? 1 : 0));
}

import { DecodeError, TlsError } from '../../errors/errors.ts';
import {
  findExtension,
  recordSizeLimit,
  selectedProtocol,
  signedCertificateTimestamps,
} from '../../messages/extensions.ts';
import type { ServerHello } from '../../messages/hello.ts';
import { ExtensionType } from '../../wire/codepoints.ts';
import { Reader } from '../../wire/reader.ts';
import { type CertificateTypes, confirmedCertificateTypes } from '../certificate-types.ts';
import type { ClientConfig, HelloExtensions, Tls12Config } from '../config.ts';
import type { ClientOffer } from '../tls13/client-hello.ts';
import { optionalExtension, requireKnownPlace } from '../tls13/shared.ts';
import type { Protocol12 } from './protocol.ts';
import type { ClientSession12 } from './session.ts';
import { hasConnectionIds, requiresExtendedMasterSecret } from './shared.ts';

/** What the extensions of a ServerHello of TLS 1.2 or before say. */
export interface ServerAnswer {
  readonly extendedMasterSecret: boolean;
  readonly types: CertificateTypes;
  readonly alpnProtocol: string | undefined;
  /** A NewSessionTicket will come. */
  readonly sendsTicket: boolean;
  /** A CertificateStatus may come. */
  readonly sendsStatus: boolean;
  /** Largest content of a record that the server takes (RFC 8449 §4). */
  readonly recordSizeLimit: number | undefined;
  /** Of the server's certificate, as they came. */
  readonly scts: readonly Uint8Array[] | undefined;
}

const IN_SERVER_HELLO_12: readonly number[] = [
  ExtensionType.server_name,
  ExtensionType.status_request,
  ExtensionType.signed_certificate_timestamp,
  ExtensionType.client_certificate_type,
  ExtensionType.server_certificate_type,
  // Not the server's to send (RFC 8422 §5.1.1), but some do; it says nothing to us.
  ExtensionType.supported_groups,
  ExtensionType.ec_point_formats,
  ExtensionType.application_layer_protocol_negotiation,
  ExtensionType.extended_master_secret,
  ExtensionType.session_ticket,
  ExtensionType.record_size_limit,
  ExtensionType.renegotiation_info,
  ExtensionType.encrypt_then_mac,
  ExtensionType.connection_id,
];

/** @param resumed the session that the server resumes */
export function readServerHelloExtensions(
  {
    config,
    extensions: handlers,
    tls12,
  }: { readonly config: ClientConfig; readonly extensions: HelloExtensions; readonly tls12: Tls12Config },
  protocol: Protocol12,
  offer: ClientOffer,
  { extensions }: ServerHello,
  resumed: ClientSession12 | undefined,
): ServerAnswer {
  const own = IN_SERVER_HELLO_12.filter(
    (type) => type !== ExtensionType.connection_id || hasConnectionIds(protocol),
  );
  const allowed = [...own, ...handlers.map(({ extensionType }) => extensionType)];
  const offered = offer.hello.extensions.map(({ type }) => type);
  requireKnownPlace('ServerHello', extensions, allowed, offered);
  optionalExtension(extensions, ExtensionType.server_name, empty('server_name'));
  optionalExtension(extensions, ExtensionType.ec_point_formats, checkPointFormats);
  checkRenegotiationInfo(findExtension(extensions, ExtensionType.renegotiation_info), tls12);
  const extendedMasterSecret =
    optionalExtension(extensions, ExtensionType.extended_master_secret, empty('extended_master_secret')) ??
    false;
  checkExtendedMasterSecret(extendedMasterSecret, requiresExtendedMasterSecret(tls12, protocol), resumed);
  const sendsTicket =
    optionalExtension(extensions, ExtensionType.session_ticket, empty('session_ticket')) ?? false;
  const limit = optionalExtension(extensions, ExtensionType.record_size_limit, recordSizeLimit.parse);
  if (limit !== undefined && limit > 2 ** 14) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `record_size_limit of ${limit}, more than TLS 1.2 has`);
  }
  const sendsStatus =
    optionalExtension(extensions, ExtensionType.status_request, empty('status_request')) ?? false;
  const scts = optionalExtension(
    extensions,
    ExtensionType.signed_certificate_timestamp,
    signedCertificateTimestamps.parse,
  );
  const alpnProtocol = optionalExtension(
    extensions,
    ExtensionType.application_layer_protocol_negotiation,
    selectedProtocol,
  );
  if (alpnProtocol !== undefined && !config.alpnProtocols.includes(alpnProtocol)) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The server selected a protocol that ALPN did not offer');
  }
  const { serverName } = config;
  for (const handler of handlers) {
    const answered = findExtension(extensions, handler.extensionType);
    if (answered !== undefined && !extendedMasterSecret) {
      // Without it, what they bind to this session may hold for another as well (RFC 7627 §1).
      throw new TlsError(
        'ERR_TLS_HANDSHAKE_FAILURE',
        'The server agrees to a sub-protocol without extended_master_secret',
      );
    }
    handler.confirm(answered, { serverName, alpnProtocol });
  }
  const types = confirmedCertificateTypes(config, extensions);
  return {
    extendedMasterSecret,
    types,
    alpnProtocol,
    sendsTicket,
    sendsStatus,
    scts,
    recordSizeLimit: limit,
  };
}

/** RFC 7627 §5.2 and §5.3. */
function checkExtendedMasterSecret(
  answered: boolean,
  isRequired: boolean,
  resumed: ClientSession12 | undefined,
): void {
  if (resumed !== undefined && resumed.extendedMasterSecret !== answered) {
    throw new TlsError(
      'ERR_TLS_HANDSHAKE_FAILURE',
      'The server resumes a session with another answer to extended_master_secret than it had',
    );
  }
  if (!answered && isRequired) {
    throw new TlsError(
      'ERR_TLS_HANDSHAKE_FAILURE',
      'The server does not know extended_master_secret (RFC 7627), which is required here',
    );
  }
}

/** RFC 5746 §3.4: present and empty, or whoever was connected to the server before us may have begun this session. */
function checkRenegotiationInfo(
  body: Uint8Array | undefined,
  { requireSecureRenegotiation }: Tls12Config,
): void {
  // §4.1: for the sake of old servers a client may do without.
  if (body === undefined && requireSecureRenegotiation === false) return;
  if (body !== undefined && body.length === 1 && body[0] === 0) return;
  throw new TlsError(
    'ERR_TLS_HANDSHAKE_FAILURE',
    body === undefined
      ? 'The server does not know renegotiation_info (RFC 5746); it must be updated'
      : 'ServerHello renegotiates a session that does not exist',
  );
}

/** `ECPointFormat ec_point_format_list<1..2^8-1>`, RFC 8422 §5.1.2: uncompressed is mandatory. */
export function checkPointFormats(body: Uint8Array): true {
  const r = new Reader(body, 'ec_point_formats');
  const formats = r.vector(1, 1);
  r.end();
  if (!formats.includes(0)) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ec_point_formats: without the uncompressed one');
  }
  return true;
}

export function empty(name: string): (body: Uint8Array) => true {
  return (body) => {
    if (body.length > 0) throw new DecodeError(`${name}: ${body.length} bytes in an empty extension`);
    return true;
  };
}

import { TlsError } from '../../errors/errors.ts';
import {
  certificateAuthorities,
  compressCertificate,
  protocolNameList,
  recordSizeLimit,
  serverNameList,
  signatureAlgorithms,
  statusRequest,
  supportedGroups,
} from '../../messages/extensions.ts';
import type { ClientHello } from '../../messages/hello.ts';
import { CipherSuite, ExtensionType } from '../../wire/codepoints.ts';
import { type OfferedCertificateTypes, readOfferedTypes } from '../certificate-types.ts';
import type { Tls12Config } from '../config.ts';
import { optionalExtension } from '../tls13/shared.ts';
import type { Protocol12 } from './protocol.ts';
import { checkPointFormats, empty } from './server-hello-check.ts';
import { requiresExtendedMasterSecret } from './shared.ts';

/** A ClientHello that has passed the checks of TLS 1.2, its extensions read. */
export interface CheckedClientHello12 {
  readonly hello: ClientHello;
  readonly serverName: string | undefined;
  readonly protocols: readonly string[] | undefined;
  /** Absent when the client leaves the choice to us (RFC 8422 §4). */
  readonly groups: readonly number[] | undefined;
  /** `undefined` before TLS 1.2, where the kind of key says how it signs. */
  readonly schemes: readonly number[] | undefined;
  readonly extendedMasterSecret: boolean;
  readonly certificateTypes: OfferedCertificateTypes;
  /** The client knows RFC 5746: by the extension or by the signalling value. */
  readonly secureRenegotiation: boolean;
  readonly sendsPointFormats: boolean;
  readonly encryptThenMac: boolean;
  /** The client asks for an OCSP response, for timestamps (RFC 6066 §8, RFC 6962 §3.3.1). */
  readonly wantsOcsp: boolean;
  readonly wantsScts: boolean;
  readonly recordSizeLimit: number | undefined;
  /** DER names of CAs that the client would like to see; of TLS 1.3 (RFC 8446 §4.2.4), and no less of use here. */
  readonly authorities: readonly Uint8Array[] | undefined;
  /** Empty when it takes a ticket and has none; absent when it takes none (RFC 5077 §3.2). */
  readonly ticket: Uint8Array | undefined;
}

export function checkClientHello12(
  hello: ClientHello,
  tls12: Tls12Config,
  protocol: Protocol12,
): CheckedClientHello12 {
  const { extensions } = hello;
  const read = <T>(type: number, parse: (body: Uint8Array) => T): T | undefined =>
    optionalExtension(extensions, type, parse);

  if (!hello.legacyCompressionMethods.includes(0)) {
    // RFC 5246 §7.4.1.2: it MUST contain the null method.
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ClientHello does not offer to leave data uncompressed');
  }
  const renegotiation = read(ExtensionType.renegotiation_info, checkRenegotiationInfo) ?? false;
  const extendedMasterSecret =
    read(ExtensionType.extended_master_secret, empty('extended_master_secret')) ?? false;
  if (!extendedMasterSecret && requiresExtendedMasterSecret(tls12, protocol)) {
    // RFC 7627 §5.2: a server that wants to be safe SHOULD abort.
    throw new TlsError(
      'ERR_TLS_HANDSHAKE_FAILURE',
      'The client does not know extended_master_secret (RFC 7627), which is required here',
    );
  }
  const schemes = read(ExtensionType.signature_algorithms, signatureAlgorithms.parse);
  const pointFormats = read(ExtensionType.ec_point_formats, checkPointFormats);
  // For TLS 1.3 alone (RFC 8879 §3); what is malformed is refused all the same.
  read(ExtensionType.compress_certificate, compressCertificate.parse);
  return {
    hello,
    serverName: read(ExtensionType.server_name, serverNameList.parse),
    protocols: read(ExtensionType.application_layer_protocol_negotiation, protocolNameList.parse),
    groups: read(ExtensionType.supported_groups, supportedGroups.parse),
    // Without it SHA-1 would be meant (RFC 5246 §7.4.1.4.1), with which nothing is signed here.
    schemes: protocol.namesSchemes ? (schemes ?? []) : undefined,
    extendedMasterSecret,
    certificateTypes: readOfferedTypes(extensions),
    secureRenegotiation:
      renegotiation || hello.cipherSuites.includes(CipherSuite.TLS_EMPTY_RENEGOTIATION_INFO_SCSV),
    sendsPointFormats: pointFormats ?? false,
    encryptThenMac: read(ExtensionType.encrypt_then_mac, empty('encrypt_then_mac')) ?? false,
    wantsOcsp: read(ExtensionType.status_request, statusRequest.parse) ?? false,
    wantsScts:
      read(ExtensionType.signed_certificate_timestamp, empty('signed_certificate_timestamp')) ?? false,
    authorities: read(ExtensionType.certificate_authorities, certificateAuthorities.parse),
    recordSizeLimit: read(ExtensionType.record_size_limit, recordSizeLimit.parse),
    ticket: read(ExtensionType.session_ticket, (body) => body),
  };
}

/** RFC 5746 §3.6: in a first handshake, renegotiated_connection MUST be empty. */
function checkRenegotiationInfo(body: Uint8Array): true {
  if (body.length === 1 && body[0] === 0) return true;
  throw new TlsError('ERR_TLS_HANDSHAKE_FAILURE', 'ClientHello renegotiates a session that does not exist');
}

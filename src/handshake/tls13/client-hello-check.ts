import type { Suite } from '../../crypto/suites.ts';
import { DecodeError, TlsError } from '../../errors/errors.ts';
import {
  certificateAuthorities,
  compressCertificate,
  earlyDataIndication,
  type KeyShareEntry,
  keyShareClientHello,
  type OfferedPsks,
  offeredPsks,
  postHandshakeAuth,
  protocolNameList,
  pskKeyExchangeModes,
  recordSizeLimit,
  serverNameList,
  signatureAlgorithms,
  statusRequest,
  supportedGroups,
  supportedVersions,
} from '../../messages/extensions.ts';
import type { ClientHello } from '../../messages/hello.ts';
import { ExtensionType, PskKeyExchangeMode } from '../../wire/codepoints.ts';
import { type OfferedCertificateTypes, readOfferedTypes } from '../certificate-types.ts';
import type { ServerConfig } from '../config.ts';
import { versionNumbers } from '../versions.ts';
import { optionalExtension } from './shared.ts';

/** A ClientHello that has passed the checks of RFC 8446 §4.1.2, §4.2 and §9.2, its extensions read. */
export interface CheckedClientHello {
  readonly hello: ClientHello;
  readonly serverName: string | undefined;
  readonly protocols: readonly string[] | undefined;
  /** Both empty where only a PSK can serve (psk_ke). */
  readonly groups: readonly number[];
  readonly shares: readonly KeyShareEntry[];
  /** Schemes for CertificateVerify; absent only beside a PSK. */
  readonly schemes: readonly number[] | undefined;
  /** Absent as well when the client offers no mode that we have. */
  readonly psks: OfferedPsks | undefined;
  /** The client can resume in a mode that we have: tickets are of use to it (§4.2.9). */
  readonly wantsTickets: boolean;
  /** A PSK may serve beside a key exchange; alone, where the configuration allows that. */
  readonly offersPskDhe: boolean;
  readonly offersPskOnly: boolean;
  /** What the client wants beside our certificate. */
  readonly wantsOcsp: boolean;
  readonly wantsScts: boolean;
  readonly offersEarlyData: boolean;
  /** CertificateCompressionAlgorithm values that the client can expand. */
  readonly compression: readonly number[] | undefined;
  readonly recordSizeLimit: number | undefined;
  readonly postHandshakeAuth: boolean;
  readonly certificateTypes: OfferedCertificateTypes;
  /** DER names of CAs that the client would like to see. */
  readonly authorities: readonly Uint8Array[] | undefined;
}

export function checkClientHello(config: ServerConfig, hello: ClientHello): CheckedClientHello {
  const { extensions } = hello;
  const read = <T>(type: number, parse: (body: Uint8Array) => T): T | undefined =>
    optionalExtension(extensions, type, parse);

  const versions = read(ExtensionType.supported_versions, supportedVersions.parse);
  if (versions === undefined || !versions.includes(versionNumbers(config).tls13)) {
    // After a HelloRetryRequest there is no way back.
    throw new TlsError('ERR_TLS_UNSUPPORTED_VERSION', 'The client does not offer TLS 1.3');
  }
  if (hello.legacyCompressionMethods.length !== 1 || hello.legacyCompressionMethods[0] !== 0) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ClientHello offers compression methods');
  }
  if (hello.legacyCookie !== undefined && hello.legacyCookie.length > 0) {
    // RFC 9147 §5.3: the field is for DTLS 1.2.
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'legacy_cookie of a DTLS 1.3 ClientHello is not empty');
  }
  const groups = read(ExtensionType.supported_groups, supportedGroups.parse);
  const shares = read(ExtensionType.key_share, keyShareClientHello.parse);
  const schemes = read(ExtensionType.signature_algorithms, signatureAlgorithms.parse);
  // Not used to choose a chain: a client that trusts only some algorithms is told nothing new by a refusal.
  read(ExtensionType.signature_algorithms_cert, signatureAlgorithms.parse);
  // Nor is this; what is malformed is refused all the same.
  const psks = read(ExtensionType.pre_shared_key, offeredPsks.parse);
  const modes = read(ExtensionType.psk_key_exchange_modes, pskKeyExchangeModes.parse);
  if (psks !== undefined && modes === undefined) {
    throw missing('psk_key_exchange_modes', 'pre_shared_key'); // §4.2.9
  }
  const offersPskDhe = modes?.includes(PskKeyExchangeMode.psk_dhe_ke) ?? false;
  const offersPskOnly =
    config.pskOnlyKeyExchange === true && (modes?.includes(PskKeyExchangeMode.psk_ke) ?? false);
  const needsExchange = psks === undefined || !offersPskOnly;
  if ((groups === undefined) !== (shares === undefined) || (groups === undefined && needsExchange)) {
    // §9.2: each requires the other, and only a PSK that serves alone can do without both.
    throw missing(groups === undefined ? 'supported_groups' : 'key_share', 'a key exchange');
  }
  if (schemes === undefined && psks === undefined) {
    throw missing('signature_algorithms', 'a server certificate'); // §4.2.3
  }
  checkShares(groups ?? [], shares ?? []);
  const wantsTickets = offersPskDhe || offersPskOnly;
  return {
    hello,
    serverName: read(ExtensionType.server_name, serverNameList.parse),
    protocols: read(ExtensionType.application_layer_protocol_negotiation, protocolNameList.parse),
    groups: groups ?? [],
    shares: shares ?? [],
    schemes,
    psks: wantsTickets ? psks : undefined,
    wantsTickets,
    offersPskDhe,
    offersPskOnly,
    offersEarlyData: read(ExtensionType.early_data, earlyDataIndication.parse) !== undefined,
    postHandshakeAuth: read(ExtensionType.post_handshake_auth, postHandshakeAuth.parse) !== undefined,
    certificateTypes: readOfferedTypes(extensions),
    authorities: read(ExtensionType.certificate_authorities, certificateAuthorities.parse),
    compression: read(ExtensionType.compress_certificate, compressCertificate.parse),
    recordSizeLimit: read(ExtensionType.record_size_limit, recordSizeLimit.parse),
    wantsOcsp: read(ExtensionType.status_request, statusRequest.parse) ?? false,
    wantsScts: read(ExtensionType.signed_certificate_timestamp, emptyBody) ?? false,
  };
}

function emptyBody(body: Uint8Array): true {
  if (body.length > 0) throw new DecodeError('signed_certificate_timestamp: not empty in a ClientHello');
  return true;
}

/** §4.2.8: one share a group, and only for groups that are in supported_groups. */
function checkShares(groups: readonly number[], shares: readonly KeyShareEntry[]): void {
  // Sets, because a hostile hello may have thousands of both.
  const known = new Set(groups);
  const seen = new Set<number>();
  for (const { group } of shares) {
    if (seen.has(group) || !known.has(group)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'key_share: a group that is repeated or not in supported_groups',
      );
    }
    seen.add(group);
  }
}

function missing(extension: string, because: string): TlsError {
  return new TlsError('ERR_TLS_MISSING_EXTENSION', `ClientHello has no ${extension}, needed for ${because}`);
}

/** Our preference among what the client offers. */
export function chooseSuite(config: ServerConfig, { hello }: CheckedClientHello): Suite {
  const suite = config.suites.find(({ id }) => hello.cipherSuites.includes(id));
  if (suite === undefined)
    throw new TlsError('ERR_TLS_NO_SHARED_CIPHER', 'The client offers no cipher suite that we use');
  return suite;
}

/**
 * A group with a share if there is one, else a shared group to ask for (§4.1.1).
 * @param psk there is one for this client: where they share no group, it may serve alone
 * @returns `undefined` for psk_ke
 */
export function chooseGroup(
  config: ServerConfig,
  { groups, shares, offersPskDhe, offersPskOnly }: CheckedClientHello,
  psk: boolean,
): { readonly group: number; readonly share: Uint8Array | undefined } | undefined {
  const shared = config.groups.filter((group) => groups.includes(group));
  const [first] = shared;
  // §4.2.9: MUST NOT select a mode that the client does not list. With (EC)DHE where possible, for forward secrecy.
  if (psk && offersPskOnly && (first === undefined || !offersPskDhe)) return undefined;
  if (first === undefined) {
    if (groups.length === 0)
      throw new TlsError('ERR_TLS_NO_SHARED_PSK', 'No pre-shared key of the client is known here');
    throw new TlsError('ERR_TLS_NO_SHARED_GROUP', 'The client offers no group that we use');
  }
  const group = shared.find((candidate) => shares.some((share) => share.group === candidate)) ?? first;
  return { group, share: shares.find((share) => share.group === group)?.keyExchange };
}

/** RFC 7301 §3.2. */
export function chooseProtocol(
  config: ServerConfig,
  { protocols }: Pick<CheckedClientHello, 'protocols'>,
  serverName: string | undefined,
): string | undefined {
  if (protocols === undefined || config.selectProtocol === undefined) return undefined;
  const selected = config.selectProtocol(protocols, serverName);
  if (selected !== undefined && !protocols.includes(selected))
    throw new TlsError('ERR_TLS_INTERNAL', 'A protocol was selected that the client does not offer');
  if (selected === undefined) {
    throw new TlsError(
      'ERR_TLS_NO_APPLICATION_PROTOCOL',
      `None of the client's ${protocols.length} application protocols is served here`,
    );
  }
  return selected;
}

import { type CryptoProvider, HASH_LENGTH, type HashName, type KeyExchange } from '../../crypto/provider.ts';
import { ConnectionError, TlsError } from '../../errors/errors.ts';
import {
  bindersLength,
  certificateAuthorities,
  cookie,
  type Extension,
  keyShareClientHello,
  offeredPsks,
  protocolNameList,
  pskKeyExchangeModes,
  recordSizeLimit,
  serverNameList,
  signatureAlgorithms,
  statusRequest,
  supportedGroups,
  supportedVersions,
} from '../../messages/extensions.ts';
import { buildClientHello, type ClientHello } from '../../messages/hello.ts';
import { CipherSuite, ExtensionType, PskKeyExchangeMode } from '../../wire/codepoints.ts';
import { Reader } from '../../wire/reader.ts';
import { offeredCertificateTypes } from '../certificate-types.ts';
import type { ClientConfig, HelloExtensions } from '../config.ts';
import { connectionIdOffer } from '../dtls/connection-id.ts';
import type { HandshakeIO } from '../io.ts';
import { finishedMac } from '../key-schedule.ts';
import type { ClientSession } from '../session.ts';
import {
  extensions12,
  type OfferedSession12,
  offerableSession12,
  offeredSuites12,
} from '../tls12/client-hello.ts';
import { spokenProtocols12 } from '../tls12/protocol.ts';
import { pointGroups } from '../tls12/shared.ts';
import { Transcript } from '../transcript.ts';
import { newestBeforeTls13, speaksTls13, spokenVersions } from '../versions.ts';
import { type OfferedPsk, offeredPsksOf } from './client-psk.ts';
import { compressionOffer } from './compression.ts';
import { greased } from './grease.ts';

/** A ClientHello as sent, with the private halves that its answer needs. */
export interface ClientOffer {
  readonly hello: ClientHello;
  readonly raw: Uint8Array;
  readonly keyExchanges: ReadonlyMap<number, KeyExchange>;
  /** In the order of their identities. */
  readonly psks: readonly OfferedPsk[];
  /** For a server that goes no further than TLS 1.2. */
  readonly session12: OfferedSession12 | undefined;
  /** The session under whose first key early data is offered. */
  readonly early: ClientSession | undefined;
}

export function makeFirstOffer(
  config: ClientConfig,
  extensions: HelloExtensions,
  io: HandshakeIO,
): ClientOffer {
  if (spokenVersions(config).length === 0) {
    throw new ConnectionError(
      'ERR_TLS_OPTION',
      config.datagrams === undefined
        ? "No version of TLS is left between minVersion and maxVersion; 'dtls1.0' in legacy is for datagrams"
        : "No version of DTLS is left between minVersion and maxVersion; name 'dtls1.0' in legacy for DTLS 1.0",
    );
  }
  const shares = speaksTls13(config) ? config.keyShares : [];
  const keyExchanges = new Map(shares.map((group) => [group, beginKeyExchange(io, group)]));
  const psks = speaksTls13(config) ? offeredPsksOf(config, io) : [];
  const session12 = offerableSession12(config, io);
  const plain: ClientHello = {
    legacyVersion: newestBeforeTls13(config),
    random: io.crypto.randomBytes(32),
    legacySessionId: sessionId(config, session12, io),
    legacyCookie: config.datagrams === undefined ? undefined : NOTHING,
    cipherSuites: cipherSuites(config),
    legacyCompressionMethods: NO_COMPRESSION,
    extensions: helloExtensions(config, extensions, keyExchanges, session12),
  };
  const ordered = config.grease === true ? greased(plain, io.crypto) : plain;
  const hello =
    config.permuteExtensions === true
      ? { ...ordered, extensions: permuted(ordered.extensions, io.crypto) }
      : ordered;
  const early = earlySession(config, psks);
  const indicated = early === undefined ? hello : { ...hello, extensions: [...hello.extensions, EARLY_DATA] };
  return finishOffer(indicated, { keyExchanges, psks, session12, early }, undefined, io);
}

/** In another order each time (§4.2 leaves it free), so that no one comes to rely on one. pre_shared_key is added behind. */
function permuted(extensions: readonly Extension[], crypto: CryptoProvider): Extension[] {
  const random = new Reader(crypto.randomBytes(4 * extensions.length), 'random bytes');
  const drawn = extensions.map((extension) => ({ extension, order: random.u32() }));
  return drawn.sort((a, b) => a.order - b.order).map(({ extension }) => extension);
}

function cipherSuites(config: ClientConfig): readonly number[] {
  const suites = [...config.suites, ...offeredSuites12(config)].map((suite) => suite.id);
  return config.fallback === true ? [...suites, CipherSuite.TLS_FALLBACK_SCSV] : suites;
}

/**
 * A session of TLS 1.2 that has an id; for one that has a ticket, an id by whose echo the server tells that it took the
 * ticket (RFC 5077 §3.4). Else what compatibility mode demands (RFC 8446 §D.4).
 */
function sessionId(config: ClientConfig, offered: OfferedSession12 | undefined, io: HandshakeIO): Uint8Array {
  if (offered !== undefined && offered.session.sessionId.length > 0) return offered.session.sessionId;
  const needed = offered !== undefined || (config.compatibility && speaksTls13(config));
  return needed ? io.crypto.randomBytes(32) : NOTHING;
}

/** §4.2.10: early data goes under the first key, with the suite and the protocol of its session. */
function earlySession(config: ClientConfig, [first]: readonly OfferedPsk[]): ClientSession | undefined {
  const session = first?.session;
  if (config.earlyData !== true || session?.maxEarlyData === undefined) return undefined;
  const { suite, alpnProtocol } = session;
  if (!config.suites.includes(suite)) return undefined;
  return alpnProtocol === undefined || config.alpnProtocols.includes(alpnProtocol) ? session : undefined;
}

/** A ClientHello that was sent. */
export interface SentOffer extends ClientOffer {
  /** As the transcript of TLS 1.2 has it. */
  readonly raw12: Uint8Array;
}

/** What a HelloRetryRequest changes (RFC 8446 §4.1.2). */
export interface RetryRequest {
  readonly group: number | undefined;
  readonly cookie: Uint8Array | undefined;
  /** Over ClientHello1's hash and the HelloRetryRequest. */
  readonly transcript: Transcript;
  /** Of the suite now chosen: PSKs with another one can no longer be used (§4.1.4). */
  readonly hash: HashName;
}

export function makeSecondOffer(first: ClientOffer, retry: RetryRequest, io: HandshakeIO): ClientOffer {
  const { group } = retry;
  const keyExchanges =
    group === undefined ? first.keyExchanges : new Map([[group, beginKeyExchange(io, group)]]);
  const extensions: Extension[] = [];
  for (const extension of first.hello.extensions) {
    if (extension.type === ExtensionType.pre_shared_key) continue;
    // §4.1.2: removed if it was present; early data is not for a second flight.
    if (extension.type === ExtensionType.early_data) continue;
    const changed = extension.type === ExtensionType.key_share;
    extensions.push(changed ? keyShareExtension(keyExchanges) : extension);
  }
  if (retry.cookie !== undefined) {
    // First: in DTLS a server wants to see it in the first fragment, before it keeps any.
    extensions.unshift({ type: ExtensionType.cookie, body: cookie.build(retry.cookie) });
  }
  const psks = first.psks.filter(({ hash }) => hash === retry.hash);
  // Who asks for a retry speaks TLS 1.3.
  const offer = { keyExchanges, psks, session12: undefined, early: undefined };
  return finishOffer({ ...first.hello, extensions }, offer, retry.transcript, io);
}

/** DTLS 1.2: the same ClientHello, with the cookie of a HelloVerifyRequest (RFC 6347 §4.2.1). */
export function makeVerifiedOffer(
  first: ClientOffer,
  legacyCookie: Uint8Array,
  io: HandshakeIO,
): ClientOffer {
  const extensions = first.hello.extensions.filter(({ type }) => type !== ExtensionType.pre_shared_key);
  return finishOffer({ ...first.hello, legacyCookie, extensions }, first, undefined, io);
}

/** Adds pre_shared_key with its binders, which cover everything before the binders (§4.2.11.2). */
function finishOffer(
  hello: ClientHello,
  offer: Omit<ClientOffer, 'hello' | 'raw'>,
  before: Transcript | undefined,
  io: HandshakeIO,
): ClientOffer {
  const { psks } = offer;
  if (psks.length === 0) return offerOf(offer, hello);
  const identities = psks.map(({ identity }) => identity);
  const withBinders = (binders: readonly Uint8Array[]): ClientHello => {
    const body = offeredPsks.build({ identities, binders });
    return { ...hello, extensions: [...hello.extensions, { type: ExtensionType.pre_shared_key, body }] };
  };
  const placeholders = psks.map(({ hash }) => new Uint8Array(HASH_LENGTH[hash]));
  const unbound = buildClientHello(withBinders(placeholders));
  const covered = unbound.subarray(0, unbound.length - bindersLength(placeholders));
  const binders = psks.map(({ hash, earlySecret, binder }) => {
    const transcript = (before ?? new Transcript(io.crypto, hash)).snapshotWith(covered);
    return finishedMac(io.crypto, hash, earlySecret.binderKey(binder), transcript);
  });
  return offerOf(offer, withBinders(binders));
}

/** Not a copy of `offer`, which may be that of a ClientHello before. */
function offerOf(
  { keyExchanges, psks, session12, early }: Omit<ClientOffer, 'hello' | 'raw'>,
  hello: ClientHello,
): ClientOffer {
  return { hello, raw: buildClientHello(hello), keyExchanges, psks, session12, early };
}

function helloExtensions(
  config: ClientConfig,
  extensions: HelloExtensions,
  keyExchanges: ReadonlyMap<number, KeyExchange>,
  session12: OfferedSession12 | undefined,
): Extension[] {
  const list: Extension[] = [];
  const add = (type: number, body: Uint8Array): void => {
    list.push({ type, body });
  };
  if (config.serverName !== undefined && config.sendServerName) {
    add(ExtensionType.server_name, serverNameList.build(config.serverName));
  }
  const tls13 = speaksTls13(config);
  if (tls13) add(ExtensionType.supported_versions, supportedVersions.build(spokenVersions(config)));
  const groups = tls13 ? config.groups : pointGroups(config.groups);
  // RFC 8446 §9.2: neither without the other.
  if (groups.length > 0) add(ExtensionType.supported_groups, supportedGroups.build(groups));
  // RFC 5246 §7.4.1.4.1: a client that goes no further than what is older MUST NOT.
  if (tls13 || spokenProtocols12(config).some(({ namesSchemes }) => namesSchemes)) {
    add(ExtensionType.signature_algorithms, signatureAlgorithms.build(config.schemes));
  }
  if (config.certificateSchemes !== undefined) {
    add(ExtensionType.signature_algorithms_cert, signatureAlgorithms.build(config.certificateSchemes));
  }
  if (config.requestOcsp === true) add(ExtensionType.status_request, statusRequest.build(true));
  if (config.requestScts === true) add(ExtensionType.signed_certificate_timestamp, NOTHING);
  if (config.alpnProtocols.length > 0) {
    add(ExtensionType.application_layer_protocol_negotiation, protocolNameList.build(config.alpnProtocols));
  }
  if (config.tls12 !== undefined) list.push(...extensions12(config, session12?.session));
  if (tls13) {
    // Sent even without a ticket to offer: it also tells the server which tickets to issue (§4.2.9).
    add(ExtensionType.psk_key_exchange_modes, pskKeyExchangeModes.build(pskModes(config)));
    if (config.postHandshakeAuth === true && config.datagrams === undefined)
      add(ExtensionType.post_handshake_auth, NOTHING);
    const { authorities = [] } = config;
    if (authorities.length > 0)
      add(ExtensionType.certificate_authorities, certificateAuthorities.build(authorities));
    if (groups.length > 0) list.push(keyShareExtension(keyExchanges));
    list.push(...compressionOffer(config.certificateCompression));
  }
  list.push(...connectionIdOffer(config));
  list.push(...offeredCertificateTypes(config));
  if (config.recordSizeLimit !== undefined) {
    add(ExtensionType.record_size_limit, recordSizeLimit.build(config.recordSizeLimit));
  }
  for (const extension of extensions) {
    const body = extension.offer();
    if (body !== undefined) add(extension.extensionType, body);
  }
  return list;
}

/** With forward secrecy first, though servers may choose as they like. */
function pskModes({ pskOnlyKeyExchange, groups }: ClientConfig): readonly number[] {
  if (pskOnlyKeyExchange !== true) return [PskKeyExchangeMode.psk_dhe_ke];
  return groups.length === 0
    ? [PskKeyExchangeMode.psk_ke]
    : [PskKeyExchangeMode.psk_dhe_ke, PskKeyExchangeMode.psk_ke];
}

function keyShareExtension(keyExchanges: ReadonlyMap<number, KeyExchange>): Extension {
  const shares = [...keyExchanges].map(([group, { share }]) => ({ group, keyExchange: share }));
  return { type: ExtensionType.key_share, body: keyShareClientHello.build(shares) };
}

function beginKeyExchange(io: HandshakeIO, id: number): KeyExchange {
  const group = io.crypto.group(id);
  if (group === undefined)
    throw new TlsError('ERR_TLS_INTERNAL', `Group 0x${id.toString(16)} is not available`);
  return group.begin();
}

const NOTHING = new Uint8Array(0);
const NO_COMPRESSION = Uint8Array.of(0);
const EARLY_DATA: Extension = { type: ExtensionType.early_data, body: NOTHING };

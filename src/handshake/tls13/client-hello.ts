import type { KeyExchange } from '../../crypto/provider.ts';
import { TlsError } from '../../errors/errors.ts';
import {
  bindersLength,
  cookie,
  type Extension,
  keyShareClientHello,
  offeredPsks,
  protocolNameList,
  pskKeyExchangeModes,
  serverNameList,
  signatureAlgorithms,
  supportedGroups,
  supportedVersions,
} from '../../messages/extensions.ts';
import { buildClientHello, type ClientHello } from '../../messages/hello.ts';
import { ExtensionType, ProtocolVersion, PskKeyExchangeMode } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { ClientConfig, HelloExtensions } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { EarlySecret, finishedMac } from '../key-schedule.ts';
import { type ClientSession, sessionIsFresh } from '../session.ts';
import { extensions12, type OfferedSession12, offerableSession12 } from '../tls12/client-hello.ts';
import { Transcript } from '../transcript.ts';
import { speaksTls13, spokenVersions } from '../versions.ts';

/** A ticket that we offer, its key schedule begun, and who the server was when it gave it. */
export interface OfferedTicket {
  readonly session: ClientSession;
  readonly earlySecret: EarlySecret;
  readonly peer: PeerIdentity;
}

/** A ClientHello as sent, with the private halves that its answer needs. */
export interface ClientOffer {
  readonly hello: ClientHello;
  readonly raw: Uint8Array;
  readonly keyExchanges: ReadonlyMap<number, KeyExchange>;
  readonly ticket: OfferedTicket | undefined;
  /** For a server that goes no further than TLS 1.2. */
  readonly session12: OfferedSession12 | undefined;
}

export function makeFirstOffer(
  config: ClientConfig,
  extensions: HelloExtensions,
  io: HandshakeIO,
): ClientOffer {
  const shares = speaksTls13(config) ? config.keyShares : [];
  const keyExchanges = new Map(shares.map((group) => [group, beginKeyExchange(io, group)]));
  const ticket = offerableTicket(config, io);
  const session12 = offerableSession12(config, io);
  const hello: ClientHello = {
    legacyVersion: ProtocolVersion.tls12,
    random: io.crypto.randomBytes(32),
    legacySessionId: sessionId(config, session12, io),
    cipherSuites: [...config.suites, ...(config.tls12?.suites ?? [])].map((suite) => suite.id),
    legacyCompressionMethods: NO_COMPRESSION,
    extensions: helloExtensions(config, extensions, keyExchanges, session12),
  };
  return finishOffer(hello, { keyExchanges, ticket, session12 }, undefined, io);
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

/** What a HelloRetryRequest changes (RFC 8446 §4.1.2). */
export interface RetryRequest {
  readonly group: number | undefined;
  readonly cookie: Uint8Array | undefined;
  /** Over ClientHello1's hash and the HelloRetryRequest. */
  readonly transcript: Transcript;
  /** A ticket whose hash is not that of the suite now chosen can no longer be used (§4.1.4). */
  readonly keepTicket: boolean;
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
    extensions.push({ type: ExtensionType.cookie, body: cookie.build(retry.cookie) });
  }
  const ticket = retry.keepTicket ? first.ticket : undefined;
  // Who asks for a retry speaks TLS 1.3.
  const offer = { keyExchanges, ticket, session12: undefined };
  return finishOffer({ ...first.hello, extensions }, offer, retry.transcript, io);
}

/** Adds pre_shared_key with its binder, which covers everything before the binders (§4.2.11.2). */
function finishOffer(
  hello: ClientHello,
  offer: Pick<ClientOffer, 'keyExchanges' | 'ticket' | 'session12'>,
  before: Transcript | undefined,
  io: HandshakeIO,
): ClientOffer {
  const { ticket } = offer;
  if (ticket === undefined) return { ...offer, hello, raw: buildClientHello(hello) };
  const { session, earlySecret } = ticket;
  const { hash, hashLength } = session.suite;
  const identity = {
    identity: session.ticket,
    obfuscatedTicketAge: (io.now - session.receivedAt + session.ageAdd) % 2 ** 32,
  };
  const withBinder = (binder: Uint8Array): ClientHello => ({
    ...hello,
    extensions: [
      ...hello.extensions,
      {
        type: ExtensionType.pre_shared_key,
        body: offeredPsks.build({ identities: [identity], binders: [binder] }),
      },
    ],
  });
  const placeholder = new Uint8Array(hashLength);
  const unbound = buildClientHello(withBinder(placeholder));
  const covered = unbound.subarray(0, unbound.length - bindersLength([placeholder]));
  const transcript = (before ?? new Transcript(io.crypto, hash)).snapshotWith(covered);
  const bound = withBinder(finishedMac(io.crypto, hash, earlySecret.resumptionBinderKey(), transcript));
  return { ...offer, hello: bound, raw: buildClientHello(bound) };
}

/** The configured session, if it can still be offered: fresh, for this name, its server still to be trusted. */
function offerableTicket(config: ClientConfig, io: HandshakeIO): OfferedTicket | undefined {
  const { session, serverName, crypto } = config;
  if (session === undefined || !('psk' in session)) return undefined;
  if (!sessionIsFresh(session, io.now) || session.serverName !== serverName) return undefined;
  if (!config.suites.some(({ hash }) => hash === session.suite.hash)) return undefined;
  let peer: PeerIdentity;
  try {
    peer = config.verifyPeer(session.peerChain, {
      now: io.now,
      serverName,
      schemes: config.certificateSchemes ?? config.schemes,
    });
  } catch {
    // The certificate of then is not good enough now; a full handshake shows the server's present one.
    return undefined;
  }
  return { session, peer, earlySecret: new EarlySecret(crypto, session.suite.hash, session.psk) };
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
  add(ExtensionType.supported_groups, supportedGroups.build(config.groups));
  add(ExtensionType.signature_algorithms, signatureAlgorithms.build(config.schemes));
  if (config.certificateSchemes !== undefined) {
    add(ExtensionType.signature_algorithms_cert, signatureAlgorithms.build(config.certificateSchemes));
  }
  if (config.alpnProtocols.length > 0) {
    add(ExtensionType.application_layer_protocol_negotiation, protocolNameList.build(config.alpnProtocols));
  }
  if (config.tls12 !== undefined) list.push(...extensions12(session12?.session));
  if (tls13) {
    // Sent even without a ticket to offer: it also tells the server which tickets to issue (§4.2.9).
    add(ExtensionType.psk_key_exchange_modes, pskKeyExchangeModes.build([PskKeyExchangeMode.psk_dhe_ke]));
    list.push(keyShareExtension(keyExchanges));
  }
  for (const extension of extensions) {
    const body = extension.offer();
    if (body !== undefined) add(extension.extensionType, body);
  }
  return list;
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

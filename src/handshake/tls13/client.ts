import { type Suite, suiteById } from '../../crypto/suites.ts';
import { TlsError } from '../../errors/errors.ts';
import {
  cookie,
  findExtension,
  keyShareServerHello,
  selectedGroup,
  selectedIdentity,
  selectedVersion,
} from '../../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import {
  isHelloRetryRequest,
  parseHelloVerifyRequest,
  parseServerHello,
  type ServerHello,
} from '../../messages/hello.ts';
import { ExtensionType, HandshakeType } from '../../wire/codepoints.ts';
import type { ClientConfig, HelloExtensions } from '../config.ts';
import { confirmConnectionId } from '../dtls/connection-id.ts';
import type { HandshakeIO } from '../io.ts';
import { EarlySecret } from '../key-schedule.ts';
import type { ClientSession } from '../session.ts';
import type { Expect, Step } from '../step.ts';
import { acceptServerHello12 } from '../tls12/client.ts';
import { Transcript } from '../transcript.ts';
import { speaksTls13, versionNumbers } from '../versions.ts';
import {
  type ClientOffer,
  makeFirstOffer,
  makeSecondOffer,
  makeVerifiedOffer,
  type SentOffer,
} from './client-hello.ts';
import type { OfferedPsk } from './client-psk.ts';
import { ExpectEncryptedExtensions, type Setup } from './client-server-flight.ts';
import { optionalExtension, requireKnownPlace } from './shared.ts';

/*
 * RFC 8446 §A.1. Each class awaits one message; those after ServerHello are in client-server-flight.ts:
 *
 *   ClientHello → ExpectServerHello ⟲ HelloRetryRequest
 *                   → ExpectEncryptedExtensions
 *                       ├ (PSK)        ───────────────────────────────────────┐
 *                       └ (certificate) ExpectCertificateRequestOrCertificate │
 *                           → ExpectCertificate → ExpectCertificateVerify ────┴→ ExpectFinished
 *                                                        → [SigningAsClient] → Established
 */

/** Sends ClientHello. */
export function startClient(config: ClientConfig, extensions: HelloExtensions, io: HandshakeIO): Step {
  const offer = makeFirstOffer(config, extensions, io);
  const raw12 = io.send(offer.raw);
  if (offer.early !== undefined) beginEarlyData(config, offer, offer.early, io);
  return new ExpectServerHello({ config, extensions }, { raw12, ...offer }, undefined);
}

/** §4.2.10: early data follows ClientHello at once, under a key that the session gives. */
function beginEarlyData(
  config: ClientConfig,
  offer: ClientOffer,
  session: ClientSession,
  io: HandshakeIO,
): void {
  const [psk] = offer.psks as [OfferedPsk];
  const { suite, maxEarlyData = 0 } = session;
  const transcript = new Transcript(io.crypto, suite.hash);
  transcript.add(offer.raw);
  const secret = psk.earlySecret.clientTrafficSecret(transcript.snapshot());
  io.keylog('CLIENT_EARLY_TRAFFIC_SECRET', offer.hello.random, secret);
  // §D.4: with early data the record comes immediately after the first ClientHello.
  if (config.compatibility) io.sendChangeCipherSpec();
  io.protectWrite(suite, secret);
  io.allowEarlyData(maxEarlyData);
}

/** What a HelloRetryRequest has fixed for the ServerHello after it (§4.1.4). */
interface Retried {
  readonly suite: Suite;
  readonly group: number | undefined;
  readonly transcript: Transcript;
  readonly offeredEarly: boolean;
}

const IN_SERVER_HELLO: readonly number[] = [
  ExtensionType.supported_versions,
  ExtensionType.key_share,
  ExtensionType.pre_shared_key,
  ExtensionType.connection_id,
];
const IN_HELLO_RETRY_REQUEST: readonly number[] = [
  ExtensionType.supported_versions,
  ExtensionType.key_share,
  ExtensionType.cookie,
];

const NO_SESSION_ID = new Uint8Array(0);

/** HelloVerifyRequests that are answered: a server that changes its key between may need a second. */
export const MAX_VERIFICATIONS = 3;

class ExpectServerHello implements Expect {
  readonly kind = 'expect';
  readonly #setup: Setup;
  readonly #offer: SentOffer;
  readonly #retried: Retried | undefined;
  readonly #verifications: number;

  /** @param verifications HelloVerifyRequests that came before */
  constructor(setup: Setup, offer: SentOffer, retried: Retried | undefined, verifications = 0) {
    this.#setup = setup;
    this.#offer = offer;
    this.#retried = retried;
    this.#verifications = verifications;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type === HandshakeType.hello_verify_request) return this.#verify(message, io);
    if (message.type !== HandshakeType.server_hello) throw unexpected(message, 'ServerHello');
    const hello = parseServerHello(message.body);
    const { tls12 } = this.#setup.config;
    if (this.#offer.early !== undefined && this.#selectsTls12(hello)) {
      // §D.3: MUST fail. Such a server has no key of our early data, so the alert goes in clear.
      io.unprotectWrite();
      throw new TlsError(
        'ERR_TLS_UNSUPPORTED_VERSION',
        'The server of this session no longer speaks TLS 1.3; forget the session, and connect without early data',
      );
    }
    if (tls12 !== undefined && this.#selectsTls12(hello)) {
      return acceptServerHello12({ tls12, ...this.#setup }, this.#offer, hello, message.raw12, io);
    }
    const suite = this.#checkHello(hello);
    if (this.#verifications > 0) {
      // RFC 9147 §5.1: DTLS 1.3 has HelloRetryRequest in its place.
      throw new TlsError(
        'ERR_TLS_UNEXPECTED_MESSAGE',
        'A server that answered with HelloVerifyRequest, which DTLS 1.3 does not have, selects DTLS 1.3',
      );
    }
    return isHelloRetryRequest(hello)
      ? this.#retry(hello, suite, message.raw, io)
      : this.#accept(hello, suite, message.raw, io);
  }

  /**
   * RFC 6347 §4.2.1: the same ClientHello once more, with the cookie. Neither of the first two messages is in the
   * transcript (§4.2.6). Only a server that knows no DTLS 1.3 asks so (RFC 9147 §5.1).
   */
  #verify(message: HandshakeMessage, io: HandshakeIO): Step {
    const { config } = this.#setup;
    if (config.datagrams !== undefined && config.tls12 === undefined) {
      throw new TlsError(
        'ERR_TLS_UNSUPPORTED_VERSION',
        'The server asks for a cookie in the way of DTLS 1.2',
      );
    }
    if (
      config.datagrams === undefined ||
      this.#retried !== undefined ||
      this.#verifications === MAX_VERIFICATIONS
    ) {
      throw unexpected(message, 'ServerHello');
    }
    const offer = makeVerifiedOffer(this.#offer, parseHelloVerifyRequest(message.body), io);
    const raw12 = io.send(offer.raw);
    return new ExpectServerHello(this.#setup, { raw12, ...offer }, undefined, this.#verifications + 1);
  }

  /** §4.1.3: without supported_versions the old field counts. After a HelloRetryRequest it is TLS 1.3 already. */
  #selectsTls12(hello: ServerHello): boolean {
    if (!speaksTls13(this.#setup.config)) return true;
    return (
      this.#retried === undefined &&
      !isHelloRetryRequest(hello) &&
      findExtension(hello.extensions, ExtensionType.supported_versions) === undefined
    );
  }

  /** What ServerHello and HelloRetryRequest have in common (§4.1.3). */
  #checkHello(hello: ServerHello): Suite {
    const versions = versionNumbers(this.#setup.config);
    const version = findExtension(hello.extensions, ExtensionType.supported_versions);
    if (version === undefined) {
      throw new TlsError('ERR_TLS_UNSUPPORTED_VERSION', 'The server does not speak TLS 1.3');
    }
    if (selectedVersion.parse(version) !== versions.tls13 || hello.legacyVersion !== versions.tls12) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello selects a version that was not offered');
    }
    const echo = hello.legacySessionIdEcho;
    // RFC 9147 §5: servers of DTLS 1.3 MUST NOT echo it.
    const sent =
      this.#setup.config.datagrams === undefined ? this.#offer.hello.legacySessionId : NO_SESSION_ID;
    if (echo.length !== sent.length || echo.some((byte, i) => byte !== sent[i])) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello does not echo legacy_session_id');
    }
    if (hello.legacyCompressionMethod !== 0) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello selects a compression method');
    }
    const suite = suiteById(hello.cipherSuite);
    if (suite === undefined || !this.#setup.config.suites.includes(suite)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'ServerHello selects a cipher suite that was not offered',
      );
    }
    return suite;
  }

  #retry(hello: ServerHello, suite: Suite, raw: Uint8Array, io: HandshakeIO): Step {
    if (this.#retried !== undefined) {
      throw new TlsError('ERR_TLS_UNEXPECTED_MESSAGE', 'Received a second HelloRetryRequest');
    }
    // §5.1: a HelloRetryRequest is a ServerHello, and nothing may follow before our answer to it.
    io.requireRecordEnd();
    const offered = this.#offer.hello.extensions;
    // The cookie is the one extension that a server may send unasked (§4.2).
    requireKnownPlace('HelloRetryRequest', hello.extensions, IN_HELLO_RETRY_REQUEST, [
      ...offered.map(({ type }) => type),
      ExtensionType.cookie,
    ]);
    const group = optionalExtension(hello.extensions, ExtensionType.key_share, selectedGroup.parse);
    const retryCookie = optionalExtension(hello.extensions, ExtensionType.cookie, cookie.parse);
    const { config } = this.#setup;
    if (group === undefined ? retryCookie === undefined : this.#uselessGroup(group)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'HelloRetryRequest asks for nothing that was not sent already',
      );
    }
    const transcript = new Transcript(io.crypto, suite.hash);
    transcript.add(this.#offer.raw);
    transcript.replaceByMessageHash();
    transcript.add(raw);
    const second = makeSecondOffer(
      this.#offer,
      { group, cookie: retryCookie, transcript, hash: suite.hash },
      io,
    );
    if (this.#offer.early !== undefined) {
      // §4.1.2: early data is refused by that, and ClientHello is in clear.
      io.allowEarlyData(0);
      io.unprotectWrite();
    } else if (config.compatibility) io.sendChangeCipherSpec();
    const raw12 = io.send(second.raw);
    return new ExpectServerHello(
      this.#setup,
      { raw12, ...second },
      {
        suite,
        group,
        transcript,
        offeredEarly: this.#offer.early !== undefined,
      },
    );
  }

  #uselessGroup(group: number): boolean {
    return !this.#setup.config.groups.includes(group) || this.#offer.keyExchanges.has(group);
  }

  #accept(hello: ServerHello, suite: Suite, raw: Uint8Array, io: HandshakeIO): Step {
    const { config } = this.#setup;
    const offered = this.#offer.hello.extensions.map(({ type }) => type);
    requireKnownPlace('ServerHello', hello.extensions, IN_SERVER_HELLO, offered);
    if (this.#retried !== undefined && this.#retried.suite !== suite) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'ServerHello changes the suite of the HelloRetryRequest',
      );
    }
    const psk = this.#selectedPsk(hello, suite);
    if (psk === undefined && config.requirePsk === true)
      throw new TlsError('ERR_TLS_MISSING_EXTENSION', 'ServerHello selects none of our pre-shared keys');
    confirmConnectionId(config, hello.extensions, io);
    const share = optionalExtension(hello.extensions, ExtensionType.key_share, keyShareServerHello.parse);
    if (share === undefined && (psk === undefined || config.pskOnlyKeyExchange !== true)) {
      // Without psk_ke, and a PSK for it, the server must take part in a key exchange (§4.2.9).
      throw new TlsError('ERR_TLS_MISSING_EXTENSION', 'ServerHello has no key_share');
    }
    const keyExchange = share === undefined ? undefined : this.#offer.keyExchanges.get(share.group);
    if (share !== undefined && keyExchange === undefined) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'ServerHello has a key share for a group that was not offered',
      );
    }
    const secret = share === undefined ? undefined : keyExchange?.complete(share.keyExchange);
    const transcript = this.#retried?.transcript ?? new Transcript(io.crypto, suite.hash);
    transcript.add(this.#offer.raw);
    transcript.add(raw);

    const earlySecret = psk?.earlySecret ?? EarlySecret.withoutPsk(io.crypto, suite.hash);
    const handshakeSecret = earlySecret.handshakeSecret(secret);
    const traffic = handshakeSecret.trafficSecrets(transcript.snapshot());
    const { random } = this.#offer.hello;
    io.keylog('CLIENT_HANDSHAKE_TRAFFIC_SECRET', random, traffic.client);
    io.keylog('SERVER_HANDSHAKE_TRAFFIC_SECRET', random, traffic.server);
    io.protectRead(suite, traffic.server);
    // §D.4: immediately before the second flight, which is also where our alerts become protected.
    const { early } = this.#offer;
    if (early === undefined) {
      const changed = this.#retried !== undefined;
      if (config.compatibility && !changed) io.sendChangeCipherSpec();
      io.protectWrite(suite, traffic.client);
    }
    return new ExpectEncryptedExtensions({
      suite,
      group: share?.group,
      transcript,
      clientRandom: random,
      offered,
      handshakeSecret,
      traffic,
      psk,
      early,
      offersEarly: early !== undefined || (this.#retried?.offeredEarly ?? false),
      ...this.#setup,
    });
  }

  #selectedPsk(hello: ServerHello, suite: Suite): OfferedPsk | undefined {
    const index = optionalExtension(hello.extensions, ExtensionType.pre_shared_key, selectedIdentity.parse);
    if (index === undefined) return undefined;
    const psk = this.#offer.psks[index];
    // §4.2.11: the index must be in range and the suite's hash that of the PSK.
    if (psk === undefined || psk.hash !== suite.hash) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'ServerHello selects a PSK that was not offered for this suite',
      );
    }
    return psk;
  }
}

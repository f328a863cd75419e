import type { Suite } from '../../crypto/suites.ts';
import { TlsError } from '../../errors/errors.ts';
import { certificateAuthorities, serverNameList, signatureAlgorithms } from '../../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import { type ClientHello, parseClientHello } from '../../messages/hello.ts';
import { ExtensionType, HandshakeType } from '../../wire/codepoints.ts';
import { ChoosingIdentities, certificateWishes } from '../choosing-identities.ts';
import type { HelloExtensions, Identity, IdentitySource, ServerConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import type { Expect, Step } from '../step.ts';
import { answerClientHello12 } from '../tls12/server.ts';
import { Transcript } from '../transcript.ts';
import { chooseVersion, versionNumbers } from '../versions.ts';
import { type CheckedClientHello, checkClientHello, chooseGroup, chooseSuite } from './client-hello-check.ts';
import {
  answer,
  buildHelloRetryRequest,
  type Choices,
  isCompatible,
  skipEarlyData,
} from './server-answer.ts';
import type { Setup } from './server-client-flight.ts';
import { findUsablePsk, keyFingerprint } from './server-psk.ts';
import { optionalExtension } from './shared.ts';

/*
 * RFC 8446 §A.2. Each class awaits one message, or an answer from outside. What is sent is made in server-answer.ts, and
 * what the client then says is received in server-client-flight.ts:
 *
 *   ExpectClientHello → [HelloRetryRequest → ExpectSecondClientHello] → ServerHello…Finished
 *       ├ (PSK, or no client certificate asked for) ─────────────────────────────────┐
 *       └ [SigningAsServer] → ExpectClientCertificate → ExpectClientCertificateVerify ┴→ ExpectClientFinished
 *                                                                                         → Established
 */

/** @param retried a HelloRetryRequest has been sent already, without a connection */
export function startServer(config: ServerConfig, extensions: HelloExtensions, retried?: RetriedHello): Step {
  const setup = { config, extensions };
  return retried === undefined ? new ExpectClientHello(setup) : new ExpectSecondClientHello(setup, retried);
}

class ExpectClientHello implements Expect {
  readonly kind = 'expect';
  readonly #setup: Setup;

  constructor(setup: Setup) {
    this.#setup = setup;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.client_hello) throw unexpected(message, 'ClientHello');
    const { config } = this.#setup;
    const hello = parseClientHello(message.body, config.datagrams !== undefined);
    const version = chooseVersion(config, hello);
    if (config.identitySource !== undefined) {
      const then = (identities: readonly Identity[], later: HandshakeIO): Step => {
        const chosen = { ...config, selectIdentities: () => identities, identitySource: undefined };
        return new ExpectClientHello({ ...this.#setup, config: chosen }).receive(message, later);
      };
      return chooseIdentities(config.identitySource, hello, then);
    }
    if (version !== versionNumbers(config).tls13) {
      return answerClientHello12(this.#setup, version, hello, message.raw12, io);
    }
    const checked = checkClientHello(config, hello);
    const psk = findUsablePsk(config, checked, io);
    const suite = psk?.suite ?? chooseSuite(config, checked);
    const found = chooseGroup(config, checked, psk !== undefined);
    const transcript = new Transcript(io.crypto, suite.hash);
    const exchange = withShare(found);
    if (found === undefined || exchange !== undefined) {
      const choices = { checked, suite, exchange, psk, transcript, raw: message.raw, retried: false };
      return answer(this.#setup, choices, io);
    }
    const { group } = found;
    if (checked.offersEarlyData) skipEarlyData(config, io);
    // §5.1: a ClientHello ends its record, for all that the client knows of our answer.
    io.requireRecordEnd();
    transcript.add(message.raw);
    transcript.replaceByMessageHash();
    const retry = buildHelloRetryRequest(config, {
      suite,
      group,
      cookie: undefined,
      sessionId: checked.hello.legacySessionId,
    });
    io.send(retry);
    transcript.add(retry);
    if (isCompatible(config, checked)) io.sendChangeCipherSpec();
    const key = psk && keyFingerprint(io.crypto, psk.identity);
    return new ExpectSecondClientHello(this.#setup, { first: checked, suite, group, transcript, key });
  }
}

/** Before the checks of the ClientHello: whoever is not served here learns little more than that. */
function chooseIdentities(
  source: IdentitySource,
  { extensions }: ClientHello,
  then: (identities: readonly Identity[], io: HandshakeIO) => Step,
): Step {
  const read = <T>(type: number, parse: (body: Uint8Array) => T): T | undefined =>
    optionalExtension(extensions, type, parse);
  const wishes = certificateWishes(
    read(ExtensionType.signature_algorithms, signatureAlgorithms.parse),
    read(ExtensionType.certificate_authorities, certificateAuthorities.parse),
  );
  return new ChoosingIdentities(source, read(ExtensionType.server_name, serverNameList.parse), wishes, then);
}

/** What was settled before the second ClientHello. */
export interface RetriedHello {
  /** Absent when nothing was kept of it but its hash, in a cookie. */
  readonly first: CheckedClientHello | undefined;
  readonly suite: Suite;
  /** That was asked for; `undefined` when only a cookie was to be sent back. */
  readonly group: number | undefined;
  /** Up to and including the HelloRetryRequest. */
  readonly transcript: Transcript;
  /** `keyFingerprint` of the identity for whose sake this suite was chosen. */
  readonly key: Uint8Array | undefined;
}

class ExpectSecondClientHello implements Expect {
  readonly kind = 'expect';
  readonly #setup: Setup;
  readonly #retried: RetriedHello;

  constructor(setup: Setup, retried: RetriedHello) {
    this.#setup = setup;
    this.#retried = retried;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.client_hello) throw unexpected(message, 'the second ClientHello');
    const { config } = this.#setup;
    const hello = parseClientHello(message.body, config.datagrams !== undefined);
    const { first, suite, transcript } = this.#retried;
    if (first === undefined && config.identitySource !== undefined) {
      const then = (identities: readonly Identity[], later: HandshakeIO): Step => {
        const chosen = { ...config, selectIdentities: () => identities, identitySource: undefined };
        const setup = { ...this.#setup, config: chosen };
        return new ExpectSecondClientHello(setup, this.#retried).receive(message, later);
      };
      return chooseIdentities(config.identitySource, hello, then);
    }
    const checked = checkClientHello(config, hello);
    if (first !== undefined) checkUnchanged(checked, first);
    if (checked.offersEarlyData) {
      // §4.2.10: not after a HelloRetryRequest.
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The second ClientHello offers early data');
    }
    this.#requireKey(checked, io);
    const usable = findUsablePsk(config, checked, io);
    const psk = usable?.suite.hash === suite.hash ? usable : undefined;
    return answer(
      this.#setup,
      {
        checked,
        suite,
        exchange: this.#exchange(checked, psk !== undefined),
        psk,
        transcript,
        raw: message.raw,
        retried: true,
      },
      io,
    );
  }

  /** §4.1.2: of its keys a client may only remove those that are not for the suite of the HelloRetryRequest. */
  #requireKey({ psks }: CheckedClientHello, { crypto }: HandshakeIO): void {
    const { key } = this.#retried;
    if (key === undefined) return;
    if (psks === undefined)
      throw new TlsError('ERR_TLS_MISSING_EXTENSION', 'The second ClientHello has no pre_shared_key');
    if (!psks.identities.some(({ identity }) => crypto.equal(keyFingerprint(crypto, identity), key)))
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The second ClientHello lacks a key that was chosen');
  }

  #exchange(checked: CheckedClientHello, psk: boolean): Choices['exchange'] {
    const asked = this.#retried.group;
    const found =
      asked === undefined
        ? chooseGroup(this.#setup.config, checked, psk)
        : { group: asked, share: checked.shares.find(({ group }) => group === asked)?.keyExchange };
    if (found === undefined) return undefined;
    const exchange = withShare(found);
    if (exchange === undefined || (asked !== undefined && checked.shares.length !== 1)) {
      // §4.1.2, §4.2.8: key_share now holds one entry, for the group that was asked for.
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'The second ClientHello lacks the key share that was asked for',
      );
    }
    return exchange;
  }
}

/** The key exchange of a ClientHello that has a share for it. */
function withShare(found: { group: number; share: Uint8Array | undefined } | undefined) {
  return found?.share === undefined ? undefined : { group: found.group, share: found.share };
}

/** §4.1.2 lists what may change; the choices already made rest on everything else. */
function checkUnchanged(
  { hello, serverName, groups, protocols }: CheckedClientHello,
  first: CheckedClientHello,
): void {
  const same =
    sameBytes(hello.random, first.hello.random) &&
    sameBytes(hello.legacySessionId, first.hello.legacySessionId) &&
    sameList(hello.cipherSuites, first.hello.cipherSuites) &&
    sameList(groups, first.groups) &&
    sameList(protocols ?? [], first.protocols ?? []) &&
    serverName === first.serverName;
  if (!same)
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The second ClientHello differs where it must not');
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

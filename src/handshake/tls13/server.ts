import type { Suite } from '../../crypto/suites.ts';
import { TlsError } from '../../errors/errors.ts';
import { selectedGroup, serverNameList } from '../../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import {
  buildServerHello,
  type ClientHello,
  HELLO_RETRY_RANDOM,
  parseClientHello,
} from '../../messages/hello.ts';
import { ExtensionType, HandshakeType, ProtocolVersion } from '../../wire/codepoints.ts';
import type { HelloExtensions, Identity, IdentitySource, ServerConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import type { Choosing, Expect, IdentitiesWanted, Step } from '../step.ts';
import { answerClientHello12 } from '../tls12/server.ts';
import { Transcript } from '../transcript.ts';
import { chooseVersion } from '../versions.ts';
import { type CheckedClientHello, checkClientHello, chooseGroup, chooseSuite } from './client-hello-check.ts';
import { answer, SELECTED_TLS13, serverHelloFor, skipEarlyData } from './server-answer.ts';
import type { Setup } from './server-client-flight.ts';
import { findUsablePsk } from './server-psk.ts';
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

export function startServer(config: ServerConfig, extensions: HelloExtensions): Step {
  return new ExpectClientHello({ config, extensions });
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
    const hello = parseClientHello(message.body);
    const version = chooseVersion(config, hello);
    if (config.identitySource !== undefined) {
      return new ChoosingIdentities(this.#setup, config.identitySource, serverNameOf(hello), message);
    }
    if (version !== ProtocolVersion.tls13) {
      return answerClientHello12(this.#setup, hello, message.raw, io);
    }
    const checked = checkClientHello(hello);
    const psk = findUsablePsk(config, checked, io);
    const suite = psk?.suite ?? chooseSuite(config, checked);
    const { group, share } = chooseGroup(config, checked);
    const transcript = new Transcript(io.crypto, suite.hash);
    if (share !== undefined) {
      const choices = { checked, suite, group, share, psk, transcript, raw: message.raw, retried: false };
      return answer(this.#setup, choices, io);
    }
    if (checked.offersEarlyData) skipEarlyData(config, io);
    // §5.1: a ClientHello ends its record, for all that the client knows of our answer.
    io.requireRecordEnd();
    transcript.add(message.raw);
    transcript.replaceByMessageHash();
    const retry = buildServerHello({
      ...serverHelloFor(checked, suite),
      random: HELLO_RETRY_RANDOM,
      extensions: [SELECTED_TLS13, { type: ExtensionType.key_share, body: selectedGroup.build(group) }],
    });
    io.send(retry);
    transcript.add(retry);
    if (checked.hello.legacySessionId.length > 0) io.sendChangeCipherSpec();
    return new ExpectSecondClientHello(this.#setup, checked, suite, group, transcript);
  }
}

/** Before anything else is looked at: whoever is not served here learns no more than that. */
class ChoosingIdentities implements Choosing {
  readonly kind = 'choosing';
  readonly wanted: IdentitiesWanted;
  readonly #setup: Setup;
  readonly #hello: HandshakeMessage;

  constructor(setup: Setup, source: IdentitySource, serverName: string | undefined, hello: HandshakeMessage) {
    this.#setup = setup;
    this.#hello = hello;
    this.wanted = { kind: 'identities', serverName, source };
  }

  choose(identities: readonly Identity[], io: HandshakeIO): Step {
    const { config, extensions } = this.#setup;
    const chosen = { ...config, selectIdentities: () => identities, identitySource: undefined };
    return new ExpectClientHello({ config: chosen, extensions }).receive(this.#hello, io);
  }
}

function serverNameOf({ extensions }: ClientHello): string | undefined {
  return optionalExtension(extensions, ExtensionType.server_name, serverNameList.parse);
}

class ExpectSecondClientHello implements Expect {
  readonly kind = 'expect';
  readonly #setup: Setup;
  readonly #first: CheckedClientHello;
  readonly #suite: Suite;
  readonly #group: number;
  readonly #transcript: Transcript;

  constructor(setup: Setup, first: CheckedClientHello, suite: Suite, group: number, transcript: Transcript) {
    this.#setup = setup;
    this.#first = first;
    this.#suite = suite;
    this.#group = group;
    this.#transcript = transcript;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.client_hello) throw unexpected(message, 'the second ClientHello');
    const checked = checkClientHello(parseClientHello(message.body));
    this.#checkUnchanged(checked);
    if (checked.offersEarlyData) {
      // §4.2.10: not after a HelloRetryRequest.
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The second ClientHello offers early data');
    }
    const share = checked.shares.find(({ group }) => group === this.#group);
    if (share === undefined || checked.shares.length !== 1) {
      // §4.1.2, §4.2.8: key_share now holds one entry, for the group that was asked for.
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'The second ClientHello lacks the key share that was asked for',
      );
    }
    const found = findUsablePsk(this.#setup.config, checked, io);
    const suite = this.#suite;
    const psk = found?.suite.hash === suite.hash ? found : undefined;
    return answer(
      this.#setup,
      {
        checked,
        suite,
        group: this.#group,
        share: share.keyExchange,
        psk,
        transcript: this.#transcript,
        raw: message.raw,
        retried: true,
      },
      io,
    );
  }

  /** §4.1.2 lists what may change; the choices already made rest on everything else. */
  #checkUnchanged({ hello, serverName, groups, protocols }: CheckedClientHello): void {
    const first = this.#first;
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
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

function sameList<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, i) => item === b[i]);
}

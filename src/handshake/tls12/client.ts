import { isCbc, type Suite12, suite12ById } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import type { ServerHello } from '../../messages/hello.ts';
import { ExtensionType } from '../../wire/codepoints.ts';
import type { ClientConfig, HelloExtensions, Tls12Config } from '../config.ts';
import { confirmConnectionId } from '../dtls/connection-id.ts';
import type { HandshakeIO } from '../io.ts';
import { PeerAuthenticated } from '../proofs.ts';
import type { Step } from '../step.ts';
import type { ClientOffer, SentOffer } from '../tls13/client-hello.ts';
import { optionalExtension } from '../tls13/shared.ts';
import { checkDowngrade } from '../versions.ts';
import { expectServerFinish, type Greeted } from './client-finish.ts';
import { offeredSuites12, psk12 } from './client-hello.ts';
import { ExpectCertificate, ExpectPskKeyExchange } from './client-server-flight.ts';
import { MasterSecret12 } from './key-schedule.ts';
import { permitsCbc, prfHashOf, spokenProtocols12, type Terms12 } from './protocol.ts';
import { empty, readServerHelloExtensions } from './server-hello-check.ts';
import { Transcript12 } from './transcript.ts';

/*
 * RFC 5246 §7.3 and RFC 5077 §3.1. Each class awaits one message. Those of the server's first flight are in
 * client-server-flight.ts, what follows once there are keys in client-finish.ts:
 *
 *   ServerHello ┬ (psk)     ExpectPskKeyExchange → ExpectServerHelloDone, then as in full
 *               ├ (full)    ExpectCertificate → (ECDHE: ExpectServerKeyExchange) → ExpectCertificateRequestOrDone
 *               │             → ExpectServerHelloDone → [SigningAsClient] → our flight → ┐
 *               └ (resumed) ─────────────────────────────────────────────────────────────┤
 *                            [ExpectNewSessionTicket] → ExpectChangeCipherSpec ←─────────┘
 *                               → ExpectFinished → (resumed: our ChangeCipherSpec, Finished) → Established12
 */

/**
 * Goes on after a ServerHello that selects TLS 1.2 or what is older.
 * @param raw it, as the transcript of TLS 1.2 has it
 */
export function acceptServerHello12(
  setup: { readonly config: ClientConfig; readonly extensions: HelloExtensions; readonly tls12: Tls12Config },
  offer: SentOffer,
  hello: ServerHello,
  raw: Uint8Array,
  io: HandshakeIO,
): Step {
  const { config } = setup;
  const protocol = spokenProtocols12(config).find(({ version }) => version === hello.legacyVersion);
  if (protocol === undefined) {
    throw new TlsError('ERR_TLS_UNSUPPORTED_VERSION', 'The server selects a version that was not offered');
  }
  checkDowngrade(hello.random, config, protocol.version);
  const suite = suite12ById(hello.cipherSuite);
  if (suite === undefined || !offeredSuites12(config, protocol).includes(suite)) {
    throw new TlsError(
      'ERR_TLS_ILLEGAL_PARAMETER',
      'ServerHello selects a cipher suite that was not offered for this version',
    );
  }
  if (hello.legacyCompressionMethod !== 0) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello selects a compression method');
  }
  const terms = { protocol, suite, encryptThenMac: checkEncryptThenMac(config, hello, suite) };
  const resumed = resumedSession(offer, hello, terms);
  const answer = readServerHelloExtensions(setup, protocol, offer, hello, resumed?.session);
  io.speakTls12(protocol.version);
  confirmConnectionId(config, hello.extensions, io);
  if (answer.recordSizeLimit !== undefined)
    io.limitRecords(answer.recordSizeLimit, config.recordSizeLimit ?? 2 ** 14);
  const transcript = new Transcript12(io.crypto, prfHashOf(terms));
  transcript.add(offer.raw12);
  transcript.add(raw);
  const randoms = { client: offer.hello.random, server: hello.random };
  const state: Greeted = {
    config,
    randoms,
    transcript,
    answer,
    sessionId: hello.legacySessionIdEcho,
    offeredVersion: offer.hello.legacyVersion,
    ...terms,
  };
  if (resumed === undefined) {
    const psk = suite.authentication === 'psk' ? psk12(config) : undefined;
    return psk === undefined ? new ExpectCertificate(state) : new ExpectPskKeyExchange(state, psk);
  }
  transcript.forgetMessages();
  const master = new MasterSecret12(io.crypto, terms, resumed.session.masterSecret);
  return expectServerFinish(
    {
      master,
      keys: master.keys(state.randoms),
      group: resumed.session.group,
      pskIdentity: resumed.session.pskIdentity,
      peer: PeerAuthenticated.bySession12(resumed.peer),
      resumed: resumed.session,
      ...state,
    },
    io,
  );
}

/** RFC 7366 §3: for CBC, and for nothing else. @returns whether it was agreed on */
function checkEncryptThenMac(config: ClientConfig, { extensions }: ServerHello, suite: Suite12): boolean {
  const answer =
    optionalExtension(extensions, ExtensionType.encrypt_then_mac, empty('encrypt_then_mac')) ?? false;
  if (isCbc(suite) && !permitsCbc(config, answer)) {
    throw new TlsError(
      'ERR_TLS_HANDSHAKE_FAILURE',
      'The server chose CBC and does not know encrypt_then_mac (RFC 7366)',
    );
  }
  if (answer && !isCbc(suite)) {
    throw new TlsError(
      'ERR_TLS_ILLEGAL_PARAMETER',
      'ServerHello has encrypt_then_mac, and a suite that does not need it',
    );
  }
  return answer;
}

/** Our session, when the server echoes its id (RFC 5246 §7.4.1.3, RFC 5077 §3.4). */
function resumedSession(
  offer: ClientOffer,
  hello: ServerHello,
  { protocol, suite }: Terms12,
): ClientOffer['session12'] {
  const echo = hello.legacySessionIdEcho;
  const sent = offer.hello.legacySessionId;
  if (echo.length === 0 || echo.length !== sent.length || echo.some((byte, i) => byte !== sent[i])) {
    return undefined;
  }
  const { session12 } = offer;
  if (session12 === undefined) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello resumes a session that does not exist');
  }
  if (session12.session.suite !== suite) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello resumes a session with another suite');
  }
  if (session12.session.version !== protocol.version) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerHello resumes a session with another version');
  }
  return session12;
}

import type { CryptoProvider, HashName } from '../crypto/provider.ts';
import { type Suite, suiteById } from '../crypto/suites.ts';
import { AlertLevel } from '../errors/alerts.ts';
import { alertFor, ConnectionError, TlsError } from '../errors/errors.ts';
import type { ServerConfig } from '../handshake/config.ts';
import { checkClientHello, chooseGroup, chooseSuite } from '../handshake/tls13/client-hello-check.ts';
import { buildHelloRetryRequest } from '../handshake/tls13/server-answer.ts';
import { findUsablePsk, keyFingerprint } from '../handshake/tls13/server-psk.ts';
import { Transcript } from '../handshake/transcript.ts';
import { chooseVersion, versionNumbers } from '../handshake/versions.ts';
import { buildFragment, type HandshakeFragment, parseFragments } from '../messages/dtls.ts';
import { asHandshakeMessage } from '../messages/handshake.ts';
import { buildHelloVerifyRequest, parseClientHello, peekClientHello } from '../messages/hello.ts';
import { classicRecord, nextFrame } from '../record/dtls/frames.ts';
import { ContentType, HandshakeType, ProtocolVersion } from '../wire/codepoints.ts';
import { Reader } from '../wire/reader.ts';
import { concat, Writer } from '../wire/writer.ts';
import { forDatagrams, type ServerSeed } from './dtls-connection.ts';

/**
 * Milliseconds for which one key makes cookies; it is known for as long again. A client answers within a round trip, or
 * a few retransmissions.
 */
export const COOKIE_PERIOD = 60_000;
/** RFC 9147 §5.1 has no number; QUIC's is three (RFC 9000 §8.1). */
export const MAX_AMPLIFICATION = 3;
/** Bytes of the key that all cookies come from. Servers that share an address, as in a cluster, share it. */
export const COOKIE_SECRET_LENGTH = 32;

/** What to do with a datagram from an address that there is no session with. */
export type Greeting =
  /** Send this back. Nothing is to be kept. */
  | { readonly kind: 'reply'; readonly datagram: Uint8Array }
  /**
   * The client is where it says it is: make a connection with `seed`, and give it this datagram. (So with fragments: only
   * one that carries the cookie makes a connection.)
   */
  | { readonly kind: 'accept'; readonly seed: ServerSeed }
  | { readonly kind: 'discard' };

/**
 * The part of a DTLS server that keeps no state: it answers a ClientHello with a cookie, and knows it again, so that who
 * spoofs an address gets no memory, no arithmetic with keys and little traffic out of it (RFC 6347 §4.2.1, RFC 9147 §5.1).
 * A cookie is bound to the address, and to the ClientHello that it answers.
 */
export class DtlsGreeter {
  readonly #config: ServerConfig;
  readonly #secret: Uint8Array;

  /**
   * @param secret COOKIE_SECRET_LENGTH random bytes, or more
   * @throws ConnectionError ERR_TLS_OPTION for less
   */
  constructor(config: ServerConfig, secret: Uint8Array) {
    if (secret.length < COOKIE_SECRET_LENGTH) {
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        `The secret of the cookies must have at least ${COOKIE_SECRET_LENGTH} random bytes, not ${secret.length}`,
      );
    }
    this.#config = { ...config, ...forDatagrams(config) };
    this.#secret = new Uint8Array(secret);
  }

  /**
   * @param address of the sender, with its port, in any form that is always the same
   * @param now Unix milliseconds
   */
  greet(datagram: Uint8Array, address: Uint8Array, now: number): Greeting {
    const hello = firstFragment(datagram);
    if (hello === undefined) return DISCARD;
    try {
      return this.#greet(hello, address, now, datagram.length);
    } catch (error) {
      if (!(error instanceof TlsError)) throw error;
      // What is wrong with a ClientHello can be said without keeping anything.
      return reply(
        hello,
        ContentType.alert,
        Uint8Array.of(AlertLevel.fatal, alertFor(error)),
        datagram.length,
      );
    }
  }

  #greet(first: FirstFragment, address: Uint8Array, now: number, received: number): Greeting {
    const { fragment } = first;
    const peek = peekClientHello(fragment.body);
    if (peek === undefined) return DISCARD;
    const seed = { messageSeq: fragment.messageSeq, sequence: first.sequence };
    if (peek.cookie !== undefined) {
      const retried = this.#readRetryCookie(peek.cookie, address, now);
      // RFC 9147 §5.1: then the client begins anew, without a cookie.
      if (retried !== undefined) return { kind: 'accept', seed: { ...seed, retried } };
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'The cookie is not one of ours, or too old');
    }
    const whole = fragment.body.length === fragment.length;
    if (peek.legacyCookie.length > 0 && this.#isOurs(peek.legacyCookie, address, peek.random, now)) {
      return { kind: 'accept', seed };
    }
    // Without a cookie, only what fits one datagram is looked at.
    if (!whole) return DISCARD;
    const hello = parseClientHello(fragment.body, true);
    const version = chooseVersion(this.#config, hello);
    if (version !== versionNumbers(this.#config).tls13) {
      const cookie = this.#cookie(address, peek.random, now);
      return reply(first, ContentType.handshake, buildHelloVerifyRequest(cookie), received, version);
    }
    const checked = checkClientHello(this.#config, hello);
    const io = { crypto: this.#config.crypto, now };
    const psk = findUsablePsk(this.#config, checked, io);
    const suite = psk?.suite ?? chooseSuite(this.#config, checked);
    const exchange = chooseGroup(this.#config, checked, psk !== undefined);
    const message = new Writer(fragment.length + 4)
      .u8(HandshakeType.client_hello)
      .vector(3, fragment.body)
      .finish();
    const asked = exchange?.share === undefined ? exchange?.group : undefined;
    const key = psk && keyFingerprint(this.#crypto, psk.identity);
    const cookie = this.#retryCookie({ suite, group: asked, key, message }, address, now);
    const retry = buildHelloRetryRequest(this.#config, { suite, group: asked, cookie });
    return reply(first, ContentType.handshake, retry, received);
  }

  // ── DTLS 1.2: `uint8 period; opaque mac[16];` ──────────────────────────────────────────────────

  #cookie(address: Uint8Array, random: Uint8Array, now: number, period = periodOf(now)): Uint8Array {
    return concat([Uint8Array.of(period), this.#mac(period, address, random)]);
  }

  #isOurs(cookie: Uint8Array, address: Uint8Array, random: Uint8Array, now: number): boolean {
    const [period] = cookie;
    if (period === undefined || !isRecent(period, now)) return false;
    return this.#crypto.equal(cookie, this.#cookie(address, random, now, period));
  }

  // ── DTLS 1.3: `uint8 period; CipherSuite suite; NamedGroup group; opaque key<0..16>; opaque hash[]; opaque mac[16];` ─

  #retryCookie(
    {
      suite,
      group,
      key,
      message,
    }: { suite: Suite; group: number | undefined; key: Uint8Array | undefined; message: Uint8Array },
    address: Uint8Array,
    now: number,
  ): Uint8Array {
    const period = periodOf(now);
    const facts = new Writer(64)
      .u16(suite.id)
      .u16(group ?? NO_GROUP)
      .vector(1, key ?? NO_KEY)
      .bytes(this.#crypto.digest(suite.hash, message))
      .finish();
    return concat([Uint8Array.of(period), facts, this.#mac(period, address, facts)]);
  }

  /** The transcript up to and including our HelloRetryRequest, made again from what the cookie says (RFC 8446 §4.4.1). */
  #readRetryCookie(cookie: Uint8Array, address: Uint8Array, now: number): ServerSeed['retried'] {
    const [period] = cookie;
    const macAt = cookie.length - MAC_LENGTH;
    if (period === undefined || macAt < 1 || !isRecent(period, now)) return undefined;
    const facts = cookie.subarray(1, macAt);
    if (!this.#crypto.equal(cookie.subarray(macAt), this.#mac(period, address, facts))) return undefined;
    // From here on it is our own writing.
    const r = new Reader(facts, 'cookie');
    const suite = suiteById(r.u16());
    const named = r.u16();
    const fingerprint = r.vector(1);
    if (suite === undefined) return undefined;
    const group = named === NO_GROUP ? undefined : named;
    const key = fingerprint.length === 0 ? undefined : new Uint8Array(fingerprint);
    const transcript = Transcript.afterRetry(this.#crypto, suite.hash, r.rest());
    transcript.add(buildHelloRetryRequest(this.#config, { suite, group, cookie }));
    return { first: undefined, suite, group, transcript, key };
  }

  #mac(period: number, address: Uint8Array, facts: Uint8Array): Uint8Array {
    const input = new Writer(64 + facts.length).u8(period).vector(2, address).vector(2, facts).finish();
    return this.#crypto.hmac(COOKIE_HASH, this.#secret, input).subarray(0, MAC_LENGTH);
  }

  get #crypto(): CryptoProvider {
    return this.#config.crypto;
  }
}

/** Whether a datagram begins with a ClientHello in clear: someone wants a session (anew, RFC 6347 §4.2.8). */
export function isClientHello(datagram: Uint8Array): boolean {
  return firstFragment(datagram) !== undefined;
}

const COOKIE_HASH: HashName = 'sha256';
const MAC_LENGTH = 16;
const NO_GROUP = 0;
const NO_KEY = new Uint8Array(0);
const DISCARD: Greeting = { kind: 'discard' };

/** Its low byte: periods are not taken for one another before hours have passed. */
function periodOf(now: number): number {
  return Math.floor(now / COOKIE_PERIOD) & 0xff;
}

function isRecent(period: number, now: number): boolean {
  return period === periodOf(now) || period === periodOf(now - COOKIE_PERIOD);
}

interface FirstFragment {
  readonly fragment: HandshakeFragment;
  readonly sequence: number;
}

/** The beginning of a ClientHello, if the datagram begins with one. */
function firstFragment(datagram: Uint8Array): FirstFragment | undefined {
  const cut = nextFrame(datagram, 0, 0);
  if (cut?.frame.kind !== 'classic') return undefined;
  const { type, epoch, sequence, fragment: content } = cut.frame;
  if (type !== ContentType.handshake || epoch !== 0) return undefined;
  try {
    const [fragment] = parseFragments(content);
    if (fragment?.type !== HandshakeType.client_hello || fragment.offset !== 0) return undefined;
    return { fragment, sequence };
  } catch (error) {
    if (error instanceof TlsError) return undefined;
    throw error;
  }
}

/**
 * RFC 6347 §4.2.1: an answer without state has the record number of what it answers, and its message number, so that
 * neither is used twice.
 */
function reply(
  { fragment: { messageSeq }, sequence }: FirstFragment,
  type: number,
  content: Uint8Array,
  received: number,
  version: number = ProtocolVersion.dtls12,
): Greeting {
  let body = content;
  if (type === ContentType.handshake) {
    const message = asHandshakeMessage(content);
    const { length } = message.body;
    body = buildFragment({ type: message.type, length, messageSeq, offset: 0, body: message.body });
  }
  const name = { type, version, epoch: 0, sequence, cid: NO_CID };
  const datagram = classicRecord(name, [body]);
  return datagram.length > MAX_AMPLIFICATION * received ? DISCARD : { kind: 'reply', datagram };
}

const NO_CID = new Uint8Array(0);

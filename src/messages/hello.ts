import { DecodeError, TlsError } from '../errors/errors.ts';
import { ExtensionType, HandshakeType, ProtocolVersion } from '../wire/codepoints.ts';
import { Reader } from '../wire/reader.ts';
import type { Writer } from '../wire/writer.ts';
import { cookie, type Extension, readExtensions, writeExtensions } from './extensions.ts';
import { handshakeMessage } from './handshake.ts';

/**
 * ```
 * struct {
 *     ProtocolVersion legacy_version = 0x0303;
 *     Random random;                             // 32 bytes
 *     opaque legacy_session_id<0..32>;
 *     opaque legacy_cookie<0..2^8-1>;            // DTLS alone
 *     CipherSuite cipher_suites<2..2^16-2>;
 *     opaque legacy_compression_methods<1..2^8-1>;
 *     Extension extensions<8..2^16-1>;           // may be absent in old versions
 * } ClientHello;                                 // RFC 8446 §4.1.2, RFC 9147 §5.3
 * ```
 */
export interface ClientHello {
  readonly legacyVersion: number;
  readonly random: Uint8Array;
  readonly legacySessionId: Uint8Array;
  /** Present in DTLS, where DTLS 1.2 calls it `cookie` (RFC 6347 §4.2.1). */
  readonly legacyCookie?: Uint8Array | undefined;
  readonly cipherSuites: readonly number[];
  readonly legacyCompressionMethods: Uint8Array;
  readonly extensions: readonly Extension[];
}

/** @param datagrams it is a ClientHello of DTLS, which has a field more */
export function parseClientHello(body: Uint8Array, datagrams = false): ClientHello {
  const r = new Reader(body, 'ClientHello');
  const hello = {
    legacyVersion: r.u16(),
    random: r.bytes(32),
    legacySessionId: r.vector(1, 0, 32),
    legacyCookie: datagrams ? r.vector(1) : undefined,
    cipherSuites: r.list(2, (suite) => suite.u16(), 2, 0xfffe),
    legacyCompressionMethods: r.vector(1, 1),
    // RFC 8446 §4.1.2: the absence of extensions is told by the absence of further bytes.
    extensions: r.remaining === 0 ? [] : readExtensions(r),
  };
  r.end();
  const psk = hello.extensions.findIndex(({ type }) => type === ExtensionType.pre_shared_key);
  if (psk !== -1 && psk !== hello.extensions.length - 1) {
    // §4.2.11: servers MUST check that pre_shared_key is the last extension.
    throw new TlsError(
      'ERR_TLS_ILLEGAL_PARAMETER',
      'pre_shared_key is not the last extension of ClientHello',
    );
  }
  return hello;
}

/** What can be told from the beginning of a ClientHello of DTLS. */
export interface ClientHelloPeek {
  readonly random: Uint8Array;
  readonly legacyCookie: Uint8Array;
  /** Of the cookie extension (RFC 8446 §4.2.2), if it is in this part. */
  readonly cookie: Uint8Array | undefined;
}

/**
 * Looks for cookies in the first fragment of a ClientHello.
 * @returns `undefined` when not even the fields up to legacy_cookie are there
 */
export function peekClientHello(start: Uint8Array): ClientHelloPeek | undefined {
  const r = new Reader(start, 'ClientHello');
  let peek: ClientHelloPeek | undefined;
  try {
    r.u16();
    const random = r.bytes(32);
    r.vector(1, 0, 32);
    peek = { random, legacyCookie: r.vector(1), cookie: undefined };
    r.vector(2);
    r.vector(1);
    r.u16();
    while (r.remaining > 0) {
      const [type, body] = [r.u16(), r.vector(2)];
      if (type === ExtensionType.cookie) return { ...peek, cookie: cookie.parse(body) };
    }
  } catch (error) {
    // What is missing may be in the next fragment.
    if (!(error instanceof DecodeError)) throw error;
  }
  return peek;
}

export function buildClientHello(hello: ClientHello): Uint8Array {
  return handshakeMessage(HandshakeType.client_hello, (w) => {
    w.u16(hello.legacyVersion).bytes(hello.random).vector(1, hello.legacySessionId);
    if (hello.legacyCookie !== undefined) w.vector(1, hello.legacyCookie);
    w.vector(2, (suites) => {
      for (const suite of hello.cipherSuites) suites.u16(suite);
    });
    w.vector(1, hello.legacyCompressionMethods);
    writeExtensions(w, hello.extensions);
  });
}

/** `random` of a ServerHello that is a HelloRetryRequest: SHA-256("HelloRetryRequest"), RFC 8446 §4.1.3. */
// biome-ignore format: eight bytes a line
export const HELLO_RETRY_RANDOM: Uint8Array = Uint8Array.of(
  0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11,
  0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
  0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e,
  0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
);

/**
 * ```
 * struct {
 *     ProtocolVersion legacy_version = 0x0303;
 *     Random random;
 *     opaque legacy_session_id_echo<0..32>;
 *     CipherSuite cipher_suite;
 *     uint8 legacy_compression_method = 0;
 *     Extension extensions<6..2^16-1>;
 * } ServerHello;                                 // RFC 8446 §4.1.3
 * ```
 */
export interface ServerHello {
  readonly legacyVersion: number;
  readonly random: Uint8Array;
  readonly legacySessionIdEcho: Uint8Array;
  readonly cipherSuite: number;
  readonly legacyCompressionMethod: number;
  readonly extensions: readonly Extension[];
}

export function isHelloRetryRequest(hello: ServerHello): boolean {
  return hello.random.every((byte, i) => byte === HELLO_RETRY_RANDOM[i]);
}

export function parseServerHello(body: Uint8Array): ServerHello {
  const r = new Reader(body, 'ServerHello');
  const hello = {
    legacyVersion: r.u16(),
    random: r.bytes(32),
    legacySessionIdEcho: r.vector(1, 0, 32),
    cipherSuite: r.u16(),
    legacyCompressionMethod: r.u8(),
    extensions: r.remaining === 0 ? [] : readExtensions(r),
  };
  r.end();
  return hello;
}

export function buildServerHello(hello: ServerHello): Uint8Array {
  return handshakeMessage(HandshakeType.server_hello, (w) => {
    w.u16(hello.legacyVersion).bytes(hello.random).vector(1, hello.legacySessionIdEcho);
    w.u16(hello.cipherSuite).u8(hello.legacyCompressionMethod);
    // RFC 5246 §7.4.1.3: a client that sent none may be older than extensions are.
    if (hello.extensions.length > 0) writeExtensions(w, hello.extensions);
  });
}

/** `Extension extensions<0..2^16-1>`, RFC 8446 §4.3.1. */
export function parseEncryptedExtensions(body: Uint8Array): Extension[] {
  const r = new Reader(body, 'EncryptedExtensions');
  const extensions = readExtensions(r);
  r.end();
  return extensions;
}

export function buildEncryptedExtensions(extensions: readonly Extension[]): Uint8Array {
  return handshakeMessage(HandshakeType.encrypted_extensions, (w: Writer) => writeExtensions(w, extensions));
}

/**
 * ```
 * struct {
 *     ProtocolVersion server_version;
 *     opaque cookie<0..2^8-1>;
 * } HelloVerifyRequest;                          // RFC 6347 §4.2.1
 * ```
 * The version says nothing of what will be agreed on, and must not be taken for it.
 * @returns the cookie
 */
export function parseHelloVerifyRequest(body: Uint8Array): Uint8Array {
  const r = new Reader(body, 'HelloVerifyRequest');
  r.u16();
  const verification = r.vector(1);
  r.end();
  return verification;
}

/** RFC 6347 §4.2.1: the version SHOULD be that of DTLS 1.0, whatever will be agreed on. */
export function buildHelloVerifyRequest(verification: Uint8Array): Uint8Array {
  return handshakeMessage(HandshakeType.hello_verify_request, (w) =>
    w.u16(ProtocolVersion.dtls10).vector(1, verification),
  );
}

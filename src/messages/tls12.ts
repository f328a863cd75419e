import { DecodeError, TlsError } from '../errors/errors.ts';
import { HandshakeType } from '../wire/codepoints.ts';
import { Reader } from '../wire/reader.ts';
import type { Writer } from '../wire/writer.ts';
import { handshakeMessage } from './handshake.ts';

/* The handshake messages that TLS 1.2 and before have in another form than TLS 1.3, or alone (RFC 5246 §7.4, RFC 4346 §7.4). */

/** `ASN.1Cert certificate_list<0..2^24-1>;`, RFC 5246 §7.4.2. */
export function parseCertificateChain(body: Uint8Array): Uint8Array[] {
  const r = new Reader(body, 'Certificate');
  const chain = r.list(3, (certificate) => certificate.vector(3, 1));
  r.end();
  return chain;
}

export function buildCertificateChain(chain: readonly Uint8Array[]): Uint8Array {
  return handshakeMessage(HandshakeType.certificate, (w) =>
    w.vector(3, (list) => {
      for (const certificate of chain) list.vector(3, certificate);
    }),
  );
}

/** With a raw public key, `opaque ASN1_subjectPublicKeyInfo<1..2^24-1>;` (RFC 7250 §3); `undefined` where none is shown. */
export function parseRawCertificate(body: Uint8Array): Uint8Array | undefined {
  const r = new Reader(body, 'Certificate');
  const spki = r.vector(3);
  r.end();
  return spki.length === 0 ? undefined : spki;
}

export function buildRawCertificate(spki: Uint8Array | undefined): Uint8Array {
  return handshakeMessage(HandshakeType.certificate, (w) => w.vector(3, spki ?? new Uint8Array(0)));
}

/** `named_curve` of ECCurveType; the explicit curves are gone (RFC 8422 §5.4). */
const NAMED_CURVE = 3;

/**
 * ```
 * struct {
 *     ECCurveType curve_type = named_curve;
 *     NamedCurve namedcurve;
 *     opaque point<1..2^8-1>;
 * } ServerECDHParams;                          // RFC 8422 §5.4
 * ```
 */
export interface EcdhParameters {
  readonly group: number;
  readonly point: Uint8Array;
}

export interface SignedEcdhParameters extends EcdhParameters {
  /** The encoded parameters, which are signed together with both randoms. */
  readonly encoded: Uint8Array;
  readonly signed: DigitallySigned;
}

/**
 * ```
 * struct {
 *     SignatureAndHashAlgorithm algorithm;     // since TLS 1.2
 *     opaque signature<0..2^16-1>;
 * } DigitallySigned;                           // RFC 5246 §4.7, RFC 4346 §4.7
 * ```
 */
export interface DigitallySigned {
  /** `undefined` before TLS 1.2. */
  readonly scheme: number | undefined;
  readonly signature: Uint8Array;
}

function readSigned(r: Reader, namesScheme: boolean): DigitallySigned {
  return { scheme: namesScheme ? r.u16() : undefined, signature: r.vector(2) };
}

function writeSigned(w: Writer, { scheme, signature }: DigitallySigned): void {
  if (scheme !== undefined) w.u16(scheme);
  w.vector(2, signature);
}

/** `Signature signature;`, RFC 5246 §7.4.8. */
export function parseCertificateVerify12(body: Uint8Array, namesScheme: boolean): DigitallySigned {
  const r = new Reader(body, 'CertificateVerify');
  const signed = readSigned(r, namesScheme);
  r.end();
  return signed;
}

export function buildCertificateVerify12(signed: DigitallySigned): Uint8Array {
  return handshakeMessage(HandshakeType.certificate_verify, (w) => writeSigned(w, signed));
}

/** ServerKeyExchange of the ECDHE suites: the parameters, and a signature of them. */
export function parseEcdheKeyExchange(body: Uint8Array, namesScheme: boolean): SignedEcdhParameters {
  const r = new Reader(body, 'ServerKeyExchange');
  const parameters = readEcdhParameters(r);
  const encoded = body.subarray(0, body.length - r.remaining);
  const message = { ...parameters, encoded, signed: readSigned(r, namesScheme) };
  r.end();
  return message;
}

function readEcdhParameters(r: Reader): EcdhParameters {
  if (r.u8() !== NAMED_CURVE) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerKeyExchange: a curve without a name');
  }
  return { group: r.u16(), point: r.vector(1, 1) };
}

export function encodeEcdhParameters({ group, point }: EcdhParameters): Uint8Array {
  const encoded = new Uint8Array(4 + point.length);
  encoded.set([NAMED_CURVE, group >> 8, group & 0xff, point.length]);
  encoded.set(point, 4);
  return encoded;
}

/** @param encoded parameters of `encodeEcdhParameters` */
export function buildEcdheKeyExchange(encoded: Uint8Array, signed: DigitallySigned): Uint8Array {
  return handshakeMessage(HandshakeType.server_key_exchange, (w) => writeSigned(w.bytes(encoded), signed));
}

/**
 * ```
 * struct {
 *     ClientCertificateType certificate_types<1..2^8-1>;
 *     SignatureAndHashAlgorithm supported_signature_algorithms<2..2^16-2>;   // since TLS 1.2
 *     DistinguishedName certificate_authorities<0..2^16-1>;
 * } CertificateRequest;                        // RFC 5246 §7.4.4
 * ```
 */
export interface CertificateRequest12 {
  readonly types: readonly number[];
  /** `undefined` before TLS 1.2. */
  readonly schemes: readonly number[] | undefined;
  readonly authorities: readonly Uint8Array[];
}

/** RFC 5246 §7.4.4, RFC 8422 §5.5. Ed25519 certificates count as ecdsa_sign. */
export const ClientCertificateType = { rsa_sign: 1, ecdsa_sign: 64 } as const;

export function parseCertificateRequest12(body: Uint8Array, namesSchemes: boolean): CertificateRequest12 {
  const r = new Reader(body, 'CertificateRequest');
  const request = {
    types: r.list(1, (type) => type.u8(), 1),
    schemes: namesSchemes ? r.list(2, (scheme) => scheme.u16(), 2, 0xfffe) : undefined,
    authorities: r.list(2, (name) => name.vector(2, 1)),
  };
  r.end();
  return request;
}

export function buildCertificateRequest12({ types, schemes, authorities }: CertificateRequest12): Uint8Array {
  return handshakeMessage(HandshakeType.certificate_request, (w) => {
    w.vector(1, Uint8Array.from(types));
    if (schemes !== undefined) {
      w.vector(2, (list) => {
        for (const scheme of schemes) list.u16(scheme);
      });
    }
    w.vector(2, (list) => {
      for (const name of authorities) list.vector(2, name);
    });
  });
}

/** `struct { } ServerHelloDone;` and `struct { } HelloRequest;`, RFC 5246 §7.4.5, §7.4.1.1. */
export function parseEmpty(name: string, body: Uint8Array): void {
  if (body.length > 0) throw new DecodeError(`${name}: ${body.length} bytes in an empty message`);
}

export function buildServerHelloDone(): Uint8Array {
  return handshakeMessage(HandshakeType.server_hello_done, () => {});
}

/** `opaque point<1..2^8-1>` of ClientECDiffieHellmanPublic, RFC 8422 §5.7. */
export function parseEcdheClientKeyExchange(body: Uint8Array): Uint8Array {
  const r = new Reader(body, 'ClientKeyExchange');
  const point = r.vector(1, 1);
  r.end();
  return point;
}

export function buildEcdheClientKeyExchange(point: Uint8Array): Uint8Array {
  return handshakeMessage(HandshakeType.client_key_exchange, (w) => w.vector(1, point));
}

/** `public-key-encrypted PreMasterSecret pre_master_secret;`, RFC 5246 §7.4.7.1: `opaque<0..2^16-1>` on the wire. */
export function parseRsaClientKeyExchange(body: Uint8Array): Uint8Array {
  const r = new Reader(body, 'ClientKeyExchange');
  const ciphertext = r.vector(2);
  r.end();
  return ciphertext;
}

export function buildRsaClientKeyExchange(ciphertext: Uint8Array): Uint8Array {
  return handshakeMessage(HandshakeType.client_key_exchange, (w) => w.vector(2, ciphertext));
}

/** `uint32 ticket_lifetime_hint; opaque ticket<0..2^16-1>;`, RFC 5077 §3.3. An empty ticket is none. */
export interface NewSessionTicket12 {
  /** Seconds; 0 says nothing. */
  readonly lifetimeHint: number;
  readonly ticket: Uint8Array;
}

export function parseNewSessionTicket12(body: Uint8Array): NewSessionTicket12 {
  const r = new Reader(body, 'NewSessionTicket');
  const message = { lifetimeHint: r.u32(), ticket: r.vector(2) };
  r.end();
  return message;
}

export function buildNewSessionTicket12({ lifetimeHint, ticket }: NewSessionTicket12): Uint8Array {
  return handshakeMessage(HandshakeType.new_session_ticket, (w) => w.u32(lifetimeHint).vector(2, ticket));
}

// ── pre-shared keys ──────────────────────────────────────────────────────────────────────────────

/**
 * ServerKeyExchange of the PSK suites: `opaque psk_identity_hint<0..2^16-1>` (RFC 4279 §2), with ECDHE the parameters
 * behind it, not signed (RFC 5489 §2).
 */
export interface PskKeyExchange {
  readonly hint: Uint8Array;
  readonly parameters: EcdhParameters | undefined;
}

export function parsePskKeyExchange(body: Uint8Array, ephemeral: boolean): PskKeyExchange {
  const r = new Reader(body, 'ServerKeyExchange');
  const message = { hint: r.vector(2), parameters: ephemeral ? readEcdhParameters(r) : undefined };
  r.end();
  return message;
}

/** @param encoded parameters of `encodeEcdhParameters`; absent without ECDHE */
export function buildPskKeyExchange(hint: Uint8Array, encoded: Uint8Array | undefined): Uint8Array {
  return handshakeMessage(HandshakeType.server_key_exchange, (w) => {
    w.vector(2, hint);
    if (encoded !== undefined) w.bytes(encoded);
  });
}

/** `opaque psk_identity<0..2^16-1>`, with ECDHE the client's point behind it (RFC 4279 §2, RFC 5489 §2). */
export interface PskClientKeyExchange {
  readonly identity: Uint8Array;
  readonly point: Uint8Array | undefined;
}

export function parsePskClientKeyExchange(body: Uint8Array, ephemeral: boolean): PskClientKeyExchange {
  const r = new Reader(body, 'ClientKeyExchange');
  const message = { identity: r.vector(2), point: ephemeral ? r.vector(1, 1) : undefined };
  r.end();
  return message;
}

export function buildPskClientKeyExchange({ identity, point }: PskClientKeyExchange): Uint8Array {
  return handshakeMessage(HandshakeType.client_key_exchange, (w) => {
    w.vector(2, identity);
    if (point !== undefined) w.vector(1, point);
  });
}

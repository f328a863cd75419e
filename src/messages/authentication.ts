import { DecodeError } from '../errors/errors.ts';
import { HandshakeType } from '../wire/codepoints.ts';
import { Reader } from '../wire/reader.ts';
import { type Extension, readExtensions, writeExtensions } from './extensions.ts';
import { handshakeMessage } from './handshake.ts';

/** One certificate with its extensions (OCSP status, SCTs). */
export interface CertificateEntry {
  readonly certData: Uint8Array;
  readonly extensions: readonly Extension[];
}

/**
 * ```
 * struct {
 *     opaque certificate_request_context<0..2^8-1>;
 *     CertificateEntry certificate_list<0..2^24-1>;   // cert_data<1..2^24-1>, extensions<0..2^16-1>
 * } Certificate;                                      // RFC 8446 §4.4.2
 * ```
 */
export interface CertificateMessage {
  readonly context: Uint8Array;
  readonly entries: readonly CertificateEntry[];
}

export function parseCertificate(body: Uint8Array): CertificateMessage {
  const r = new Reader(body, 'Certificate');
  const message = {
    context: r.vector(1),
    entries: r.list(3, (entry) => ({ certData: entry.vector(3, 1), extensions: readExtensions(entry) })),
  };
  r.end();
  return message;
}

export function buildCertificate({ context, entries }: CertificateMessage): Uint8Array {
  return handshakeMessage(HandshakeType.certificate, (w) => {
    w.vector(1, context);
    w.vector(3, (list) => {
      for (const { certData, extensions } of entries) {
        list.vector(3, certData);
        writeExtensions(list, extensions);
      }
    });
  });
}

/**
 * `CertificateCompressionAlgorithm algorithm; uint24 uncompressed_length;
 * opaque compressed_certificate_message<1..2^24-1>;`, RFC 8879 §4.
 */
export interface CompressedCertificate {
  readonly algorithm: number;
  readonly uncompressedLength: number;
  readonly compressed: Uint8Array;
}

export function parseCompressedCertificate(body: Uint8Array): CompressedCertificate {
  const r = new Reader(body, 'CompressedCertificate');
  const message = { algorithm: r.u16(), uncompressedLength: r.u24(), compressed: r.vector(3, 1) };
  r.end();
  return message;
}

export function buildCompressedCertificate(message: CompressedCertificate): Uint8Array {
  return handshakeMessage(HandshakeType.compressed_certificate, (w) =>
    w.u16(message.algorithm).u24(message.uncompressedLength).vector(3, message.compressed),
  );
}

/** `opaque certificate_request_context<0..2^8-1>; Extension extensions<2..2^16-1>;`, RFC 8446 §4.3.2. */
export interface CertificateRequest {
  readonly context: Uint8Array;
  readonly extensions: readonly Extension[];
}

export function parseCertificateRequest(body: Uint8Array): CertificateRequest {
  const r = new Reader(body, 'CertificateRequest');
  const request = { context: r.vector(1), extensions: readExtensions(r) };
  r.end();
  return request;
}

export function buildCertificateRequest({ context, extensions }: CertificateRequest): Uint8Array {
  return handshakeMessage(HandshakeType.certificate_request, (w) => {
    w.vector(1, context);
    writeExtensions(w, extensions);
  });
}

/** `SignatureScheme algorithm; opaque signature<0..2^16-1>;`, RFC 8446 §4.4.3. */
export interface CertificateVerify {
  readonly scheme: number;
  readonly signature: Uint8Array;
}

export function parseCertificateVerify(body: Uint8Array): CertificateVerify {
  const r = new Reader(body, 'CertificateVerify');
  const verify = { scheme: r.u16(), signature: r.vector(2) };
  r.end();
  return verify;
}

export function buildCertificateVerify({ scheme, signature }: CertificateVerify): Uint8Array {
  return handshakeMessage(HandshakeType.certificate_verify, (w) => w.u16(scheme).vector(2, signature));
}

/** Empty, RFC 8446 §4.5. */
export function parseEndOfEarlyData(body: Uint8Array): void {
  if (body.length > 0) throw new DecodeError(`EndOfEarlyData: ${body.length} bytes in an empty message`);
}

export function buildEndOfEarlyData(): Uint8Array {
  return handshakeMessage(HandshakeType.end_of_early_data, () => {});
}

/** `opaque verify_data[Hash.length]`, RFC 8446 §4.4.4. A wrong length is a syntax error. */
export function parseFinished(body: Uint8Array, hashLength: number): Uint8Array {
  if (body.length !== hashLength) {
    throw new DecodeError(`Finished: ${body.length} bytes, the hash has ${hashLength}`);
  }
  return body;
}

export function buildFinished(verifyData: Uint8Array): Uint8Array {
  return handshakeMessage(HandshakeType.finished, (w) => w.bytes(verifyData));
}

import { TlsError } from '../../errors/errors.ts';
import { buildCompressedCertificate, parseCompressedCertificate } from '../../messages/authentication.ts';
import { compressCertificate, type Extension } from '../../messages/extensions.ts';
import {
  asHandshakeMessage,
  type HandshakeMessage,
  MAX_HANDSHAKE_MESSAGE,
  unexpected,
} from '../../messages/handshake.ts';
import { ExtensionType, HandshakeType } from '../../wire/codepoints.ts';
import type { CertificateCompression } from '../config.ts';

/** Certificate messages in fewer bytes (RFC 8879). */

type Algorithms = readonly CertificateCompression[] | undefined;

/** What this side can expand, for ClientHello or CertificateRequest. */
export function compressionOffer(algorithms: Algorithms): Extension[] {
  if (algorithms === undefined || algorithms.length === 0) return [];
  const body = compressCertificate.build(algorithms.map(({ id }) => id));
  return [{ type: ExtensionType.compress_certificate, body }];
}

/**
 * A Certificate message as it is sent: compressed where the peer can expand it and the algorithm has made it shorter.
 * @param accepted what the peer has offered
 * @param keep where the result is kept, since compressing takes longer than everything else in a handshake
 */
export function compressed(
  certificate: Uint8Array,
  algorithms: Algorithms,
  accepted: readonly number[] | undefined,
  keep?: { readonly owner: object; readonly variant: string },
): Uint8Array {
  const algorithm = algorithms?.find(({ id }) => accepted?.includes(id));
  if (algorithm === undefined) return certificate;
  const variant = `${algorithm.id} ${keep?.variant}`;
  const known = keep === undefined ? undefined : KEPT.get(keep.owner)?.get(variant);
  if (known !== undefined) return known;
  const { body } = asHandshakeMessage(certificate);
  const short = algorithm.compress(body);
  const message =
    short === undefined
      ? certificate
      : buildCompressedCertificate({
          algorithm: algorithm.id,
          uncompressedLength: body.length,
          compressed: short,
        });
  if (keep !== undefined) {
    const variants = KEPT.get(keep.owner) ?? new Map<string, Uint8Array>();
    KEPT.set(keep.owner, variants.set(variant, message));
  }
  return message;
}

/** By identity: as many variants as algorithms and combinations of staples. */
const KEPT = new WeakMap<object, Map<string, Uint8Array>>();

/**
 * The body of a Certificate message, expanded where it came compressed. The transcript has what came (§4).
 * @param awaited for the error when it is neither
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for an algorithm not offered, ERR_TLS_BAD_CERTIFICATE for bytes that do not
 *   become a message of the length that they announce, or of one that would not be accepted
 */
export function certificateBody(
  message: HandshakeMessage,
  algorithms: Algorithms,
  awaited: string,
): Uint8Array {
  if (message.type === HandshakeType.certificate) return message.body;
  if (message.type !== HandshakeType.compressed_certificate || algorithms === undefined) {
    throw unexpected(message, awaited);
  }
  const { algorithm: id, uncompressedLength, compressed: bytes } = parseCompressedCertificate(message.body);
  const algorithm = algorithms.find((candidate) => candidate.id === id);
  if (algorithm === undefined) {
    throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `Certificate compressed by algorithm ${id}, not offered`);
  }
  // §4: the length is checked before anything is expanded, and expansion stops there: no bomb goes off.
  const body =
    uncompressedLength > MAX_HANDSHAKE_MESSAGE ? undefined : algorithm.expand(bytes, uncompressedLength);
  if (body === undefined || body.length !== uncompressedLength) {
    throw new TlsError(
      'ERR_TLS_BAD_CERTIFICATE',
      `A compressed Certificate does not become the ${uncompressedLength} bytes that it announces`,
    );
  }
  return body;
}

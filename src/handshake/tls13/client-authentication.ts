import { TlsError } from '../../errors/errors.ts';
import {
  buildCertificate,
  buildCertificateVerify,
  type CertificateRequest,
} from '../../messages/authentication.ts';
import {
  certificateAuthorities,
  compressCertificate,
  extensionName,
  isKnownExtension,
  signatureAlgorithms,
} from '../../messages/extensions.ts';
import { ExtensionType } from '../../wire/codepoints.ts';
import { identitiesOfType, shownAs } from '../certificate-types.ts';
import { ChoosingIdentities, certificateWishes } from '../choosing-identities.ts';
import type { ClientConfig, Identity } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { signatureInput } from '../proofs.ts';
import type { SignatureWanted, Step, Waiting } from '../step.ts';
import type { Transcript } from '../transcript.ts';
import { compressed } from './compression.ts';
import { chooseIdentity, optionalExtension, requireShown } from './shared.ts';

/** What the server accepts from us, when it asked for a certificate. */
export interface Accepted {
  readonly schemes: readonly number[];
  /** DER names of CAs that it would like to see (§4.2.4). */
  readonly authorities: readonly Uint8Array[] | undefined;
  readonly compression: readonly number[] | undefined;
}

/** What the extensions of a CertificateRequest say (§4.3.2). */
export function readCertificateRequest({ extensions }: CertificateRequest): Accepted {
  for (const { type } of extensions) {
    // §4.3.2: unknown ones MUST be ignored; those that we know elsewhere are out of place (§4.2).
    if (isKnownExtension(type) && !IN_CERTIFICATE_REQUEST.includes(type)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        `CertificateRequest has extension ${extensionName(type)}, out of place`,
      );
    }
  }
  const read = <T>(type: number, parse: (body: Uint8Array) => T): T | undefined =>
    optionalExtension(extensions, type, parse);
  const schemes = read(ExtensionType.signature_algorithms, signatureAlgorithms.parse);
  if (schemes === undefined) {
    throw new TlsError('ERR_TLS_MISSING_EXTENSION', 'CertificateRequest has no signature_algorithms');
  }
  const authorities = read(ExtensionType.certificate_authorities, certificateAuthorities.parse);
  const compression = read(ExtensionType.compress_certificate, compressCertificate.parse);
  return { schemes, authorities, compression };
}

const IN_CERTIFICATE_REQUEST: readonly number[] = [
  ExtensionType.status_request,
  ExtensionType.signature_algorithms,
  ExtensionType.signed_certificate_timestamp,
  ExtensionType.compress_certificate,
  ExtensionType.certificate_authorities,
  ExtensionType.oid_filters,
  ExtensionType.signature_algorithms_cert,
];

/**
 * Answers a CertificateRequest: Certificate, and CertificateVerify unless the list is empty (§4.4.2).
 * @param type CertificateType
 */
export function sendCertificate(
  config: ClientConfig,
  type: number,
  accepted: Accepted,
  transcript: Transcript,
  io: HandshakeIO,
  finish: (io: HandshakeIO) => Step,
): Step {
  if (config.identitySource !== undefined) {
    const then = (identities: readonly Identity[], later: HandshakeIO): Step => {
      const chosen = { ...config, identities, identitySource: undefined };
      return sendCertificate(chosen, type, accepted, transcript, later, finish);
    };
    const wishes = certificateWishes(accepted.schemes, accepted.authorities);
    return new ChoosingIdentities(config.identitySource, config.serverName, wishes, then);
  }
  const choice = chooseIdentity(
    identitiesOfType(config.identities, type),
    accepted.schemes,
    accepted.authorities,
  );
  requireShown(config, choice);
  const plain = buildCertificate({
    context: NO_CONTEXT,
    entries: (choice === undefined ? [] : shownAs(choice.identity, type)).map((certData) => ({
      certData,
      extensions: [],
    })),
  });
  const certificate = compressed(
    plain,
    config.certificateCompression,
    accepted.compression,
    choice && { owner: choice.identity, variant: `client ${type}` },
  );
  io.send(certificate);
  transcript.add(certificate);
  if (choice === undefined) return finish(io);
  const { identity, scheme } = choice;
  const input = signatureInput('client', transcript.snapshot());
  return new SigningAsClient({ kind: 'signature', key: identity.key, scheme, input }, transcript, finish);
}

/** Ours echoes that of the request, which is empty during the handshake (§4.4.2). */
const NO_CONTEXT = new Uint8Array(0);

class SigningAsClient implements Waiting {
  readonly kind = 'waiting';
  readonly wanted: SignatureWanted;
  readonly #transcript: Transcript;
  readonly #finish: (io: HandshakeIO) => Step;

  constructor(wanted: SignatureWanted, transcript: Transcript, finish: (io: HandshakeIO) => Step) {
    this.wanted = wanted;
    this.#transcript = transcript;
    this.#finish = finish;
  }

  provide(signature: Uint8Array, io: HandshakeIO): Step {
    const verify = buildCertificateVerify({ scheme: this.wanted.scheme, signature });
    io.send(verify);
    this.#transcript.add(verify);
    return this.#finish(io);
  }
}

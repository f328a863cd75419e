import type { SignatureAlgorithm } from '../crypto/provider.ts';
import { schemeById } from '../crypto/schemes.ts';
import { Oid } from '../der/oids.ts';
import { bitString, encodeDer, implicit, integer, oid, sequence, setOf } from '../der/writer.ts';
import { TlsError } from '../errors/errors.ts';
import { encodeExtension, hostName, subjectAltName } from './issue.ts';
import { encodeSignatureAlgorithm } from './signature-algorithm.ts';

/** Who signs a request: the key that it is for. */
export interface RequestSigner {
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  /** SignatureScheme values, best first. */
  readonly schemes: readonly number[];
  sign(scheme: number, data: Uint8Array): Uint8Array;
}

/**
 * A PKCS#10 request (RFC 2986):
 *
 * ```
 * CertificationRequestInfo ::= SEQUENCE { version INTEGER (0), subject Name, subjectPKInfo, [0] IMPLICIT SET OF Attribute }
 * CertificationRequest ::= SEQUENCE { CertificationRequestInfo, signatureAlgorithm, signature BIT STRING }
 * ```
 *
 * @param input.subject Name, DER
 * @param input.hosts DNS names and addresses for subjectAltName; none leaves it out
 * @returns DER
 */
export function makeCertificateRequest(
  input: { readonly subject: Uint8Array; readonly hosts: readonly string[] },
  signer: RequestSigner,
): Uint8Array {
  const { subject, hosts } = input;
  const extensions =
    hosts.length === 0 ? undefined : sequence(encodeExtension(subjectAltName(hosts.map(hostName))));
  const attributes =
    extensions === undefined ? setOf() : setOf(sequence(oid(Oid.extensionRequest), setOf(extensions)));
  const info = encodeDer(sequence(integer(0), subject, signer.spki, implicit(0, attributes)));
  const [scheme] = signer.schemes;
  if (scheme === undefined) throw new TlsError('ERR_TLS_INTERNAL', 'A key that can sign nothing');
  const algorithm = encodeSignatureAlgorithm(algorithmOf(scheme));
  return encodeDer(sequence(info, algorithm, bitString(signer.sign(scheme, info))));
}

function algorithmOf(id: number): SignatureAlgorithm {
  const scheme = schemeById(id);
  if (scheme === undefined) throw new TlsError('ERR_TLS_INTERNAL', `Unknown signature scheme ${id}`);
  return scheme.algorithm;
}

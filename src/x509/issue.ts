import type { CryptoProvider, SignatureAlgorithm } from '../crypto/provider.ts';
import { encodeName, type RdnInput } from '../der/name.ts';
import { Oid } from '../der/oids.ts';
import { contextPrimitive } from '../der/tags.ts';
import { encodeAscii } from '../der/text.ts';
import {
  bitString,
  boolean,
  type Der,
  encodeDer,
  explicit,
  implicit,
  integer,
  namedBits,
  octetString,
  oid,
  primitive,
  sequence,
  time,
} from '../der/writer.ts';
import { ConnectionError } from '../errors/errors.ts';
import { KeyUsage } from './extensions.ts';
import { parseIp } from './ip.ts';
import { toAsciiName } from './names.ts';
import { encodeSignatureAlgorithm } from './signature-algorithm.ts';

/**
 * Making certificates. Verification never imports this file. It writes what it is told, wrong things included:
 * the tests make every kind of bad certificate with it. `caExtensions`, `serverExtensions` and `clientExtensions` are
 * the right things.
 */

export interface ExtensionInput {
  /** Dotted decimal. */
  readonly oid: string;
  readonly critical?: boolean;
  /** DER of the extension's value, or any bytes. */
  readonly value: Der;
}

export interface CertificateInput {
  /** DER, or RDNs for `encodeName`. */
  readonly subject: Uint8Array | readonly RdnInput[];
  readonly issuer: Uint8Array | readonly RdnInput[];
  /** SubjectPublicKeyInfo, DER. */
  readonly publicKeySpki: Uint8Array;
  /** Positive, at most 20 bytes (RFC 5280 §4.1.2.2). */
  readonly serial: number | bigint | Uint8Array;
  /** Unix milliseconds, cut to seconds; or a ready-made `Time`. */
  readonly notBefore: number | Der;
  readonly notAfter: number | Der;
  readonly extensions?: readonly ExtensionInput[];
  /** Default 3. */
  readonly version?: 1 | 2 | 3;
}

/** Makes the issuer's signature. */
export interface CertificateSigner {
  readonly algorithm: SignatureAlgorithm | Uint8Array;
  /** Signs tbsCertificate (not a digest of it). */
  sign(tbs: Uint8Array): Uint8Array;
}

/** The two halves of issuing, for a signature that comes later: a card, a PKCS#11 token. */
export interface PreparedCertificate {
  readonly tbs: Uint8Array;
  finish(signature: Uint8Array): Uint8Array;
}

/** @returns the certificate, DER */
export function issueCertificate(input: CertificateInput, signer: CertificateSigner): Uint8Array {
  const prepared = prepareCertificate(input, signer.algorithm);
  return prepared.finish(signer.sign(prepared.tbs));
}

/**
 * @param algorithm what `signature` says inside; DER for one that is not in `SignatureAlgorithm`
 * @param outerAlgorithm for certificates that contradict themselves; default the same
 */
export function prepareCertificate(
  input: CertificateInput,
  algorithm: SignatureAlgorithm | Uint8Array,
  outerAlgorithm = algorithm,
): PreparedCertificate {
  const version = input.version ?? 3;
  const tbs = encodeDer(
    sequence(
      version === 1 ? undefined : explicit(0, integer(version - 1)),
      integer(input.serial),
      algorithmDer(algorithm),
      nameDer(input.issuer),
      sequence(timeDer(input.notBefore), timeDer(input.notAfter)),
      nameDer(input.subject),
      input.publicKeySpki,
      input.extensions === undefined || input.extensions.length === 0
        ? undefined
        : explicit(3, sequence(...input.extensions.map(encodeExtension))),
    ),
  );
  return {
    tbs,
    finish: (signature) => encodeDer(sequence(tbs, algorithmDer(outerAlgorithm), bitString(signature))),
  };
}

/** What ties a certificate to its key and to its issuer's (RFC 5280 §4.2.1.1, §4.2.1.2). */
export interface KeyIdentifiers {
  readonly subjectKeyId: Uint8Array;
  readonly issuerKeyId: Uint8Array;
}

/** RFC 7093 §2 (1): the leftmost 160 bits of SHA-256 over the key. */
export function keyIdentifier(crypto: CryptoProvider, publicKeySpki: Uint8Array): Uint8Array {
  return crypto.digest('sha256', publicKeySpki).slice(0, 20);
}

/** A CA; `pathLength` 0 if it only issues end entities. */
export function caExtensions(ids: KeyIdentifiers, pathLength?: number): ExtensionInput[] {
  return [
    basicConstraints(true, pathLength),
    keyUsage(KeyUsage.keyCertSign | KeyUsage.cRLSign),
    subjectKeyIdentifier(ids.subjectKeyId),
    authorityKeyIdentifier(ids.issuerKeyId),
  ];
}

/** A TLS server. @param hosts DNS names and addresses */
export function serverExtensions(ids: KeyIdentifiers, hosts: readonly string[]): ExtensionInput[] {
  return endEntity(ids, [Oid.serverAuth], hosts.map(hostName), KeyUsage.digitalSignature);
}

/**
 * A TLS client. emailProtection and nonRepudiation are there because TLS Sign's evidence is CMS, which OpenSSL and
 * mail programs verify for that purpose. @param names subjectAltName, if there is to be one
 */
export function clientExtensions(ids: KeyIdentifiers, names: readonly Der[] = []): ExtensionInput[] {
  const usage = KeyUsage.digitalSignature | KeyUsage.nonRepudiation;
  return endEntity(ids, [Oid.clientAuth, Oid.emailProtection], names, usage);
}

export function basicConstraints(ca: boolean, pathLength?: number, critical = true): ExtensionInput {
  const value = sequence(
    ca ? boolean(true) : undefined,
    pathLength === undefined ? undefined : integer(pathLength),
  );
  return { oid: Oid.basicConstraints, critical, value };
}

/** @param bits of `KeyUsage` */
export function keyUsage(bits: number, critical = true): ExtensionInput {
  return { oid: Oid.keyUsage, critical, value: namedBits(bits) };
}

export function extKeyUsage(purposes: readonly string[], critical = false): ExtensionInput {
  return { oid: Oid.extKeyUsage, critical, value: sequence(...purposes.map(oid)) };
}

export function subjectAltName(names: readonly Der[], critical = false): ExtensionInput {
  return { oid: Oid.subjectAltName, critical, value: sequence(...names) };
}

export function nameConstraints(
  permitted: readonly Der[],
  excluded: readonly Der[],
  critical = true,
): ExtensionInput {
  const subtrees = (n: number, bases: readonly Der[]) =>
    bases.length === 0 ? undefined : implicit(n, sequence(...bases.map((base) => sequence(base))));
  return {
    oid: Oid.nameConstraints,
    critical,
    value: sequence(subtrees(0, permitted), subtrees(1, excluded)),
  };
}

function subjectKeyIdentifier(id: Uint8Array): ExtensionInput {
  return { oid: Oid.subjectKeyIdentifier, value: octetString(id) };
}

function authorityKeyIdentifier(id: Uint8Array): ExtensionInput {
  return { oid: Oid.authorityKeyIdentifier, value: sequence(primitive(contextPrimitive(0), id)) };
}

/** GeneralName dNSName. @throws TlsError ERR_TLS_INTERNAL when it is not ASCII: give A-labels */
export function dnsName(name: string): Der {
  return primitive(contextPrimitive(2), encodeAscii(name));
}

/** GeneralName iPAddress; as a constraint, address and mask. */
export function ipAddress(address: Uint8Array): Der {
  return primitive(contextPrimitive(7), address);
}

export function emailAddress(address: string): Der {
  return primitive(contextPrimitive(1), encodeAscii(address));
}

export function uri(value: string): Der {
  return primitive(contextPrimitive(6), encodeAscii(value));
}

export function directoryName(name: Uint8Array | readonly RdnInput[]): Der {
  return explicit(4, nameDer(name));
}

/** dNSName (perhaps with a wildcard) or iPAddress, whichever `host` is. @throws ConnectionError ERR_TLS_OPTION when it is neither */
export function hostName(host: string): Der {
  const address = parseIp(host);
  if (address !== undefined) return ipAddress(address);
  const wildcard = host.startsWith('*.') ? '*.' : '';
  const name = toAsciiName(host.slice(wildcard.length));
  if (name === undefined) {
    throw new ConnectionError('ERR_TLS_OPTION', `'${host}' is neither a DNS name nor an IP address`);
  }
  return dnsName(wildcard + name);
}

function endEntity(
  ids: KeyIdentifiers,
  purposes: readonly string[],
  names: readonly Der[],
  usage: number,
): ExtensionInput[] {
  return [
    basicConstraints(false),
    keyUsage(usage),
    extKeyUsage(purposes),
    ...(names.length === 0 ? [] : [subjectAltName(names)]),
    subjectKeyIdentifier(ids.subjectKeyId),
    authorityKeyIdentifier(ids.issuerKeyId),
  ];
}

export function encodeExtension({ oid: id, critical, value }: ExtensionInput): Der {
  return sequence(oid(id), critical === true ? boolean(true) : undefined, octetString(value));
}

function nameDer(name: Uint8Array | readonly RdnInput[]): Uint8Array {
  return name instanceof Uint8Array ? name : encodeName(name);
}

function timeDer(value: number | Der): Der {
  return typeof value === 'number' ? time(value) : value;
}

function algorithmDer(algorithm: SignatureAlgorithm | Uint8Array): Uint8Array {
  return algorithm instanceof Uint8Array ? algorithm : encodeSignatureAlgorithm(algorithm);
}

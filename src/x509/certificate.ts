import { equalBytes, toHex } from '../der/bytes.ts';
import { Name } from '../der/name.ts';
import { Oid } from '../der/oids.ts';
import { DerReader } from '../der/reader.ts';
import { contextConstructed, contextPrimitive, Tag } from '../der/tags.ts';
import { CertificateError, DecodeError } from '../errors/errors.ts';
import {
  type BasicConstraints,
  type NameConstraints,
  PROCESSED_EXTENSIONS,
  readAuthorityKeyIdentifier,
  readBasicConstraints,
  readExtKeyUsage,
  readKeyUsage,
  readNameConstraints,
  readSubjectAltName,
  readSubjectKeyIdentifier,
} from './extensions.ts';
import type { GeneralName } from './general-name.ts';
import { readSignatureAlgorithm, type SignatureAlgorithmIdentifier } from './signature-algorithm.ts';

/** Twice the largest certificate that large content networks use; it bounds the work before any signature is checked. */
export const MAX_CERTIFICATE_BYTES = 65_536;
/** Certificates in use have fewer than 20. */
const MAX_EXTENSIONS = 64;
/** RFC 5280 §4.1.2.2: 20 octets; a first octet of zero, which only makes the number positive, comes on top. */
const MAX_SERIAL_BYTES = 21;

export interface Extension {
  /** Dotted decimal. */
  readonly oid: string;
  readonly critical: boolean;
  /** Content of extnValue. */
  readonly value: Uint8Array;
}

/**
 * An X.509 certificate (RFC 5280 §4.1). It owns its bytes: they are copied once, so that nobody who reuses a receive
 * buffer can change a certificate that has been verified. Byte fields are views on that copy; do not write to them.
 *
 * Parsing says nothing about trust: that is `verifyPeer`.
 */
export class Certificate {
  /** The whole certificate, DER. */
  readonly raw: Uint8Array;
  /** tbsCertificate, DER: what the signature covers. */
  readonly tbs: Uint8Array;
  readonly version: 1 | 2 | 3;
  /** Content of the INTEGER, big-endian. */
  readonly serialNumber: Uint8Array;
  readonly signatureAlgorithm: SignatureAlgorithmIdentifier;
  readonly signature: Uint8Array;
  readonly issuer: Name;
  readonly subject: Name;
  /** Unix milliseconds; the first instant of validity. */
  readonly notBefore: number;
  /** Unix milliseconds; valid through this second. */
  readonly notAfter: number;
  /** SubjectPublicKeyInfo, DER. */
  readonly spki: Uint8Array;
  readonly extensions: readonly Extension[];
  readonly basicConstraints: BasicConstraints | undefined;
  /** Bits of `KeyUsage`. */
  readonly keyUsage: number | undefined;
  /** OIDs, dotted decimal. */
  readonly extKeyUsage: readonly string[] | undefined;
  readonly subjectKeyIdentifier: Uint8Array | undefined;
  readonly authorityKeyIdentifier: Uint8Array | undefined;
  /** OIDs of critical extensions that are not processed here: this certificate cannot be part of a path. */
  readonly unknownCriticalExtensions: readonly string[];

  #subjectAltNames: readonly GeneralName[] | undefined;
  #nameConstraints: NameConstraints | undefined;
  #wellFormed = false;

  /** @throws CertificateError CERT_MALFORMED, its cause says what is wrong */
  static parse(der: Uint8Array): Certificate {
    return malformed(() => new Certificate(der));
  }

  private constructor(der: Uint8Array) {
    if (der.length > MAX_CERTIFICATE_BYTES) {
      throw new DecodeError(`${der.length} bytes, at most ${MAX_CERTIFICATE_BYTES} are read`);
    }
    this.raw = new Uint8Array(der);
    // Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue BIT STRING }
    const outer = new DerReader(this.raw, 'certificate');
    const certificate = outer.sequence();
    outer.end();
    this.tbs = certificate.encoded(Tag.sequence);
    const signatureAlgorithm = certificate.encoded(Tag.sequence);
    this.signature = certificate.bitStringBytes();
    certificate.end();

    // TBSCertificate ::= SEQUENCE { [0] version DEFAULT v1, serialNumber, signature, issuer, validity, subject,
    //   subjectPublicKeyInfo, [1] issuerUniqueID OPTIONAL, [2] subjectUniqueID OPTIONAL, [3] extensions OPTIONAL }
    const tbs = new DerReader(this.tbs, 'tbsCertificate').sequence();
    this.version = readVersion(tbs);
    this.serialNumber = readSerial(tbs);
    // RFC 5280 §4.1.1.2: both algorithm identifiers MUST be the same.
    if (!equalBytes(tbs.encoded(Tag.sequence), signatureAlgorithm)) {
      throw new DecodeError('signatureAlgorithm differs from the one that is signed');
    }
    this.signatureAlgorithm = readSignatureAlgorithm(signatureAlgorithm);
    this.issuer = Name.read(tbs);
    const validity = tbs.sequence();
    this.notBefore = readTime(validity);
    this.notAfter = readTime(validity);
    validity.end();
    this.subject = Name.read(tbs);
    this.spki = tbs.encoded(Tag.sequence);
    if (this.version >= 2) {
      if (tbs.is(contextPrimitive(1))) tbs.skip();
      if (tbs.is(contextPrimitive(2))) tbs.skip();
    }
    this.extensions = this.version === 3 && tbs.is(contextConstructed(3)) ? readExtensions(tbs) : [];
    tbs.end();

    this.basicConstraints = mapValue(this.#value(Oid.basicConstraints), readBasicConstraints);
    this.keyUsage = mapValue(this.#value(Oid.keyUsage), readKeyUsage);
    this.extKeyUsage = mapValue(this.#value(Oid.extKeyUsage), readExtKeyUsage);
    this.subjectKeyIdentifier = mapValue(this.#value(Oid.subjectKeyIdentifier), readSubjectKeyIdentifier);
    this.authorityKeyIdentifier = mapValue(
      this.#value(Oid.authorityKeyIdentifier),
      readAuthorityKeyIdentifier,
    );
    this.unknownCriticalExtensions = unknownCritical(this.extensions);
  }

  /** Empty when there is no such extension. Decoded on first use. @throws CertificateError CERT_MALFORMED */
  get subjectAltNames(): readonly GeneralName[] {
    this.#subjectAltNames ??= malformed(
      () => mapValue(this.#value(Oid.subjectAltName), readSubjectAltName) ?? [],
    );
    return this.#subjectAltNames;
  }

  /** Decoded on first use. @throws CertificateError CERT_MALFORMED */
  get nameConstraints(): NameConstraints | undefined {
    this.#nameConstraints ??= malformed(() =>
      mapValue(this.#value(Oid.nameConstraints), readNameConstraints),
    );
    return this.#nameConstraints;
  }

  /** Subject and issuer are the same name (RFC 5280 §6.1); whether it signed itself is another question. */
  get isSelfIssued(): boolean {
    return this.subject.equals(this.issuer);
  }

  /** Hexadecimal, upper case, as `node:tls` shows it. */
  get serialHex(): string {
    const start = this.serialNumber.length > 1 && this.serialNumber[0] === 0 ? 1 : 0;
    return toHex(this.serialNumber.subarray(start)).toUpperCase();
  }

  /** Decodes what `parse` left for later, so that nothing in it throws afterwards. @throws CertificateError CERT_MALFORMED */
  checkWellFormed(): void {
    if (this.#wellFormed) return;
    malformed(() => {
      void this.subject.rdnKeys;
      void this.issuer.rdnKeys;
      void this.subjectAltNames;
      void this.nameConstraints;
    });
    this.#wellFormed = true;
  }

  /** Content of an extension's extnValue. */
  extension(oid: string): Extension | undefined {
    return this.extensions.find((extension) => extension.oid === oid);
  }

  equals(other: Certificate): boolean {
    return this === other || equalBytes(this.raw, other.raw);
  }

  /** For logs and errors: the subject, or what identifies a certificate without one. */
  toString(): string {
    if (!this.subject.isEmpty) return this.subject.toString();
    return `certificate ${this.serialHex} of ${this.issuer.toString()}`;
  }

  #value(oid: string): Uint8Array | undefined {
    for (const extension of this.extensions) if (extension.oid === oid) return extension.value;
    return undefined;
  }
}

function malformed<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw new CertificateError('CERT_MALFORMED', `The certificate is malformed: ${cause.message}`, 0, {
      cause,
    });
  }
}

function mapValue<T>(value: Uint8Array | undefined, read: (value: Uint8Array) => T): T | undefined {
  return value === undefined ? undefined : read(value);
}

function readVersion(tbs: DerReader): 1 | 2 | 3 {
  if (!tbs.is(contextConstructed(0))) return 1;
  const version = tbs.explicit(0, (reader) => reader.smallInteger(2));
  // X.690 §11.5: the default, v1, is not encoded.
  if (version === 0) throw new DecodeError('version 1 written out');
  return version === 1 ? 2 : 3;
}

/** RFC 5280 §4.1.2.2. Zero, which it forbids too, is in trust anchors of public CAs. */
function readSerial(tbs: DerReader): Uint8Array {
  const serial = tbs.integer();
  if ((serial[0] as number) >= 0x80) throw new DecodeError('negative serial number');
  if (serial.length > MAX_SERIAL_BYTES) throw new DecodeError(`serial number of ${serial.length} bytes`);
  return serial;
}

/**
 * RFC 5280 §4.1.2.5. That CAs write dates before 2050 as UTCTime is not checked: a public trust anchor does otherwise.
 */
function readTime(validity: DerReader): number {
  return validity.is(Tag.generalizedTime) ? validity.generalizedTime() : validity.utcTime();
}

function readExtensions(tbs: DerReader): Extension[] {
  const extensions = tbs.explicit(
    3,
    (reader) => reader.list(Tag.sequence, readExtension, 1, MAX_EXTENSIONS),
    'extensions',
  );
  for (let i = 1; i < extensions.length; i++) {
    const { oid } = extensions[i] as Extension;
    // RFC 5280 §4.2: not more than one instance of an extension.
    for (let k = 0; k < i; k++)
      if (extensions[k]?.oid === oid) throw new DecodeError(`extension ${oid} twice`);
  }
  return extensions;
}

/** Extension ::= SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
function readExtension(reader: DerReader): Extension {
  const fields = reader.sequence();
  const oid = fields.oid();
  // An explicit FALSE is not DER (X.690 §11.5) but harmless, and in use.
  const critical = fields.is(Tag.boolean) && fields.boolean();
  const value = fields.octetString();
  fields.end();
  return { oid, critical, value };
}

const NONE: readonly string[] = [];

function unknownCritical(extensions: readonly Extension[]): readonly string[] {
  const unknown = extensions.filter(({ oid, critical }) => critical && !PROCESSED_EXTENSIONS.has(oid));
  return unknown.length === 0 ? NONE : unknown.map(({ oid }) => oid);
}

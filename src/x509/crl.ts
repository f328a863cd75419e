import type { CryptoProvider } from '../crypto/provider.ts';
import { equalBytes } from '../der/bytes.ts';
import { Name } from '../der/name.ts';
import { Oid } from '../der/oids.ts';
import { DerReader } from '../der/reader.ts';
import { contextConstructed, Tag } from '../der/tags.ts';
import { CertificateError, DecodeError } from '../errors/errors.ts';
import { latin1Text } from '../wire/latin1.ts';
import type { Certificate } from './certificate.ts';
import { KeyUsage } from './extensions.ts';
import { importPublicKey, keyFits } from './public-key.ts';
import { readSignatureAlgorithm, type SignatureAlgorithmIdentifier } from './signature-algorithm.ts';

/** The longest lists of public CAs have some hundred thousand entries. */
const MAX_ENTRIES = 1_000_000;
const MAX_EXTENSIONS = 32;
/** RFC 5280 §5.2.3 and §4.1.2.2 make numbers of 20 bytes; the bound is wide. */
const MAX_SERIAL = 64;

/** A certificate revocation list (RFC 5280 §5), parsed once and asked often. */
export class Crl {
  readonly issuer: Name;
  /** Unix milliseconds. */
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
  readonly #tbs: Uint8Array;
  readonly #algorithm: SignatureAlgorithmIdentifier;
  readonly #signature: Uint8Array;
  readonly #revoked: ReadonlySet<string>;
  readonly #unknownCritical: string | undefined;
  /** SubjectPublicKeyInfo under which the signature was found right. */
  #verifiedWith: Uint8Array | undefined;

  private constructor(der: Uint8Array) {
    const outer = new DerReader(der, 'CRL');
    const list = outer.sequence();
    outer.end();
    this.#tbs = list.encoded(Tag.sequence);
    const signedWith = list.encoded(Tag.sequence);
    this.#algorithm = readSignatureAlgorithm(signedWith);
    this.#signature = list.bitStringBytes();
    list.end();
    const tbs = new DerReader(this.#tbs, 'TBSCertList').sequence();
    // §5.1.2.1: v2 where there are extensions; nothing here depends on it.
    if (tbs.is(Tag.integer)) tbs.smallInteger(1);
    // §5.1.1.2: the same algorithm inside the signature and outside.
    if (!equalBytes(tbs.encoded(Tag.sequence), signedWith))
      throw new DecodeError('CRL: two signature algorithms');
    this.issuer = Name.read(tbs);
    this.thisUpdate = readTime(tbs);
    this.nextUpdate = tbs.is(Tag.utcTime) || tbs.is(Tag.generalizedTime) ? readTime(tbs) : undefined;
    const critical: string[] = [];
    this.#revoked = tbs.is(Tag.sequence) ? readEntries(tbs, critical) : new Set();
    if (tbs.is(contextConstructed(0))) tbs.explicit(0, (reader) => readExtensions(reader, critical));
    tbs.end();
    this.#unknownCritical = critical[0];
  }

  /** @throws DecodeError */
  static parse(der: Uint8Array): Crl {
    return new Crl(der);
  }

  /** Is this list for certificates of that issuer? */
  isOf(issuer: Certificate): boolean {
    return this.issuer.equals(issuer.subject);
  }

  /**
   * Checks that the list can be believed (RFC 5280 §6.3.3): signed by this issuer, of the present time, and complete.
   * @param depth of the certificate that it shall judge
   * @throws CertificateError CRL_SIGNATURE_FAILURE, CRL_NOT_YET_VALID, CRL_HAS_EXPIRED, UNABLE_TO_GET_CRL
   */
  check(crypto: CryptoProvider, issuer: Certificate, now: number, depth: number): void {
    const fail = (code: CrlFault, what: string): never => {
      throw new CertificateError(code, `The CRL of ${issuer} ${what}`, depth);
    };
    if (this.#unknownCritical !== undefined) {
      // Parts of a list and lists of changes (§5.2.4, §5.2.5) say so in a critical extension.
      fail(
        'UNABLE_TO_GET_CRL',
        `has the critical extension ${this.#unknownCritical}; a complete list is needed`,
      );
    }
    if (!(this.thisUpdate <= now)) fail('CRL_NOT_YET_VALID', 'is of the future');
    // §5.1.2.5: nextUpdate is there in every list that conforms; without it nobody can tell a new list from an old one.
    if (this.nextUpdate === undefined || !(now <= this.nextUpdate)) {
      fail('CRL_HAS_EXPIRED', 'is out of date; get the present one');
    }
    if (!this.#isSignedBy(crypto, issuer)) fail('CRL_SIGNATURE_FAILURE', 'was not signed by it');
  }

  revokes({ serialNumber }: Certificate): boolean {
    return this.#revoked.has(keyOf(serialNumber));
  }

  #isSignedBy(crypto: CryptoProvider, issuer: Certificate): boolean {
    if (this.#verifiedWith !== undefined && equalBytes(this.#verifiedWith, issuer.spki)) return true;
    const { algorithm } = this.#algorithm;
    // §6.3.3 (f): an issuer with keyUsage must have cRLSign.
    if (algorithm === undefined || ((issuer.keyUsage ?? KeyUsage.cRLSign) & KeyUsage.cRLSign) === 0)
      return false;
    const key = importPublicKey(crypto, issuer.spki);
    if (!keyFits(algorithm, key) || !crypto.verify(algorithm, key, this.#tbs, this.#signature)) return false;
    this.#verifiedWith = issuer.spki;
    return true;
  }
}

type CrlFault = 'CRL_SIGNATURE_FAILURE' | 'CRL_NOT_YET_VALID' | 'CRL_HAS_EXPIRED' | 'UNABLE_TO_GET_CRL';

function readTime(reader: DerReader): number {
  return reader.is(Tag.generalizedTime) ? reader.generalizedTime() : reader.utcTime();
}

/** SEQUENCE OF SEQUENCE { userCertificate, revocationDate, crlEntryExtensions OPTIONAL } */
function readEntries(tbs: DerReader, critical: string[]): Set<string> {
  const revoked = new Set<string>();
  tbs.list(
    Tag.sequence,
    (reader) => {
      const entry = reader.sequence();
      revoked.add(keyOf(entry.integer()));
      readTime(entry);
      if (entry.is(Tag.sequence)) readExtensions(entry, critical);
      entry.end();
    },
    0,
    MAX_ENTRIES,
  );
  return revoked;
}

function readExtensions(reader: DerReader, critical: string[]): void {
  reader.list(
    Tag.sequence,
    (item) => {
      const extension = item.sequence();
      const oid = extension.oid();
      const isCritical = extension.is(Tag.boolean) && extension.boolean();
      extension.octetString();
      extension.end();
      if (isCritical && oid !== Oid.authorityKeyIdentifier) critical.push(oid);
    },
    0,
    MAX_EXTENSIONS,
  );
}

/** As text, which a Set compares by value. */
function keyOf(serialNumber: Uint8Array): string {
  if (serialNumber.length > MAX_SERIAL)
    throw new DecodeError(`CRL: serial number of ${serialNumber.length} bytes`);
  return latin1Text(serialNumber);
}

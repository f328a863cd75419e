import type { CryptoProvider, PublicKey, SignatureAlgorithm } from '../crypto/provider.ts';
import { schemeById } from '../crypto/schemes.ts';
import { equalBytes } from '../der/bytes.ts';
import { Oid } from '../der/oids.ts';
import { CertificateError } from '../errors/errors.ts';
import type { Certificate } from './certificate.ts';
import { KeyUsage } from './extensions.ts';
import { type ComparisonBudget, checkNameConstraints, MAX_NAME_COMPARISONS } from './name-constraints.ts';
import { keyFits } from './public-key.ts';
import type { TrustStore } from './trust-store.ts';
import type { VerificationCache } from './verification-cache.ts';

/** End entity and trust anchor included. Public paths have 3 or 4 certificates, the deepest private ones 6. */
export const MAX_PATH_CERTIFICATES = 10;
/** Public-key operations in one verification: a path of full length, and as many wrong turns and more. */
export const MAX_SIGNATURE_CHECKS = 32;
/** Candidate issuers looked at in one verification. Certificates that all have one name could make billions of paths. */
const MAX_SEARCH_STEPS = 1_000;

/** What the peer does with its key: it authenticates in a handshake, or signs data or times (src/formats). */
export type Purpose = 'server' | 'client' | 'signer' | 'timestamping';

export interface PathRules {
  readonly purpose: Purpose;
  /** Unix milliseconds. */
  readonly now: number;
  /** SignatureScheme values, RFC 8446 §4.2.3 `signature_algorithms_cert`; undefined for the policy alone. */
  readonly allowedSchemes: readonly number[] | undefined;
  /** What a server's key does in the handshake; `undefined` for signing. */
  readonly keyUse: 'encipherment' | undefined;
}

/**
 * Looks for a path from one certificate to a trust anchor among certificates in any order, and validates it
 * (RFC 5280 §6.1). Depth first, issuers that are trust anchors before others, likely ones before unlikely ones
 * (RFC 4158 §3); a path that fails leads to the next one, so that an expired cross-certificate does no harm.
 */
export class PathSearch {
  readonly #crypto: CryptoProvider;
  readonly #trust: TrustStore;
  readonly #cache: VerificationCache;
  readonly #intermediates: readonly Certificate[];
  readonly #rules: PathRules;
  readonly #budget: ComparisonBudget = { comparisons: MAX_NAME_COMPARISONS };
  readonly #signatures = new Map<Certificate, { issuer: Certificate; valid: boolean }[]>();
  #steps = 0;
  #signatureChecks = 0;
  #failure: Failure | undefined;

  /** @param intermediates well-formed and all different */
  constructor(
    crypto: CryptoProvider,
    trust: TrustStore,
    cache: VerificationCache,
    intermediates: readonly Certificate[],
    rules: PathRules,
  ) {
    this.#crypto = crypto;
    this.#trust = trust;
    this.#cache = cache;
    this.#intermediates = intermediates;
    this.#rules = rules;
  }

  /**
   * @returns the path, `leaf` first, trust anchor last; `[leaf]` when the leaf is an anchor itself
   * @throws CertificateError of the path that came closest
   */
  find(leaf: Certificate): readonly Certificate[] {
    // Whoever made this very certificate an anchor trusts its key; no signature could add to that.
    const path = this.#trust.includes(leaf) ? this.#attempt([leaf]) : this.#extend([leaf]);
    if (path !== undefined) return path;
    throw this.#failure?.error ?? noIssuer([leaf]).error;
  }

  /** Tries all issuers of the last certificate of `path`. */
  #extend(path: readonly Certificate[]): readonly Certificate[] | undefined {
    const last = path[path.length - 1] as Certificate;
    let deadEnd = true;
    for (const anchor of this.#ordered(last, this.#trust.findBySubject(last.issuer))) {
      if (this.#exhausted()) return undefined;
      deadEnd = false;
      // A root that was sent, and is an anchor (perhaps under another certificate), was tried one step before.
      if (path.length > 1 && isSameEntity(anchor, last)) continue;
      const found = this.#attempt([...path, anchor]);
      if (found !== undefined) return found;
    }
    for (const issuer of this.#ordered(last, this.#issuersOf(last))) {
      if (this.#exhausted()) return undefined;
      // A path that meets the same name and key again could leave out what lies between.
      if (path.some((certificate) => isSameEntity(certificate, issuer))) continue;
      if (path.length + 1 >= MAX_PATH_CERTIFICATES) {
        this.#note({
          error: tooLong(`more than ${MAX_PATH_CERTIFICATES} certificates`, path.length),
          rank: Rank.noAnchor,
        });
        return undefined;
      }
      deadEnd = false;
      const found = this.#extend([...path, issuer]);
      if (found !== undefined) return found;
    }
    if (deadEnd) this.#note(noIssuer(path));
    return undefined;
  }

  #issuersOf(certificate: Certificate): Certificate[] {
    return this.#intermediates.filter(
      (candidate) => candidate !== certificate && candidate.subject.equals(certificate.issuer),
    );
  }

  /** Key identifiers are hints (RFC 5280 §4.2.1.1): they order the candidates and exclude none. */
  #ordered(certificate: Certificate, issuers: readonly Certificate[]): readonly Certificate[] {
    if (issuers.length < 2) return issuers;
    const wanted = certificate.authorityKeyIdentifier;
    const distance = (issuer: Certificate): number => {
      const id = issuer.subjectKeyIdentifier;
      const keyDistance = wanted === undefined || id === undefined ? 1 : equalBytes(wanted, id) ? 0 : 2;
      const { now } = this.#rules;
      return keyDistance * 2 + (issuer.notBefore <= now && now <= issuer.notAfter ? 0 : 1);
    };
    return issuers
      .map((issuer) => ({ issuer, distance: distance(issuer) }))
      .sort((a, b) => a.distance - b.distance)
      .map(({ issuer }) => issuer);
  }

  /** The path if it is valid; otherwise undefined, and the reason is noted. */
  #attempt(path: readonly Certificate[]): readonly Certificate[] | undefined {
    let rank: Rank = Rank.notSigned;
    try {
      this.#checkSignatures(path);
      rank = Rank.complete;
      checkCertificates(path, this.#rules);
      checkNameConstraints(path, this.#budget);
      return path;
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error;
      this.#note({ error, rank });
      return undefined;
    }
  }

  /** From the anchor down, so that no key is used that nothing vouches for. */
  #checkSignatures(path: readonly Certificate[]): void {
    for (let depth = path.length - 2; depth >= 0; depth--) {
      const certificate = path[depth] as Certificate;
      const issuer = path[depth + 1] as Certificate;
      const algorithm = checkAlgorithm(certificate, depth, this.#rules.allowedSchemes);
      const key = atDepth(depth + 1, () => this.#cache.publicKey(issuer));
      if (!this.#isSigned(certificate, issuer, algorithm, key)) {
        throw new CertificateError(
          'CERT_SIGNATURE_FAILURE',
          `The signature on ${certificate} was not made by ${issuer}`,
          depth,
        );
      }
    }
  }

  #isSigned(
    certificate: Certificate,
    issuer: Certificate,
    algorithm: SignatureAlgorithm,
    key: PublicKey,
  ): boolean {
    if (this.#cache.isSignedBy(certificate, issuer)) return true;
    const checked = this.#signatures.get(certificate) ?? [];
    const before = checked.find((entry) => entry.issuer === issuer);
    if (before !== undefined) return before.valid;
    if (++this.#signatureChecks > MAX_SIGNATURE_CHECKS) {
      throw tooLong(`more than ${MAX_SIGNATURE_CHECKS} signatures would have to be checked`);
    }
    const valid =
      keyFits(algorithm, key) && this.#crypto.verify(algorithm, key, certificate.tbs, certificate.signature);
    this.#signatures.set(certificate, [...checked, { issuer, valid }]);
    return valid;
  }

  #exhausted(): boolean {
    if (++this.#steps <= MAX_SEARCH_STEPS) return this.#signatureChecks > MAX_SIGNATURE_CHECKS;
    this.#note({ error: tooLong(`no path among ${MAX_SEARCH_STEPS} candidates`), rank: Rank.notSigned });
    return true;
  }

  /** Keeps the reason of the attempt that got furthest; among equals the first, whose candidates were likelier. */
  #note(failure: Failure): void {
    if (this.#failure === undefined || failure.rank > this.#failure.rank) this.#failure = failure;
  }
}

/** How far an attempt got. A fault on a path to an anchor tells more than a path that leads nowhere. */
const Rank = { noAnchor: 0, notSigned: 1, complete: 2 } as const;
type Rank = (typeof Rank)[keyof typeof Rank];

interface Failure {
  readonly error: CertificateError;
  readonly rank: Rank;
}

/** The codes that OpenSSL, and so `node:tls`, gives for a path that ends without a trust anchor. */
function noIssuer(path: readonly Certificate[]): Failure {
  const depth = path.length - 1;
  const last = path[depth] as Certificate;
  const remedy = 'if it is to be trusted, give the CA certificate as a trust anchor (ca)';
  const error = last.isSelfIssued
    ? depth === 0
      ? new CertificateError(
          'DEPTH_ZERO_SELF_SIGNED_CERT',
          `${last} is self-signed and not trusted; ${remedy}`,
          depth,
        )
      : new CertificateError(
          'SELF_SIGNED_CERT_IN_CHAIN',
          `${last} at the end of the chain is not trusted; ${remedy}`,
          depth,
        )
    : new CertificateError(
        depth === 0 ? 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' : 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
        `The issuer of ${last} (${last.issuer}) was not sent and is no trust anchor; ${remedy}, or have the peer send its intermediate certificates`,
        depth,
      );
  return { error, rank: Rank.noAnchor };
}

/** Everything of §6.1.3 and §6.1.4 but signatures and name constraints, from the anchor down. */
function checkCertificates(path: readonly Certificate[], rules: PathRules): void {
  let allowedBelow = Number.POSITIVE_INFINITY;
  for (let depth = path.length - 1; depth >= 0; depth--) {
    const certificate = path[depth] as Certificate;
    checkValidity(certificate, rules.now, depth);
    checkExtensions(certificate, depth);
    if (depth === 0) {
      checkEndEntity(certificate, rules);
      return;
    }
    const isAnchor = depth === path.length - 1;
    checkIssuer(certificate, isAnchor, rules.purpose, depth);
    // §6.1.4 (l): self-issued certificates do not count; neither does the anchor, which is no part of the path there.
    if (!isAnchor && !certificate.isSelfIssued) {
      if (allowedBelow <= 0) {
        throw new CertificateError(
          'PATH_LENGTH_EXCEEDED',
          `A pathLenConstraint above ${certificate} forbids it`,
          depth,
        );
      }
      allowedBelow--;
    }
    // §6.1.4 (m)
    allowedBelow = Math.min(
      allowedBelow,
      certificate.basicConstraints?.pathLength ?? Number.POSITIVE_INFINITY,
    );
  }
}

/** §4.1.2.5: both ends are inclusive, and notAfter means all of its second. */
function checkValidity(certificate: Certificate, now: number, depth: number): void {
  // Written so that a time that is no number is never a valid one.
  if (!(now >= certificate.notBefore)) {
    throw new CertificateError(
      'CERT_NOT_YET_VALID',
      `${certificate} is valid from ${new Date(certificate.notBefore).toISOString()}, and it is ${formatNow(now)}`,
      depth,
    );
  }
  if (!(now < certificate.notAfter + 1000)) {
    throw new CertificateError(
      'CERT_HAS_EXPIRED',
      `${certificate} expired ${new Date(certificate.notAfter).toISOString()}, and it is ${formatNow(now)}`,
      depth,
    );
  }
}

function checkExtensions(certificate: Certificate, depth: number): void {
  const unknown = certificate.unknownCriticalExtensions;
  // §4.2: a critical extension that is not recognised MUST end it.
  if (unknown.length > 0) {
    throw new CertificateError(
      'UNHANDLED_CRITICAL_EXTENSION',
      `${certificate} has critical extensions that are not understood: ${unknown.join(', ')}`,
      depth,
    );
  }
  // §4.1.2.4: the issuer MUST be non-empty.
  if (certificate.issuer.isEmpty) {
    throw new CertificateError('CERT_MALFORMED', `${certificate} has an empty issuer`, depth);
  }
}

/** §6.1.4 (k), (n), and extended key usage as a limit on what lies below, as browsers and OpenSSL have it. */
function checkIssuer(certificate: Certificate, isAnchor: boolean, purpose: Purpose, depth: number): void {
  // An anchor before version 3 cannot say that it is a CA; the user who trusts it says so (§6.1.4 (k)).
  const isCa = certificate.basicConstraints?.ca ?? (isAnchor && certificate.version < 3);
  if (!isCa) {
    throw new CertificateError(
      'INVALID_CA',
      `${certificate} is not a CA certificate but issued another`,
      depth,
    );
  }
  if (certificate.keyUsage !== undefined && (certificate.keyUsage & KeyUsage.keyCertSign) === 0) {
    throw new CertificateError(
      'INVALID_CA',
      `The keyUsage of ${certificate} does not allow it to sign certificates`,
      depth,
    );
  }
  const purposes = certificate.extKeyUsage;
  if (
    purposes !== undefined &&
    !allowsAny(purposes, PURPOSE_OIDS[purpose]) &&
    !purposes.includes(Oid.anyExtendedKeyUsage)
  ) {
    throw new CertificateError(
      'INVALID_PURPOSE',
      `${certificate} may not certify ${purpose}s (extendedKeyUsage)`,
      depth,
    );
  }
}

function checkEndEntity(certificate: Certificate, { purpose, keyUse }: PathRules): void {
  // RFC 8446 §4.4.2.2: the key must be allowed to sign; the digitalSignature bit MUST be set if there is a keyUsage.
  // RFC 8550 §4.4.2: for signed data nonRepudiation (contentCommitment) does as well.
  const isForData = purpose === 'signer' || purpose === 'timestamping';
  // RFC 5246 §7.4.2: for the RSA key exchange keyEncipherment MUST be set.
  const usage =
    keyUse === 'encipherment'
      ? KeyUsage.keyEncipherment
      : KeyUsage.digitalSignature | (isForData ? KeyUsage.nonRepudiation : 0);
  if (certificate.keyUsage !== undefined && (certificate.keyUsage & usage) === 0) {
    const what = keyUse === 'encipherment' ? 'the RSA key exchange' : 'digital signatures';
    throw new CertificateError('INVALID_PURPOSE', `The keyUsage of ${certificate} does not allow ${what}`);
  }
  // RFC 5280 §4.2.1.12 lets applications refuse anyExtendedKeyUsage alone; OpenSSL does, and so do we.
  if (certificate.extKeyUsage !== undefined && !allowsAny(certificate.extKeyUsage, PURPOSE_OIDS[purpose])) {
    throw new CertificateError(
      'INVALID_PURPOSE',
      `${certificate} is not for ${USE[purpose]} (extendedKeyUsage)`,
    );
  }
}

const USE: Readonly<Record<Purpose, string>> = {
  server: 'TLS servers',
  client: 'TLS clients',
  signer: 'signing data',
  timestamping: 'timestamps',
};

const PURPOSE_OIDS: Readonly<Record<Purpose, readonly string[]>> = {
  server: [Oid.serverAuth],
  client: [Oid.clientAuth],
  // Whoever speaks in a session signs with the certificate of its handshake; RFC 8550 §4.4.4 has the other two.
  signer: [Oid.clientAuth, Oid.serverAuth, Oid.emailProtection, Oid.anyExtendedKeyUsage],
  // RFC 3161 §2.3.
  timestamping: [Oid.timeStamping],
};

function allowsAny(purposes: readonly string[], wanted: readonly string[]): boolean {
  return purposes.some((purpose) => wanted.includes(purpose));
}

function checkAlgorithm(
  certificate: Certificate,
  depth: number,
  allowedSchemes: readonly number[] | undefined,
): SignatureAlgorithm {
  const { algorithm, name } = certificate.signatureAlgorithm;
  if (algorithm === undefined) {
    throw new CertificateError(
      'UNSUPPORTED_SIGNATURE_ALGORITHM',
      `${certificate} is signed with ${name}`,
      depth,
    );
  }
  if (allowedSchemes !== undefined && !allowedSchemes.some((id) => isScheme(id, algorithm))) {
    throw new CertificateError(
      'UNSUPPORTED_SIGNATURE_ALGORITHM',
      `${certificate} is signed with ${name}, which was not offered for certificates`,
      depth,
    );
  }
  return algorithm;
}

/** By kind and hash: like OpenSSL, the curve of the issuer's key is not compared with the scheme's. */
function isScheme(id: number, algorithm: SignatureAlgorithm): boolean {
  const scheme = schemeById(id)?.algorithm;
  if (scheme === undefined || scheme.kind !== algorithm.kind) return false;
  return scheme.kind === 'ed25519' || algorithm.kind === 'ed25519' || scheme.hash === algorithm.hash;
}

function isSameEntity(a: Certificate, b: Certificate): boolean {
  return a === b || (equalBytes(a.spki, b.spki) && a.subject.equals(b.subject));
}

function atDepth<T>(depth: number, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof CertificateError) || error.depth === depth) throw error;
    throw new CertificateError(error.code, error.message, depth, { cause: error });
  }
}

function tooLong(why: string, depth = 0): CertificateError {
  return new CertificateError('CERT_CHAIN_TOO_LONG', `The certificate chain is too long: ${why}`, depth);
}

/** Beyond this, Date has no form (ECMA-262 §21.4.1.1). */
const MAX_DATE = 8.64e15;

function formatNow(now: number): string {
  return Math.abs(now) <= MAX_DATE ? `now ${new Date(now).toISOString()}` : 'no known time';
}

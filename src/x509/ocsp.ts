import type { CryptoProvider, SignatureAlgorithm } from '../crypto/provider.ts';
import { equalBytes } from '../der/bytes.ts';
import { Oid } from '../der/oids.ts';
import { DerReader } from '../der/reader.ts';
import { contextConstructed, contextPrimitive, Tag } from '../der/tags.ts';
import { CertificateError, DecodeError } from '../errors/errors.ts';
import { Certificate } from './certificate.ts';
import { importPublicKey, keyFits } from './public-key.ts';
import { readSignatureAlgorithm } from './signature-algorithm.ts';

/** Responses are 0.5 to 3 KiB; with a delegate's certificate on RSA-4096 5 KiB. */
const MAX_RESPONSE = 16_384;
/** Certificates that a response may carry; it needs one at most. */
const MAX_CERTIFICATES = 4;
/** A stapled response is about one certificate; responders that answer for a few at once are known. */
const MAX_SINGLE_RESPONSES = 32;
const MAX_EXTENSIONS = 16;
/** Clocks of responders and clients differ (RFC 5019 §4). */
const CLOCK_SKEW = 5 * 60_000;
/** Without nextUpdate, newer information is there all the time (RFC 6960 §2.4): what is older than this is not new. */
const MAX_AGE_WITHOUT_NEXT_UPDATE = 24 * 3_600_000;

/** What a responder says of one certificate. Times are Unix milliseconds. */
export interface OcspStatus {
  readonly status: 'good' | 'revoked' | 'unknown';
  readonly revokedAt: number | undefined;
  readonly thisUpdate: number;
  readonly nextUpdate: number | undefined;
}

/**
 * Verifies an OCSP response about one certificate (RFC 6960 §3.2): it is about this certificate, signed by its issuer or
 * by someone whom the issuer has authorised, and of the present time. A nonce is not looked for: stapled responses are
 * made before anyone asks.
 *
 * @param response OCSPResponse, DER
 * @param issuer the certificate above in a verified path
 * @param now Unix milliseconds
 * @throws CertificateError ERR_TLS_BAD_CERTIFICATE_STATUS
 */
export function verifyOcspResponse(
  crypto: CryptoProvider,
  response: Uint8Array,
  certificate: Certificate,
  issuer: Certificate,
  now: number,
): OcspStatus {
  try {
    if (response.length > MAX_RESPONSE) throw new DecodeError(`OCSP response of ${response.length} bytes`);
    const basic = readBasicResponse(response);
    const found = basic.responses.find((single) => isAbout(crypto, single.certId, certificate, issuer));
    if (found === undefined) throw bad('is not about this certificate');
    checkSignature(crypto, basic, issuer, now);
    checkTimes(found, now);
    return found;
  } catch (cause) {
    if (!(cause instanceof DecodeError)) throw cause;
    throw bad(`is malformed: ${cause.message}`, cause);
  }
}

function bad(what: string, cause?: unknown): CertificateError {
  const message = `The OCSP response ${what}`;
  return new CertificateError('ERR_TLS_BAD_CERTIFICATE_STATUS', message, 0, { cause });
}

// ── what a response says ─────────────────────────────────────────────────────────────────────────

interface CertId {
  readonly hash: string;
  readonly issuerNameHash: Uint8Array;
  readonly issuerKeyHash: Uint8Array;
  readonly serialNumber: Uint8Array;
}

interface SingleResponse extends OcspStatus {
  readonly certId: CertId;
}

interface BasicResponse {
  /** tbsResponseData, DER. */
  readonly tbs: Uint8Array;
  readonly responder: { readonly name: Uint8Array } | { readonly keyHash: Uint8Array };
  readonly responses: readonly SingleResponse[];
  readonly algorithm: SignatureAlgorithm | undefined;
  readonly signature: Uint8Array;
  readonly certificates: readonly Uint8Array[];
}

/** OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT ResponseBytes OPTIONAL } */
function readBasicResponse(response: Uint8Array): BasicResponse {
  const outer = new DerReader(response, 'OCSP response');
  const fields = outer.sequence();
  outer.end();
  const status = fields.smallInteger(255, Tag.enumerated);
  if (status !== 0) throw bad(`is an error of the responder (${status})`);
  const bytes = fields.explicit(0, (reader) => {
    const body = reader.sequence();
    const type = body.oid();
    const value = body.octetString();
    body.end();
    if (type !== Oid.ocspBasic) throw bad(`is of type ${type}, which is not supported`);
    return value;
  });
  fields.end();
  const basicOuter = new DerReader(bytes, 'BasicOCSPResponse');
  const basic = basicOuter.sequence();
  basicOuter.end();
  const tbs = basic.encoded(Tag.sequence);
  const { algorithm } = readSignatureAlgorithm(basic.encoded(Tag.sequence));
  const signature = basic.bitStringBytes();
  const certificates = basic.is(contextConstructed(0))
    ? basic.explicit(0, (reader) =>
        reader.list(Tag.sequence, (r) => r.encoded(Tag.sequence), 0, MAX_CERTIFICATES),
      )
    : [];
  basic.end();
  return { tbs, algorithm, signature, certificates, ...readResponseData(tbs) };
}

/** ResponseData ::= SEQUENCE { version [0] DEFAULT v1, responderID, producedAt, responses, responseExtensions [1] OPTIONAL } */
function readResponseData(tbs: Uint8Array): Pick<BasicResponse, 'responder' | 'responses'> {
  const outer = new DerReader(tbs, 'ResponseData');
  const data = outer.sequence();
  outer.end();
  // The default, v1, is not encoded (X.690 §11.5), and there is no other.
  const responder = data.is(contextConstructed(1))
    ? { name: data.explicit(1, (reader) => reader.encoded(Tag.sequence)) }
    : { keyHash: data.explicit(2, (reader) => reader.octetString()) };
  data.generalizedTime();
  const responses = data.list(Tag.sequence, readSingleResponse, 1, MAX_SINGLE_RESPONSES);
  if (data.is(contextConstructed(1))) data.explicit(1, refuseCritical);
  data.end();
  return { responder, responses };
}

function readSingleResponse(reader: DerReader): SingleResponse {
  const fields = reader.sequence();
  const certId = readCertId(fields);
  let status: OcspStatus['status'] = 'good';
  let revokedAt: number | undefined;
  if (fields.is(contextConstructed(1))) {
    // RevokedInfo ::= SEQUENCE { revocationTime, revocationReason [0] EXPLICIT CRLReason OPTIONAL }
    const info = fields.into(contextConstructed(1));
    status = 'revoked';
    revokedAt = info.generalizedTime();
    if (info.is(contextConstructed(0))) info.explicit(0, (reason) => reason.smallInteger(10, Tag.enumerated));
    info.end();
  } else if (fields.is(contextPrimitive(2))) {
    fields.skip();
    status = 'unknown';
  } else fields.skip(contextPrimitive(0));
  const thisUpdate = fields.generalizedTime();
  const nextUpdate = fields.is(contextConstructed(0))
    ? fields.explicit(0, (time) => time.generalizedTime())
    : undefined;
  if (fields.is(contextConstructed(1))) fields.explicit(1, refuseCritical);
  fields.end();
  return { certId, status, revokedAt, thisUpdate, nextUpdate };
}

/** CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber } */
function readCertId(reader: DerReader): CertId {
  const fields = reader.sequence();
  const algorithm = fields.sequence();
  const hash = algorithm.oid();
  const certId = {
    hash,
    issuerNameHash: fields.octetString(),
    issuerKeyHash: fields.octetString(),
    serialNumber: fields.integer(),
  };
  fields.end();
  return certId;
}

/** RFC 6960 §4.4: none of the extensions has to be understood; one that is marked critical would have to be. */
function refuseCritical(reader: DerReader): void {
  reader.list(
    Tag.sequence,
    (item) => {
      const extension = item.sequence();
      const oid = extension.oid();
      const critical = extension.is(Tag.boolean) && extension.boolean();
      extension.octetString();
      extension.end();
      if (critical) throw bad(`has the critical extension ${oid}`);
    },
    0,
    MAX_EXTENSIONS,
  );
}

// ── whether it can be believed ───────────────────────────────────────────────────────────────────

function isAbout(crypto: CryptoProvider, id: CertId, certificate: Certificate, issuer: Certificate): boolean {
  return (
    equalBytes(id.serialNumber, certificate.serialNumber) &&
    equalBytes(id.issuerNameHash, digest(crypto, id.hash, issuer.subject.raw)) &&
    equalBytes(id.issuerKeyHash, digest(crypto, id.hash, keyBits(issuer)))
  );
}

/** SHA-1 names the issuer here and protects nothing (RFC 5019 §2.1.1 has everybody use it). */
function digest(crypto: CryptoProvider, oid: string, data: Uint8Array): Uint8Array {
  switch (oid) {
    case Oid.sha1:
      return crypto.sha1(data);
    case Oid.sha256:
      return crypto.digest('sha256', data);
    case Oid.sha384:
      return crypto.digest('sha384', data);
    case Oid.sha512:
      return crypto.digest('sha512', data);
    default:
      return new Uint8Array(0);
  }
}

/** Content of subjectPublicKey, without tag, length and unused bits (RFC 6960 §4.1.1). */
function keyBits({ spki }: Certificate): Uint8Array {
  const reader = new DerReader(spki, 'subjectPublicKeyInfo').sequence();
  reader.skip();
  return reader.bitStringBytes();
}

/** §4.2.2.2: the issuer itself, or a delegate with id-kp-OCSPSigning whose certificate this very issuer has signed. */
function checkSignature(
  crypto: CryptoProvider,
  basic: BasicResponse,
  issuer: Certificate,
  now: number,
): void {
  const responder = isResponder(crypto, basic, issuer) ? issuer : findDelegate(crypto, basic, issuer, now);
  if (responder === undefined) throw bad('comes from someone whom the issuer has not authorised');
  const { algorithm, tbs, signature } = basic;
  if (algorithm === undefined) throw bad('is signed with an algorithm that is not accepted');
  const key = importPublicKey(crypto, responder.spki);
  if (!keyFits(algorithm, key) || !crypto.verify(algorithm, key, tbs, signature)) {
    throw bad('has a wrong signature');
  }
}

function isResponder(crypto: CryptoProvider, { responder }: BasicResponse, candidate: Certificate): boolean {
  return 'name' in responder
    ? equalBytes(responder.name, candidate.subject.raw)
    : equalBytes(responder.keyHash, crypto.sha1(keyBits(candidate)));
}

function findDelegate(
  crypto: CryptoProvider,
  basic: BasicResponse,
  issuer: Certificate,
  now: number,
): Certificate | undefined {
  for (const der of basic.certificates) {
    let delegate: Certificate;
    try {
      delegate = Certificate.parse(der);
      delegate.checkWellFormed();
    } catch (error) {
      if (error instanceof CertificateError) continue;
      throw error;
    }
    if (!isResponder(crypto, basic, delegate)) continue;
    if (isAuthorised(crypto, delegate, issuer, now)) return delegate;
  }
  return undefined;
}

function isAuthorised(
  crypto: CryptoProvider,
  delegate: Certificate,
  issuer: Certificate,
  now: number,
): boolean {
  const { algorithm } = delegate.signatureAlgorithm;
  if (
    algorithm === undefined ||
    !delegate.issuer.equals(issuer.subject) ||
    !(delegate.extKeyUsage?.includes(Oid.ocspSigning) ?? false) ||
    delegate.unknownCriticalExtensions.length > 0 ||
    !(now >= delegate.notBefore && now < delegate.notAfter + 1000)
  ) {
    return false;
  }
  const key = importPublicKey(crypto, issuer.spki);
  return keyFits(algorithm, key) && crypto.verify(algorithm, key, delegate.tbs, delegate.signature);
}

/** §3.2, 5 and 6. */
function checkTimes({ thisUpdate, nextUpdate }: OcspStatus, now: number): void {
  if (!(thisUpdate <= now + CLOCK_SKEW)) throw bad('is of the future');
  const until = nextUpdate ?? thisUpdate + MAX_AGE_WITHOUT_NEXT_UPDATE;
  if (!(now <= until + CLOCK_SKEW)) throw bad('has expired');
}

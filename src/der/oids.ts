import { DecodeError, TlsError } from '../errors/errors.ts';

/** Object identifiers by the names of the documents that define them. */
export const Oid = {
  // Public keys and signatures: RFC 3279, RFC 4055, RFC 5480, RFC 5758, RFC 8410
  rsaEncryption: '1.2.840.113549.1.1.1',
  mgf1: '1.2.840.113549.1.1.8',
  rsassaPss: '1.2.840.113549.1.1.10',
  sha256WithRSAEncryption: '1.2.840.113549.1.1.11',
  sha384WithRSAEncryption: '1.2.840.113549.1.1.12',
  sha512WithRSAEncryption: '1.2.840.113549.1.1.13',
  ecPublicKey: '1.2.840.10045.2.1',
  secp256r1: '1.2.840.10045.3.1.7',
  secp384r1: '1.3.132.0.34',
  secp521r1: '1.3.132.0.35',
  ecdsaWithSHA256: '1.2.840.10045.4.3.2',
  ecdsaWithSHA384: '1.2.840.10045.4.3.3',
  ecdsaWithSHA512: '1.2.840.10045.4.3.4',
  ed25519: '1.3.101.112',
  // Refused, and named so that the error can say what it saw
  md5WithRSAEncryption: '1.2.840.113549.1.1.4',
  sha1WithRSAEncryption: '1.2.840.113549.1.1.5',
  ecdsaWithSHA1: '1.2.840.10045.4.1',
  // Hashes: RFC 5754
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
  sha512: '2.16.840.1.101.3.4.2.3',
  // Extensions: RFC 5280 §4.2
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  crlDistributionPoints: '2.5.29.31',
  certificatePolicies: '2.5.29.32',
  authorityKeyIdentifier: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  authorityInfoAccess: '1.3.6.1.5.5.7.1.1',
  signedCertificateTimestamps: '1.3.6.1.4.1.11129.2.4.2',
  // Purposes: RFC 5280 §4.2.1.12
  anyExtendedKeyUsage: '2.5.29.37.0',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
  codeSigning: '1.3.6.1.5.5.7.3.3',
  emailProtection: '1.3.6.1.5.5.7.3.4',
  timeStamping: '1.3.6.1.5.5.7.3.8',
  ocspSigning: '1.3.6.1.5.5.7.3.9',
  ocspBasic: '1.3.6.1.5.5.7.48.1.1',
  /** RFC 7633: what a server must do, above all staple. */
  tlsFeature: '1.3.6.1.5.5.7.1.24',
  // Signed objects: RFC 5652, RFC 2634, RFC 5035
  data: '1.2.840.113549.1.7.1',
  signedData: '1.2.840.113549.1.7.2',
  contentType: '1.2.840.113549.1.9.3',
  messageDigest: '1.2.840.113549.1.9.4',
  signingTime: '1.2.840.113549.1.9.5',
  receipt: '1.2.840.113549.1.9.16.1.1',
  receiptRequest: '1.2.840.113549.1.9.16.2.1',
  msgSigDigest: '1.2.840.113549.1.9.16.2.5',
  signingCertificateV2: '1.2.840.113549.1.9.16.2.47',
  // Ours (docs/formats.md), under a UUID of ITU-T X.667: what a signature binds, and the object that a receipt is for
  binding: '2.25.16673975627316912103693062371879835450',
  acknowledgedObject: '2.25.16673975627316912103693062371879835450.1',
  // Requests: RFC 2985
  extensionRequest: '1.2.840.113549.1.9.14',
  // Name attributes: RFC 4519, RFC 2985
  commonName: '2.5.4.3',
  surname: '2.5.4.4',
  serialNumber: '2.5.4.5',
  countryName: '2.5.4.6',
  localityName: '2.5.4.7',
  stateOrProvinceName: '2.5.4.8',
  streetAddress: '2.5.4.9',
  organizationName: '2.5.4.10',
  organizationalUnitName: '2.5.4.11',
  title: '2.5.4.12',
  givenName: '2.5.4.42',
  userId: '0.9.2342.19200300.100.1.1',
  domainComponent: '0.9.2342.19200300.100.1.25',
  emailAddress: '1.2.840.113549.1.9.1',
} as const;

/** Longest content: no assigned OID comes near it, and it bounds the work on a hostile one. */
const MAX_OID_BYTES = 64;

/** Dotted decimal of the content between `start` and `end`. */
export function decodeOid(bytes: Uint8Array, start = 0, end = bytes.length): string {
  // Nearly every OID in a certificate is in the table above; finding it there is five times as fast.
  const bucket = KNOWN.get(hash(bytes, start, end));
  if (bucket !== undefined && same(bucket.content, bytes, start, end)) return bucket.oid;
  return decode(bytes, start, end);
}

/** Content octets (X.690 §8.19). @throws TlsError ERR_TLS_INTERNAL for what is no OID */
export function encodeOid(oid: string): Uint8Array {
  const [first = '', second = '', ...others] = oid.split('.');
  const valid = /^[0-2]$/.test(first) && [second, ...others].every((arc) => ARC.test(arc));
  if (!valid || (first !== '2' && BigInt(second) > 39n)) {
    throw new TlsError('ERR_TLS_INTERNAL', `'${oid}' is not an object identifier`);
  }
  const out: number[] = [];
  pushArc(out, (BigInt(first) * 40n + BigInt(second)).toString());
  for (const arc of others) pushArc(out, arc);
  return Uint8Array.from(out);
}

/** As long as a UUID under 2.25 can be. */
const ARC = /^(0|[1-9]\d{0,38})$/;
/** So many decimal digits fit a 31-bit number. */
const SMALL_DIGITS = 9;

/** Base 128, most significant group first. */
function pushArc(out: number[], arc: string): void {
  const at = out.length;
  if (arc.length <= SMALL_DIGITS) {
    const value = Number(arc);
    out.push(value & 0x7f);
    for (let rest = value >> 7; rest > 0; rest >>= 7) out.splice(at, 0, (rest & 0x7f) | 0x80);
    return;
  }
  const value = BigInt(arc);
  out.push(Number(value & 0x7fn));
  for (let rest = value >> 7n; rest > 0n; rest >>= 7n) out.splice(at, 0, Number(rest & 0x7fn) | 0x80);
}

function decode(bytes: Uint8Array, start: number, end: number): string {
  if (start >= end || end - start > MAX_OID_BYTES || (bytes[end - 1] as number) >= 0x80) {
    throw new DecodeError('OBJECT IDENTIFIER of impossible length');
  }
  const arcs: bigint[] = [];
  let arc = 0n;
  let fresh = true;
  for (let i = start; i < end; i++) {
    const byte = bytes[i] as number;
    if (fresh && byte === 0x80) throw new DecodeError('OBJECT IDENTIFIER that is not minimal');
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    fresh = byte < 0x80;
    if (fresh) {
      arcs.push(arc);
      arc = 0n;
    }
  }
  const [head = 0n, ...others] = arcs;
  const first = head < 80n ? head / 40n : 2n;
  return [first, head - first * 40n, ...others].join('.');
}

function hash(bytes: Uint8Array, start: number, end: number): number {
  let h = end - start;
  for (let i = start; i < end; i++) h = (Math.imul(h, 31) + (bytes[i] as number)) | 0;
  return h;
}

function same(known: Uint8Array, bytes: Uint8Array, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}

const KNOWN: ReadonlyMap<number, { readonly oid: string; readonly content: Uint8Array }> = new Map(
  Object.values(Oid).map((oid) => {
    const content = encodeOid(oid);
    return [hash(content, 0, content.length), { oid, content }];
  }),
);

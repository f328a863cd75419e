import { createHash } from 'node:crypto';
import { Oid } from '../../../src/der/oids.ts';
import { DerReader } from '../../../src/der/reader.ts';
import {
  bitString,
  boolean,
  type Der,
  encodeDer,
  enumerated,
  explicit,
  generalizedTime,
  implicit,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  time,
} from '../../../src/der/writer.ts';
import { encodeSignatureAlgorithm } from '../../../src/x509/signature-algorithm.ts';
import { DAY, type Identity, type KeyPair, NOW, sign } from './pki.ts';

/** OCSP responses and CRLs for tests: right ones by default, and wrong in whatever way a test asks for. */

export interface OcspInput {
  readonly certificate: Identity;
  readonly issuer: Identity;
  /** Who signs, and says so; default: the issuer. */
  readonly responder?: Identity;
  readonly signer?: KeyPair;
  readonly certificates?: readonly Uint8Array[];
  readonly status?: 'good' | 'revoked' | 'unknown';
  readonly thisUpdate?: number;
  readonly nextUpdate?: number | undefined;
  readonly byKey?: boolean;
  readonly hash?: string;
  readonly responseStatus?: number;
  readonly serial?: Uint8Array;
  readonly critical?: boolean;
  readonly signature?: (right: Uint8Array) => Uint8Array;
  readonly type?: string;
}

const HASHES: Readonly<Record<string, string>> = { sha1: Oid.sha1, sha256: Oid.sha256, sha384: Oid.sha384 };

function keyBits(spki: Uint8Array): Uint8Array {
  const reader = new DerReader(spki, 'spki').sequence();
  reader.skip();
  return reader.bitStringBytes();
}

const hashOf = (name: string, data: Uint8Array) => new Uint8Array(createHash(name).update(data).digest());
const raw = (bytes: Uint8Array): Der => bytes;

export function ocspResponse(input: OcspInput): Uint8Array {
  const { certificate, issuer, responder = issuer, status = 'good', hash = 'sha1' } = input;
  const { responseStatus = 0 } = input;
  if (responseStatus !== 0) return encodeDer(sequence(enumerated(responseStatus)));
  const nextUpdate = 'nextUpdate' in input ? input.nextUpdate : NOW + DAY;
  const certStatus =
    status === 'revoked'
      ? implicit(1, sequence(generalizedTime(NOW - DAY), explicit(0, enumerated(1))))
      : implicit(status === 'good' ? 0 : 2, nullValue());
  const single = sequence(
    sequence(
      sequence(oid(HASHES[hash] ?? hash), nullValue()),
      octetString(hashOf(hash in HASHES ? hash : 'sha1', issuer.subject)),
      octetString(hashOf(hash in HASHES ? hash : 'sha1', keyBits(issuer.spki))),
      integer(input.serial ?? certificate.certificate.serialNumber),
    ),
    certStatus,
    generalizedTime(input.thisUpdate ?? NOW - DAY),
    nextUpdate === undefined ? undefined : explicit(0, generalizedTime(nextUpdate)),
    input.critical
      ? explicit(1, sequence(sequence(oid('1.2.3.4'), boolean(true), octetString(Uint8Array.of(5, 0)))))
      : undefined,
  );
  const tbs = encodeDer(
    sequence(
      input.byKey
        ? explicit(2, octetString(hashOf('sha1', keyBits(responder.spki))))
        : explicit(1, raw(responder.subject)),
      generalizedTime(NOW - DAY),
      sequence(single),
    ),
  );
  const signer = input.signer ?? responder;
  const signature = sign(signer, signer.algorithm, tbs);
  const basic = encodeDer(
    sequence(
      raw(tbs),
      raw(encodeSignatureAlgorithm(signer.algorithm)),
      bitString((input.signature ?? ((s) => s))(signature)),
      input.certificates === undefined ? undefined : explicit(0, sequence(...input.certificates)),
    ),
  );
  const body = sequence(oid(input.type ?? '1.3.6.1.5.5.7.48.1.1'), octetString(basic));
  return encodeDer(sequence(enumerated(0), explicit(0, body)));
}

export interface CrlInput {
  readonly issuer: Identity;
  readonly revoked?: readonly Identity[];
  readonly thisUpdate?: number;
  readonly nextUpdate?: number | undefined;
  readonly signer?: KeyPair;
  readonly critical?: string;
  readonly signature?: (right: Uint8Array) => Uint8Array;
}

export function crl(input: CrlInput): Uint8Array {
  const { issuer, revoked = [], signer = issuer } = input;
  const algorithm = encodeSignatureAlgorithm(signer.algorithm);
  const nextUpdate = 'nextUpdate' in input ? input.nextUpdate : NOW + DAY;
  const entries = revoked.map(({ certificate }) =>
    sequence(integer(certificate.serialNumber), time(NOW - DAY)),
  );
  const tbs = encodeDer(
    sequence(
      integer(1),
      raw(algorithm),
      raw(issuer.subject),
      time(input.thisUpdate ?? NOW - DAY),
      nextUpdate === undefined ? undefined : time(nextUpdate),
      entries.length === 0 ? undefined : sequence(...entries),
      input.critical === undefined
        ? undefined
        : explicit(
            0,
            sequence(sequence(oid(input.critical), boolean(true), octetString(Uint8Array.of(5, 0)))),
          ),
    ),
  );
  const signature = sign(signer, signer.algorithm, tbs);
  return encodeDer(sequence(raw(tbs), raw(algorithm), bitString((input.signature ?? ((s) => s))(signature))));
}

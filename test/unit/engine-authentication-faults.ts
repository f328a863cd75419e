import type { Role } from '../../src/connection/sub-protocol.ts';
import {
  buildCertificate,
  buildCertificateVerify,
  type CertificateEntry,
  parseCertificate,
  parseCertificateVerify,
} from '../../src/messages/authentication.ts';
import { HandshakeType, SignatureScheme } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { testIdentity } from '../setup/engine-config.ts';
import {
  changing,
  changingBody,
  DECODE,
  type Fault,
  FINISHED,
  ILLEGAL,
  NOTHING,
  SIGNATURE,
  UNEXPECTED,
  withBody,
} from '../setup/faults.ts';
import { flipBit, type Tamper } from '../setup/pair.ts';

/* Certificate, CertificateVerify and Finished are the same from both sides (RFC 8446 §4.4), and so is what can be wrong. */

type Message<Parse extends (body: Uint8Array) => unknown> = ReturnType<Parse>;

export function changingCertificate(
  from: Role,
  change: (message: Message<typeof parseCertificate>) => Message<typeof parseCertificate>,
): Tamper {
  return changing(from, HandshakeType.certificate, ({ body }) => [
    buildCertificate(change(parseCertificate(body))),
  ]);
}

export function changingCertificateVerify(
  from: Role,
  change: (message: Message<typeof parseCertificateVerify>) => Message<typeof parseCertificateVerify>,
): Tamper {
  return changing(from, HandshakeType.certificate_verify, ({ body }) => [
    buildCertificateVerify(change(parseCertificateVerify(body))),
  ]);
}

/** What the other side finds in the authentication of `from`, which shows a certificate for P-256. */
export function authenticationFaults(from: Role): readonly Fault[] {
  const { certificate, certificate_verify, finished } = HandshakeType;
  const leftOut = (type: number) => changing(from, type, () => []);
  const cutShort = (type: number) => changingBody(from, type, (body) => body.subarray(0, -1));
  const showing = (entry: Partial<CertificateEntry>) =>
    changingCertificate(from, (m) => ({ ...m, entries: m.entries.map((e) => ({ ...e, ...entry })) }));
  const verifying = (scheme: number) => changingCertificateVerify(from, (m) => ({ ...m, scheme }));
  const signed = (change: (signature: Uint8Array) => Uint8Array) =>
    changingCertificateVerify(from, (m) => ({ ...m, signature: change(m.signature) }));
  return [
    [
      'Certificate that is not a key',
      showing({ certData: Uint8Array.of(0x30, 0) }),
      'CERT_MALFORMED',
      'bad_certificate',
    ],
    [
      'Certificate with an empty certificate',
      changingBody(from, certificate, () => Uint8Array.of(0, 0, 0, 5, 0, 0, 0, 0, 0)),
      ...DECODE,
    ],
    ['Certificate cut short', cutShort(certificate), ...DECODE],
    [
      'Certificate of another key',
      showing({ certData: testIdentity().chain[0] as Uint8Array }),
      ...SIGNATURE,
    ],
    ['Certificate left out', leftOut(certificate), ...UNEXPECTED],
    ['Certificate twice', changing(from, certificate, ({ raw }) => [raw, raw]), ...UNEXPECTED],
    ['CertificateVerify with one bit changed', signed((signature) => flipBit(signature)), ...SIGNATURE],
    ['CertificateVerify with an empty signature', signed(() => NOTHING), ...SIGNATURE],
    [
      'CertificateVerify with a scheme for another kind of key, Ed25519',
      verifying(SignatureScheme.ed25519),
      ...ILLEGAL,
    ],
    [
      'CertificateVerify with a scheme for another kind of key, RSA',
      verifying(SignatureScheme.rsa_pss_rsae_sha256),
      ...ILLEGAL,
    ],
    [
      'CertificateVerify with a scheme for another curve',
      verifying(SignatureScheme.ecdsa_secp384r1_sha384),
      ...ILLEGAL,
    ],
    [
      'CertificateVerify with a scheme for certificates only',
      verifying(SignatureScheme.rsa_pkcs1_sha256),
      ...ILLEGAL,
    ],
    ['CertificateVerify with SHA-1', verifying(0x0203), ...ILLEGAL],
    ['CertificateVerify with an unknown scheme', verifying(0x0a0a), ...ILLEGAL],
    ['CertificateVerify cut short', cutShort(certificate_verify), ...DECODE],
    ['CertificateVerify left out: no proof of the key', leftOut(certificate_verify), ...UNEXPECTED],
    ['Finished with one bit changed', changingBody(from, finished, (body) => flipBit(body)), ...FINISHED],
    ['Finished of zeros', changingBody(from, finished, (body) => new Uint8Array(body.length)), ...FINISHED],
    ['Finished cut short', cutShort(finished), ...DECODE],
    [
      'Finished too long',
      changingBody(from, finished, (body) => concat([body, Uint8Array.of(0)])),
      ...DECODE,
    ],
    ['Finished twice as long', changingBody(from, finished, (body) => concat([body, body])), ...DECODE],
    ['Finished empty', changingBody(from, finished, () => NOTHING), ...DECODE],
    [
      'a message after Finished in its record',
      changing(from, finished, ({ raw }) => [raw, withBody(HandshakeType.key_update, Uint8Array.of(0))]),
      ...UNEXPECTED,
    ],
  ];
}

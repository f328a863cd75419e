import { nodeCrypto } from '../src/crypto/node/provider.ts';
import { decodeBase64 } from '../src/der/base64.ts';
import { Name } from '../src/der/name.ts';
import { decodeOid } from '../src/der/oids.ts';
import { decodePem } from '../src/der/pem.ts';
import { DerReader } from '../src/der/reader.ts';
import { parseGeneralizedTime, parseUtcTime } from '../src/der/time.ts';
import { Certificate } from '../src/x509/certificate.ts';
import { Crl } from '../src/x509/crl.ts';
import { verifyOcspResponse } from '../src/x509/ocsp.ts';
import { TrustStore } from '../src/x509/trust-store.ts';
import { verifyPeer } from '../src/x509/verify.ts';
import { ca, type Identity, NOW, server } from '../test/unit/x509/pki.ts';
import { crl, ocspResponse } from '../test/unit/x509/revocation-kit.ts';
import { traceCertificates } from './seeds.ts';
import { decoder, type Target, tryAll } from './target.ts';

/** Certificates and what is said about them. */

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

interface Pki {
  readonly root: Identity;
  readonly between: Identity;
  readonly leaf: Identity;
}
let made: Pki | undefined;
function pki(): Pki {
  if (made === undefined) {
    const root = ca('root');
    const between = ca('between', { issuer: root });
    made = { root, between, leaf: server('a.test', { issuer: between }) };
  }
  return made;
}

export const X509_TARGETS: readonly Target[] = [
  decoder('certificate', traceCertificates, (input) => {
    Certificate.parse(input).checkWellFormed();
  }),
  decoder(
    'certificate-path',
    () => {
      const { leaf, between } = pki();
      return [leaf.der, between.der];
    },
    (input) => {
      const { root, between, leaf } = pki();
      const trust = new TrustStore([root.certificate]);
      const verify = (...chain: readonly Uint8Array[]) =>
        verifyPeer(nodeCrypto, chain, { purpose: 'server', now: NOW, trust });
      // As the end entity, and as an issuer.
      tryAll(input, [(der) => verify(der, between.der), (der) => verify(leaf.der, der, between.der)]);
    },
  ),
  decoder(
    'ocsp-response',
    () => {
      const { leaf, between } = pki();
      return [
        ocspResponse({ certificate: leaf, issuer: between }),
        ocspResponse({ certificate: leaf, issuer: between, status: 'revoked', byKey: true }),
      ];
    },
    (input) => {
      const { leaf, between } = pki();
      verifyOcspResponse(nodeCrypto, input, leaf.certificate, between.certificate, NOW);
    },
  ),
  decoder(
    'crl',
    () => {
      const { leaf, between } = pki();
      return [crl({ issuer: between, revoked: [leaf] }), crl({ issuer: between })];
    },
    (input) => Crl.parse(input),
  ),
  decoder(
    'pem',
    () => [bytes('-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n')],
    (input) => decodePem(new TextDecoder().decode(input)),
  ),
  decoder(
    'der',
    () => [
      pki().leaf.subject,
      bytes('250601000000Z'),
      bytes('20250601000000Z'),
      bytes('MAA='),
      Uint8Array.of(42, 134, 72),
    ],
    (input) => {
      tryAll(input, [
        (der) => Name.read(new DerReader(der, 'name')),
        decodeOid,
        parseUtcTime,
        parseGeneralizedTime,
        (text) => decodeBase64(text, 'test'),
      ]);
    },
  ),
];

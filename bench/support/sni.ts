import { createPrivateKey, type KeyObject } from 'node:crypto';
import { generateP256Key } from '../../src/crypto/node/generate-key.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { SignatureScheme } from '../../src/wire/codepoints.ts';
import {
  type CertificateInput,
  caExtensions,
  issueCertificate,
  keyIdentifier,
  serverExtensions,
} from '../../src/x509/issue.ts';

export const CERTIFICATES = 10_000;
const DAY = 86_400_000;

export interface NamedCertificate {
  readonly name: string;
  readonly cert: string;
  readonly key: KeyObject;
  readonly keyPem: string;
}

export function hostName(index: number): string {
  return `host-${index}.sni.test`;
}

let made: { readonly ca: string; readonly certificates: readonly NamedCertificate[] } | undefined;

/** Made once for all rounds: certificates of one CA on P-256, each with its own key and name. */
export function manyCertificates(): NonNullable<typeof made> {
  made ??= make();
  return made;
}

function make(): NonNullable<typeof made> {
  const ca = generateP256Key();
  const issuer: CertificateInput['issuer'] = [{ CN: 'SNI bench CA' }];
  const issuerKeyId = keyIdentifier(nodeCrypto, ca.key.publicKey.spki);
  const now = Date.now();
  const issue = (
    subject: CertificateInput['subject'],
    publicKeySpki: Uint8Array,
    serial: number,
    extensions: NonNullable<CertificateInput['extensions']>,
  ): string =>
    encodePem(
      'CERTIFICATE',
      issueCertificate(
        {
          subject,
          issuer,
          publicKeySpki,
          serial: Uint8Array.of(1, serial >> 16, serial >> 8, serial),
          notBefore: now - DAY,
          notAfter: now + DAY,
          extensions,
        },
        {
          algorithm: { kind: 'ecdsa', hash: 'sha256' },
          sign: (tbs) => ca.key.sign(SignatureScheme.ecdsa_secp256r1_sha256, tbs),
        },
      ),
    );
  const certificates = Array.from({ length: CERTIFICATES }, (_, index): NamedCertificate => {
    const { key, pem } = generateP256Key();
    const name = hostName(index);
    const { spki } = key.publicKey;
    const ids = { subjectKeyId: keyIdentifier(nodeCrypto, spki), issuerKeyId };
    const cert = issue([{ CN: name }], spki, index, serverExtensions(ids, [name]));
    return { name, cert, key: createPrivateKey(pem), keyPem: pem };
  });
  const own = issue(
    issuer,
    ca.key.publicKey.spki,
    CERTIFICATES,
    caExtensions({ subjectKeyId: issuerKeyId, issuerKeyId }, 0),
  );
  return { ca: own, certificates };
}

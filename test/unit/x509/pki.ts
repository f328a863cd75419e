import crypto, { type KeyObject } from 'node:crypto';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { SignatureAlgorithm } from '../../../src/crypto/provider.ts';
import { encodeName, type RdnInput } from '../../../src/der/name.ts';
import { Certificate } from '../../../src/x509/certificate.ts';
import {
  type CertificateInput,
  caExtensions,
  clientExtensions,
  type ExtensionInput,
  issueCertificate,
  keyIdentifier,
  serverExtensions,
} from '../../../src/x509/issue.ts';
import { generateKey, type KeyKind } from '../../setup/keys.ts';

/** Certificates for tests: right ones by default, and wrong in whatever way a test asks for. */

export const NOW = Date.UTC(2025, 5, 1);
export const DAY = 86_400_000;

export interface KeyPair {
  readonly privateKey: KeyObject;
  readonly spki: Uint8Array;
  readonly algorithm: SignatureAlgorithm;
}

export interface Identity extends KeyPair {
  readonly der: Uint8Array;
  readonly certificate: Certificate;
  /** DER. */
  readonly subject: Uint8Array;
  readonly keyId: Uint8Array;
}

export interface IdentityOptions {
  /** The one that signs; default: the new key itself. */
  readonly issuer?: Identity;
  readonly key?: KeyPair;
  readonly kind?: KeyKind;
  readonly subject?: Uint8Array | readonly RdnInput[];
  readonly issuerName?: Uint8Array | readonly RdnInput[];
  readonly hosts?: readonly string[];
  readonly pathLength?: number;
  /** Changes the default extensions. */
  readonly extensions?: (right: ExtensionInput[]) => readonly ExtensionInput[];
  readonly input?: Partial<CertificateInput>;
  /** What the certificate says it is signed with; the signature is made with the issuer's own algorithm. */
  readonly algorithm?: SignatureAlgorithm | Uint8Array;
  /** Replaces the signature. */
  readonly signature?: (right: Uint8Array) => Uint8Array;
}

export function ca(name: string, options: IdentityOptions = {}): Identity {
  return make(name, options, (ids) => caExtensions(ids, options.pathLength));
}

export function server(name: string, options: IdentityOptions = {}): Identity {
  return make(name, options, (ids) => serverExtensions(ids, options.hosts ?? [name]));
}

export function client(name: string, options: IdentityOptions = {}): Identity {
  return make(name, options, (ids) => clientExtensions(ids));
}

export function newKey(kind: KeyKind = 'p256'): KeyPair {
  const { privateKey, publicKey } = generateKey(kind);
  return {
    privateKey,
    spki: new Uint8Array(publicKey.export({ type: 'spki', format: 'der' })),
    algorithm: ALGORITHM[kind],
  };
}

/** Without the extension. */
export function without(oid: string): (right: ExtensionInput[]) => ExtensionInput[] {
  return (right) => right.filter((extension) => extension.oid !== oid);
}

/** With these instead of, or beside, the ones with the same OID. */
export function replacing(...extensions: ExtensionInput[]): (right: ExtensionInput[]) => ExtensionInput[] {
  return (right) => [...right.filter(({ oid }) => !extensions.some((e) => e.oid === oid)), ...extensions];
}

export function sign(key: KeyPair, algorithm: SignatureAlgorithm, data: Uint8Array): Uint8Array {
  const padding =
    algorithm.kind === 'rsa-pss'
      ? {
          padding: crypto.constants.RSA_PKCS1_PSS_PADDING,
          saltLength: crypto.constants.RSA_PSS_SALTLEN_DIGEST,
        }
      : {};
  return crypto.sign(algorithm.kind === 'ed25519' ? null : algorithm.hash, data, {
    key: key.privateKey,
    ...padding,
  });
}

let nextSerial = 1000;

function make(
  name: string,
  options: IdentityOptions,
  extensions: (ids: { subjectKeyId: Uint8Array; issuerKeyId: Uint8Array }) => ExtensionInput[],
): Identity {
  const key = options.key ?? newKey(options.kind);
  const subjectInput = options.subject ?? [{ CN: name }];
  const subject = subjectInput instanceof Uint8Array ? subjectInput : encodeName(subjectInput);
  const keyId = keyIdentifier(nodeCrypto, key.spki);
  const signer = options.issuer ?? { ...key, subject, keyId };
  const right = extensions({ subjectKeyId: keyId, issuerKeyId: signer.keyId });
  const says = options.algorithm ?? signer.algorithm;
  const made = says instanceof Uint8Array ? signer.algorithm : says;
  const der = issueCertificate(
    {
      subject,
      issuer: options.issuerName ?? signer.subject,
      publicKeySpki: key.spki,
      serial: nextSerial++,
      notBefore: NOW - 30 * DAY,
      notAfter: NOW + 30 * DAY,
      extensions: options.extensions?.(right) ?? right,
      ...options.input,
    },
    {
      algorithm: says,
      sign: (tbs) => (options.signature ?? ((s) => s))(sign(signer, made, tbs)),
    },
  );
  let certificate: Certificate | undefined;
  return {
    ...key,
    subject,
    keyId,
    der,
    // Parsed when asked for: some tests make what cannot be parsed.
    get certificate() {
      certificate ??= Certificate.parse(der);
      return certificate;
    },
  };
}

const ALGORITHM: Readonly<Record<KeyKind, SignatureAlgorithm>> = {
  p256: { kind: 'ecdsa', hash: 'sha256' },
  p384: { kind: 'ecdsa', hash: 'sha384' },
  p521: { kind: 'ecdsa', hash: 'sha512' },
  ed25519: { kind: 'ed25519' },
  rsa2048: { kind: 'rsa-pkcs1', hash: 'sha256' },
  rsa4096: { kind: 'rsa-pkcs1', hash: 'sha256' },
  rsa1024: { kind: 'rsa-pkcs1', hash: 'sha256' },
  'rsa-pss': { kind: 'rsa-pss', hash: 'sha256' },
};

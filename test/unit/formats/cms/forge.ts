import { nodeCrypto } from '../../../../src/crypto/node/provider.ts';
import { HASH_LENGTH, type HashName, type SignatureAlgorithm } from '../../../../src/crypto/provider.ts';
import { schemeById } from '../../../../src/crypto/schemes.ts';
import { Oid } from '../../../../src/der/oids.ts';
import { contextConstructed, Tag } from '../../../../src/der/tags.ts';
import {
  constructed,
  type Der,
  encodeDer,
  explicit,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  setOf,
  time,
} from '../../../../src/der/writer.ts';
import { type Binding, encodeBinding } from '../../../../src/formats/binding.ts';
import { encodeSignatureAlgorithm } from '../../../../src/x509/signature-algorithm.ts';
import { sign } from '../../x509/pki.ts';
import { binding, NOW, type TestSigner } from '../kit.ts';

/** Makes SignedData by hand: a right one, or wrong in whatever way a test asks for. */
export interface Parts {
  readonly content: Uint8Array;
  readonly version: number;
  readonly hash: HashName;
  readonly digestAlgorithms: readonly Der[];
  /** OID. */
  readonly contentType: string;
  /** `[0] eContent`, or nothing for a detached signature. */
  readonly eContent: Der | undefined;
  /** `[0] certificates`. */
  readonly certificates: Der | undefined;
  /** Goes between certificates and signers. */
  readonly revocation: Der | undefined;
  readonly binding: Binding;
  /** Signed attributes, in any order. */
  readonly attributes: readonly Uint8Array[];
  /** SET OF SignedAttributes, as it is signed. */
  readonly signed: Uint8Array;
  /** As it travels. */
  readonly signedAttributes: Der | undefined;
  readonly signerVersion: number;
  readonly identifier: Der;
  readonly digestAlgorithm: Der;
  readonly signatureAlgorithm: Der;
  readonly algorithm: SignatureAlgorithm;
  readonly signature: Uint8Array;
  readonly unsignedAttributes: Der | undefined;
  readonly signerInfos: Der;
  readonly contentInfoType: string;
}

type Changes = { readonly [K in keyof Parts]?: Parts[K] | ((right: Parts) => Parts[K]) };

/**
 * Parts are computed from those before them, each replaced by what `changes` has for it.
 */
export function forge(signer: TestSigner, changes: Changes = {}): Uint8Array {
  const parts: Partial<Record<keyof Parts, unknown>> = {};
  const settle = <K extends keyof Parts>(key: K, right: (parts: Parts) => Parts[K]): void => {
    const change = changes[key];
    const soFar = parts as Parts;
    const value = !(key in changes)
      ? right(soFar)
      : typeof change === 'function'
        ? (change as (right: Parts) => Parts[K])({ ...soFar, [key]: right(soFar) })
        : change;
    parts[key] = value;
  };
  const own = schemeById(signer.scheme)?.algorithm as SignatureAlgorithm;
  settle('content', () => Uint8Array.of(1, 2, 3));
  settle('contentType', () => Oid.data);
  settle('version', (p) => (p.contentType === Oid.data ? 1 : 3));
  settle('algorithm', () => own);
  settle('hash', (p) => (p.algorithm.kind === 'ed25519' ? 'sha512' : p.algorithm.hash));
  settle('digestAlgorithm', (p) => digestAlgorithm(p.hash));
  settle('digestAlgorithms', (p) => [p.digestAlgorithm]);
  settle('eContent', (p) => explicit(0, octetString(p.content)));
  settle('certificates', () => certificateSet(signer.chain));
  settle('revocation', () => undefined);
  settle('binding', () => binding());
  settle('attributes', (p) => [
    attribute(Oid.contentType, oid(p.contentType)),
    attribute(Oid.messageDigest, octetString(nodeCrypto.digest(p.hash, p.content))),
    attribute(Oid.signingTime, time(NOW)),
    signingCertificate(sequence(octetString(nodeCrypto.digest('sha256', signer.identity.der)))),
    attribute(Oid.binding, encodeBinding(p.binding)),
  ]);
  settle('signed', (p) => encodeDer(setOf(...p.attributes)));
  settle('signedAttributes', (p) => retagged(p.signed, contextConstructed(0)));
  settle('signerVersion', () => 1);
  settle('identifier', () => {
    const { issuer, serialNumber } = signer.identity.certificate;
    return sequence(issuer.raw, integer(serialNumber));
  });
  settle('signatureAlgorithm', (p) =>
    p.algorithm.kind === 'rsa-pkcs1'
      ? sequence(oid(Oid.rsaEncryption), nullValue())
      : encodeSignatureAlgorithm(p.algorithm),
  );
  settle('signature', (p) => sign(signer.identity, p.algorithm, p.signed));
  settle('unsignedAttributes', () => undefined);
  settle('signerInfos', (p) => setOf(signerInfo(p)));
  settle('contentInfoType', () => Oid.signedData);
  const {
    contentInfoType,
    version,
    digestAlgorithms,
    contentType,
    eContent,
    certificates,
    revocation,
    signerInfos,
  } = parts as Parts;
  return encodeDer(
    sequence(
      oid(contentInfoType),
      explicit(
        0,
        sequence(
          integer(version),
          setOf(...digestAlgorithms),
          sequence(oid(contentType), eContent),
          certificates,
          revocation,
          signerInfos,
        ),
      ),
    ),
  );
}

export function signerInfo(parts: Parts): Der {
  return sequence(
    integer(parts.signerVersion),
    parts.identifier,
    parts.digestAlgorithm,
    parts.signedAttributes,
    parts.signatureAlgorithm,
    octetString(parts.signature),
    parts.unsignedAttributes,
  );
}

export function attribute(type: string, ...values: readonly Der[]): Uint8Array {
  return encodeDer(sequence(oid(type), constructed(Tag.set, values)));
}

export function signingCertificate(...ids: readonly Der[]): Uint8Array {
  return attribute(Oid.signingCertificateV2, sequence(sequence(...ids)));
}

/** The attributes of the right object, without those of a type, and with others. */
export function attributesWith(
  remove: readonly string[],
  ...add: readonly Uint8Array[]
): (right: Parts) => readonly Uint8Array[] {
  const removed = remove.map((type) => encodeDer(oid(type)));
  return ({ attributes }) => [
    ...attributes.filter((one) => !removed.some((type) => Buffer.from(one).includes(Buffer.from(type)))),
    ...add,
  ];
}

export function digestAlgorithm(hash: HashName, parameters?: Der): Der {
  return sequence(oid(Oid[hash]), parameters);
}

/** RSASSA-PSS with parameters of any kind. */
export function pss(hash: HashName, maskHash: HashName = hash, salt: number = HASH_LENGTH[hash]): Der {
  return sequence(
    oid(Oid.rsassaPss),
    sequence(
      explicit(0, digestAlgorithm(hash, nullValue())),
      explicit(1, sequence(oid(Oid.mgf1), digestAlgorithm(maskHash, nullValue()))),
      explicit(2, integer(salt)),
    ),
  );
}

export function certificateSet(chain: readonly Uint8Array[]): Der {
  return { ...setOf(...chain), tag: contextConstructed(0) };
}

/** The same bytes under another tag. */
export function retagged(encoded: Uint8Array, tag: number): Uint8Array {
  const copy = encoded.slice();
  copy[0] = tag;
  return copy;
}

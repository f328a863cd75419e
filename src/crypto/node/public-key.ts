import crypto, { type KeyObject } from 'node:crypto';
import { CertificateError } from '../../errors/errors.ts';
import type { EcCurve, PublicKey } from '../provider.ts';

const CURVE_BY_OPENSSL_NAME: Readonly<Record<string, EcCurve>> = {
  prime256v1: 'P-256',
  secp384r1: 'P-384',
  secp521r1: 'P-521',
};

/** KeyObjects stay beside the plain description, so that the description can be shared and compared. */
const objects = new WeakMap<PublicKey, KeyObject>();

/** Imports a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). */
export function importSpki(spki: Uint8Array): PublicKey {
  let object: KeyObject;
  try {
    object =
      importFast(spki) ?? crypto.createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' });
  } catch (cause) {
    throw new CertificateError('CERT_MALFORMED', 'The public key in the certificate cannot be read', 0, {
      cause,
    });
  }
  const key = describe(object, spki);
  objects.set(key, object);
  return key;
}

export function keyObject(key: PublicKey): KeyObject {
  const object = objects.get(key);
  if (object === undefined) {
    throw new CertificateError('CERT_MALFORMED', 'This public key was not imported by this provider');
  }
  return object;
}

function describe(object: KeyObject, spki: Uint8Array): PublicKey {
  const details = object.asymmetricKeyDetails ?? {};
  switch (object.asymmetricKeyType) {
    case 'rsa':
    case 'rsa-pss':
      return { kind: object.asymmetricKeyType, modulusBits: details.modulusLength ?? 0, spki };
    case 'ec': {
      const curve = CURVE_BY_OPENSSL_NAME[details.namedCurve ?? ''];
      if (curve !== undefined) return { kind: 'ec', curve, spki };
      break;
    }
    case 'ed25519':
      return { kind: 'ed25519', spki };
  }
  throw new CertificateError(
    'UNSUPPORTED_SIGNATURE_ALGORITHM',
    `Public keys of type ${object.asymmetricKeyType} ${details.namedCurve ?? ''} are not supported`,
  );
}

/** SubjectPublicKeyInfo up to the key itself: SEQUENCE { SEQUENCE { OID ... }, BIT STRING with 0 unused bits }. */
const P256_PREFIX = Buffer.from('3059301306072a8648ce3d020106082a8648ce3d030107034200', 'hex');
const UNCOMPRESSED = 0x04;

/**
 * P-256, the common case, by JWK: OpenSSL's SPKI decoder takes about twice the time of the point import
 * (bench/handshake). Undefined for anything else.
 */
function importFast(spki: Uint8Array): KeyObject | undefined {
  const at = P256_PREFIX.length;
  if (spki.length !== at + 65 || spki[at] !== UNCOMPRESSED || P256_PREFIX.compare(spki, 0, at) !== 0)
    return undefined;
  const point = Buffer.from(spki.buffer, spki.byteOffset + at + 1, 64);
  return crypto.createPublicKey({
    format: 'jwk',
    key: {
      kty: 'EC',
      crv: 'P-256',
      x: point.toString('base64url', 0, 32),
      y: point.toString('base64url', 32, 64),
    },
  });
}

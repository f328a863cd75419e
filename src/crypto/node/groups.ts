import crypto, { type KeyObject } from 'node:crypto';
import { TlsError } from '../../errors/errors.ts';
import { NamedGroup } from '../../wire/codepoints.ts';
import { concat } from '../../wire/writer.ts';
import type { KeyExchange, KeyExchangeGroup } from '../provider.ts';
import { CIPHERTEXT_LENGTH, ENCAPSULATION_KEY_LENGTH, mlKem768 } from './ml-kem.ts';

/** Groups of RFC 8446 §4.2.7 that this provider has, and the hybrid one. */
export function nodeGroup(id: number): KeyExchangeGroup | undefined {
  switch (id) {
    case NamedGroup.x25519:
      return x25519;
    case NamedGroup.secp256r1:
      return secp256r1;
    case NamedGroup.secp384r1:
      return secp384r1;
    case NamedGroup.secp521r1:
      return secp521r1;
    case NamedGroup.x25519mlkem768:
      return x25519MlKem768;
    default:
      return undefined;
  }
}

/** A Diffie-Hellman group: the responder simply begins too, and completes at once. */
function diffieHellman(id: number, begin: () => KeyExchange): KeyExchangeGroup {
  return {
    id,
    begin,
    respond(peerShare) {
      const own = begin();
      return { share: own.share, secret: own.complete(peerShare) };
    },
  };
}

const X25519_LENGTH = 32;

const x25519 = diffieHellman(NamedGroup.x25519, () => x25519Exchange(newX25519Key()));

/**
 * 32 random bytes (RFC 7748 §5), and not crypto.generateKeyPair: what that leaves to the garbage collector locks the key when it is
 * collected, and so does an export of the key, which allocates. A collection in the middle of an export never ended, and the process
 * stood still; Node 20.20 does it within some thousand pairs.
 */
function newX25519Key(): KeyObject {
  const d = crypto.randomBytes(X25519_LENGTH).toString('base64url');
  return crypto.createPrivateKey({ format: 'jwk', key: { kty: 'OKP', crv: 'X25519', d, x: '' } });
}

/** RFC 8446 §7.4.2. Keys cross as JWK: OpenSSL's DER encoders and decoders cost as much as the curve itself. */
export function x25519Exchange(privateKey: KeyObject): KeyExchange {
  const { x: own = '' } = crypto.createPublicKey(privateKey).export({ format: 'jwk' });
  return {
    share: Buffer.from(own, 'base64url'),
    complete(peerShare) {
      if (peerShare.length !== X25519_LENGTH) throw badShare('x25519', 'is not 32 bytes');
      const x = Buffer.from(peerShare.buffer, peerShare.byteOffset, peerShare.length).toString('base64url');
      const peer = crypto.createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'X25519', x } });
      try {
        return crypto.diffieHellman({ privateKey, publicKey: peer });
      } catch (cause) {
        // OpenSSL refuses an all-zero result, the check that §7.4.2 demands.
        throw badShare('x25519', 'is a point of small order', cause);
      }
    },
  };
}

const secp256r1 = diffieHellman(NamedGroup.secp256r1, () => ecdh('prime256v1', 65));
const secp384r1 = diffieHellman(NamedGroup.secp384r1, () => ecdh('secp384r1', 97));
const secp521r1 = diffieHellman(NamedGroup.secp521r1, () => ecdh('secp521r1', 133));

function ecdh(curve: string, shareLength: number): KeyExchange {
  const key = crypto.createECDH(curve);
  const share = key.generateKeys();
  return { share, complete: (peerShare) => completeEcdh(key, curve, shareLength, peerShare) };
}

/** RFC 8446 §4.2.8.2: uncompressed points only; OpenSSL checks that the point is on the curve. */
export function completeEcdh(
  key: crypto.ECDH,
  curve: string,
  shareLength: number,
  peerShare: Uint8Array,
): Uint8Array {
  if (peerShare.length !== shareLength || peerShare[0] !== 4) {
    throw badShare(curve, 'is not an uncompressed point');
  }
  try {
    return key.computeSecret(peerShare);
  } catch (cause) {
    throw badShare(curve, 'is not a point on the curve', cause);
  }
}

/**
 * draft-ietf-tls-ecdhe-mlkem §4: the shares are joined, ML-KEM first, and so are the secrets (§4.3). What the peer
 * sends is judged half by half, each half by its own rules.
 */
const x25519MlKem768: KeyExchangeGroup = {
  id: NamedGroup.x25519mlkem768,
  begin() {
    const key = mlKem768().generate();
    const x = x25519.begin();
    return {
      share: concat([key.encapsulationKey, x.share]),
      complete(peerShare) {
        const [ciphertext, peerX] = split(peerShare, CIPHERTEXT_LENGTH);
        return concat([key.decapsulate(ciphertext), x.complete(peerX)]);
      },
    };
  },
  respond(peerShare) {
    const [encapsulationKey, peerX] = split(peerShare, ENCAPSULATION_KEY_LENGTH);
    const x = x25519.respond(peerX);
    const { ciphertext, secret } = encapsulate(encapsulationKey);
    return { share: concat([ciphertext, x.share]), secret: concat([secret, x.secret]) };
  },
};

function split(share: Uint8Array, mlKemLength: number): [Uint8Array, Uint8Array] {
  if (share.length !== mlKemLength + X25519_LENGTH) {
    throw badShare('X25519MLKEM768', `is not ${mlKemLength + X25519_LENGTH} bytes`);
  }
  return [share.subarray(0, mlKemLength), share.subarray(mlKemLength)];
}

function encapsulate(key: Uint8Array) {
  const { encapsulate } = mlKem768();
  try {
    return encapsulate(key);
  } catch (cause) {
    // FIPS 203 §7.2: coefficients beyond the modulus.
    throw badShare('X25519MLKEM768', 'has no valid ML-KEM encapsulation key', cause);
  }
}

function badShare(group: string, what: string, cause?: unknown): TlsError {
  return new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `The peer's ${group} key share ${what}`, { cause });
}

import crypto from 'node:crypto';
import { completeEcdh, x25519Exchange } from '../../src/crypto/node/groups.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import type { CryptoProvider, KeyExchange, KeyExchangeGroup } from '../../src/crypto/provider.ts';
import { NamedGroup } from '../../src/wire/codepoints.ts';

/** What a scripted provider gives out, each list in order and each entry once. */
export interface CryptoScript {
  /** Answers to `randomBytes`. An entry that has another length than was asked for is an error of the script. */
  readonly random?: readonly Uint8Array[];
  /** Private keys for `begin` and `respond` of X25519 (32 bytes) and of P-256 (the scalar, 32 bytes). */
  readonly x25519?: readonly Uint8Array[];
  readonly secp256r1?: readonly Uint8Array[];
}

/**
 * The node:crypto provider with everything random replaced by a script, so that a handshake becomes a function of its
 * inputs and can be compared with a trace. Asking for more than the script has throws.
 */
export function scriptedCrypto(script: CryptoScript): CryptoProvider & { readonly left: () => number } {
  const random = [...(script.random ?? [])];
  const privateKeys = { x25519: [...(script.x25519 ?? [])], secp256r1: [...(script.secp256r1 ?? [])] };
  const next = (list: Uint8Array[], what: string): Uint8Array => {
    const entry = list.shift();
    if (entry === undefined) throw new Error(`the script has no more ${what}`);
    return entry;
  };
  const x25519 = group(NamedGroup.x25519, () => x25519FromScalar(next(privateKeys.x25519, 'X25519 keys')));
  const secp256r1 = group(NamedGroup.secp256r1, () =>
    p256FromScalar(next(privateKeys.secp256r1, 'P-256 keys')),
  );
  return {
    ...nodeCrypto,
    randomBytes(length) {
      const bytes = next(random, `random values (asked for ${length} bytes)`);
      if (bytes.length !== length)
        throw new Error(`asked for ${length} random bytes, the script has ${bytes.length}`);
      return bytes;
    },
    group(id) {
      if (id === NamedGroup.x25519) return x25519;
      if (id === NamedGroup.secp256r1) return secp256r1;
      return nodeCrypto.group(id);
    },
    left: () => random.length + privateKeys.x25519.length + privateKeys.secp256r1.length,
  };
}

function group(id: number, begin: () => KeyExchange): KeyExchangeGroup {
  return {
    id,
    begin,
    respond(peerShare) {
      const own = begin();
      return { share: own.share, secret: own.complete(peerShare) };
    },
  };
}

/** PrivateKeyInfo of an X25519 key up to its 32 bytes, RFC 8410 §7. */
const X25519_PKCS8 = Buffer.from('302e020100300506032b656e04220420', 'hex');

function x25519FromScalar(scalar: Uint8Array): KeyExchange {
  const der = Buffer.concat([X25519_PKCS8, scalar]);
  const privateKey = crypto.createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  return x25519Exchange(privateKey);
}

function p256FromScalar(scalar: Uint8Array): KeyExchange {
  const key = crypto.createECDH('prime256v1');
  key.setPrivateKey(scalar);
  return {
    share: key.getPublicKey(),
    complete: (peerShare) => completeEcdh(key, 'prime256v1', 65, peerShare),
  };
}

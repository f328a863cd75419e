import crypto from 'node:crypto';
import type { SignatureCheck } from '../provider.ts';
import { hashOf, nodeCrypto, signatureOptions } from './provider.ts';
import { keyObject } from './public-key.ts';

/**
 * `CryptoProvider.verify`, on the thread pool if that is wanted.
 * @param done is called once, before this returns or later
 */
export function checkSignature(
  { algorithm, key, data, signature }: SignatureCheck,
  done: (isGood: boolean) => void,
  onPool: boolean,
): void {
  if (!onPool) {
    done(nodeCrypto.verify(algorithm, key, data, signature));
    return;
  }
  const options = { key: keyObject(key), ...signatureOptions(algorithm) };
  try {
    // What cannot even be parsed does not verify either.
    crypto.verify(hashOf(algorithm), data, options, signature, (error, isGood) => done(!error && isGood));
  } catch {
    done(false);
  }
}

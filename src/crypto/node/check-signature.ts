import crypto from 'node:crypto';
import { availableParallelism } from 'node:os';
import type { SignatureCheck } from '../provider.ts';
import { hashOf, nodeCrypto, signatureOptions } from './provider.ts';
import { keyObject } from './public-key.ts';

/**
 * With two cores, one of them the peer's or the kernel's, a job for the thread pool costs a third more processor time
 * than the check itself and frees nobody (bench `sign`); with more, the main thread goes on meanwhile.
 */
const HAS_SPARE_CORES = availableParallelism() > 2;

/**
 * `CryptoProvider.verify`, on the thread pool where that pays.
 * @param done is called once, before this returns or later
 */
export function checkSignature(
  { algorithm, key, data, signature }: SignatureCheck,
  done: (isGood: boolean) => void,
  onPool: boolean = HAS_SPARE_CORES,
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

import type { CryptoProvider } from '../crypto/provider.ts';
import { asSignatureError } from './faults.ts';
import type { Judgement } from './format.ts';

/** @throws SignatureError and nothing else */
export function* guarded<T>(judge: () => Judgement<T>): Judgement<T> {
  try {
    return yield* judge();
  } catch (error) {
    throw asSignatureError(error);
  }
}

/** The same for what needs no signature. @throws SignatureError and nothing else */
export function asFault<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw asSignatureError(error);
  }
}

/** Checks the signature here and now. */
export function settle<T>(crypto: CryptoProvider, judgement: Judgement<T>): T {
  let step = judgement.next();
  while (!step.done) {
    const { algorithm, key, data, signature } = step.value;
    step = judgement.next(crypto.verify(algorithm, key, data, signature));
  }
  return step.value;
}

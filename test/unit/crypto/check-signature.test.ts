import { expect, test } from 'vitest';
import { checkSignature } from '../../../src/crypto/node/check-signature.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { SignatureCheck } from '../../../src/crypto/provider.ts';
import { schemeById } from '../../../src/crypto/schemes.ts';
import { Certificate } from '../../../src/x509/certificate.ts';
import { KEY_TYPES, type KeyType, signatureOf, signerOf } from '../formats/kit.ts';

const DATA = new TextEncoder().encode('three chairs');

function checkOf(type: KeyType): SignatureCheck {
  const signer = signerOf(type);
  const scheme = schemeById(signer.scheme);
  if (scheme === undefined) throw new Error('no such scheme');
  const key = nodeCrypto.importPublicKey(Certificate.parse(signer.identity.der).spki);
  return { algorithm: scheme.algorithm, key, data: DATA, signature: signatureOf(signer, DATA) };
}

const answer = (check: SignatureCheck, onPool: boolean): Promise<boolean> =>
  new Promise((resolve) => checkSignature(check, resolve, onPool));

test.each([true, false])('tells good from bad, thread pool: %s', async (onPool) => {
  for (const type of Object.keys(KEY_TYPES) as KeyType[]) {
    const check = checkOf(type);
    expect(await answer(check, onPool)).toBe(true);
    expect(await answer({ ...check, data: new Uint8Array(12) }, onPool)).toBe(false);
    expect(await answer({ ...check, signature: Uint8Array.of(0x30, 0) }, onPool)).toBe(false);
    expect(await answer({ ...check, signature: new Uint8Array(0) }, onPool)).toBe(false);
  }
});

test('answers before it returns without the pool, and later with it', async () => {
  const check = checkOf('P-256');
  const order: string[] = [];
  checkSignature(check, () => order.push('inline'), false);
  const pooled = new Promise<void>((resolve) =>
    checkSignature(check, () => resolve(void order.push('pool')), true),
  );
  order.push('returned');
  await pooled;
  expect(order).toEqual(['inline', 'returned', 'pool']);
});

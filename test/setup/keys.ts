import crypto from 'node:crypto';

export type KeyKind = 'p256' | 'p384' | 'p521' | 'ed25519' | 'rsa2048' | 'rsa4096' | 'rsa1024' | 'rsa-pss';

export function generateKey(kind: KeyKind): crypto.KeyPairKeyObjectResult {
  switch (kind) {
    case 'p256':
      return crypto.generateKeyPairSync('ec', { namedCurve: 'P-256' });
    case 'p384':
      return crypto.generateKeyPairSync('ec', { namedCurve: 'P-384' });
    case 'p521':
      return crypto.generateKeyPairSync('ec', { namedCurve: 'P-521' });
    case 'ed25519':
      return crypto.generateKeyPairSync('ed25519');
    case 'rsa2048':
      return crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'rsa4096':
      return crypto.generateKeyPairSync('rsa', { modulusLength: 4096 });
    case 'rsa1024':
      return crypto.generateKeyPairSync('rsa', { modulusLength: 1024 });
    case 'rsa-pss':
      return crypto.generateKeyPairSync('rsa-pss', { modulusLength: 2048 });
  }
}

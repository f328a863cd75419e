import { closeSync, existsSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { generateP256Key } from '../../crypto/node/generate-key.ts';
import { importPrivateKey } from '../../crypto/node/import-key.ts';
import type { PublicKey, SigningKey } from '../../crypto/provider.ts';
import { EvidenceError, reasonOf } from '../errors.ts';

/** Signs the checkpoints. Its public key names the archive, so it is never changed. */
export interface ArchiveKey extends SigningKey {
  readonly publicKey: Pick<PublicKey, 'spki'>;
}

/** Where the key of an archive is when nobody says otherwise. */
export function defaultKeyPath(archivePath: string): string {
  return `${archivePath}.key`;
}

/** @throws EvidenceError ERR_EVIDENCE_KEY */
export function readArchiveKey(path: string): ArchiveKey {
  try {
    return importPrivateKey(readFileSync(path));
  } catch (cause) {
    const missing = !existsSync(path);
    throw new EvidenceError(
      'ERR_EVIDENCE_KEY',
      missing
        ? `${path}: the archive's key is missing; put it back, checkpoints cannot be signed with another one`
        : `${path}: the archive's key cannot be read: ${reasonOf(cause)}`,
      { cause },
    );
  }
}

/**
 * A new key on P-256, whose signatures every openssl verifies, in a file that only its owner can read. A file that is
 * there already is taken: the key may be made before the archive.
 * @throws EvidenceError ERR_EVIDENCE_KEY
 */
export function createArchiveKey(path: string): ArchiveKey {
  if (existsSync(path)) return readArchiveKey(path);
  const { key, pem } = generateP256Key();
  try {
    const descriptor = openSync(path, 'wx', 0o600);
    try {
      writeSync(descriptor, pem);
      // An archive whose key was lost in a power failure could never be written to again.
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    throw new EvidenceError(
      'ERR_EVIDENCE_KEY',
      `${path}: the archive's key cannot be written: ${reasonOf(cause)}`,
      { cause },
    );
  }
  return key;
}

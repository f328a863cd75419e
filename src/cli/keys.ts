import type { SigningKey } from '../crypto/provider.ts';
import { Pkcs11Key } from '../node/pkcs11/open.ts';
import { PKCS11_SCHEME } from '../node/pkcs11/uri.ts';
import { readCredential } from '../tunnel/credentials.ts';
import { readSecret } from './module/input.ts';

/** A certificate and its key, as the options of the library take them. */
export interface OpenedKey {
  readonly cert: string | undefined;
  readonly key: string | SigningKey | undefined;
  close(): Promise<void>;
}

export function isTokenKey(key: unknown): key is string {
  return typeof key === 'string' && key.slice(0, PKCS11_SCHEME.length).toLowerCase() === PKCS11_SCHEME;
}

/**
 * Runs with the key of an archive, as `openArchive` takes it: in a file, or in a token that has a certificate of it too.
 * @param key as it was typed; without one the archive has its own beside it
 */
export async function withArchiveKey<T>(
  key: string | undefined,
  run: (key: { readonly key?: Pkcs11Key; readonly keyPath?: string }) => Promise<T>,
): Promise<T> {
  if (key === undefined) return run({});
  if (!isTokenKey(key)) return run({ keyPath: key });
  const token = await Pkcs11Key.open(key);
  try {
    return await run({ key: token });
  } finally {
    await token.close();
  }
}

/**
 * Opens what `--cert` and `--key` name: PEM files, or a key in a PKCS #11 token, whose certificate may be there as well.
 * @param options their names, for messages
 * @throws TunnelError, ModuleError, ConnectionError
 */
export async function openKey(
  options: { readonly cert: string; readonly key: string },
  cert: string | undefined,
  key: string | undefined,
  pinFile?: string,
): Promise<OpenedKey> {
  const certificate =
    cert === undefined ? undefined : await readCredential(options.cert, cert, 'certificate');
  if (!isTokenKey(key)) {
    const pem = key === undefined ? undefined : await readCredential(options.key, key, 'key');
    return { cert: certificate, key: pem, close: async () => {} };
  }
  const token = await Pkcs11Key.open(key, {
    cert: certificate,
    pin: pinFile === undefined ? undefined : () => readSecret('--pin-file', pinFile),
  });
  return { cert: token.cert, key: token, close: () => token.close() };
}

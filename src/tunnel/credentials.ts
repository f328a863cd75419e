import { open } from 'node:fs/promises';
import { errorCode, errorMessage, TunnelError } from './errors.ts';

/** The largest bundle of trust anchors in use is a quarter of this; a device or an image is not read to its end. */
const CREDENTIAL_BYTES_MAX = 1_048_576;

/** What a PEM file must hold; keys come under several labels (PKCS#8, SEC 1, PKCS#1). */
const LABELS = {
  certificate: { pattern: /-----BEGIN CERTIFICATE-----/, noun: 'certificate' },
  crl: { pattern: /-----BEGIN X509 CRL-----/, noun: 'revocation list' },
  key: { pattern: /-----BEGIN ([A-Z ]+ )?PRIVATE KEY-----/, noun: 'private key' },
} as const;

export type CredentialKind = keyof typeof LABELS;

/**
 * Reads a PEM file with certificates, or with a private key.
 * @param option the option that names it, for the message
 * @throws TunnelError ERR_TUNNEL_FILE, ERR_TUNNEL_CREDENTIALS
 */
export async function readCredential(option: string, path: string, kind: CredentialKind): Promise<string> {
  const { pattern, noun } = LABELS[kind];
  const text = await readTextFile(option, path);
  if (pattern.test(text)) return text;
  const other = kind === 'key' ? LABELS.certificate : LABELS.key;
  const begin = { certificate: 'CERTIFICATE', crl: 'X509 CRL', key: 'PRIVATE KEY' }[kind];
  const found = other.pattern.test(text) ? `it holds a ${other.noun}` : 'it is not a PEM file';
  throw new TunnelError(
    'ERR_TUNNEL_CREDENTIALS',
    `${option} ${path} has no ${noun} in PEM form: ${found}. Give the file that begins with -----BEGIN ${begin}-----.`,
  );
}

/** As latin1; what is longer than every credential is read as nothing. @throws TunnelError ERR_TUNNEL_FILE */
export async function readTextFile(option: string, path: string): Promise<string> {
  try {
    const file = await open(path);
    try {
      const buffer = Buffer.alloc(CREDENTIAL_BYTES_MAX + 1);
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(buffer, length, buffer.length - length);
        length += bytesRead;
        if (bytesRead === 0 || length === buffer.length) break;
      }
      // Too long means no PEM of ours; what is above the bound is not looked at.
      return length > CREDENTIAL_BYTES_MAX ? '' : buffer.toString('latin1', 0, length);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new TunnelError('ERR_TUNNEL_FILE', `${option} ${path} cannot be read: ${reason(cause)}.`, {
      cause,
    });
  }
}

function reason(error: unknown): string {
  switch (errorCode(error)) {
    case 'ENOENT':
      return 'there is no such file; `trellis init --out DIR` makes certificates';
    case 'EACCES':
      return 'you may not read it; run as its owner, or change its permissions';
    case 'EISDIR':
      return 'it is a folder; name the file in it';
    default:
      return errorMessage(error);
  }
}

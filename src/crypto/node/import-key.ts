import crypto, { KeyObject } from 'node:crypto';
import { CertificateError, ConnectionError } from '../../errors/errors.ts';
import { KeyObjectSigningKey } from './signing-key.ts';

/** A private key as users of node:tls give it: PEM text, PEM or DER bytes (PKCS#8, PKCS#1, SEC 1), or a KeyObject. */
export type PrivateKeyInput = string | Uint8Array | KeyObject;

/** A private key in this process, and the check that it belongs to a certificate. */
export class ImportedKey extends KeyObjectSigningKey {
  readonly #object: KeyObject;
  constructor(object: KeyObject) {
    super(object);
    this.#object = object;
  }

  /** @param certificate DER */
  belongsTo(certificate: Uint8Array): boolean {
    return new crypto.X509Certificate(certificate).checkPrivateKey(this.#object);
  }
}

/** @throws ConnectionError ERR_TLS_OPTION when the key cannot be read, or is of a kind that TLS 1.3 has no scheme for */
export function importPrivateKey(input: PrivateKeyInput, passphrase?: string): ImportedKey {
  const object = input instanceof KeyObject ? requirePrivate(input) : parse(input, passphrase);
  try {
    return new ImportedKey(object);
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error;
    throw keyError(
      'keys of this kind cannot sign a TLS 1.3 handshake; use RSA, P-256, P-384, P-521 or Ed25519',
      error,
    );
  }
}

/** A PKCS#8 key, DER. @throws ConnectionError ERR_TLS_OPTION */
export function privateKeyObject(pkcs8: Uint8Array): KeyObject {
  return parse(pkcs8, undefined);
}

/** @param pem a private key, PEM. @returns PKCS#8, DER. @throws ConnectionError ERR_TLS_OPTION */
export function privateKeyPkcs8(pem: string): Uint8Array {
  return parse(pem, undefined).export({ type: 'pkcs8', format: 'der' });
}

export function isKeyObject(value: unknown): value is KeyObject {
  return value instanceof KeyObject;
}

function requirePrivate(object: KeyObject): KeyObject {
  if (object.type === 'private') return object;
  throw new ConnectionError(
    'ERR_TLS_OPTION',
    `Option key: a private key is needed, this is a ${object.type} key`,
  );
}

const PEM_START = '-----BEGIN ';

function parse(input: string | Uint8Array, passphrase: string | undefined): KeyObject {
  const bytes = typeof input === 'string' ? Buffer.from(input) : Buffer.from(input);
  const secret = passphrase === undefined ? {} : { passphrase };
  try {
    if (bytes.includes(PEM_START)) return crypto.createPrivateKey({ key: bytes, format: 'pem', ...secret });
    return parseDer(bytes, secret);
  } catch (cause) {
    throw keyError(`the private key cannot be read; ${adviceFor(bytes, passphrase)}`, cause);
  }
}

/** In PKCS#8's label and in the header of the older form. */
const ENCRYPTED = 'ENCRYPTED';

function adviceFor(bytes: Buffer, passphrase: string | undefined): string {
  if (passphrase !== undefined) {
    return 'it must be a PEM or DER private key, and the passphrase must be the one it was encrypted with';
  }
  return bytes.includes(ENCRYPTED)
    ? 'it is encrypted; give its passphrase in the option passphrase'
    : 'it must be a PEM or DER private key';
}

function keyError(problem: string, cause?: unknown): ConnectionError {
  return new ConnectionError('ERR_TLS_OPTION', `Option key: ${problem}`, { cause });
}

function parseDer(key: Buffer, secret: { passphrase?: string }): KeyObject {
  let failure: unknown;
  for (const type of ['pkcs8', 'sec1', 'pkcs1'] as const) {
    try {
      return crypto.createPrivateKey({ key, format: 'der', type, ...secret });
    } catch (error) {
      failure ??= error;
    }
  }
  throw failure;
}

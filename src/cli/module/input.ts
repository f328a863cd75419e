import { readFileSync, writeFileSync } from 'node:fs';
import { randomBytes } from '../../crypto/node/random.ts';
import { Card } from '../../module/bridge/card.ts';
import { ModuleClient } from '../../module/bridge/client.ts';
import { connectModule, parseModuleAddress } from '../../node/module/open.ts';
import { errorCode, errorMessage, TunnelError } from '../../tunnel/errors.ts';
import { secretBytes } from '../../wire/secret.ts';

/** A secret that was made here: as strong as the key that is derived from it. */
const SECRET_BYTES = 32;
const NEWLINE = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/**
 * A PIN or a passphrase in a file, without its line end. The bytes are the caller's, to be wiped.
 * @throws TunnelError ERR_TUNNEL_FILE
 */
export function readSecret(option: string, path: string | undefined): Uint8Array {
  if (path === undefined) throw new TunnelError('ERR_TUNNEL_OPTION', `${option} FILE is missing.`);
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (cause) {
    throw fileError(option, path, cause);
  }
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === NEWLINE || bytes[end - 1] === CARRIAGE_RETURN)) end--;
  const secret = secretBytes(end);
  secret.set(bytes.subarray(0, end));
  bytes.fill(0);
  if (end === 0) throw new TunnelError('ERR_TUNNEL_FILE', `${option} ${path} is empty.`);
  return secret;
}

/** The secret of a store; a new one, when there is no such file. */
export function readOrMakeSecret(option: string, path: string): Uint8Array {
  try {
    writeFileSync(path, `${Buffer.from(randomBytes(SECRET_BYTES)).toString('base64')}\n`, {
      mode: 0o600,
      flag: 'wx',
    });
  } catch (cause) {
    if (errorCode(cause) !== 'EEXIST') throw fileError(option, path, cause);
  }
  return readSecret(option, path);
}

/** Speaks to the module while `use` runs. */
export async function withModule<T>(uri: string, use: (client: ModuleClient) => Promise<T>): Promise<T> {
  const card = new Card(await connectModule(parseModuleAddress(uri)));
  try {
    return await use(new ModuleClient(card));
  } finally {
    card.close();
  }
}

/** The same, with the operator PIN verified. */
export function asOperator<T>(
  { module, operatorPinFile }: { readonly module: string; readonly operatorPinFile?: string },
  use: (client: ModuleClient) => Promise<T>,
): Promise<T> {
  const pin = readSecret('--operator-pin-file', operatorPinFile);
  return withModule(module, async (client) => {
    await client.select();
    await client.verifyPin('operator', pin);
    pin.fill(0);
    return use(client);
  });
}

export function fileError(option: string, path: string, cause: unknown): TunnelError {
  return new TunnelError('ERR_TUNNEL_FILE', `${option} ${path}: ${errorMessage(cause)}`, { cause });
}

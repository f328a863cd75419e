import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** What somebody who has the bundle, the CA's certificate and openssl finds out. Nothing of this project runs here. */
export interface OutsidersView {
  /** The document that the signature is over, as openssl gave it out; undefined when the signature does not verify. */
  readonly content: Buffer | undefined;
  /** Subject of the certificate whose key has signed it. */
  readonly signer: string;
  /** openssl says that the receipt is for this very object, and good. */
  readonly receiptVerifies: boolean;
  readonly receiptSigner: string;
  /** The same commands, with one byte of the document changed in the signed object, verify nothing. */
  readonly noticesChange: boolean;
  readonly commands: readonly string[];
}

/** Records in the bundle, and when they were archived. */
export interface BundledRecords {
  readonly order: number;
  readonly receipt: number;
  /** Unix seconds: when certificates are judged. */
  readonly time: number;
}

/**
 * Unpacks a bundle and verifies it with stock programs.
 * @param ca PEM file of the CA that is trusted
 * @throws Error when a program is missing
 */
export function askOutsider(
  bundle: string,
  folder: string,
  ca: string,
  records: BundledRecords,
): OutsidersView {
  mkdirSync(folder);
  unpack(bundle, folder);
  const commands: string[] = [];
  const openssl = (...words: readonly string[]): { readonly ok: boolean; readonly out: string } => {
    commands.push(`openssl ${words.join(' ')}`);
    const { error, status, stdout } = spawnSync('openssl', words, { cwd: folder, encoding: 'latin1' });
    if (error !== undefined)
      throw new Error(`openssl cannot be run (${error.message}); install it and try again`);
    return { ok: status === 0, out: stdout };
  };
  const at = (record: number): string => `records/${String(record).padStart(6, '0')}`;
  const trust = ['-CAfile', ca, '-purpose', 'any', '-attime', String(records.time)];
  const verify = (object: string, out: string) =>
    openssl(
      ...['cms', '-verify', '-binary', '-inform', 'DER', '-in', object],
      ...[...trust, '-signer', `${out}.pem`, '-out', out],
    );
  const subject = (pem: string): string =>
    openssl('x509', '-noout', '-subject', '-nameopt', 'RFC2253', '-in', pem)
      .out.trim()
      .replace(/^subject= ?/, '');
  const object = `${at(records.order)}/object.p7m`;
  const receipt = `${at(records.receipt)}/object.p7m`;
  const verified = verify(object, 'content.out');
  const receiptVerified = openssl(
    ...['cms', '-verify_receipt', receipt, '-rctform', 'DER', '-inform', 'DER', '-in', object],
    ...['-certfile', `${at(records.receipt)}/signer.pem`, ...trust],
  );
  return {
    content: verified.ok ? readFileSync(join(folder, 'content.out')) : undefined,
    signer: verified.ok ? subject('content.out.pem') : '',
    receiptVerifies: receiptVerified.ok,
    receiptSigner: receiptVerified.ok ? subject(`${at(records.receipt)}/signer.pem`) : '',
    noticesChange: !verify(changed(folder, object), 'changed.out').ok,
    commands,
  };
}

function changed(folder: string, object: string): string {
  const bytes = readFileSync(join(folder, object));
  const at = bytes.indexOf('<quantity>') + '<quantity>'.length;
  bytes[at] = '9'.charCodeAt(0);
  writeFileSync(join(folder, 'changed.p7m'), bytes);
  return 'changed.p7m';
}

/** A zip file is unpacked by whatever the machine has. */
function unpack(bundle: string, folder: string): void {
  const ways: readonly (readonly [string, readonly string[]])[] = [
    ['unzip', ['-qq', bundle, '-d', folder]],
    ['bsdtar', ['-xf', bundle, '-C', folder]],
    ['python3', ['-m', 'zipfile', '-e', bundle, folder]],
  ];
  for (const [program, words] of ways) {
    const { error, status, stderr } = spawnSync(program, words, { encoding: 'latin1' });
    if (error !== undefined) continue;
    if (status !== 0) throw new Error(`${program}: ${stderr}`);
    return;
  }
  throw new Error('there is no program that unpacks zip files; install unzip and try again');
}

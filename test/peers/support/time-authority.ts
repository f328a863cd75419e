import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Oid } from '../../../src/der/oids.ts';
import { encodePem } from '../../../src/der/pem.ts';
import { extKeyUsage } from '../../../src/x509/issue.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import type { KeyKind } from '../../setup/keys.ts';
import { ca, client, DAY, type Identity, replacing } from '../../unit/x509/pki.ts';
import { openssl } from './openssl.ts';

export interface TimeAuthorityOptions {
  readonly kind?: KeyKind;
  /** ESSCertID of the signer: `sha256` gives signing-certificate-v2, `sha1` the older attribute. */
  readonly certificateHash?: 'sha1' | 'sha256';
  /** Default: timeStamping alone, critical. */
  readonly purposes?: { readonly oids: readonly string[]; readonly critical: boolean };
}

/** A time authority made with `openssl ts`: its own CA, a certificate, and answers to requests. */
export class TimeAuthority {
  readonly root: Identity;
  readonly trust: TrustStore;
  readonly #folder: string;
  #count = 0;

  constructor(folder: string, options: TimeAuthorityOptions = {}) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true });
    const now = Date.now();
    const input = { notBefore: now - DAY, notAfter: now + 30 * DAY };
    this.root = ca('Time root', { input });
    this.trust = new TrustStore([this.root.certificate]);
    const { oids, critical } = options.purposes ?? { oids: [Oid.timeStamping], critical: true };
    const authority = client('Time authority', {
      issuer: this.root,
      kind: options.kind ?? 'p256',
      extensions: replacing(extKeyUsage(oids, critical)),
      input,
    });
    const key = authority.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    writeFileSync(join(folder, 'tsa.key'), key, { mode: 0o600 });
    writeFileSync(join(folder, 'tsa.pem'), encodePem('CERTIFICATE', authority.der));
    writeFileSync(join(folder, 'root.pem'), encodePem('CERTIFICATE', this.root.der));
    writeFileSync(join(folder, 'serial'), '01\n');
    writeFileSync(
      join(folder, 'ts.cnf'),
      [
        '[tsa]',
        'default_tsa = here',
        '[here]',
        `serial = ${join(folder, 'serial')}`,
        `signer_cert = ${join(folder, 'tsa.pem')}`,
        `certs = ${join(folder, 'root.pem')}`,
        `signer_key = ${join(folder, 'tsa.key')}`,
        'signer_digest = sha256',
        'default_policy = 1.2.3.4.1',
        'digests = sha256',
        'accuracy = secs:1, millisecs:500',
        'ordering = yes',
        'tsa_name = yes',
        `ess_cert_id_alg = ${options.certificateHash ?? 'sha256'}`,
        '',
      ].join('\n'),
    );
  }

  get rootFile(): string {
    return join(this.#folder, 'root.pem');
  }

  /** @param request TimeStampReq @returns TimeStampResp */
  answer(request: Uint8Array): Uint8Array {
    const query = join(this.#folder, `${this.#count}.tsq`);
    const reply = join(this.#folder, `${this.#count++}.tsr`);
    writeFileSync(query, request);
    const { status, stderr } = spawnSync(
      openssl.path,
      ['ts', '-reply', '-config', join(this.#folder, 'ts.cnf'), '-queryfile', query, '-out', reply],
      { encoding: 'utf8' },
    );
    if (status !== 0) throw new Error(`openssl ts -reply: ${stderr}`);
    return readFileSync(reply);
  }

  /** What `openssl ts -verify` says of a token for these data. */
  verifies(token: Uint8Array, data: Uint8Array): { ok: boolean; output: string } {
    const tokenFile = join(this.#folder, 'token.der');
    const dataFile = join(this.#folder, 'data.bin');
    writeFileSync(tokenFile, token);
    writeFileSync(dataFile, data);
    const { status, stdout, stderr } = spawnSync(
      openssl.path,
      ['ts', '-verify', '-in', tokenFile, '-token_in', '-data', dataFile, '-CAfile', this.rootFile],
      { encoding: 'utf8' },
    );
    return { ok: status === 0, output: stdout + stderr };
  }
}

import { createHash, createPublicKey } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { encodePem } from '../../../src/der/pem.ts';
import { KeyUsage } from '../../../src/x509/extensions.ts';
import { keyUsage } from '../../../src/x509/issue.ts';
import {
  ca,
  client,
  DAY,
  type Identity,
  type IdentityOptions,
  replacing,
  server,
} from '../../unit/x509/pki.ts';

/** Kinds of keys that sign TLS 1.3 handshakes. */
export const KEY_KINDS = ['p256', 'p384', 'p521', 'ed25519', 'rsa2048', 'rsa-pss'] as const;
export type SigningKind = (typeof KEY_KINDS)[number];

/** The name and the address in every server certificate here. */
export const HOST = 'localhost';
const HOSTS = [HOST, '127.0.0.1', '::1', 'a.test', 'b.test'];

/** A certificate with its key, as text and as files. */
export interface Credential {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** base64 of SHA-256 over SubjectPublicKeyInfo, as browsers pin it. */
  readonly spkiPin: string;
}

/** Certificates of one CA that is valid now, on disk for programs to read. */
export interface Pki {
  readonly folder: string;
  readonly ca: Credential;
  /** Another CA, trusted by no one unless a test says so. */
  readonly otherCa: Credential;
  readonly servers: Readonly<Record<SigningKind, Credential>>;
  readonly clients: Readonly<Record<SigningKind, Credential>>;
  /** Of `otherCa`. */
  readonly strangeClient: Credential;
  /** Of a CA that calls itself what `ca` is called, with another key. */
  readonly forgedClient: Credential;
  readonly expiredServer: Credential;
  /** For other names than HOST. */
  readonly misnamedServer: Credential;
}

/** Makes a `Pki` in a folder that goes with the test file. */
export function makePki(): Pki {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-peers-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const now = Date.now();
  const valid = (options: IdentityOptions): IdentityOptions => ({
    ...options,
    input: { notBefore: now - DAY, notAfter: now + 30 * DAY, ...options.input },
  });
  const write = (name: string, identity: Identity): Credential => {
    const cert = encodePem('CERTIFICATE', identity.der);
    const key = identity.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const certFile = join(folder, `${name}.pem`);
    const keyFile = join(folder, `${name}.key`);
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
    return { cert, key, certFile, keyFile, spkiPin: createHash('sha256').update(spki).digest('base64') };
  };
  const root = ca('Trellis peers CA', valid({}));
  const other = ca('Another CA', valid({}));
  const impostor = ca('Trellis peers CA', valid({}));
  const everyKind = (make: (kind: SigningKind) => Credential) =>
    Object.fromEntries(KEY_KINDS.map((kind) => [kind, make(kind)])) as Record<SigningKind, Credential>;
  return {
    folder,
    ca: write('ca', root),
    otherCa: write('other-ca', other),
    servers: everyKind((kind) => {
      // For the RSA key exchange of old versions too (RFC 5246 §7.4.2).
      const usage = KeyUsage.digitalSignature | (kind === 'rsa2048' ? KeyUsage.keyEncipherment : 0);
      const extensions = replacing(keyUsage(usage));
      return write(`server-${kind}`, server(HOST, valid({ issuer: root, kind, hosts: HOSTS, extensions })));
    }),
    clients: everyKind((kind) =>
      write(`client-${kind}`, client(`client ${kind}`, valid({ issuer: root, kind }))),
    ),
    strangeClient: write('client-strange', client('strange client', valid({ issuer: other }))),
    forgedClient: write('client-forged', client('forged client', valid({ issuer: impostor }))),
    expiredServer: write(
      'server-expired',
      server(
        HOST,
        valid({ issuer: root, hosts: HOSTS, input: { notBefore: now - 3 * DAY, notAfter: now - 2 * DAY } }),
      ),
    ),
    misnamedServer: write('server-misnamed', server('other.test', valid({ issuer: root }))),
  };
}

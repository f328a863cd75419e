import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type GeneratedKey, generateP256Key } from '../crypto/node/generate-key.ts';
import { nodeCrypto } from '../crypto/node/provider.ts';
import type { RdnInput } from '../der/name.ts';
import { encodePem } from '../der/pem.ts';
import { SignatureScheme } from '../wire/codepoints.ts';
import {
  caExtensions,
  clientExtensions,
  type ExtensionInput,
  issueCertificate,
  keyIdentifier,
  serverExtensions,
} from '../x509/issue.ts';
import { errorMessage, TunnelError } from './errors.ts';

export interface InitOptions {
  /** Made if missing. */
  readonly directory: string;
  /** DNS names and IP addresses of the server; default `DEFAULT_HOSTS`. */
  readonly hosts?: readonly string[] | undefined;
  /** Overwrite what an earlier init wrote. */
  readonly force?: boolean | undefined;
}

export interface InitResult {
  readonly files: readonly string[];
  readonly hosts: readonly string[];
}

/** For trying it out on one machine. */
const DEFAULT_HOSTS: readonly string[] = ['localhost', '127.0.0.1', '::1'];

const DAY = 86_400_000;
const CA_LIFE = 3650 * DAY;
/** The longest that Apple's and Google's programs accept of a server's certificate, also of private CAs. */
const LEAF_LIFE = 825 * DAY;
/** Clocks differ; a certificate that is valid from now on is not yet valid elsewhere. */
const BACKDATE = DAY / 24;
/** RFC 5280 §4.1.2.2 allows 20 bytes; 16 random ones are never the same twice. */
const SERIAL_LENGTH = 16;

const KEY_MODE = 0o600;
const CERTIFICATE_MODE = 0o644;

/**
 * Writes a new private CA and certificates of a server and a client, all with keys on P-256:
 * `ca.pem ca.key server.pem server.key client.pem client.key`. Keys are readable by their owner only.
 * @throws TunnelError ERR_TUNNEL_FILE when a file is there already (without `force`) or cannot be written
 */
export async function initPki(options: InitOptions): Promise<InitResult> {
  const { directory, force = false, hosts = DEFAULT_HOSTS } = options;
  const contents = new Map(Object.entries(makePki(hosts, Date.now())));
  const files = [...contents.keys()].map((name) => join(directory, name));
  const there = files.filter((file) => existsSync(file));
  if (there.length > 0 && !force) {
    throw new TunnelError(
      'ERR_TUNNEL_FILE',
      `${there.join(', ')} would be overwritten; choose another folder, or add --force to replace them.`,
    );
  }
  try {
    await mkdir(directory, { recursive: true });
    for (const [name, content] of contents) {
      const file = join(directory, name);
      // Not written into: an old file would keep its old permissions.
      if (force) await rm(file, { force: true });
      await writeFile(file, content, {
        flag: 'wx',
        mode: name.endsWith('.key') ? KEY_MODE : CERTIFICATE_MODE,
      });
    }
  } catch (cause) {
    throw new TunnelError('ERR_TUNNEL_FILE', `${directory} cannot be written to: ${errorMessage(cause)}.`, {
      cause,
    });
  }
  return { files, hosts };
}

/** The files of `initPki` by name, not written anywhere. @param now Unix milliseconds */
function makePki(hosts: readonly string[], now: number): Readonly<Record<string, string>> {
  const ca = generateP256Key();
  const caId = idOf(ca);
  // Two CAs of this kind must not look the same to someone who trusts one of them.
  const label = Buffer.from(caId).toString('hex', 0, 4);
  const issuer: readonly RdnInput[] = [{ O: 'Trellis private CA' }, { CN: `Trellis CA ${label}` }];
  const issue = (
    subject: readonly RdnInput[],
    key: GeneratedKey,
    life: number,
    extensions: readonly ExtensionInput[],
  ): string => {
    const certificate = issueCertificate(
      {
        subject,
        issuer,
        publicKeySpki: key.key.publicKey.spki,
        serial: serialNumber(),
        notBefore: now - BACKDATE,
        notAfter: now + life,
        extensions,
      },
      {
        algorithm: { kind: 'ecdsa', hash: 'sha256' },
        sign: (tbs) => ca.key.sign(SignatureScheme.ecdsa_secp256r1_sha256, tbs),
      },
    );
    return encodePem('CERTIFICATE', certificate);
  };
  const server = generateP256Key();
  const client = generateP256Key();
  const [firstHost = 'localhost'] = hosts;
  const ids = (key: GeneratedKey) => ({ subjectKeyId: idOf(key), issuerKeyId: caId });
  return {
    'ca.pem': issue(issuer, ca, CA_LIFE, caExtensions(ids(ca), 0)),
    'ca.key': ca.pem,
    // The name that counts is in subjectAltName (RFC 9525 §2); the subject is what logs show.
    'server.pem': issue(
      [{ CN: firstHost.slice(0, 64) }],
      server,
      LEAF_LIFE,
      serverExtensions(ids(server), hosts),
    ),
    'server.key': server.pem,
    'client.pem': issue([{ CN: 'Trellis client' }], client, LEAF_LIFE, clientExtensions(ids(client))),
    'client.key': client.pem,
  };
}

function idOf({ key }: GeneratedKey): Uint8Array {
  return keyIdentifier(nodeCrypto, key.publicKey.spki);
}

function serialNumber(): Uint8Array {
  const serial = nodeCrypto.randomBytes(SERIAL_LENGTH);
  // Positive and not zero, whatever the other bits are.
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { importPrivateKey } from '../../src/crypto/node/import-key.ts';
import type { SigningKey } from '../../src/crypto/provider.ts';
import { decodePemBlocks } from '../../src/der/pem.ts';
import { TrellisError } from '../../src/errors/errors.ts';
import type { Identity } from '../../src/handshake/config.ts';
import type { ExternalPsk } from '../../src/handshake/psk.ts';
import type { PskInput } from '../../src/node/psk.ts';
import { Reader } from '../../src/wire/reader.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import { signable } from './algorithms.ts';
import type { CredentialFlags, Flags } from './flags.ts';
import { Unimplemented } from './report.ts';

/** An identity that knows its number among the `-new-…-credential`; -1 for that of the older flags. */
export interface NumberedIdentity extends Identity {
  readonly credential: number;
}

/** In BoringSSL's order: those of `-new-…-credential` first, the one of the older flags last. */
export function identitiesOf({
  credentials,
  credential,
  availableClientCertTypes: types,
  async,
}: Flags): NumberedIdentity[] {
  const numbered = [...credentials.entries(), [-1, credential] as const];
  const present = numbered.filter(([, one]) => !isMissing(one));
  // Types that a flag names have its order, within them that of the credentials.
  const wanted =
    types.length === 0
      ? present
      : types.flatMap((type) => present.filter(([, { raw }]) => type === (raw ? 2 : 0)));
  return wanted.map(([number, one]) => ({ ...identityOf(one, async), credential: number }));
}

/** External keys of TLS 1.3; the runner's are all imported. */
export function psksOf({ credentials }: Flags): PskInput[] {
  return credentials.flatMap(({ pskHash, psk, pskIdentity, pskContext }) =>
    pskHash === undefined
      ? []
      : [{ identity: pskIdentity, key: psk, hash: pskHash, import: { context: pskContext } }],
  );
}

function identityOf(flags: CredentialFlags, slow: boolean): Identity {
  const { certFile, keyFile, signingPrefs, mustMatchIssuer, ocspResponse, signedCertTimestamps } = flags;
  const chain = flags.raw ? [] : readCertificates(certFile);
  const key = readKey(keyFile);
  return {
    chain,
    spki: flags.raw ? spkiOf(keyFile) : undefined,
    mustMatchIssuer,
    issuers: mustMatchIssuer ? chain.map((der) => Certificate.parse(der).issuer.raw) : undefined,
    ocspResponse: ocspResponse.length > 0 ? ocspResponse : undefined,
    scts: readTimestamps(signedCertTimestamps),
    key: {
      schemes: signable(signingPrefs, key.schemes),
      schemes12: signable(signingPrefs, key.schemes12),
      legacySchemes: key.legacySchemes,
      sign: (scheme, data) => (slow ? later(() => key.sign(scheme, data)) : key.sign(scheme, data)),
      ...decrypting(key, slow),
    },
  };
}

/** `SerializedSCT sct_list<1..2^16-1>`, RFC 6962 §3.3. */
export function readTimestamps(list: Uint8Array): Uint8Array[] | undefined {
  return list.length === 0 ? undefined : new Reader(list, 'SCTs').list(2, (sct) => sct.vector(2, 1), 1);
}

/** The runner's key of TLS 1.2, shorter than an option would let it be. */
export function psk12Of({ psk, pskIdentity }: Flags): ExternalPsk[] {
  if (psk === '') return [];
  const [key, identity] = [psk, pskIdentity].map((text) => new Uint8Array(Buffer.from(text, 'latin1')));
  if (key === undefined || identity === undefined) return [];
  return [{ key, identity, hash: 'sha256', binder: 'external' }];
}

/** @throws Unimplemented for a kind of key that the engine does not have */
function readKey(file: string) {
  try {
    return importPrivateKey(readFileSync(file));
  } catch (error) {
    if (error instanceof TrellisError) throw new Unimplemented(error.message);
    throw error;
  }
}

function decrypting({ decrypt }: SigningKey, slow: boolean): Pick<SigningKey, 'decrypt'> {
  if (decrypt === undefined) return {};
  return { decrypt: (ciphertext) => (slow ? later(() => decrypt(ciphertext)) : decrypt(ciphertext)) };
}

const isMissing = ({ certFile, raw }: CredentialFlags): boolean => certFile === '' && !raw;

function spkiOf(file: string): Uint8Array {
  const key = createPublicKey(readFileSync(file));
  return new Uint8Array(key.export({ type: 'spki', format: 'der' }));
}

/** As a card or an HSM would. */
async function later(sign: () => Uint8Array | Promise<Uint8Array>): Promise<Uint8Array> {
  await new Promise((resolve) => setImmediate(resolve));
  return sign();
}

export function readCertificates(file: string): Uint8Array[] {
  return decodePemBlocks(readFileSync(file, 'latin1'), 'CERTIFICATE');
}

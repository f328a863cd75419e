import { readFileSync } from 'node:fs';
import { importPrivateKey } from '../../src/crypto/node/import-key.ts';
import { decodePemBlocks } from '../../src/der/pem.ts';
import { TrellisError } from '../../src/errors/errors.ts';
import type { Identity } from '../../src/handshake/config.ts';
import { signable } from './algorithms.ts';
import type { CredentialFlags, Flags } from './flags.ts';
import { Unimplemented } from './report.ts';

/** In BoringSSL's order: those of `-new-…-credential` first, the one of the older flags last. */
export function identitiesOf(flags: Flags): Identity[] {
  return [...flags.credentials, flags.credential].flatMap((credential) =>
    credential.certFile === '' ? [] : [identityOf(credential, flags.async)],
  );
}

function identityOf({ certFile, keyFile, signingPrefs }: CredentialFlags, slow: boolean): Identity {
  const key = readKey(keyFile);
  return {
    chain: readCertificates(certFile),
    key: {
      schemes: signable(signingPrefs, key.schemes),
      sign: (scheme, data) => (slow ? later(() => key.sign(scheme, data)) : key.sign(scheme, data)),
    },
  };
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

/** As a card or an HSM would. */
async function later(sign: () => Uint8Array): Promise<Uint8Array> {
  await new Promise((resolve) => setImmediate(resolve));
  return sign();
}

export function readCertificates(file: string): Uint8Array[] {
  return decodePemBlocks(readFileSync(file, 'latin1'), 'CERTIFICATE');
}

import type { CryptoProvider } from '../../crypto/provider.ts';
import { toHex } from '../../der/bytes.ts';
import { CertificateError } from '../../errors/errors.ts';
import type { SignerIdentity, SignerJudge } from '../../formats/format.ts';
import { Certificate } from '../../x509/certificate.ts';
import { importPublicKey } from '../../x509/public-key.ts';

/** Identities that are remembered: parsing a certificate and its key takes longer than verifying a signature. */
const MAX_REMEMBERED = 1000;

/**
 * Takes any certificate: for finding out whether a signature was made with the key in it, when nobody has said whom to
 * trust. Who uses this says so to whoever reads the result.
 */
export function anySigner(crypto: CryptoProvider): SignerJudge {
  const known = new Map<string, SignerIdentity>();
  return ([der]) => {
    if (der === undefined) throw new CertificateError('CERT_REJECTED', 'There is no certificate');
    const key = toHex(crypto.digest('sha256', der));
    let identity = known.get(key);
    if (identity === undefined) {
      const leaf = Certificate.parse(der);
      identity = { leaf, path: [leaf], publicKey: importPublicKey(crypto, leaf.spki) };
      if (known.size >= MAX_REMEMBERED) known.clear();
      known.set(key, identity);
    }
    return identity;
  };
}

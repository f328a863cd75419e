import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';

/**
 * `struct { ASN.1Cert certificate_list<1..2^24-1>; } CertificateSign;`, where `opaque ASN.1Cert<1..2^24-1>;` The
 * sender's certificate comes first.
 */
export function encodeCertificateSign(chain: readonly Uint8Array[]): Uint8Array {
  return new Writer(1024)
    .vector(3, (list) => {
      for (const certificate of chain) list.vector(3, certificate);
    })
    .finish();
}

/** Views on `body`, at least one. @throws DecodeError */
export function decodeCertificateSign(body: Uint8Array): Uint8Array[] {
  const reader = new Reader(body, 'certificate_sign');
  const chain = reader.list(3, (list) => list.vector(3, 1), 1);
  reader.end();
  return chain;
}

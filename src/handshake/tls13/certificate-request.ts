import type { CryptoProvider } from '../../crypto/provider.ts';
import { certificateAuthorities, type Extension, signatureAlgorithms } from '../../messages/extensions.ts';
import { ExtensionType } from '../../wire/codepoints.ts';
import type { ServerConfig } from '../config.ts';
import { compressionOffer } from './compression.ts';
import { greaseExtension } from './grease.ts';

/** What a CertificateRequest says, whenever it is sent. */
export function requestExtensions(config: ServerConfig, crypto: CryptoProvider): Extension[] {
  const extensions = [
    { type: ExtensionType.signature_algorithms, body: signatureAlgorithms.build(config.schemes) },
  ] as Extension[];
  if (config.certificateSchemes !== undefined) {
    const body = signatureAlgorithms.build(config.certificateSchemes);
    extensions.push({ type: ExtensionType.signature_algorithms_cert, body });
  }
  if (config.certificateAuthorities.length > 0) {
    const body = certificateAuthorities.build(config.certificateAuthorities);
    extensions.push({ type: ExtensionType.certificate_authorities, body });
  }
  extensions.push(...compressionOffer(config.certificateCompression));
  if (config.grease === true) extensions.push(greaseExtension(crypto));
  return extensions;
}

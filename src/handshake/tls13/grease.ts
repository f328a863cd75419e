import type { CryptoProvider } from '../../crypto/provider.ts';
import {
  type Extension,
  keyShareClientHello,
  signatureAlgorithms,
  supportedGroups,
  supportedVersions,
} from '../../messages/extensions.ts';
import type { ClientHello } from '../../messages/hello.ts';
import { ExtensionType } from '../../wire/codepoints.ts';

/** The sixteen reserved values 0x0A0A, 0x1A1A, … 0xFAFA (RFC 8701 §2). */
const FIRST = 0x0a0a;
const STEP = 0x1010;

/** An extension that means nothing, for what a server sends unasked: CertificateRequest and NewSessionTicket (RFC 8701 §4.1). */
export function greaseExtension(crypto: CryptoProvider): Extension {
  const [pick = 0] = crypto.randomBytes(1);
  return { type: FIRST + STEP * (pick & 15), body: new Uint8Array(0) };
}

/**
 * A ClientHello with values that mean nothing (RFC 8701 §3.1), so that servers and middleboxes stay used to passing over
 * what they do not know. A server that selects one selects what was not offered, and is refused like any other that does.
 * It goes over the hello before pre_shared_key is added, which stays last.
 */
export function greased(hello: ClientHello, crypto: CryptoProvider): ClientHello {
  const picks = crypto.randomBytes(6);
  const value = (index: number): number => FIRST + STEP * ((picks[index] as number) & 15);
  const first = value(4);
  const last = value(5);
  const group = value(1);
  const changed = hello.extensions.map(({ type, body }): Extension => {
    switch (type) {
      case ExtensionType.supported_versions:
        return { type, body: supportedVersions.build([value(2), ...supportedVersions.parse(body)]) };
      case ExtensionType.supported_groups:
        return { type, body: supportedGroups.build([group, ...supportedGroups.parse(body)]) };
      case ExtensionType.signature_algorithms:
        return { type, body: signatureAlgorithms.build([value(3), ...signatureAlgorithms.parse(body)]) };
      case ExtensionType.key_share: {
        // §3.1: a share of one byte, for the group above.
        const share = { group, keyExchange: Uint8Array.of(0) };
        return { type, body: keyShareClientHello.build([share, ...keyShareClientHello.parse(body)]) };
      }
      default:
        return { type, body };
    }
  });
  return {
    ...hello,
    cipherSuites: [value(0), ...hello.cipherSuites],
    extensions: [
      { type: first, body: new Uint8Array(0) },
      ...changed,
      // One extension with a body, of another type than the first: no type may occur twice.
      { type: last === first ? FIRST + ((last - FIRST + STEP) % (16 * STEP)) : last, body: Uint8Array.of(0) },
    ],
  };
}

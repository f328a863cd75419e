import { schemeById } from '../../crypto/schemes.ts';
import { TlsError } from '../../errors/errors.ts';
import { type Extension, extensionName, findExtension } from '../../messages/extensions.ts';
import type { ClientConfig, Identity } from '../config.ts';

/**
 * RFC 8446 §4.2: an answer that was not asked for is unsupported_extension; an extension that we know, in a message
 * where it is not specified to appear, is illegal_parameter.
 */
export function requireKnownPlace(
  message: string,
  extensions: readonly Extension[],
  allowed: readonly number[],
  offered: readonly number[],
): void {
  for (const { type } of extensions) {
    if (!offered.includes(type)) {
      throw new TlsError(
        'ERR_TLS_UNSUPPORTED_EXTENSION',
        `${message} has extension ${extensionName(type)}, which was not offered`,
      );
    }
    if (!allowed.includes(type)) {
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        `${message} has extension ${extensionName(type)}, out of place`,
      );
    }
  }
}

export function optionalExtension<T>(
  extensions: readonly Extension[],
  type: number,
  parse: (body: Uint8Array) => T,
): T | undefined {
  const body = findExtension(extensions, type);
  return body === undefined ? undefined : parse(body);
}

/**
 * The first identity whose key can make a scheme that the peer accepts, and that scheme. Those under an authority that
 * the peer names come first; another one is better than none, since the list may be shortened (RFC 8446 §4.2.4).
 */
export function chooseIdentity(
  identities: readonly Identity[],
  accepted: readonly number[],
  authorities?: readonly Uint8Array[] | undefined,
): { readonly identity: Identity; readonly scheme: number } | undefined {
  for (const identity of suitedTo(identities, authorities)) {
    const scheme = identity.key.schemes.find(
      // RSASSA-PKCS1-v1_5 is among those that a key has for TLS 1.2.
      (candidate) => accepted.includes(candidate) && schemeById(candidate)?.handshake !== false,
    );
    if (scheme !== undefined) return { identity, scheme };
  }
  return undefined;
}

/** Those under an authority that the peer names first, then all but those that are for such peers alone. */
export function suitedTo(
  identities: readonly Identity[],
  authorities: readonly Uint8Array[] | undefined,
): readonly Identity[] {
  const named = authorities === undefined ? [] : identities.filter((one) => isUnder(one, authorities));
  const free = identities.filter(({ mustMatchIssuer }) => mustMatchIssuer !== true);
  return named.length === 0 ? free : [...named, ...free];
}

/**
 * What a client that insists on its certificate does where none suits.
 * @throws TlsError ERR_TLS_NO_SUITABLE_CERTIFICATE
 */
export function requireShown(
  { identities, insistOnCertificate }: ClientConfig,
  choice: object | undefined,
): void {
  if (choice !== undefined || insistOnCertificate !== true || identities.length === 0) return;
  throw new TlsError(
    'ERR_TLS_NO_SUITABLE_CERTIFICATE',
    'The server asks for a certificate, and none of ours has a type, key and issuer that it takes',
  );
}

function isUnder({ issuers }: Identity, authorities: readonly Uint8Array[]): boolean {
  return (
    issuers?.some((issuer) =>
      authorities.some(
        (name) => name.length === issuer.length && name.every((byte, i) => byte === issuer[i]),
      ),
    ) ?? false
  );
}

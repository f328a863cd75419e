import { CertificateError, DecodeError, TlsError } from '../errors/errors.ts';
import {
  certificateTypes,
  type Extension,
  findExtension,
  selectedCertificateType,
} from '../messages/extensions.ts';
import { CertificateType, ExtensionType } from '../wire/codepoints.ts';
import type { PeerIdentity } from '../x509/verify.ts';
import type { ClientConfig, Identity, PeerVerifier, RawKeyVerifier, ServerConfig } from './config.ts';

/*
 * RFC 7250: either side may show a raw public key in place of certificates. Each direction is negotiated by an extension
 * of its own: the client lists types, the server selects one; without the extension it is X.509.
 */

/** What each side shows. */
export interface CertificateTypes {
  readonly client: number;
  readonly server: number;
}

const { x509, raw_public_key } = CertificateType;
export const ONLY_X509: CertificateTypes = { client: x509, server: x509 };

type Acceptance = Pick<ClientConfig, 'verifyRawKey' | 'acceptedTypes'>;

/** Types that this side takes from its peer, best first. */
export function acceptedTypes({ verifyRawKey, acceptedTypes }: Acceptance): readonly number[] {
  return acceptedTypes ?? (verifyRawKey === undefined ? [x509] : [raw_public_key, x509]);
}

/** Types that these identities can be shown as, best first: in their order, and each sooner as a raw key. */
function shownTypes(identities: readonly Identity[]): readonly number[] {
  const types = new Set<number>();
  for (const { spki, chain } of identities) {
    if (spki !== undefined) types.add(raw_public_key);
    if (chain.length > 0) types.add(x509);
  }
  return [...types];
}

/** The identities that can be shown as this. */
export function identitiesOfType(identities: readonly Identity[], type: number): readonly Identity[] {
  return identities.filter(({ chain, spki }) =>
    type === raw_public_key ? spki !== undefined : chain.length > 0,
  );
}

/** Client: types that it says it can show. */
function availableTypes({ availableTypes: given, identities }: ClientConfig): readonly number[] {
  return given ?? shownTypes(identities);
}

/** Client: for ClientHello. RFC 7250 §4.1: left out where X.509 is all there is. */
export function offeredCertificateTypes(config: ClientConfig): Extension[] {
  const own = availableTypes(config);
  const peers = acceptedTypes(config);
  const list: Extension[] = [];
  if (own.includes(raw_public_key))
    list.push({ type: ExtensionType.client_certificate_type, body: certificateTypes.build(own) });
  if (peers.includes(raw_public_key))
    list.push({ type: ExtensionType.server_certificate_type, body: certificateTypes.build(peers) });
  return list;
}

/**
 * Client: what the server selected.
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for a type that was not offered, ERR_TLS_CERTIFICATE_TYPE when it shows
 *   certificates where only raw keys are taken
 */
export function confirmedCertificateTypes(
  config: ClientConfig,
  extensions: readonly Extension[],
): CertificateTypes {
  const read = (type: number, offered: readonly number[]): number => {
    const body = findExtension(extensions, type);
    const selected = body === undefined ? x509 : selectedCertificateType.parse(body);
    if (body === undefined || offered.includes(selected)) return selected;
    throw new TlsError(
      'ERR_TLS_ILLEGAL_PARAMETER',
      `The server selects certificate type ${selected}, not offered`,
    );
  };
  return {
    client: read(ExtensionType.client_certificate_type, availableTypes(config)),
    server: read(ExtensionType.server_certificate_type, acceptedTypes(config)),
  };
}

/** Client, where the server is about to show what it has. @throws TlsError ERR_TLS_CERTIFICATE_TYPE */
export function requireAcceptedType(config: Acceptance, type: number): void {
  if (acceptedTypes(config).includes(type)) return;
  throw new TlsError(
    'ERR_TLS_CERTIFICATE_TYPE',
    'The server shows a certificate, and only raw public keys are trusted here; give ca as well, or have it show its key',
  );
}

/** What a ClientHello lists (RFC 7250 §3); absent extensions mean X.509. */
export interface OfferedCertificateTypes {
  readonly client: readonly number[] | undefined;
  readonly server: readonly number[] | undefined;
}

/** @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for a list of X.509 alone, which a client MUST leave out (RFC 7250 §4.1) */
export function readOfferedTypes(extensions: readonly Extension[]): OfferedCertificateTypes {
  const read = (type: number): readonly number[] | undefined => {
    const body = findExtension(extensions, type);
    const list = body === undefined ? undefined : certificateTypes.parse(body);
    if (list?.every((one) => one === x509))
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'certificate_type: X.509 alone, which goes without saying',
      );
    return list;
  };
  return {
    client: read(ExtensionType.client_certificate_type),
    server: read(ExtensionType.server_certificate_type),
  };
}

export interface CertificateSelection {
  readonly types: CertificateTypes;
  /** The answers. */
  readonly extensions: readonly Extension[];
}

/**
 * Server: selects a type for each direction.
 * @param identities those that may be shown; none where no certificate is shown at all
 * @throws TlsError ERR_TLS_CERTIFICATE_TYPE (RFC 7250 §4.2: unsupported_certificate)
 */
export function selectCertificateTypes(
  config: ServerConfig,
  offered: OfferedCertificateTypes,
  identities: readonly Identity[],
): CertificateSelection {
  const extensions: Extension[] = [];
  const own = shownTypes(identities);
  const server = own.find((type) => (offered.server ?? [x509]).includes(type));
  if (server === undefined && own.length > 0) {
    throw new TlsError(
      'ERR_TLS_CERTIFICATE_TYPE',
      'The client takes no type of certificate that is shown here',
    );
  }
  if (offered.server !== undefined && server !== undefined) {
    extensions.push({
      type: ExtensionType.server_certificate_type,
      body: selectedCertificateType.build(server),
    });
  }
  let client: number = x509;
  if (config.clientCertificate !== 'none') {
    const accepted = acceptedTypes(config);
    const found = accepted.find((type) => (offered.client ?? [x509]).includes(type));
    if (found === undefined) {
      throw new TlsError(
        'ERR_TLS_CERTIFICATE_TYPE',
        'The client shows no type of certificate that is taken here',
      );
    }
    client = found;
    // §4.2: only with a CertificateRequest.
    if (offered.client !== undefined) {
      extensions.push({
        type: ExtensionType.client_certificate_type,
        body: selectedCertificateType.build(client),
      });
    }
  }
  return { types: { client, server: server ?? x509 }, extensions };
}

/**
 * Server, where a session is resumed: no one shows anything, and a client that lists types is told all the same which one
 * it would see; without a shared one it is told nothing.
 */
export function resumedCertificateType(
  config: ServerConfig,
  offered: OfferedCertificateTypes,
  serverName: string | undefined,
): readonly Extension[] {
  if (offered.server === undefined) return [];
  const found = shownTypes(config.selectIdentities(serverName)).find((type) =>
    offered.server?.includes(type),
  );
  if (found === undefined) return [];
  const body = selectedCertificateType.build(found);
  return [{ type: ExtensionType.server_certificate_type, body }];
}

/**
 * Judges what came in a Certificate of this type.
 * @throws TlsError, CertificateError; what is not of the type that was agreed on is a DecodeError where there are two
 */
export function judgeShown(
  config: ClientConfig | ServerConfig,
  type: number,
  entries: readonly Uint8Array[],
  context: Parameters<PeerVerifier>[1],
): PeerIdentity {
  try {
    return isRaw(type) ? judgeRawKey(config.verifyRawKey, entries) : config.verifyPeer(entries, context);
  } catch (error) {
    const isUnreadable =
      error instanceof CertificateError && error.code === 'CERT_MALFORMED' && error.depth === 0;
    if (!isUnreadable || config.verifyRawKey === undefined) throw error;
    const agreed = isRaw(type) ? 'raw public keys' : 'certificates';
    throw new DecodeError(`Certificate: ${error.message}; ${agreed} were agreed on`, { cause: error });
  }
}

/**
 * Judges a raw public key.
 * @param entries a raw key is the only one (RFC 8446 §4.4.2)
 * @throws TlsError, CertificateError
 */
export function judgeRawKey(
  verify: RawKeyVerifier | undefined,
  entries: readonly Uint8Array[],
): PeerIdentity {
  const [spki, more] = entries;
  if (spki === undefined || more !== undefined)
    throw new DecodeError(`Certificate: ${entries.length} raw public keys, there must be one`);
  if (verify === undefined) throw new TlsError('ERR_TLS_INTERNAL', 'Raw public keys are not taken here');
  return verify(spki);
}

/** What is put into Certificate for an identity. */
export function shownAs({ chain, spki }: Identity, type: number): readonly Uint8Array[] {
  if (type !== raw_public_key) return chain;
  return spki === undefined ? [] : [spki];
}

export const isRaw = (type: number): boolean => type === raw_public_key;

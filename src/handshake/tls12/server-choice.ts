import { canDecrypt, type DecryptingKey } from '../../crypto/provider.ts';
import { isCbc, isRsaKeyExchange, type Suite12 } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import { type CertificateSelection, identitiesOfType, selectCertificateTypes } from '../certificate-types.ts';
import type { Identity, ServerConfig } from '../config.ts';
import { suitedTo } from '../tls13/shared.ts';
import type { CheckedClientHello12 } from './client-hello-check.ts';
import { type Protocol12, permitsCbc, suitesOf } from './protocol.ts';
import { chooseIdentity12, pointGroups, type SigningChoice } from './shared.ts';

/** With what a full handshake goes on. */
export interface Choice {
  readonly suite: Suite12;
  /** Absent without ECDHE. */
  readonly group: number | undefined;
  /** Absent in the PSK suites. */
  readonly certificate: SigningChoice | DecryptingChoice | undefined;
  /** Absent in the PSK suites. */
  readonly selection?: CertificateSelection;
}

/** Of the RSA key exchange: the key signs nothing. */
interface DecryptingChoice {
  readonly identity: Identity;
  readonly decrypting: DecryptingKey;
}

/** Our first suite that the client offers and for which we have a group, and a certificate or keys that it can know. */
export function chooseSuite(
  config: ServerConfig,
  protocol: Protocol12,
  checked: CheckedClientHello12,
): Choice {
  const offered = new Set(checked.hello.cipherSuites);
  const suites = suitesOf(config, protocol).filter(
    (suite) =>
      offered.has(suite.id) &&
      (suite.authentication !== 'psk' || config.findPsk !== undefined) &&
      (!isCbc(suite) || permitsCbc(config, checked.encryptThenMac)),
  );
  if (suites.length === 0) {
    throw new TlsError(
      'ERR_TLS_NO_SHARED_CIPHER',
      'The client offers no cipher suite that we use for this version',
    );
  }
  const { groups } = checked;
  const group = pointGroups(config.groups).find((candidate) => groups?.includes(candidate) ?? true);
  let identities: readonly Identity[] | undefined;
  let selection: CertificateSelection | undefined;
  for (const suite of suites) {
    const { authentication, ephemeral } = suite;
    if (ephemeral && group === undefined) continue;
    if (authentication === 'psk')
      return { suite, group: ephemeral ? group : undefined, certificate: undefined };
    identities ??= config.selectIdentities(checked.serverName);
    selection ??= selectCertificateTypes(config, checked.certificateTypes, identities);
    const shown = suitedTo(identitiesOfType(identities, selection.types.server), checked.authorities);
    const certificate = isRsaKeyExchange(suite)
      ? decryptingIdentity(shown)
      : chooseIdentity12(shown, checked.schemes, [authentication], groups);
    if (certificate !== undefined)
      return { suite, group: ephemeral ? group : undefined, certificate, selection };
  }
  if (group === undefined) {
    throw new TlsError('ERR_TLS_NO_SHARED_GROUP', 'The client offers no group that we use');
  }
  throw new TlsError(
    'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME',
    'No certificate here suits the cipher suites and signature schemes of the client',
  );
}

function decryptingIdentity(identities: readonly Identity[]): DecryptingChoice | undefined {
  for (const identity of identities) {
    if (canDecrypt(identity.key)) return { identity, decrypting: identity.key };
  }
  return undefined;
}

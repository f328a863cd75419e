import type { EcCurve, SigningKey } from '../../crypto/provider.ts';
import { LEGACY_SCHEMES, schemeById } from '../../crypto/schemes.ts';
import { isRsaKeyExchange, type Suite12 } from '../../crypto/suites12.ts';
import { TlsError } from '../../errors/errors.ts';
import { parseRawCertificate } from '../../messages/tls12.ts';
import { NamedGroup, ProtocolVersion } from '../../wire/codepoints.ts';
import { Writer } from '../../wire/writer.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { Identity, Tls12Config } from '../config.ts';
import type { Randoms } from './key-schedule.ts';
import type { Protocol12 } from './protocol.ts';

type Authentication = Exclude<Suite12['authentication'], 'psk'>;

/** The kind of certificate that a key of this kind is in; Ed25519 goes with the ECDSA suites (RFC 8422 §5.10). */
function authenticationOf(kind: PeerIdentity['publicKey']['kind']): Authentication {
  return kind === 'rsa' || kind === 'rsa-pss' ? 'rsa' : 'ecdsa';
}

/** What a signature of ours is made with. */
export interface SigningChoice {
  readonly identity: Identity;
  readonly scheme: number;
}

/**
 * The first identity of the kinds that fit whose key can make a scheme that the peer accepts, and that scheme. In TLS 1.2 a
 * scheme of ECDSA is its hash (RFC 8446 §4.2.3); one whose curve is not the key's is taken where no key has its own.
 * @param accepted `undefined` before TLS 1.2, where the kind of key says which scheme it is
 * @param groups where the peer restricts itself to some: certificates too keep to their curves (RFC 8422 §4)
 */
export function chooseIdentity12(
  identities: readonly Identity[],
  accepted: readonly number[] | undefined,
  kinds: readonly Authentication[],
  groups?: readonly number[] | undefined,
): SigningChoice | undefined {
  if (accepted === undefined) return chooseLegacyIdentity(identities, kinds, groups);
  const suits = (id: number): boolean => {
    const known = schemeById(id);
    return known !== undefined && accepted.includes(id) && kinds.includes(authenticationOf(known.keyKind));
  };
  for (const schemesOf of [({ schemes }: SigningKey) => schemes, ({ schemes12 }: SigningKey) => schemes12]) {
    for (const identity of identities) {
      const scheme = isOnCurveOf(identity, groups) ? schemesOf(identity.key)?.find(suits) : undefined;
      if (scheme !== undefined) return { identity, scheme };
    }
  }
  return undefined;
}

function chooseLegacyIdentity(
  identities: readonly Identity[],
  kinds: readonly Authentication[],
  groups: readonly number[] | undefined,
): SigningChoice | undefined {
  for (const identity of identities) {
    const { legacySchemes = [] } = identity.key;
    const scheme = LEGACY_SCHEMES.find(
      ({ id, keyKind }) => legacySchemes.includes(id) && kinds.includes(authenticationOf(keyKind)),
    );
    if (scheme !== undefined && isOnCurveOf(identity, groups)) return { identity, scheme: scheme.id };
  }
  return undefined;
}

/** A scheme of before TLS 1.3 says nothing of the curve; those of TLS 1.3 that the key has do. */
function isOnCurveOf({ key }: Identity, groups: readonly number[] | undefined): boolean {
  const curves = key.schemes.flatMap((id) => schemeById(id)?.curve ?? []);
  return groups === undefined || curves.every((curve) => groups.includes(GROUP_OF_CURVE[curve]));
}

const GROUP_OF_CURVE: Readonly<Record<EcCurve, number>> = {
  'P-256': NamedGroup.secp256r1,
  'P-384': NamedGroup.secp384r1,
  'P-521': NamedGroup.secp521r1,
};

/** @throws TlsError ERR_TLS_ILLEGAL_PARAMETER when the certificate is not of the suite's kind (RFC 8422 §5.3, RFC 5246 §7.4.2) */
export function requireKindOf(suite: Suite12, { publicKey }: PeerIdentity): void {
  // A key for RSASSA-PSS alone signs and does not decrypt.
  const fits = !isRsaKeyExchange(suite) || publicKey.kind === 'rsa';
  if (fits && authenticationOf(publicKey.kind) === suite.authentication) return;
  throw new TlsError(
    'ERR_TLS_ILLEGAL_PARAMETER',
    `The server's certificate has a key of kind ${publicKey.kind}, which does not fit ${suite.name}`,
  );
}

/**
 * Before TLS 1.3 supported_groups is about certificates too: a server MUST NOT choose ECDSA unless it can keep to the
 * client's curves (RFC 8422 §4).
 * @param groups those that were offered
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER
 */
export function requireCurveAmong(groups: readonly number[], { publicKey }: PeerIdentity): void {
  if (publicKey.kind !== 'ec' || groups.includes(GROUP_OF_CURVE[publicKey.curve])) return;
  throw new TlsError(
    'ERR_TLS_ILLEGAL_PARAMETER',
    `The server's certificate has a key on ${publicKey.curve}, which is not among the groups that were offered`,
  );
}

/** RFC 7627 §5.2: of TLS 1.2 it is asked; what is older hardly ever has it, and was named by someone who knows. */
export function requiresExtendedMasterSecret(tls12: Tls12Config, { rulesOf }: Protocol12): boolean {
  return tls12.requireExtendedMasterSecret && rulesOf >= ProtocolVersion.tls12;
}

/** RFC 9146 adds them to DTLS 1.2, and to nothing before it. */
export function hasConnectionIds({ version }: Protocol12): boolean {
  return version === ProtocolVersion.dtls12;
}

/** What came in a Certificate with a raw public key: none, or one. */
export function rawChain(body: Uint8Array): readonly Uint8Array[] {
  const spki = parseRawCertificate(body);
  return spki === undefined ? [] : [spki];
}

/** Groups whose shares are points, which is all that ServerKeyExchange can carry (RFC 8422 §5.1.1). */
const POINT_GROUPS: readonly number[] = [
  NamedGroup.x25519,
  NamedGroup.secp256r1,
  NamedGroup.secp384r1,
  NamedGroup.secp521r1,
];

/** Those of `groups` that can be used before TLS 1.3. */
export function pointGroups(groups: readonly number[]): readonly number[] {
  return groups.filter((group) => POINT_GROUPS.includes(group));
}

/** What the signature in ServerKeyExchange covers (RFC 8422 §5.4). */
export function keyExchangeInput({ client, server }: Randoms, parameters: Uint8Array): Uint8Array {
  const input = new Uint8Array(client.length + server.length + parameters.length);
  input.set(client);
  input.set(server, client.length);
  input.set(parameters, client.length + server.length);
  return input;
}

/** ec_point_formats: a list of `uncompressed` alone (RFC 8422 §5.1.2). */
export const UNCOMPRESSED_POINTS = Uint8Array.of(1, 0);

/**
 * The premaster secret of the PSK suites: `opaque other_secret<0..2^16-1>; opaque psk<0..2^16-1>;` (RFC 4279 §2).
 * @param shared the ECDHE result (RFC 5489 §2); without one, as many zeros as the key has bytes
 */
export function pskPremaster(key: Uint8Array, shared: Uint8Array | undefined): Uint8Array {
  return new Writer(4 + 2 * key.length)
    .vector(2, shared ?? new Uint8Array(key.length))
    .vector(2, key)
    .finish();
}

import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { KeyObjectSigningKey } from '../../src/crypto/node/signing-key.ts';
import { SCHEMES } from '../../src/crypto/schemes.ts';
import { TLS13_SUITES } from '../../src/crypto/suites.ts';
import { TLS12_SUITES } from '../../src/crypto/suites12.ts';
import { CertificateError } from '../../src/errors/errors.ts';
import type { ClientConfig, Identity, PeerVerifier, ServerConfig } from '../../src/handshake/config.ts';
import { TicketKeys } from '../../src/handshake/tickets.ts';
import { NamedGroup } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { UnverifiedPeer } from '../../src/x509/verify.ts';
import { generateKey } from './keys.ts';

/*
 * Configurations for tests of the engine alone. A "certificate" here is a bare SubjectPublicKeyInfo, and whoever has
 * one is trusted: what the engine does with a peer's key is tested here, what x509/ thinks of its path is tested there.
 */

export function testIdentity(kind: 'p256' | 'p384' | 'p521' | 'ed25519' | 'rsa' = 'p256'): Identity {
  const { privateKey, publicKey } = generateKey(kind === 'rsa' ? 'rsa2048' : kind);
  return {
    chain: [publicKey.export({ type: 'spki', format: 'der' })],
    key: new KeyObjectSigningKey(privateKey),
  };
}

const BARE_KEY = new CertificateError('CERT_REJECTED', 'A bare public key has no certificate');

/** Takes every bare public key. */
const trustAnyKey: PeerVerifier = (chain) =>
  new UnverifiedPeer(chain, nodeCrypto.importPublicKey(chain[0] as Uint8Array), BARE_KEY);

const common = {
  crypto: nodeCrypto,
  suites: TLS13_SUITES,
  groups: [
    NamedGroup.x25519,
    NamedGroup.secp256r1,
    NamedGroup.secp384r1,
    NamedGroup.secp521r1,
    NamedGroup.x25519mlkem768,
  ],
  schemes: SCHEMES.filter(({ handshake }) => handshake).map(({ id }) => id),
  verifyPeer: trustAnyKey,
  handshakeTimeout: 10_000,
  maxFragment: 2 ** 14,
  padTo: 1,
  keylog: () => true,
} as const;

export const serverIdentity: Identity = testIdentity();
export const clientIdentity: Identity = testIdentity();

export function clientConfig(overrides: Partial<ClientConfig> = {}): ClientConfig {
  return {
    ...common,
    serverName: 'server.test',
    sendServerName: true,
    keyShares: [NamedGroup.x25519],
    alpnProtocols: [],
    identities: [],
    session: undefined,
    compatibility: true,
    ...overrides,
  };
}

export function serverConfig(overrides: Partial<ServerConfig> = {}): ServerConfig {
  return {
    ...common,
    selectIdentities: () => [serverIdentity],
    clientCertificate: 'none',
    certificateAuthorities: [],
    ...overrides,
  };
}

/** Ticket issuing as a server would have it: one ticket a session, for a day. */
export const testTickets = { keys: new TicketKeys(new Uint8Array(48).fill(7)), lifetime: 86_400, count: 1 };
/** A newer key seals; that of `testTickets` still opens. */
export const replacedTickets = {
  ...testTickets,
  keys: new TicketKeys(concat([new Uint8Array(48).fill(8), testTickets.keys.bytes])),
};

/** What is different in a configuration for TLS 1.2 alone. */
export const ONLY_TLS12 = {
  suites: [],
  schemes: SCHEMES.map(({ id }) => id),
  tls12: { suites: TLS12_SUITES, requireExtendedMasterSecret: true },
} as const;

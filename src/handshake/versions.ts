import { TlsError } from '../errors/errors.ts';
import { supportedVersions } from '../messages/extensions.ts';
import type { ClientHello } from '../messages/hello.ts';
import { CipherSuite, ExtensionType, ProtocolVersion } from '../wire/codepoints.ts';
import type { ClientConfig, ServerConfig } from './config.ts';
import { spokenProtocols12 } from './tls12/protocol.ts';
import { optionalExtension } from './tls13/shared.ts';

type VersionConfig = Pick<ClientConfig | ServerConfig, 'suites' | 'tls12' | 'legacy' | 'datagrams'>;

/** The numbers of the two versions: those of DTLS where the configuration is for datagrams (RFC 9147 §5.3). */
export function versionNumbers({ datagrams }: Pick<VersionConfig, 'datagrams'>): {
  readonly tls13: number;
  readonly tls12: number;
} {
  return datagrams === undefined ? STREAM_VERSIONS : DATAGRAM_VERSIONS;
}

const STREAM_VERSIONS = { tls13: ProtocolVersion.tls13, tls12: ProtocolVersion.tls12 };
const DATAGRAM_VERSIONS = { tls13: ProtocolVersion.dtls13, tls12: ProtocolVersion.dtls12 };

/** The versions that this side speaks, newest first. */
export function spokenVersions(config: VersionConfig): readonly number[] {
  const older = spokenProtocols12(config).map(({ version }) => version);
  return speaksTls13(config) ? [versionNumbers(config).tls13, ...older] : older;
}

/** What legacy_version of a ClientHello says: the newest version, and no more than TLS 1.2 (RFC 8446 §4.1.2). */
export function newestBeforeTls13(config: VersionConfig): number {
  const { tls13, tls12 } = versionNumbers(config);
  const [newest = tls12] = spokenVersions(config);
  return newest === tls13 ? tls12 : newest;
}

/**
 * Server: the newest version that both sides speak (RFC 8446 §4.2.1).
 * @throws TlsError ERR_TLS_UNSUPPORTED_VERSION, ERR_TLS_INAPPROPRIATE_FALLBACK
 */
export function chooseVersion(config: ServerConfig, hello: ClientHello): number {
  const spoken = spokenVersions(config);
  const offered = optionalExtension(
    hello.extensions,
    ExtensionType.supported_versions,
    supportedVersions.parse,
  );
  // Without the extension, TLS 1.3 is out of the question, whatever legacy_version says.
  const version = spoken.find((candidate) =>
    offered === undefined
      ? candidate !== versionNumbers(config).tls13 && isAtMost(candidate, hello.legacyVersion)
      : offered.includes(candidate),
  );
  if (version === undefined) {
    throw new TlsError(
      'ERR_TLS_UNSUPPORTED_VERSION',
      'The client offers no version of TLS that is spoken here',
    );
  }
  if (version !== spoken[0] && hello.cipherSuites.includes(CipherSuite.TLS_FALLBACK_SCSV)) {
    // RFC 7507 §3: the client fell back, though we speak something newer than what it now offers.
    throw new TlsError(
      'ERR_TLS_INAPPROPRIATE_FALLBACK',
      'The client fell back to an older version; someone may have interfered',
    );
  }
  return version;
}

/** Versions of DTLS have the ones' complement of their numbers on the wire: a newer one is less (RFC 6347 §4.1). */
function isAtMost(version: number, limit: number): boolean {
  return version >= FIRST_DTLS ? version >= limit && limit >= FIRST_DTLS : version <= limit;
}
/** Above all of TLS, and below what DTLS may count down to. */
const FIRST_DTLS = 0x8000;

/**
 * The last eight bytes of the random of a server that could have spoken a newer version (RFC 8446 §4.1.3); the very last is 1
 * where TLS 1.2 was chosen, 0 for what is older.
 */
// biome-ignore format: as in the RFC
const DOWNGRADE = Uint8Array.of(0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44);
const DOWNGRADE_LENGTH = DOWNGRADE.length + 1;

/** Server: marks the random of a ServerHello for `version`. Servers of TLS 1.2 SHOULD do so too. */
export function markDowngrade(random: Uint8Array, config: ServerConfig, version: number): Uint8Array {
  if (!isDowngrade(config, version)) return random;
  const marked = new Uint8Array(random);
  marked.set(DOWNGRADE, marked.length - DOWNGRADE_LENGTH);
  marked[marked.length - 1] = version === versionNumbers(config).tls12 ? 1 : 0;
  return marked;
}

/**
 * Client: a mark that could not be there unless someone had changed our ClientHello. A client of TLS 1.3 MUST look for both, one
 * of TLS 1.2 SHOULD for that of what is older (RFC 8446 §4.1.3).
 * @param version the one that the server has chosen
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER
 */
export function checkDowngrade(random: Uint8Array, config: ClientConfig, version: number): void {
  if (!isDowngrade(config, version)) return;
  const tail = random.subarray(-DOWNGRADE_LENGTH);
  const marked = DOWNGRADE.every((byte, i) => tail[i] === byte);
  const last = tail[DOWNGRADE.length] as number;
  if (marked && last <= 1 && (last === 0 || speaksTls13(config))) {
    throw new TlsError(
      'ERR_TLS_ILLEGAL_PARAMETER',
      'The server speaks a newer version as well, and was led to an older one: someone interferes',
    );
  }
}

/** Something newer is spoken here, and it is at least TLS 1.2: what is older knows no such marks. */
function isDowngrade(config: VersionConfig, version: number): boolean {
  const [newest] = spokenVersions(config);
  return newest !== version && (newest === versionNumbers(config).tls12 || speaksTls13(config));
}

export function speaksTls13({ suites }: VersionConfig): boolean {
  return suites.length > 0;
}

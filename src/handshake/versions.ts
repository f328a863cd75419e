import { TlsError } from '../errors/errors.ts';
import { supportedVersions } from '../messages/extensions.ts';
import type { ClientHello } from '../messages/hello.ts';
import { CipherSuite, ExtensionType, ProtocolVersion } from '../wire/codepoints.ts';
import type { ClientConfig, ServerConfig } from './config.ts';
import { optionalExtension } from './tls13/shared.ts';

type VersionConfig = Pick<ClientConfig | ServerConfig, 'suites' | 'tls12' | 'datagrams'>;

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
  const numbers = versionNumbers(config);
  const versions: number[] = [];
  if (config.suites.length > 0) versions.push(numbers.tls13);
  if (config.tls12 !== undefined) versions.push(numbers.tls12);
  return versions;
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
const FIRST_DTLS = 0xfe00;

/** The last eight bytes of the random of a server that could have spoken a newer version (RFC 8446 §4.1.3). */
// biome-ignore format: as in the RFC
const DOWNGRADE_TO_TLS12 = Uint8Array.of(0x44, 0x4f, 0x57, 0x4e, 0x47, 0x52, 0x44, 0x01);

/** Server: marks the random of a ServerHello for `version`. */
export function markDowngrade(random: Uint8Array, config: ServerConfig, version: number): Uint8Array {
  if (version !== versionNumbers(config).tls12 || !speaksTls13(config)) return random;
  const marked = new Uint8Array(random);
  marked.set(DOWNGRADE_TO_TLS12, marked.length - DOWNGRADE_TO_TLS12.length);
  return marked;
}

/**
 * Client: a mark that could not be there unless someone had changed our ClientHello.
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER
 */
export function checkDowngrade(random: Uint8Array, config: ClientConfig): void {
  if (!speaksTls13(config)) return;
  const tail = random.subarray(-DOWNGRADE_TO_TLS12.length);
  // The last byte is 1 for TLS 1.2 and 0 for what is older; a client of TLS 1.3 MUST check for both.
  const marked = tail.every((byte, i) => (i === 7 ? byte <= 1 : byte === DOWNGRADE_TO_TLS12[i]));
  if (marked) {
    throw new TlsError(
      'ERR_TLS_ILLEGAL_PARAMETER',
      'The server speaks TLS 1.3 as well, and was led to TLS 1.2: someone interferes',
    );
  }
}

export function speaksTls13({ suites }: VersionConfig): boolean {
  return suites.length > 0;
}

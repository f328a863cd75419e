import { TlsError } from '../errors/errors.ts';
import { ExtensionType } from '../wire/codepoints.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import type { SubProtocol, SubProtocolLink } from './sub-protocol.ts';

/** SRTPProtectionProfile values: RFC 5764 §4.1.2, RFC 7714 §14.2. */
export const SrtpProfile = {
  SRTP_AES128_CM_HMAC_SHA1_80: 0x0001,
  SRTP_AES128_CM_HMAC_SHA1_32: 0x0002,
  SRTP_AEAD_AES_128_GCM: 0x0007,
  SRTP_AEAD_AES_256_GCM: 0x0008,
} as const;

export type SrtpProfileName = keyof typeof SrtpProfile;

/** Bytes of master key and master salt. */
const LENGTHS: Readonly<Record<number, { readonly key: number; readonly salt: number }>> = {
  [SrtpProfile.SRTP_AES128_CM_HMAC_SHA1_80]: { key: 16, salt: 14 },
  [SrtpProfile.SRTP_AES128_CM_HMAC_SHA1_32]: { key: 16, salt: 14 },
  [SrtpProfile.SRTP_AEAD_AES_128_GCM]: { key: 16, salt: 12 },
  [SrtpProfile.SRTP_AEAD_AES_256_GCM]: { key: 32, salt: 12 },
};

export interface SrtpKeys {
  /** SRTPProtectionProfile: a value of `SrtpProfile`. */
  readonly profile: number;
  /** `master key ‖ master salt` of what the client sends, and of what the server sends. */
  readonly client: { readonly key: Uint8Array; readonly salt: Uint8Array };
  readonly server: { readonly key: Uint8Array; readonly salt: Uint8Array };
}

/**
 * The extension use_srtp (RFC 5764 §4.1): DTLS agrees on a profile and gives keys, media then go beside it as SRTP. One
 * object for one connection, given to it as a sub-protocol; when the other side knows no SRTP, `keys` stays `undefined`.
 */
export class SrtpNegotiation implements SubProtocol {
  readonly name = 'srtp';
  readonly extensionType = ExtensionType.use_srtp;
  readonly contentTypes = [];
  readonly handshakeTypes = [];
  /** Once the handshake is complete, where both sides have agreed. */
  keys: SrtpKeys | undefined;
  readonly #profiles: readonly number[];
  #profile: number | undefined;

  /** @param profiles SRTPProtectionProfile values, best first */
  constructor(profiles: readonly number[]) {
    this.#profiles = profiles;
  }

  offer(): Uint8Array {
    return buildUseSrtp(this.#profiles);
  }

  answer(offered: Uint8Array | undefined): Uint8Array | undefined {
    if (offered === undefined) return undefined;
    const theirs = parseUseSrtp(offered);
    this.#profile = this.#profiles.find((profile) => theirs.profiles.includes(profile));
    // RFC 5764 §4.1.1: without a shared profile the extension is left out. We take no MKI, and answer with none.
    return this.#profile === undefined ? undefined : buildUseSrtp([this.#profile]);
  }

  confirm(answered: Uint8Array | undefined): void {
    if (answered === undefined) return;
    const { profiles, mki } = parseUseSrtp(answered);
    const [profile] = profiles;
    if (
      profile === undefined ||
      profiles.length !== 1 ||
      !this.#profiles.includes(profile) ||
      mki.length > 0
    ) {
      // RFC 5764 §4.1.1, §4.1.3: one of ours, and our own MKI, which is empty.
      throw new TlsError(
        'ERR_TLS_ILLEGAL_PARAMETER',
        'use_srtp: the server answers with what was not offered',
      );
    }
    this.#profile = profile;
  }

  start(link: SubProtocolLink): void {
    const profile = this.#profile;
    const lengths = profile === undefined ? undefined : LENGTHS[profile];
    if (profile === undefined || lengths === undefined) return;
    const { key, salt } = lengths;
    // RFC 5764 §4.2. Its exporter has no context, which the seam's empty one is not in DTLS 1.2.
    const material = link.exportKeyingMaterial('EXTRACTOR-dtls_srtp', undefined, 2 * (key + salt));
    const cut = (at: number, length: number): Uint8Array =>
      new Uint8Array(material.subarray(at, at + length));
    this.keys = {
      profile,
      client: { key: cut(0, key), salt: cut(2 * key, salt) },
      server: { key: cut(key, key), salt: cut(2 * key + salt, salt) },
    };
  }

  receiveRecord(): void {}
  receiveHandshake(): void {}
  receiveEnd(): void {}
  closed(): void {}
}

/** `SRTPProtectionProfile profiles<2..2^16-1>; opaque srtp_mki<0..255>;`, RFC 5764 §4.1.1. */
function parseUseSrtp(body: Uint8Array): { readonly profiles: readonly number[]; readonly mki: Uint8Array } {
  const r = new Reader(body, 'use_srtp');
  const profiles = r.list(2, (item) => item.u16(), 2);
  const mki = r.vector(1);
  r.end();
  return { profiles, mki };
}

function buildUseSrtp(profiles: readonly number[]): Uint8Array {
  return new Writer(16)
    .vector(2, (list) => {
      for (const profile of profiles) list.u16(profile);
    })
    .u8(0)
    .finish();
}

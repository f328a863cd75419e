import type { Legacy } from '../crypto/legacy.ts';
import type { CryptoProvider, SigningKey } from '../crypto/provider.ts';
import type { Suite } from '../crypto/suites.ts';
import type { Suite12 } from '../crypto/suites12.ts';
import type { PeerIdentity } from '../x509/verify.ts';
import type { HelloExtension } from './hello-extension.ts';
import type { ExternalPsk } from './psk.ts';
import type { ResumableSession } from './resumable-session.ts';
import type { TicketKeys } from './tickets.ts';

/** A certificate chain, end entity first, and the key that belongs to its first certificate; no chain where there is `spki`. */
export interface Identity {
  readonly chain: readonly Uint8Array[];
  readonly key: SigningKey;
  /** OCSPResponse about the first certificate, stapled for clients that ask (RFC 8446 §4.4.2.1). */
  readonly ocspResponse?: Uint8Array | undefined;
  /** Signed certificate timestamps of the first certificate, for clients that ask (RFC 6962 §3.3). */
  readonly scts?: readonly Uint8Array[] | undefined;
  /** SubjectPublicKeyInfo of the key, where it may be shown raw in place of certificates (RFC 7250). */
  readonly spki?: Uint8Array | undefined;
  /** DER names of the issuers in the chain, to suit a peer that names authorities (RFC 8446 §4.2.4). */
  readonly issuers?: readonly Uint8Array[] | undefined;
  /** Only for peers that name one of `issuers`. */
  readonly mustMatchIssuer?: boolean | undefined;
}

/** What a peer says of the certificate that it would like to see: a server in CertificateRequest, a client in ClientHello. */
export interface CertificateWishes {
  /** SignatureScheme values that it verifies, in its order (RFC 8446 §4.2.3); `undefined` where it says none, as before TLS 1.2. */
  readonly schemes: readonly number[] | undefined;
  /** DER names of the authorities that it would like to see above it (RFC 8446 §4.2.4); empty where it names none. */
  readonly authorities: readonly Uint8Array[];
  /** ClientCertificateType values of a server of TLS 1.2 or before (RFC 5246 §7.4.4). */
  readonly certificateTypes?: readonly number[] | undefined;
}

/** Where certificates are looked up by whoever drives the connection; the engine itself never asks. */
export interface IdentitySource {
  /** @returns what may be shown, at once or later; what it throws or rejects with ends the handshake */
  select(
    serverName: string | undefined,
    wishes: CertificateWishes,
  ): readonly Identity[] | Promise<readonly Identity[]>;
}

/**
 * Judges the peer's certificates. Its result is the proof that the handshake goes on with.
 * @param chain DER certificates, end entity first; never empty
 * @param schemes SignatureScheme values acceptable inside certificates
 * @throws CertificateError
 */
export type PeerVerifier = (
  chain: readonly Uint8Array[],
  context: {
    readonly now: number;
    readonly serverName: string | undefined;
    readonly schemes: readonly number[];
    /** What the key of the end entity does in this handshake: sign, unless it says `encipherment` (RFC 5246 §7.4.2). */
    readonly keyUse?: 'encipherment' | undefined;
    /** OCSPResponse about the end entity, as the peer sent it. */
    readonly ocspResponse?: Uint8Array | undefined;
  },
) => PeerIdentity;

/**
 * Judges the peer's raw public key (RFC 7250).
 * @param spki SubjectPublicKeyInfo
 * @throws CertificateError
 */
export type RawKeyVerifier = (spki: Uint8Array) => PeerIdentity;

/** What there is to say about TLS 1.2 and, where `legacy` names them, the versions before. */
export interface Tls12Config {
  /** Best first; never empty. */
  readonly suites: readonly Suite12[];
  /**
   * Refuse peers that do not bind the master secret to the handshake (RFC 7627 §5.2, §5.3). In TLS 1.2 alone: hardly anything
   * that stopped before knows how.
   */
  readonly requireExtendedMasterSecret: boolean;
  /** Client: refuse servers without renegotiation_info (RFC 5746 §4.1). Required unless it is false. */
  readonly requireSecureRenegotiation?: boolean | undefined;
  /** The newest version before TLS 1.3; TLS 1.2 unless it says less. */
  readonly newest?: number | undefined;
}

/**
 * Where a server keeps sessions of TLS 1.2 by their ids. What it is given holds secrets: store it like a key.
 * It must bound itself; what it forgets costs a full handshake.
 */
export interface SessionStore {
  get(id: Uint8Array): Uint8Array | undefined;
  set(id: Uint8Array, session: Uint8Array): void;
}

/** One algorithm of RFC 8879. */
export interface CertificateCompression {
  /** CertificateCompressionAlgorithm, §7.3. */
  readonly id: number;
  /** `undefined` where the message shall go as it is, since it would not become shorter. */
  compress(message: Uint8Array): Uint8Array | undefined;
  /** `undefined` for bytes that do not expand. Never makes more than `length` bytes. */
  expand(compressed: Uint8Array, length: number): Uint8Array | undefined;
}

/** A server's terms for early data. */
export interface EarlyDataPolicy {
  /** max_early_data_size of its tickets, above 0. */
  readonly maxBytes: number;
  /** Milliseconds by which a client's age of its ticket may differ from ours (RFC 8446 §8.3); 10 s when absent. */
  readonly window?: number | undefined;
  /** True when this ticket brings early data for the first time, as far as that can be known (RFC 8446 §8). */
  firstUse(crypto: CryptoProvider, ticket: Uint8Array, issuedAt: number, now: number): boolean;
}

/** What there is to say about DTLS. */
export interface DatagramConfig {
  /** Bytes of the largest datagram that is sent: what the path carries, without the headers of IP and UDP. */
  readonly mtu: number;
  /** Milliseconds before a flight is sent again for the first time; twice as many each time after (RFC 6347 §4.2.4.1). */
  readonly initialTimeout: number;
  readonly maxTimeout: number;
  /**
   * Connection ID that the peer shall put in its records, up to 255 bytes; empty to put the peer's in ours and want none
   * (RFC 9146 §3). Absent: none are agreed on.
   */
  readonly connectionId?: Uint8Array | undefined;
  /**
   * DTLS 1.2: the messages of flights leave in pieces of a whole record, whatever `mtu` says; who carries them cuts them.
   * (In DTLS 1.3 only who has the keys can.)
   */
  readonly wholeMessages?: boolean | undefined;
  /** DTLS 1.3: makes one more, as long as `connectionId`, for a peer that asks. Absent: it gets none. */
  readonly newConnectionId?: (() => Uint8Array) | undefined;
}

interface CommonConfig {
  readonly crypto: CryptoProvider;
  /** Suites of TLS 1.3, best first; with none, TLS 1.3 is not spoken. */
  readonly suites: readonly Suite[];
  /** Absent: neither TLS 1.2 nor what is older is spoken. */
  readonly tls12?: Tls12Config | undefined;
  /** What is spoken beyond what is good; none when absent. */
  readonly legacy?: readonly Legacy[] | undefined;
  /** NamedGroup values, best first. */
  readonly groups: readonly number[];
  /** SignatureScheme values accepted in the handshake, best first. */
  readonly schemes: readonly number[];
  /** SignatureScheme values accepted in certificates, when not the same (signature_algorithms_cert). */
  readonly certificateSchemes?: readonly number[] | undefined;
  readonly verifyPeer: PeerVerifier;
  /** Judges raw public keys (RFC 7250); absent, none are taken. */
  readonly verifyRawKey?: RawKeyVerifier | undefined;
  /** CertificateType values taken from the peer, best first; absent: raw keys where there is `verifyRawKey`, then X.509. */
  readonly acceptedTypes?: readonly number[] | undefined;
  /** End a session of TLS 1.2 whose peer wants to renegotiate; absent or false: say no_renegotiation, and go on. */
  readonly endOnRenegotiation?: boolean | undefined;
  /** Milliseconds until an unfinished handshake fails; 0 waits for ever. */
  readonly handshakeTimeout: number;
  /** Largest plaintext of a record, 1 to 2^14. */
  readonly maxFragment: number;
  /** Pad the content of records to a multiple of this; 1 pads nothing. */
  readonly padTo: number;
  /** How certificates may be compressed in TLS 1.3, best first; none when absent. */
  readonly certificateCompression?: readonly CertificateCompression[] | undefined;
  /**
   * Largest record to be received, 64 to 2^14 + 1: content, its type and padding (RFC 8449). A client offers it where it is
   * set; a server answers whoever offers.
   */
  readonly recordSizeLimit?: number | undefined;
  /**
   * Go without a key exchange where a PSK is shared and no group is: psk_ke (RFC 8446 §4.2.9), which has no forward secrecy.
   * A client without `groups` offers that alone.
   */
  readonly pskOnlyKeyExchange?: boolean | undefined;
  /** Present where the connection is one of datagrams: DTLS in place of TLS. */
  readonly datagrams?: DatagramConfig | undefined;
  /** Send values that mean nothing among those that do (RFC 8701). */
  readonly grease?: boolean | undefined;
  /**
   * Emit SSLKEYLOGFILE lines? Asked for each of them. Not a getter: objects with an accessor of their own have each a shape
   * of their own, and everybody who reads the configuration would pay for it.
   */
  readonly keylog: () => boolean;
}

export interface ClientConfig extends CommonConfig {
  /** Sent as server_name when it is a DNS name, and checked against the certificate by `verifyPeer`. */
  readonly serverName: string | undefined;
  /** False for an IP address, which must not be sent (RFC 6066 §3). */
  readonly sendServerName: boolean;
  /** Groups to send a key share for at once; a subset of `groups`. */
  readonly keyShares: readonly number[];
  readonly alpnProtocols: readonly string[];
  /** Certificates to choose from when the server asks. */
  readonly identities: readonly Identity[];
  /**
   * Asked in place of `identities`, through a wanted state, where the server requests a certificate during the handshake.
   * After it (`postHandshakeAuth`), and for the types that ClientHello offers, `identities` count.
   */
  readonly identitySource?: IdentitySource | undefined;
  /** CertificateType values that it says it can show, best first; absent: those of `identities`. */
  readonly availableTypes?: readonly number[] | undefined;
  /**
   * End the handshake where the server asks for a certificate and none of `identities` suits. RFC 8446 §4.4.2 has a client go
   * on without, to be refused by the server, or to be nobody there.
   */
  readonly insistOnCertificate?: boolean | undefined;
  /** Offer early data where the session allows it (RFC 8446 §4.2.10). */
  readonly earlyData?: boolean | undefined;
  /** Offer to show a certificate after the handshake too (RFC 8446 §4.2.6). TLS 1.3 over streams. */
  readonly postHandshakeAuth?: boolean | undefined;
  /** Certificate authorities to name to the server, DER (RFC 8446 §4.2.4); none by default. */
  readonly authorities?: readonly Uint8Array[] | undefined;
  /** Ask the server for an OCSP response about its certificate. */
  readonly requestOcsp?: boolean | undefined;
  /** Ask the server for signed certificate timestamps. */
  readonly requestScts?: boolean | undefined;
  /** Keys that were given to both sides, best first; offered beside the session's. */
  readonly psks?: readonly ExternalPsk[] | undefined;
  /** Refuse a server that selects none of our keys, whatever certificate it may have. */
  readonly requirePsk?: boolean | undefined;
  /** Tell the server that the configuration is for a second attempt, which offers less than the first (RFC 7507 §4). */
  readonly fallback?: boolean | undefined;
  /** Send the extensions of ClientHello in another order each time. */
  readonly permuteExtensions?: boolean | undefined;
  /** TLS 1.2: take tickets (RFC 5077); absent: yes. */
  readonly takesTickets?: boolean | undefined;
  /** Session to resume. */
  readonly session: ResumableSession | undefined;
  /** Middlebox compatibility mode, RFC 8446 §D.4. */
  readonly compatibility: boolean;
}

export interface ServerConfig extends CommonConfig {
  /**
   * Certificates to choose from for this name.
   * @throws TlsError ERR_TLS_UNRECOGNIZED_NAME to refuse the name
   */
  readonly selectIdentities: (serverName: string | undefined) => readonly Identity[];
  /** Asked in place of `selectIdentities`, through a wanted state, because the answer may take time. */
  readonly identitySource?: IdentitySource | undefined;
  /** The protocol to answer. `undefined`: none shared, which is fatal (RFC 7301 §3.2). Absent: ALPN is ignored. */
  readonly selectProtocol?:
    | ((offered: readonly string[], serverName: string | undefined) => string | undefined)
    | undefined;
  readonly clientCertificate: 'none' | 'request' | 'require';
  /** DER distinguished names sent as certificate_authorities; empty sends none. */
  readonly certificateAuthorities: readonly Uint8Array[];
  /**
   * The external key with this identity, if there is one. A client that has proven to hold it is not asked for a
   * certificate.
   */
  readonly findPsk?: ((identity: Uint8Array) => ExternalPsk | undefined) | undefined;
  /** What is told to clients of the PSK suites of TLS 1.2, to find their key by (RFC 4279 §5.2): UTF-8, in clear. */
  readonly pskIdentityHint?: Uint8Array | undefined;
  /** Show a certificate to a client that takes one, though it offers an external key. TLS 1.3. */
  readonly preferCertificate?: boolean | undefined;
  /** Absent: no tickets, no resumption. */
  readonly tickets?:
    | {
        readonly keys: TicketKeys;
        readonly lifetime: number;
        readonly count: number;
        readonly earlyData?: EarlyDataPolicy | undefined;
      }
    | undefined;
  /** TLS 1.2, for clients that take no tickets. `lifetime` in seconds. Absent: they are not resumed. */
  readonly sessions?: { readonly store: SessionStore; readonly lifetime: number } | undefined;
}

/** A connection's view of its extensions outside the engine. */
export type HelloExtensions = readonly HelloExtension[];

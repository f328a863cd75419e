/** What a probe found. Everything in it can be written as JSON; times are ISO 8601, lists are in the server's order where it has one. */
export interface ProbeReport {
  /** `HOST:PORT` as it was given. */
  readonly server: string;
  /** The address that was connected to. */
  readonly address: string | undefined;
  /** Name asked for by SNI and looked for in the certificate. */
  readonly servername: string;
  /** Newest first. */
  readonly versions: readonly VersionReport[];
  /** Protocols of those offered that the server takes, its choice among all first. */
  readonly alpn: { readonly offered: readonly string[]; readonly accepted: readonly string[] };
  /** End entity first, as the server sends them. Empty when it shows none. */
  readonly chain: readonly CertificateReport[];
  readonly trust: TrustReport | undefined;
  readonly ocsp: OcspReport;
  readonly signedCertificateTimestamps: number;
  /** Identity of the pre-shared key that the server took in place of certificates. */
  readonly pskIdentity: string | undefined;
  readonly clientCertificate: 'not-asked' | 'asked' | 'required' | undefined;
  readonly mux: MuxReport | undefined;
  /** Formats in which the server signs. */
  readonly sign: readonly string[];
  /** X25519MLKEM768 or another group with ML-KEM. */
  readonly postQuantum: readonly string[];
  /** The handshake in the security module, where one was given. */
  readonly module: ModuleReport | undefined;
  /** Why the ordinary handshake of this engine did not succeed. */
  readonly failure: { readonly code: string; readonly message: string } | undefined;
  readonly handshakes: number;
  /** What makes the lists incomplete. */
  readonly warnings: readonly string[];
}

export interface VersionReport {
  readonly version: 'TLSv1.3' | 'TLSv1.2' | 'TLSv1.1' | 'TLSv1';
  readonly supported: boolean;
  readonly suites: readonly SuiteReport[];
  /** The server keeps to an order of its own; `undefined` where it has but one suite. */
  readonly ownOrder: boolean | undefined;
  readonly groups: readonly string[];
  /** Signature schemes of its handshakes. In TLS 1.3, of those that this engine can verify. */
  readonly schemes: readonly string[];
  /** TLS 1.2: whether it knows RFC 7627 and RFC 5746. */
  readonly extendedMasterSecret: boolean | undefined;
  readonly secureRenegotiation: boolean | undefined;
  readonly resumption: ResumptionReport | undefined;
}

export interface SuiteReport {
  readonly name: string;
  readonly weakness: string | undefined;
}

export interface ResumptionReport {
  /** In TLS 1.2, `session-id` or `ticket`. */
  readonly by: 'ticket' | 'session-id' | undefined;
  readonly tickets: number;
  /** Seconds. */
  readonly lifetime: number | undefined;
  /** A second handshake resumed the session of the first. */
  readonly resumed: boolean;
  /** Bytes of 0-RTT that the ticket allows. */
  readonly earlyData: number;
}

export interface CertificateReport {
  readonly subject: string;
  readonly issuer: string;
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  /** Whole days until `notAfter`; negative when it is past. */
  readonly daysLeft: number;
  readonly key: string;
  readonly signature: string;
  readonly names: readonly string[];
  readonly ca: boolean;
  readonly sha256: string;
}

export interface TrustReport {
  readonly trusted: boolean;
  /** Subject of the anchor that the path ends in. */
  readonly anchor: string | undefined;
  readonly code: string | undefined;
  readonly message: string | undefined;
  /** What to do about it. */
  readonly next: string | undefined;
}

export interface OcspReport {
  readonly stapled: boolean;
  /** The certificate demands a staple (RFC 7633). */
  readonly mustStaple: boolean;
  readonly status: 'good' | 'revoked' | 'unknown' | 'invalid' | undefined;
  readonly thisUpdate: string | undefined;
  readonly nextUpdate: string | undefined;
  /** Why the response is invalid. */
  readonly problem: string | undefined;
}

/** Of the one handshake that ran in the module, with its certificate, its trust anchors and its suites. */
export interface ModuleReport {
  /** Complete, and not refused by the server afterwards. */
  readonly connected: boolean;
  readonly version: string | undefined;
  readonly suite: string | undefined;
  readonly alpn: string | undefined;
  /** Subject of the certificate that was shown; `undefined` when the server did not ask, or the identity has none. */
  readonly shown: string | undefined;
  /** Identity of the pre-shared key in the module that the server took in place of certificates. */
  readonly pskIdentity: string | undefined;
  /** The session left the module for this process. */
  readonly offloaded: boolean;
  /** Why it is not connected. */
  readonly failure: { readonly code: string; readonly message: string } | undefined;
}

export interface MuxReport {
  readonly channels: boolean;
  readonly ports: boolean;
  /** `NAME:PORT`, where ports mode tells them; `*` for any. */
  readonly applications: readonly string[];
}

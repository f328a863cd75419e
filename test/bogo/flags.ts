import { Unimplemented } from './report.ts';

/*
 * The command line of BoringSSL's runner: `ssl/test/test_config.cc` of its shim says what each flag means. A flag that is
 * not in the tables below is not implemented, and the runner is told so: exit code 89.
 */

/** One set of flags. The runner may give different ones for the first connection, resumptions and 0-RTT retries. */
export interface Flags {
  port: number;
  shimId: bigint;
  ipv6: boolean;
  dtls: boolean;
  mtu: number;
  initialTimeout: number;
  server: boolean;
  resumeCount: number;
  isHandshakerSupported: boolean;

  minVersion: number;
  maxVersion: number;
  noTls1: boolean;
  noTls11: boolean;
  noTls12: boolean;
  noTls13: boolean;
  curves: number[];
  keyShares: number[] | undefined;
  verifyPrefs: number[];
  /** CertificateType values (RFC 7250 §3), best first; none: X.509. */
  acceptedPeerCertTypes: number[];
  availableClientCertTypes: number[];
  cipher: string;

  /** The credential of the flags that precede any `-new-…-credential`. */
  credential: CredentialFlags;
  credentials: CredentialFlags[];

  /** External key and identity of TLS 1.2. */
  psk: string;
  pskIdentity: string;
  hostName: string;
  advertiseAlpn: string;
  selectAlpn: string;
  /** Names with colons between; for DTLS alone. */
  srtpProfiles: string;
  declineAlpn: boolean;
  rejectAlpn: boolean;
  selectEmptyAlpn: boolean;
  requireAnyClientCertificate: boolean;
  verifyPeer: boolean;
  verifyFail: boolean;
  useCustomVerifyCallback: boolean;
  permuteExtensions: boolean;
  renegotiateIgnore: boolean;
  noLegacyServerConnect: boolean;
  expectSecureRenegotiation: boolean;
  reverifyOnResume: boolean;
  useClientCaList: string;
  trustCert: string;
  failEarlyCallback: boolean;
  failDdosCallback: boolean;
  failCertCallback: boolean;
  enableOcspStapling: boolean;
  enableSignedCertTimestamps: boolean;
  failOcspCallback: boolean;
  declineOcspCallback: boolean;
  installCertCompressionAlgs: boolean;
  noTicket: boolean;
  fallbackScsv: boolean;
  renewTicket: boolean;
  skipTicket: boolean;
  enableEarlyData: boolean;
  enableGrease: boolean;
  maxSendFragment: number;
  installOneCertCompressionAlg: number;
  resumptionDelay: number;

  async: boolean;
  shimWritesFirst: boolean;
  shimInitialWrite: string;
  repeatShimInitialWrite: number;
  readWithUnfinishedWrite: boolean;
  shimShutsDown: boolean;
  checkCloseNotify: boolean;
  writeDifferentRecordSizes: boolean;
  readSize: number;
  keyUpdate: boolean;
  keyUpdateBeforeRead: boolean;
  exportKeyingMaterial: number;
  exportLabel: string;
  exportContext: string;
  exportTrafficSecrets: boolean;
  useExportContext: boolean;
  implicitHandshake: boolean;
  handshakeNeverDone: boolean;
  /** The HandshakeType after which early data is written; 0: at once. */
  earlyWriteAfterMessage: number;

  expectVersion: number;
  expectCipher: number;
  expectCurveId: number;
  expectServerName: string;
  expectNoServerName: boolean;
  expectAlpn: string;
  expectAdvertisedAlpn: string;
  expectPeerSignatureAlgorithm: number;
  expectPeerCertFile: string;
  expectNoPeerCert: boolean;
  expectVerifyResult: boolean;
  expectSessionMiss: boolean;
  expectNoSession: boolean;
  expectTicketRenewal: boolean;
  expectExtendedMasterSecret: boolean;
  expectSessionId: boolean;
  expectNoSessionId: boolean;
  expectAcceptEarlyData: boolean;
  expectRejectEarlyData: boolean;
  expectNoOfferEarlyData: boolean;
  expectTicketSupportsEarlyData: boolean;
  expectHrr: boolean;
  expectNoHrr: boolean;
  expectSelectedCredential: number | undefined;
  expectPeerCertificateType: number | undefined;
  expectPeerRpkSha256: Uint8Array;
  expectPeerVerifyPrefs: number[];
  expectClientCaList: string;
  expectCertificateTypes: Uint8Array;
  expectOcspResponse: Uint8Array;
  /** SignedCertificateTimestampList, RFC 6962 §3.3. */
  expectSignedCertTimestamps: Uint8Array;
}

export interface CredentialFlags {
  certFile: string;
  keyFile: string;
  signingPrefs: number[];
  mustMatchIssuer: boolean;
  /** An external key of TLS 1.3, to be imported (RFC 9258); with its hash, absent for certificates. */
  pskHash: 'sha256' | 'sha384' | undefined;
  /** Its key is shown raw (RFC 7250). */
  raw: boolean;
  psk: Uint8Array;
  pskIdentity: Uint8Array;
  pskContext: Uint8Array;
  ocspResponse: Uint8Array;
  /** SignedCertificateTimestampList, RFC 6962 §3.3. */
  signedCertTimestamps: Uint8Array;
}

export interface FlagSets {
  readonly initial: Flags;
  readonly resume: Flags;
  readonly retry: Flags;
}

const NONE = new Uint8Array(0);

const newCredential = (): CredentialFlags => ({
  certFile: '',
  keyFile: '',
  signingPrefs: [],
  mustMatchIssuer: false,
  pskHash: undefined,
  raw: false,
  psk: NONE,
  pskIdentity: NONE,
  pskContext: NONE,
  ocspResponse: NONE,
  signedCertTimestamps: NONE,
});

function defaults(): Flags {
  return {
    port: 0,
    shimId: 0n,
    ipv6: false,
    dtls: false,
    mtu: 0,
    initialTimeout: 0,
    server: false,
    resumeCount: 0,
    isHandshakerSupported: false,
    minVersion: 0,
    maxVersion: 0,
    noTls1: false,
    noTls11: false,
    noTls12: false,
    noTls13: false,
    curves: [],
    keyShares: undefined,
    verifyPrefs: [],
    acceptedPeerCertTypes: [],
    availableClientCertTypes: [],
    cipher: '',
    credential: newCredential(),
    credentials: [],
    psk: '',
    pskIdentity: '',
    hostName: '',
    advertiseAlpn: '',
    selectAlpn: '',
    srtpProfiles: '',
    declineAlpn: false,
    rejectAlpn: false,
    selectEmptyAlpn: false,
    requireAnyClientCertificate: false,
    verifyPeer: false,
    verifyFail: false,
    useCustomVerifyCallback: false,
    permuteExtensions: false,
    renegotiateIgnore: false,
    noLegacyServerConnect: false,
    expectSecureRenegotiation: false,
    reverifyOnResume: false,
    useClientCaList: '',
    trustCert: '',
    failEarlyCallback: false,
    failDdosCallback: false,
    failCertCallback: false,
    enableOcspStapling: false,
    enableSignedCertTimestamps: false,
    failOcspCallback: false,
    declineOcspCallback: false,
    installCertCompressionAlgs: false,
    noTicket: false,
    fallbackScsv: false,
    renewTicket: false,
    skipTicket: false,
    enableEarlyData: false,
    enableGrease: false,
    maxSendFragment: 0,
    installOneCertCompressionAlg: 0,
    resumptionDelay: 0,
    async: false,
    shimWritesFirst: false,
    shimInitialWrite: 'hello',
    repeatShimInitialWrite: 1,
    readWithUnfinishedWrite: false,
    shimShutsDown: false,
    checkCloseNotify: false,
    writeDifferentRecordSizes: false,
    readSize: 0,
    keyUpdate: false,
    keyUpdateBeforeRead: false,
    exportKeyingMaterial: 0,
    exportLabel: '',
    exportContext: '',
    exportTrafficSecrets: false,
    useExportContext: false,
    implicitHandshake: false,
    handshakeNeverDone: false,
    earlyWriteAfterMessage: 0,
    expectVersion: 0,
    expectCipher: 0,
    expectCurveId: 0,
    expectServerName: '',
    expectNoServerName: false,
    expectAlpn: '',
    expectAdvertisedAlpn: '',
    expectPeerSignatureAlgorithm: 0,
    expectPeerCertFile: '',
    expectNoPeerCert: false,
    expectVerifyResult: false,
    expectSessionMiss: false,
    expectNoSession: false,
    expectTicketRenewal: false,
    expectExtendedMasterSecret: false,
    expectSessionId: false,
    expectNoSessionId: false,
    expectAcceptEarlyData: false,
    expectRejectEarlyData: false,
    expectNoOfferEarlyData: false,
    expectTicketSupportsEarlyData: false,
    expectHrr: false,
    expectNoHrr: false,
    expectSelectedCredential: undefined,
    expectPeerCertificateType: undefined,
    expectPeerRpkSha256: NONE,
    expectPeerVerifyPrefs: [],
    expectClientCaList: '',
    expectCertificateTypes: NONE,
    expectOcspResponse: NONE,
    expectSignedCertTimestamps: NONE,
  };
}

/** Names of the fields of `Flags` that hold a `T`. */
type FieldOf<T> = {
  [K in keyof Flags]: Flags[K] extends T ? (T extends Flags[K] ? K : never) : never;
}[keyof Flags];

/** Flags without a parameter. */
const SWITCHES: Readonly<Record<string, FieldOf<boolean>>> = {
  '-ipv6': 'ipv6',
  '-dtls': 'dtls',
  '-server': 'server',
  '-is-handshaker-supported': 'isHandshakerSupported',
  '-no-tls1': 'noTls1',
  '-no-tls11': 'noTls11',
  '-no-tls12': 'noTls12',
  '-no-tls13': 'noTls13',
  '-decline-alpn': 'declineAlpn',
  '-reject-alpn': 'rejectAlpn',
  '-select-empty-alpn': 'selectEmptyAlpn',
  '-require-any-client-certificate': 'requireAnyClientCertificate',
  '-verify-peer': 'verifyPeer',
  '-verify-fail': 'verifyFail',
  '-use-custom-verify-callback': 'useCustomVerifyCallback',
  '-permute-extensions': 'permuteExtensions',
  '-renegotiate-ignore': 'renegotiateIgnore',
  '-no-legacy-server-connect': 'noLegacyServerConnect',
  '-expect-secure-renegotiation': 'expectSecureRenegotiation',
  '-reverify-on-resume': 'reverifyOnResume',
  '-fail-early-callback': 'failEarlyCallback',
  '-fail-ddos-callback': 'failDdosCallback',
  '-fail-cert-callback': 'failCertCallback',
  '-enable-ocsp-stapling': 'enableOcspStapling',
  '-enable-signed-cert-timestamps': 'enableSignedCertTimestamps',
  '-fail-ocsp-callback': 'failOcspCallback',
  '-decline-ocsp-callback': 'declineOcspCallback',
  '-install-cert-compression-algs': 'installCertCompressionAlgs',
  '-no-ticket': 'noTicket',
  '-fallback-scsv': 'fallbackScsv',
  '-renew-ticket': 'renewTicket',
  '-skip-ticket': 'skipTicket',
  '-enable-early-data': 'enableEarlyData',
  '-enable-grease': 'enableGrease',
  '-async': 'async',
  '-shim-writes-first': 'shimWritesFirst',
  '-read-with-unfinished-write': 'readWithUnfinishedWrite',
  '-shim-shuts-down': 'shimShutsDown',
  '-check-close-notify': 'checkCloseNotify',
  '-write-different-record-sizes': 'writeDifferentRecordSizes',
  '-key-update': 'keyUpdate',
  '-key-update-before-read': 'keyUpdateBeforeRead',
  '-export-traffic-secrets': 'exportTrafficSecrets',
  '-use-export-context': 'useExportContext',
  '-implicit-handshake': 'implicitHandshake',
  '-handshake-never-done': 'handshakeNeverDone',
  '-expect-no-server-name': 'expectNoServerName',
  '-expect-no-peer-cert': 'expectNoPeerCert',
  '-expect-verify-result': 'expectVerifyResult',
  '-expect-session-miss': 'expectSessionMiss',
  '-expect-no-session': 'expectNoSession',
  '-expect-ticket-renewal': 'expectTicketRenewal',
  '-expect-extended-master-secret': 'expectExtendedMasterSecret',
  '-expect-session-id': 'expectSessionId',
  '-expect-no-session-id': 'expectNoSessionId',
  '-expect-accept-early-data': 'expectAcceptEarlyData',
  '-expect-reject-early-data': 'expectRejectEarlyData',
  '-expect-no-offer-early-data': 'expectNoOfferEarlyData',
  '-expect-ticket-supports-early-data': 'expectTicketSupportsEarlyData',
  '-expect-hrr': 'expectHrr',
  '-expect-no-hrr': 'expectNoHrr',
};

/** Flags whose parameter is a number. */
const NUMBERS: Readonly<Record<string, FieldOf<number>>> = {
  '-port': 'port',
  '-mtu': 'mtu',
  '-initial-timeout-duration-ms': 'initialTimeout',
  '-resume-count': 'resumeCount',
  '-min-version': 'minVersion',
  '-max-version': 'maxVersion',
  '-max-send-fragment': 'maxSendFragment',
  '-resumption-delay': 'resumptionDelay',
  '-install-one-cert-compression-alg': 'installOneCertCompressionAlg',
  '-repeat-shim-initial-write': 'repeatShimInitialWrite',
  '-read-size': 'readSize',
  '-early-write-after-message': 'earlyWriteAfterMessage',
  '-export-keying-material': 'exportKeyingMaterial',
  '-expect-version': 'expectVersion',
  '-expect-cipher': 'expectCipher',
  // This machine has AES instructions, as node:crypto's OpenSSL takes for granted.
  '-expect-cipher-aes': 'expectCipher',
  '-expect-curve-id': 'expectCurveId',
  '-expect-peer-signature-algorithm': 'expectPeerSignatureAlgorithm',
};

/** Flags that add a number to a list. */
const LISTS: Readonly<Record<string, FieldOf<number[]>>> = {
  '-curves': 'curves',
  '-verify-prefs': 'verifyPrefs',
  '-expect-peer-verify-pref': 'expectPeerVerifyPrefs',
  '-accepted-peer-cert-types': 'acceptedPeerCertTypes',
  '-available-client-cert-types': 'availableClientCertTypes',
};

const TEXTS: Readonly<Record<string, FieldOf<string>>> = {
  '-cipher': 'cipher',
  '-psk': 'psk',
  '-psk-identity': 'pskIdentity',
  '-host-name': 'hostName',
  '-advertise-alpn': 'advertiseAlpn',
  '-select-alpn': 'selectAlpn',
  '-srtp-profiles': 'srtpProfiles',
  '-use-client-ca-list': 'useClientCaList',
  '-trust-cert': 'trustCert',
  '-shim-initial-write': 'shimInitialWrite',
  '-export-label': 'exportLabel',
  '-export-context': 'exportContext',
  '-expect-server-name': 'expectServerName',
  '-expect-alpn': 'expectAlpn',
  '-expect-advertised-alpn': 'expectAdvertisedAlpn',
  '-expect-peer-cert-file': 'expectPeerCertFile',
  '-expect-client-ca-list': 'expectClientCaList',
};

const BASE64: Readonly<Record<string, FieldOf<Uint8Array>>> = {
  '-expect-ocsp-response': 'expectOcspResponse',
  '-expect-peer-rpk-sha256': 'expectPeerRpkSha256',
  '-expect-certificate-types': 'expectCertificateTypes',
  '-expect-signed-cert-timestamps': 'expectSignedCertTimestamps',
};

/** Flags that choose among ways of BoringSSL's interface which are one way here. */
const ONE_WAY: ReadonlySet<string> = new Set([
  '-use-early-callback',
  '-use-old-client-cert-callback',
  '-install-ddos-callback',
  '-use-ocsp-callback',
  '-set-ocsp-in-callback',
  '-partial-write',
  '-peek-then-read',
  '-handshake-twice',
  '-no-op-extra-handshake',
  '-use-ticket-callback',
  '-use-ticket-aead-callback',
  '-server-preference', // always
  '-renegotiate-freely', // it is refused, whoever may ask for it
  '-renegotiate-explicit',
  '-renegotiate-once',
  '-forbid-renegotiation-after-handshake',
  '-false-start', // a permission, of which no use is made
  '-cbc-record-splitting', // always
]);
const ONE_WAY_WITH_PARAMETER: ReadonlySet<string> = new Set([
  '-expect-early-data-reason', // BoringSSL's own diagnosis; the outcome is checked
  '-expect-ticket-age-skew', // so is this
  '-expect-msg-callback', // and this
  '-expect-total-renegotiations', // there are none
  '-advertise-npn', // unknown to us, and ALPN comes first
  '-write-settings',
  '-handshaker-path',
  '-expect-cipher-no-aes',
]);

type CredentialSetter = (credential: CredentialFlags, value: string) => void;
const CREDENTIAL: Readonly<Record<string, CredentialSetter>> = {
  '-cert-file': (credential, value) => {
    credential.certFile = value;
  },
  '-key-file': (credential, value) => {
    credential.keyFile = value;
  },
  '-signing-prefs': (credential, value) => {
    credential.signingPrefs.push(integer(value));
  },
  '-ocsp-response': (credential, value) => {
    credential.ocspResponse = base64(value);
  },
  '-signed-cert-timestamps': (credential, value) => {
    credential.signedCertTimestamps = base64(value);
  },
  '-psk-importer-key': (credential, value) => {
    credential.psk = base64(value);
  },
  '-psk-importer-identity': (credential, value) => {
    credential.pskIdentity = base64(value);
  },
  '-psk-importer-context': (credential, value) => {
    credential.pskContext = base64(value);
  },
};
const NEW_CREDENTIAL: ReadonlySet<string> = new Set(['-new-x509-credential', '-new-psk-credential']);

const PSK_HASHES: Readonly<Record<string, 'sha256' | 'sha384'>> = {
  '-psk-importer-sha256': 'sha256',
  '-psk-importer-sha384': 'sha384',
};

const SETS = ['initial', 'resume', 'retry'] as const;

/**
 * @param argv arguments without program and script
 * @throws Unimplemented for a flag that is not in the tables
 */
export function parseFlags(argv: readonly string[]): FlagSets {
  const sets = { initial: defaults(), resume: defaults(), retry: defaults() };
  for (let at = 0; at < argv.length; ) {
    const given = argv[at++] as string;
    const { name, targets, elsewhere } = split(given);
    const parameter = (): string => {
      const value = argv[at++];
      if (value === undefined) throw new Unimplemented(`${given} without its parameter`);
      return value;
    };
    const set = setterOf(name, parameter);
    if (set === undefined) throw new Unimplemented(given);
    if (!elsewhere) for (const target of targets) set(sets[target]);
  }
  return sets;
}

/** Takes off the prefixes that say for which connections, and on which side of a split handshake, a flag is meant. */
function split(flag: string): { name: string; targets: readonly (keyof FlagSets)[]; elsewhere: boolean } {
  let name = flag;
  const take = (prefix: string): boolean => {
    if (!name.startsWith(`${prefix}-`)) return false;
    name = name.slice(prefix.length);
    return true;
  };
  const elsewhere = !take('-on-shim') && take('-on-handshaker');
  const target = SETS.find((candidate) => take(`-on-${candidate}`));
  return { name, targets: target === undefined ? SETS : [target], elsewhere };
}

type Setter = (flags: Flags) => void;

function setterOf(name: string, parameter: () => string): Setter | undefined {
  if (ONE_WAY.has(name)) return () => {};
  if (ONE_WAY_WITH_PARAMETER.has(name)) {
    parameter();
    return () => {};
  }
  if (name === '-new-rpk-credential')
    return (flags) => flags.credentials.push({ ...newCredential(), raw: true });
  if (NEW_CREDENTIAL.has(name)) return (flags) => flags.credentials.push(newCredential());
  return switchSetter(name) ?? parameterSetter(name, parameter);
}

function switchSetter(name: string): Setter | undefined {
  if (name === '-must-match-issuer') {
    return (flags) => {
      (flags.credentials.at(-1) ?? flags.credential).mustMatchIssuer = true;
    };
  }
  const hash = PSK_HASHES[name];
  if (hash !== undefined) {
    return (flags) => {
      (flags.credentials.at(-1) ?? flags.credential).pskHash = hash;
    };
  }
  const field = SWITCHES[name];
  if (field !== undefined) {
    return (flags) => {
      flags[field] = true;
    };
  }
  if (name !== '-no-key-shares') return undefined;
  return (flags) => {
    flags.keyShares = [];
  };
}

function parameterSetter(name: string, parameter: () => string): Setter | undefined {
  if (name === '-shim-id') {
    const id = BigInt(parameter());
    return (flags) => {
      flags.shimId = id;
    };
  }
  if (name === '-key-shares') {
    const group = integer(parameter());
    return (flags) => {
      flags.keyShares = [...(flags.keyShares ?? []), group];
    };
  }
  if (name === '-expect-selected-credential') {
    const index = integer(parameter());
    return (flags) => {
      flags.expectSelectedCredential = index;
    };
  }
  if (name === '-expect-peer-certificate-type') {
    const type = integer(parameter());
    return (flags) => {
      flags.expectPeerCertificateType = type;
    };
  }
  const ofCredential = CREDENTIAL[name];
  if (ofCredential !== undefined) {
    const value = parameter();
    return (flags) => ofCredential(flags.credentials.at(-1) ?? flags.credential, value);
  }
  return fieldSetter(name, parameter);
}

function fieldSetter(name: string, parameter: () => string): Setter | undefined {
  const number = NUMBERS[name];
  if (number !== undefined) {
    const value = integer(parameter());
    return (flags) => {
      flags[number] = value;
    };
  }
  const list = LISTS[name];
  if (list !== undefined) {
    const value = integer(parameter());
    return (flags) => flags[list].push(value);
  }
  const text = TEXTS[name];
  if (text !== undefined) {
    const value = parameter();
    return (flags) => {
      flags[text] = value;
    };
  }
  const bytes = BASE64[name];
  if (bytes === undefined) return undefined;
  const value = base64(parameter());
  return (flags) => {
    flags[bytes] = value;
  };
}

function base64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}

function integer(text: string): number {
  const value = Number(text);
  if (text === '' || !Number.isInteger(value)) throw new Unimplemented(`'${text}' is not a number`);
  return value;
}

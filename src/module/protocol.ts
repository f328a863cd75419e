/** Numbers of the interface between host and module (docs/security-module.md). */

/** Ours; 00 and 80 are taken as well. */
export const MODULE_CLASS = 0xa0;

/** `F0` (proprietary, ISO 7816-5) and "TRELLIS". */
export const MODULE_AID: Uint8Array = Uint8Array.of(0xf0, 0x54, 0x52, 0x45, 0x4c, 0x4c, 0x49, 0x53);

/** Version of this interface, in the answer to SELECT. */
export const INTERFACE_VERSION = 1;

export const Instruction = {
  fetch: 0x12,
  open: 0x14,
  setIdentity: 0x16,
  getNextIdentity: 0x17,
  getCurrentIdentity: 0x18,
  resetState: 0x19,
  verifyPin: 0x20,
  changePin: 0x24,
  computeSignature: 0x2a,
  unblockPin: 0x2c,
  generateKey: 0x46,
  makeRequest: 0x48,
  processEap: 0x80,
  encrypt: 0x82,
  decrypt: 0x84,
  retransmit: 0x86,
  sessionInformation: 0x88,
  select: 0xa4,
  getMasterSessionKey: 0xa6,
  exportTrafficKeys: 0xa8,
  getResponse: 0xc0,
  getData: 0xca,
  putData: 0xda,
} as const;

/** P2 of Compute signature. */
export const SignatureKind = {
  /** `uint16 scheme; opaque signed_attributes[];` */
  attributes: 0x9a,
  /** `uint48 number;`: the numbers below it that have not been signed may be, each once, and it is the next. */
  leaveOpen: 0x9b,
  /** `uint16 scheme; opaque binding<1..2^16-1>; opaque signed_info[];` */
  signedInfo: 0x9c,
} as const;

/** P2 of commands about PINs. */
export const PinKind = { user: 0, operator: 1 } as const;

/** P2 of Session information. */
export const InformationKind = { everything: 0, exporter: 1, state: 2, exporterWithoutContext: 3 } as const;

/** TLV of SELECT's answer. */
export const CapabilityTag = { name: 0x70, version: 0x71, sessions: 0x72, maxMessage: 0x73 } as const;

/** TLV of Open. */
export const OpenTag = {
  role: 0x80,
  mode: 0x81,
  /** `uint8 stream(0);` or `uint8 datagrams(1); uint16 mtu; uint16 retransmit_milliseconds;` */
  transport: 0x82,
  /** ProtocolVersion values; default all that the module speaks. */
  versions: 0x83,
  serverName: 0x84,
  /** ProtocolNameList of RFC 7301 §3.1; a client's offers, or the one that a server selects. */
  alpn: 0x85,
  /** Repeated: `uint16 type; uint8 content_types<0..255>; uint8 handshake_types<0..255>; opaque body[];` */
  helloExtension: 0x86,
  /**
   * Datagrams, server: `opaque address<1..255>; opaque secret<0..2^16-1>;`. Clients have to send a cookie back that is bound
   * to the address; it is made from the secret, or from one of the module's own where that is empty.
   */
  cookie: 0x87,
  /** Unix milliseconds, 6 bytes. */
  time: 0x88,
  /** Bytes of an EAP packet that the module sends. */
  fragmentSize: 0x89,
  /** Instead of the current identity. */
  alias: 0x8a,
} as const;

export const RoleCode = { client: 0, server: 1 } as const;
/** 01: a true EAP method, RFC 5216 and RFC 9190. 02: a session that a bridge carries. */
export const ModeCode = { method: 1, bridge: 2 } as const;
export const TransportCode = { stream: 0, datagrams: 1 } as const;

/** TLV of Session information. */
export const InformationTag = {
  state: 0x90,
  version: 0x91,
  suite: 0x92,
  group: 0x93,
  /** Certificates of the peer, `opaque<1..2^24-1>` each, end entity first, trust anchor last. */
  peerPath: 0x94,
  /** Certificates that this side has shown, end entity first. */
  ownChain: 0x95,
  /** Repeated: `uint16 type; opaque body[];` of what the server has answered. */
  helloExtension: 0x96,
  /** 32 bytes, docs/tls-sign.md. */
  sessionBinding: 0x97,
  transcriptHash: 0x98,
  serverName: 0x99,
  alpn: 0x9a,
  /** Why it is closed: `uint8 alert; opaque code[];` and whether the peer said so. */
  failure: 0x9b,
  failureByPeer: 0x9c,
  /** Datagrams: bytes of content that one holds, 2 bytes. */
  maxDatagram: 0x9d,
  /** The pre-shared key that authenticated both sides, in the place of certificates. */
  pskIdentity: 0x9e,
} as const;

/**
 * First byte of the state; the second says whether items wait for a Process-EAP-Decrypt. Of datagrams, `uint16` follows:
 * milliseconds until Retransmit flight is due, 0 for never.
 */
export const SessionState = { handshaking: 0, open: 1, exported: 2, closed: 3 } as const;

/** Type of an item in the answer to Process-EAP-Decrypt that is no TLS content: records to be sent. */
export const RECORDS_ITEM = 0;
/** Of datagrams, where it has changed: `uint16` milliseconds until Retransmit flight is due, 0 for never. */
export const WAIT_ITEM = 1;

/** Bits of the byte that Reset-State answers. */
export const CardState = { identity: 0x01, userVerified: 0x02, operatorVerified: 0x04 } as const;

/** P1 P2 of Put data and Get data. Data: `opaque alias<1..255>`, then the object. */
export const ObjectTag = {
  /** `opaque certificate<1..2^24-1>` each, in a list of 3 bytes' length, end entity first. */
  certificateChain: 0x0100,
  /** The same, of trust anchors. */
  trustAnchors: 0x0101,
  /** `uint8`: bits of `IdentityRole`. */
  role: 0x0102,
  /** `uint8 permissions; uint8 client_certificate; opaque nai<0..255>;` */
  policy: 0x0103,
  /** PKCS#8, DER; put only. */
  privateKey: 0x0104,
  /** SubjectPublicKeyInfo; get only. */
  publicKey: 0x0105,
  /**
   * Put: one more, `uint16 kdf; opaque identity<1..255>; opaque key<16..512>;`. Get: those that are there, without their keys,
   * `uint16 kdf; opaque identity<1..255>;` each.
   */
  preSharedKey: 0x0106,
  /** Put only: `opaque identity<1..255>;` is no more. */
  removePreSharedKey: 0x0107,
  /** Put only, without an object: the identity is no more. */
  remove: 0x01ff,
} as const;

export const IdentityRole = { client: 0x01, server: 0x02 } as const;
export const Permission = { masterSessionKey: 0x01, trafficKeys: 0x02, sign: 0x04 } as const;
export const ClientCertificate = { none: 0, request: 1, require: 2 } as const;

/** P2 of Generate key pair. */
export const KeyAlgorithmCode = { 'P-256': 1, 'P-384': 2, Ed25519: 3, 'RSA-2048': 4, 'RSA-3072': 5 } as const;
export type KeyAlgorithm = keyof typeof KeyAlgorithmCode;

/** TLV of the request for a CSR. */
export const RequestTag = {
  alias: 0xb0,
  /** Name, DER. */
  subject: 0xb1,
  /** Repeated: a DNS name or an IP address, as text. */
  host: 0xb2,
} as const;

/** TLV of exported traffic keys. */
export const TrafficKeyTag = {
  version: 0xc0,
  suite: 0xc1,
  readSecret: 0xc2,
  writeSecret: 0xc3,
  /** 6 bytes each. */
  readSequence: 0xc4,
  writeSequence: 0xc5,
  /** Bytes of content in a record that is sent. */
  sendLimit: 0xc6,
  /** Bytes of an inner plaintext that may come, where record_size_limit was agreed on. */
  receiveLimit: 0xc7,
} as const;

/** `EXPORTER_EAP_TLS_Key_Material` (RFC 9190 §2.3) is for Get master session key alone. */
export function isExporterLabelPermitted(label: string): boolean {
  return label.startsWith('EXPORTER') && !label.startsWith('EXPORTER_EAP');
}

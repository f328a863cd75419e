import { DecodeError, TlsError } from '../errors/errors.ts';
import { ExtensionType } from '../wire/codepoints.ts';
import { latin1Bytes, latin1Text } from '../wire/latin1.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';

/** One entry of an extension block; bodies stay raw, so unknown types survive a round trip. */
export interface Extension {
  readonly type: number;
  readonly body: Uint8Array;
}

/**
 * `Extension extensions<0..2^16-1>`. RFC 8446 §4.2: no type may occur twice in a block. It names no alert; a block that
 * says two things about one type does not decode, and BoringSSL says so too.
 * @throws DecodeError for a duplicate
 */
export function readExtensions(reader: Reader): Extension[] {
  const extensions = reader.list(2, (r) => ({ type: r.u16(), body: r.vector(2) }));
  const seen = new Set<number>();
  for (const { type } of extensions) {
    if (seen.has(type)) throw new DecodeError(`Extension ${extensionName(type)} occurs twice`);
    seen.add(type);
  }
  return extensions;
}

export function writeExtensions(writer: Writer, extensions: readonly Extension[]): void {
  writer.vector(2, (w) => {
    for (const { type, body } of extensions) w.u16(type).vector(2, body);
  });
}

export function findExtension(extensions: readonly Extension[], type: number): Uint8Array | undefined {
  return extensions.find((extension) => extension.type === type)?.body;
}

export function extensionName(type: number): string {
  const found = Object.entries(ExtensionType).find(([, value]) => value === type);
  return found === undefined ? `0x${type.toString(16).padStart(4, '0')}` : found[0];
}

/** True for the types that have a name here, whether or not we implement them. */
export function isKnownExtension(type: number): boolean {
  return KNOWN.has(type);
}

const KNOWN: ReadonlySet<number> = new Set(Object.values(ExtensionType));

/** A pure codec of one extension body: exact end, declared bounds. */
interface Codec<T> {
  parse(body: Uint8Array): T;
  build(value: T): Uint8Array;
}

function codec<T>(
  name: string,
  read: (reader: Reader) => T,
  write: (writer: Writer, value: T) => void,
): Codec<T> {
  return {
    parse(body) {
      const reader = new Reader(body, name);
      const value = read(reader);
      reader.end();
      return value;
    },
    build(value) {
      const writer = new Writer(64);
      write(writer, value);
      return writer.finish();
    },
  };
}

const u16List = (name: string, prefix: 1 | 2, max: number): Codec<readonly number[]> =>
  codec<readonly number[]>(
    name,
    (r) => r.list(prefix, (item) => item.u16(), 2, max),
    (w, values) =>
      w.vector(prefix, (list) => {
        for (const value of values) list.u16(value);
      }),
  );

const emptyBody = (name: string): Codec<null> =>
  codec<null>(
    name,
    () => null,
    () => {},
  );

// ── ClientHello ──────────────────────────────────────────────────────────────────────────────────

/** `ProtocolVersion versions<2..254>`, RFC 8446 §4.2.1. */
export const supportedVersions = u16List('supported_versions', 1, 254);
/** `NamedGroup named_group_list<2..2^16-1>`, §4.2.7. */
export const supportedGroups = u16List('supported_groups', 2, 0xffff);
/** `SignatureScheme supported_signature_algorithms<2..2^16-2>`, §4.2.3; signature_algorithms_cert likewise. */
export const signatureAlgorithms = u16List('signature_algorithms', 2, 0xfffe);

/** `opaque cid<0..2^8-1>`, RFC 9146 §3. A copy, since it outlives the hello. */
export const connectionId = codec<Uint8Array>(
  'connection_id',
  (r) => new Uint8Array(r.vector(1)),
  (w, cid) => w.vector(1, cid),
);

/** `ServerNameList`, RFC 6066 §3. Only host_name exists; TLS ignores names of other types. */
export const serverNameList = codec<string | undefined>(
  'server_name',
  (r) => {
    const names = r.list(2, (entry) => ({ type: entry.u8(), name: entry.vector(2, 1) }), 1);
    const hosts = names.filter(({ type }) => type === HOST_NAME);
    if (hosts.length > 1)
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'server_name: two names of one type');
    return hosts[0] === undefined ? undefined : asciiName(hosts[0].name);
  },
  (w, name) => {
    if (name === undefined) return;
    w.vector(2, (list) => list.u8(HOST_NAME).vector(2, latin1Bytes(name)));
  },
);
const HOST_NAME = 0;

/** `ProtocolNameList`, RFC 7301 §3.1. Names are bytes; they are kept as latin1 strings, which is lossless. */
export const protocolNameList = codec<readonly string[]>(
  'application_layer_protocol_negotiation',
  (r) => r.list(2, (entry) => latin1Text(entry.vector(1, 1)), 2),
  (w, names) =>
    w.vector(2, (list) => {
      for (const name of names) list.vector(1, latin1Bytes(name));
    }),
);

export interface KeyShareEntry {
  readonly group: number;
  readonly keyExchange: Uint8Array;
}

const readKeyShareEntry = (r: Reader): KeyShareEntry => ({ group: r.u16(), keyExchange: r.vector(2, 1) });
const writeKeyShareEntry = (w: Writer, entry: KeyShareEntry): void => {
  w.u16(entry.group).vector(2, entry.keyExchange);
};

/** `KeyShareEntry client_shares<0..2^16-1>`, RFC 8446 §4.2.8. */
export const keyShareClientHello = codec<readonly KeyShareEntry[]>(
  'key_share',
  (r) => r.list(2, readKeyShareEntry),
  (w, shares) =>
    w.vector(2, (list) => {
      for (const share of shares) writeKeyShareEntry(list, share);
    }),
);

/** `PskKeyExchangeMode ke_modes<1..255>`, §4.2.9. */
export const pskKeyExchangeModes = codec<readonly number[]>(
  'psk_key_exchange_modes',
  (r) => r.list(1, (mode) => mode.u8(), 1),
  (w, modes) => w.vector(1, Uint8Array.from(modes)),
);

export interface PskIdentity {
  readonly identity: Uint8Array;
  /** Milliseconds since the ticket arrived plus ticket_age_add, modulo 2^32. */
  readonly obfuscatedTicketAge: number;
}

export interface OfferedPsks {
  readonly identities: readonly PskIdentity[];
  readonly binders: readonly Uint8Array[];
}

/** `OfferedPsks`, §4.2.11. As many binders as identities. */
export const offeredPsks = codec<OfferedPsks>(
  'pre_shared_key',
  (r) => {
    const identities = r.list(2, (i) => ({ identity: i.vector(2, 1), obfuscatedTicketAge: i.u32() }), 7);
    const binders = r.list(2, (b) => b.vector(1, 32), 33);
    if (identities.length !== binders.length) {
      throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'pre_shared_key: not one binder for each identity');
    }
    return { identities, binders };
  },
  (w, { identities, binders }) => {
    w.vector(2, (list) => {
      for (const { identity, obfuscatedTicketAge } of identities) {
        list.vector(2, identity).u32(obfuscatedTicketAge);
      }
    });
    w.vector(2, (list) => {
      for (const binder of binders) list.vector(1, binder);
    });
  },
);

/** Bytes at the end of a ClientHello that its binders do not cover (§4.2.11.2): the binders list itself. */
export function bindersLength(binders: readonly Uint8Array[]): number {
  return binders.reduce((sum, binder) => sum + 1 + binder.length, 2);
}

/** `DistinguishedName authorities<3..2^16-1>`, §4.2.4. */
export const certificateAuthorities = codec<readonly Uint8Array[]>(
  'certificate_authorities',
  (r) => r.list(2, (name) => name.vector(2, 1), 3),
  (w, names) =>
    w.vector(2, (list) => {
      for (const name of names) list.vector(2, name);
    }),
);

/** `opaque cookie<1..2^16-1>`, §4.2.2; in HelloRetryRequest and the ClientHello after it. */
export const cookie = codec<Uint8Array>(
  'cookie',
  (r) => r.vector(2, 1),
  (w, value) => w.vector(2, value),
);

/** `CertificateStatusType` of RFC 6066 §8; there is no other. */
const OCSP = 1;

/**
 * `CertificateStatusRequest`, RFC 6066 §8: any responder, no extensions. Read as whether OCSP is asked for; requests of
 * other types are not for us.
 */
export const statusRequest = codec<boolean>(
  'status_request',
  (r) => {
    const type = r.u8();
    if (type !== OCSP) {
      r.rest();
      return false;
    }
    r.list(2, (id) => id.vector(2, 1));
    r.vector(2);
    return true;
  },
  (w) => {
    w.u8(OCSP).u16(0).u16(0);
  },
);

/** `CertificateStatus`, RFC 6066 §8: in a CertificateEntry (RFC 8446 §4.4.2.1) and as a message of TLS 1.2. */
export const certificateStatus = codec<Uint8Array>(
  'CertificateStatus',
  (r) => {
    const type = r.u8();
    if (type !== OCSP) throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `CertificateStatus of type ${type}`);
    // A copy: whoever keeps it shall not keep the whole record.
    return new Uint8Array(r.vector(3, 1));
  },
  (w, response) => w.u8(OCSP).vector(3, response),
);

/** `CertificateCompressionAlgorithm algorithms<2..2^8-2>`, RFC 8879 §3. An algorithm that is there twice is refused, as BoringSSL does. */
export const compressCertificate = codec<readonly number[]>(
  'compress_certificate',
  (r) => {
    const algorithms = r.list(1, (item) => item.u16(), 2, 254);
    if (new Set(algorithms).size < algorithms.length)
      throw new DecodeError('compress_certificate: an algorithm occurs twice');
    return algorithms;
  },
  (w, algorithms) =>
    w.vector(1, (list) => {
      for (const algorithm of algorithms) list.u16(algorithm);
    }),
);

/** 2^14 bytes of content and the content type (RFC 8449 §4). */
export const MAX_RECORD_SIZE_LIMIT = 2 ** 14 + 1;

/** `uint16 RecordSizeLimit`, RFC 8449 §4. */
export const recordSizeLimit = codec<number>(
  'record_size_limit',
  (r) => {
    const limit = r.u16();
    // §4: a value smaller than 64 MUST be treated as a fatal error.
    if (limit < 64) throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `record_size_limit of ${limit}`);
    return limit;
  },
  (w, limit) => w.u16(limit),
);

/** `SignedCertificateTimestampList`, RFC 6962 §3.3. */
export const signedCertificateTimestamps = codec<readonly Uint8Array[]>(
  'signed_certificate_timestamp',
  (r) => r.list(2, (sct) => new Uint8Array(sct.vector(2, 1)), 1),
  (w, list) =>
    w.vector(2, (scts) => {
      for (const sct of list) scts.vector(2, sct);
    }),
);

/** `CertificateType client_certificate_types<1..2^8-1>`, RFC 7250 §3; server_certificate_type likewise. */
export const certificateTypes = codec<readonly number[]>(
  'certificate_type',
  (r) => r.list(1, (type) => type.u8(), 1),
  (w, types) => w.vector(1, Uint8Array.from(types)),
);

/** The server's choice, RFC 7250 §3. */
export const selectedCertificateType = codec<number>(
  'certificate_type',
  (r) => r.u8(),
  (w, type) => w.u8(type),
);

// ── ServerHello, HelloRetryRequest, EncryptedExtensions, NewSessionTicket ────────────────────────

const u16 = (name: string): Codec<number> =>
  codec(
    name,
    (r) => r.u16(),
    (w, value) => w.u16(value),
  );

/** §4.2.1. */
export const selectedVersion = u16('supported_versions');
/** `uint32 max_early_data_size` of NewSessionTicket, §4.2.10. */
export const maxEarlyDataSize = codec<number>(
  'early_data',
  (r) => r.u32(),
  (w, size) => w.u32(size),
);
/** §4.2.10, in ClientHello and EncryptedExtensions. */
export const earlyDataIndication = emptyBody('early_data');
/** §4.2.6. */
export const postHandshakeAuth = emptyBody('post_handshake_auth');
/** §4.2.8, HelloRetryRequest. */
export const selectedGroup = u16('key_share');
/** §4.2.11. */
export const selectedIdentity = u16('pre_shared_key');
/** §4.2.8, ServerHello. */
export const keyShareServerHello = codec<KeyShareEntry>('key_share', readKeyShareEntry, writeKeyShareEntry);
/** The server's acknowledgement of server_name, RFC 6066 §3. */
export const serverNameAck = emptyBody('server_name');

/** The server's choice: a list of exactly one name, RFC 7301 §3.1. */
export function selectedProtocol(body: Uint8Array): string {
  const [name, ...more] = protocolNameList.parse(body);
  if (name === undefined || more.length > 0) {
    throw new DecodeError(
      'application_layer_protocol_negotiation: the answer must name exactly one protocol',
    );
  }
  return name;
}

/** A host_name is ASCII without a trailing dot and never a literal address (RFC 6066 §3); here only its bytes count. */
function asciiName(bytes: Uint8Array): string {
  if (bytes.some((byte) => byte <= 0x20 || byte >= 0x7f))
    throw new DecodeError('server_name: not an ASCII host name');
  return latin1Text(bytes);
}

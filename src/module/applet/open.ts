import { MIN_MTU } from '../../connection/dtls-connection.ts';
import { COOKIE_SECRET_LENGTH } from '../../connection/dtls-greeter.ts';
import type { Role } from '../../connection/sub-protocol.ts';
import { DecodeError } from '../../errors/errors.ts';
import { protocolNameList } from '../../messages/extensions.ts';
import { ProtocolVersion } from '../../wire/codepoints.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';
import { MIN_FRAGMENT_SIZE } from '../eap/fragments.ts';
import { ModeCode, OpenTag, RoleCode, TransportCode } from '../protocol.ts';
import { numberTlv, type Tlv, TlvFields, writeTlvs } from '../tlv.ts';
import { type HostExtension, readHostExtension, writeHostExtension } from './passthrough.ts';

/** What one short APDU carries: every transport has that. */
const DEFAULT_FRAGMENT_SIZE = 255;
/** Sub-protocols of one session: mux and sign are two. */
const MAX_EXTENSIONS = 8;

/** What the module's engine speaks. */
const STREAM_VERSIONS: readonly number[] = [ProtocolVersion.tls13, ProtocolVersion.tls12];
const DATAGRAM_VERSIONS: readonly number[] = [ProtocolVersion.dtls13, ProtocolVersion.dtls12];
/** RFC 6347 §4.2.4.1: no more than 60 s. */
export const MAX_RETRANSMIT_TIMEOUT = 60_000;

/** What Open says. */
export interface OpenRequest {
  readonly role: Role;
  readonly mode: keyof typeof ModeCode;
  /** Absent: a stream. */
  readonly datagrams?: OpenDatagrams | undefined;
  readonly serverName: string | undefined;
  /** Offers of a client; what a server has selected. */
  readonly alpnProtocols: readonly string[];
  readonly extensions: readonly HostExtension[];
  /** ProtocolVersion values that may be spoken; never empty. */
  readonly versions: readonly number[];
  /** Unix milliseconds. */
  readonly time: number;
  /** Bytes of an EAP packet that the module sends. */
  readonly fragmentSize: number;
  /** `undefined`: the current identity. */
  readonly alias: string | undefined;
}

/** A session of DTLS. */
export interface OpenDatagrams {
  /** Bytes of the largest datagram. */
  readonly mtu: number;
  /** Milliseconds until a flight is sent again for the first time. */
  readonly timeout: number;
  /** Server: clients have to send a cookie back; with an empty secret, one of the module's own. Absent: they have not. */
  readonly cookie?: { readonly address: Uint8Array; readonly secret: Uint8Array } | undefined;
}

const TAGS = Object.values(OpenTag);

/** @throws DecodeError */
export function readOpenRequest(data: Uint8Array): OpenRequest {
  const fields = new TlvFields(data, 'Open', TAGS, [OpenTag.helloExtension]);
  const role = fields.number(OpenTag.role, 1);
  if (role !== RoleCode.client && role !== RoleCode.server) throw new DecodeError(`Open: role ${role}`);
  const mode = fields.number(OpenTag.mode, 1) ?? ModeCode.bridge;
  if (mode !== ModeCode.method && mode !== ModeCode.bridge) throw new DecodeError(`Open: mode ${mode}`);
  const datagrams = readTransport(fields);
  if (datagrams !== undefined && mode === ModeCode.method) throw new DecodeError('Open: EAP-TLS is a stream');
  const versions = readVersions(fields.get(OpenTag.versions), datagrams);
  const time = fields.number(OpenTag.time, 6);
  if (time === undefined) throw new DecodeError('Open: without a time no certificate can be judged');
  const fragmentSize = fields.number(OpenTag.fragmentSize, 2) ?? DEFAULT_FRAGMENT_SIZE;
  if (fragmentSize < MIN_FRAGMENT_SIZE) throw new DecodeError(`Open: fragments of ${fragmentSize} bytes`);
  const extensions = fields.all(OpenTag.helloExtension).map(readHostExtension);
  if (extensions.length > MAX_EXTENSIONS) throw new DecodeError(`Open: ${extensions.length} extensions`);
  const alpn = fields.get(OpenTag.alpn);
  return {
    role: role === RoleCode.client ? 'client' : 'server',
    mode: mode === ModeCode.method ? 'method' : 'bridge',
    datagrams,
    serverName: text(fields.get(OpenTag.serverName)),
    alpnProtocols: alpn === undefined ? [] : protocolNameList.parse(alpn),
    extensions,
    versions,
    time,
    fragmentSize,
    alias: text(fields.get(OpenTag.alias)),
  };
}

export function writeOpenRequest(request: OpenRequest): Uint8Array {
  const {
    role,
    mode,
    datagrams,
    serverName,
    alpnProtocols,
    extensions,
    versions,
    time,
    fragmentSize,
    alias,
  } = request;
  const optional = (tag: number, value: string | undefined) =>
    value === undefined ? undefined : { tag, value: utf8.encode(value) };
  return writeTlvs([
    numberTlv(OpenTag.role, RoleCode[role], 1),
    numberTlv(OpenTag.mode, ModeCode[mode], 1),
    ...(datagrams === undefined ? [] : writeDatagrams(datagrams)),
    { tag: OpenTag.versions, value: Uint8Array.from(versions.flatMap((v) => [v >> 8, v & 0xff])) },
    optional(OpenTag.serverName, serverName),
    alpnProtocols.length === 0
      ? undefined
      : { tag: OpenTag.alpn, value: protocolNameList.build(alpnProtocols) },
    ...extensions.map((extension) => ({ tag: OpenTag.helloExtension, value: writeHostExtension(extension) })),
    numberTlv(OpenTag.time, time, 6),
    numberTlv(OpenTag.fragmentSize, fragmentSize, 2),
    optional(OpenTag.alias, alias),
  ]);
}

/** @returns nothing for a stream */
function readTransport(fields: TlvFields): OpenDatagrams | undefined {
  const transport = fields.get(OpenTag.transport);
  const cookie = fields.get(OpenTag.cookie);
  const [code = TransportCode.stream] = transport ?? [];
  if (transport === undefined || (code === TransportCode.stream && transport.length === 1)) {
    if (cookie !== undefined) throw new DecodeError('Open: a cookie is for datagrams');
    return undefined;
  }
  if (code !== TransportCode.datagrams) throw new DecodeError(`Open: transport ${code}`);
  const r = new Reader(transport.subarray(1), 'Open: transport');
  const [mtu, timeout] = [r.u16(), r.u16()];
  r.end();
  if (mtu < MIN_MTU) throw new DecodeError(`Open: an MTU of ${mtu} bytes`);
  if (timeout < 1 || timeout > MAX_RETRANSMIT_TIMEOUT)
    throw new DecodeError(`Open: a time-out of ${timeout} ms`);
  return { mtu, timeout, cookie: cookie === undefined ? undefined : readCookie(cookie) };
}

function readCookie(value: Uint8Array): OpenDatagrams['cookie'] {
  const r = new Reader(value, 'Open: cookie');
  // The command that brought it is gone when it is needed.
  const [address, secret] = [new Uint8Array(r.vector(1, 1)), new Uint8Array(r.vector(2))];
  r.end();
  if (secret.length > 0 && secret.length < COOKIE_SECRET_LENGTH) {
    throw new DecodeError(`Open: a cookie secret of ${secret.length} bytes`);
  }
  return { address, secret };
}

function writeDatagrams({ mtu, timeout, cookie }: OpenDatagrams): Tlv[] {
  const transport = new Writer(5).u8(TransportCode.datagrams).u16(mtu).u16(timeout).finish();
  const fields: Tlv[] = [{ tag: OpenTag.transport, value: transport }];
  if (cookie !== undefined) {
    const { address, secret } = cookie;
    const value = new Writer(512).vector(1, address).vector(2, secret).finish();
    fields.push({ tag: OpenTag.cookie, value });
  }
  return fields;
}

/** `uint16` each. Those that are not spoken here are passed over, as long as one is. */
function readVersions(
  value: Uint8Array | undefined,
  datagrams: OpenDatagrams | undefined,
): readonly number[] {
  const known = datagrams === undefined ? STREAM_VERSIONS : DATAGRAM_VERSIONS;
  if (value === undefined) return known;
  const versions: number[] = [];
  for (let at = 0; at + 1 < value.length; at += 2) {
    versions.push(((value[at] as number) << 8) | (value[at + 1] as number));
  }
  const spoken = known.filter((version) => versions.includes(version));
  if (value.length % 2 !== 0 || spoken.length === 0) {
    throw new DecodeError('Open: none of these versions is spoken here');
  }
  return spoken;
}

function text(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const decoded = decodeUtf8(value);
  if (decoded === undefined || decoded.length === 0) throw new DecodeError('Open: text that is none');
  return decoded;
}

/** `undefined` for bytes that are no UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

const utf8 = new TextEncoder();

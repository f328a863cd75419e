import type { Role } from '../../connection/sub-protocol.ts';
import { DecodeError } from '../../errors/errors.ts';
import { protocolNameList } from '../../messages/extensions.ts';
import { ProtocolVersion } from '../../wire/codepoints.ts';
import { MIN_FRAGMENT_SIZE } from '../eap/fragments.ts';
import { ModeCode, OpenTag, RoleCode, TransportCode } from '../protocol.ts';
import { numberTlv, TlvFields, writeTlvs } from '../tlv.ts';
import { type HostExtension, readHostExtension, writeHostExtension } from './passthrough.ts';

/** What one short APDU carries: every transport has that. */
const DEFAULT_FRAGMENT_SIZE = 255;
/** Sub-protocols of one session: mux and sign are two. */
const MAX_EXTENSIONS = 8;

/** What the module's engine speaks. */
export const MODULE_VERSIONS: readonly number[] = [ProtocolVersion.tls13, ProtocolVersion.tls12];

/** What Open says. */
export interface OpenRequest {
  readonly role: Role;
  readonly mode: keyof typeof ModeCode;
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

const TAGS = Object.values(OpenTag);

/** @throws DecodeError */
export function readOpenRequest(data: Uint8Array): OpenRequest {
  const fields = new TlvFields(data, 'Open', TAGS, [OpenTag.helloExtension]);
  const role = fields.number(OpenTag.role, 1);
  if (role !== RoleCode.client && role !== RoleCode.server) throw new DecodeError(`Open: role ${role}`);
  const mode = fields.number(OpenTag.mode, 1) ?? ModeCode.bridge;
  if (mode !== ModeCode.method && mode !== ModeCode.bridge) throw new DecodeError(`Open: mode ${mode}`);
  const transport = fields.number(OpenTag.transport, 1) ?? TransportCode.stream;
  if (transport !== TransportCode.stream) throw new DecodeError(`Open: transport ${transport}`);
  const versions = readVersions(fields.get(OpenTag.versions));
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
  const { role, mode, serverName, alpnProtocols, extensions, versions, time, fragmentSize, alias } = request;
  const optional = (tag: number, value: string | undefined) =>
    value === undefined ? undefined : { tag, value: utf8.encode(value) };
  return writeTlvs([
    numberTlv(OpenTag.role, RoleCode[role], 1),
    numberTlv(OpenTag.mode, ModeCode[mode], 1),
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

/** `uint16` each. Those that are not spoken here are passed over, as long as one is. */
function readVersions(value: Uint8Array | undefined): readonly number[] {
  if (value === undefined) return MODULE_VERSIONS;
  const versions: number[] = [];
  for (let at = 0; at + 1 < value.length; at += 2) {
    versions.push(((value[at] as number) << 8) | (value[at + 1] as number));
  }
  const spoken = MODULE_VERSIONS.filter((version) => versions.includes(version));
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

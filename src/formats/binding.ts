import { equalBytes } from '../der/bytes.ts';
import { DerReader } from '../der/reader.ts';
import { Tag } from '../der/tags.ts';
import { decodeText, encodeUtf8 } from '../der/text.ts';
import { encodeDer, enumerated, integer, octetString, primitive, sequence } from '../der/writer.ts';
import { DecodeError, SignatureError, TlsError } from '../errors/errors.ts';

/** Of the exporter (RFC 8446 §7.5, RFC 5705) that makes the sessionBinding, with the transcript's hash as context. */
export const SESSION_BINDING_LABEL = 'EXPORTER-trellis-sign';
/** A SHA-256 digest, and the output of the exporter. Bytes. */
export const SESSION_BINDING_LENGTH = 32;
const PEER_DIGEST_LENGTH = 32;
/** Names of applications have at most 255 bytes in the multiplexing extension. */
const MAX_APPLICATION_BYTES = 255;
/** A signed tree head: root, size, time and one signature, of RSA with 8,192 bits at most. */
const MAX_TREE_HEAD_BYTES = 2048;
/** Content types are one byte (RFC 8446 §5.1). */
const MAX_CONTENT_TYPE = 255;

export type BindingRole = 'client' | 'server';
export type BindingKind = 'data' | 'receipt';

/** What a signature covers besides the data, so that it proves something about one place in one session. */
export interface Binding {
  readonly version: 1;
  /** Of the signer, in the session. */
  readonly role: BindingRole;
  readonly kind: BindingKind;
  /** From 0, per direction, receipts included. At most 2^53 - 1. */
  readonly sequence: number;
  /** TLS content type that the data would have had. */
  readonly contentType: number;
  /** Empty outside multiplexing. */
  readonly application: string;
  /** SHA-256 of the addressee's certificate; or empty, where it has none. */
  readonly peer: Uint8Array;
  /** 32 bytes from the session's exporter. */
  readonly sessionBinding: Uint8Array;
  /** The signer's latest signed tree head; empty where there is no archive. */
  readonly treeHead: Uint8Array;
}

/**
 * `Binding ::= SEQUENCE { version INTEGER (1), role ENUMERATED { client(0), server(1) },
 *    kind ENUMERATED { data(0), receipt(1) }, sequence INTEGER, contentType INTEGER, application UTF8String,
 *    peer OCTET STRING, sessionBinding OCTET STRING (SIZE(32)), treeHead OCTET STRING }`, DER.
 *
 * @throws TlsError ERR_TLS_INTERNAL for a value out of its bounds
 */
export function encodeBinding(binding: Binding): Uint8Array {
  const application = encodeUtf8(binding.application);
  checkOwn(binding, application);
  return encodeDer(
    sequence(
      VERSION,
      binding.role === 'client' ? ZERO : ONE,
      binding.kind === 'data' ? ZERO : ONE,
      integer(binding.sequence),
      integer(binding.contentType),
      primitive(Tag.utf8String, application),
      octetString(binding.peer),
      octetString(binding.sessionBinding),
      octetString(binding.treeHead),
    ),
  );
}

/** The binding owns its bytes: it outlives the object. (A Buffer's `slice` would be no copy.) @throws DecodeError */
export function readBinding(reader: DerReader): Binding {
  const fields = reader.sequence('binding');
  const version = fields.smallInteger(0x7fff_ffff);
  if (version !== 1) throw new DecodeError(`binding: version ${version}, only 1 is known`);
  const role = fields.smallInteger(1, Tag.enumerated) === 0 ? 'client' : 'server';
  const kind = fields.smallInteger(1, Tag.enumerated) === 0 ? 'data' : 'receipt';
  const number = readSequenceNumber(fields);
  const contentType = fields.smallInteger(MAX_CONTENT_TYPE);
  const application = readApplication(fields);
  const peer = new Uint8Array(fields.octetString());
  const sessionBinding = new Uint8Array(fields.octetString());
  const treeHead = new Uint8Array(fields.octetString());
  fields.end();
  const isSound =
    (peer.length === 0 || peer.length === PEER_DIGEST_LENGTH) &&
    sessionBinding.length === SESSION_BINDING_LENGTH &&
    treeHead.length <= MAX_TREE_HEAD_BYTES;
  if (!isSound) throw new DecodeError('binding: a field of impossible length');
  return { version, role, kind, sequence: number, contentType, application, peer, sessionBinding, treeHead };
}

/** @throws DecodeError */
export function decodeBinding(der: Uint8Array): Binding {
  const reader = new DerReader(der, 'binding');
  const binding = readBinding(reader);
  reader.end();
  return binding;
}

/** @throws SignatureError ERR_SIGN_BINDING_MISMATCH, its `field` names the first that differs */
export function checkBinding(binding: Binding, expected: Partial<Binding>): void {
  for (const field of FIELDS) {
    const wanted = expected[field];
    if (wanted === undefined || isSame(wanted, binding[field])) continue;
    throw new SignatureError(
      'ERR_SIGN_BINDING_MISMATCH',
      `The signature is bound to another ${field} than the one at hand: it was made for something else`,
      field,
    );
  }
}

const VERSION = encodeDer(integer(1));
const ZERO = encodeDer(enumerated(0));
const ONE = encodeDer(enumerated(1));

const FIELDS = [
  'version',
  'kind',
  'role',
  'sessionBinding',
  'sequence',
  'contentType',
  'application',
  'peer',
  'treeHead',
] as const satisfies readonly (keyof Binding)[];

function isSame(a: Binding[keyof Binding], b: Binding[keyof Binding]): boolean {
  return a instanceof Uint8Array && b instanceof Uint8Array ? equalBytes(a, b) : a === b;
}

function checkOwn(binding: Binding, application: Uint8Array): void {
  const { sequence: number, contentType, peer, sessionBinding, treeHead } = binding;
  const isSound =
    Number.isSafeInteger(number) &&
    number >= 0 &&
    Number.isInteger(contentType) &&
    contentType >= 0 &&
    contentType <= MAX_CONTENT_TYPE &&
    application.length <= MAX_APPLICATION_BYTES &&
    (peer.length === 0 || peer.length === PEER_DIGEST_LENGTH) &&
    sessionBinding.length === SESSION_BINDING_LENGTH &&
    treeHead.length <= MAX_TREE_HEAD_BYTES;
  if (!isSound) throw new TlsError('ERR_TLS_INTERNAL', 'A binding with a field out of its bounds');
}

function readSequenceNumber(fields: DerReader): number {
  const bytes = fields.integer();
  let value = 0;
  for (const byte of bytes) value = value * 0x100 + byte;
  // Sums above 2^53 are not exact, but never safe either.
  if ((bytes[0] as number) >= 0x80 || !Number.isSafeInteger(value))
    throw new DecodeError('binding: sequence number out of range');
  return value;
}

function readApplication(fields: DerReader): string {
  const bytes = fields.content(Tag.utf8String);
  if (bytes.length > MAX_APPLICATION_BYTES)
    throw new DecodeError(`binding: an application's name of ${bytes.length} bytes`);
  return decodeText(Tag.utf8String, bytes);
}

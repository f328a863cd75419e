import type { ContentFormat } from '../../formats/format.ts';

/* Names of the files in a bundle. docs/evidence.md shows the whole. */

/** ETSI EN 319 162-1 §A.1: first, stored, no extra field. */
export const MIMETYPE_FILE = 'mimetype';
export const MIMETYPE = 'application/vnd.etsi.asic-e+zip';
export const README_FILE = 'README.txt';
export const INDEX_FILE = 'bundle.json';
export const SUMS_FILE = 'SHA256SUMS';
export const MANIFEST_FILE = 'META-INF/manifest.xml';
export const ASIC_MANIFEST_FILE = 'META-INF/ASiCManifest.xml';
export const ASIC_TIMESTAMP_FILE = 'META-INF/timestamp.tst';

export const CHECKPOINT_FILE = 'checkpoint/checkpoint.pem';
/** What its signature covers and what is timestamped. */
export const CHECKPOINT_BODY_FILE = 'checkpoint/body.der';
export const CHECKPOINT_SIGNATURE_FILE = 'checkpoint/signature.bin';
export const CHECKPOINT_ROOT_FILE = 'checkpoint/root.bin';
export const ARCHIVE_KEY_FILE = 'checkpoint/archive-key.pem';
export const TIMESTAMP_FILE = 'checkpoint/timestamp.tst';
export const TIMESTAMP_CERTIFICATES_FILE = 'checkpoint/timestamp-certificates.pem';

/** In a record's folder: the signature of what was erased. */
export const DETACHED_FILE = 'signature.p7s';
/** In a record's folder: what a CMS signature covers, and the signature itself. */
export const ATTRIBUTES_FILE = 'signed-attributes.der';
export const SIGNATURE_FILE = 'signature.bin';

export const INDEX_FORMAT = 'trellis-evidence-bundle';
export const INDEX_VERSION = 1;

/** What `bundle.json` says: where things are. Nothing is believed because it stands here. */
export interface BundleIndex {
  readonly format: typeof INDEX_FORMAT;
  readonly version: typeof INDEX_VERSION;
  /** Hexadecimal. */
  readonly archive: string;
  readonly created: string;
  readonly records: readonly BundleIndexRecord[];
  /** Files `sessions/N/session.der`. */
  readonly sessions: readonly string[];
  /** Files `attachments/SHA256.der`. */
  readonly attachments: readonly string[];
}

export interface BundleIndexRecord {
  readonly index: number;
  readonly folder: string;
  /** The object's file in the folder; absent when there is none (erased, missing). */
  readonly object?: string | undefined;
  /** Hashes of the inclusion proof, in order, in the folder. */
  readonly proof: readonly string[];
}

export function recordFolder(index: number): string {
  return `records/${String(index).padStart(6, '0')}`;
}

export function objectFile(format: ContentFormat, isUnsigned: boolean): string {
  if (isUnsigned) return 'object.der';
  return { pkcs7: 'object.p7m', smime: 'object.eml', xmldsig: 'object.xml' }[format];
}

export function mediaType(name: string): string {
  if (name.endsWith('.p7m') || name.endsWith('.p7s')) return 'application/pkcs7-mime';
  if (name.endsWith('.eml')) return 'message/rfc822';
  if (name.endsWith('.xml')) return 'text/xml';
  if (name.endsWith('.txt') || name === SUMS_FILE) return 'text/plain';
  if (name.endsWith('.json')) return 'application/json';
  if (name.endsWith('.pem')) return 'application/x-pem-file';
  if (name.endsWith('.tst')) return 'application/vnd.etsi.timestamp-token';
  return 'application/octet-stream';
}

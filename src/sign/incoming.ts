import { TlsError } from '../errors/errors.ts';
import type { Binding } from '../formats/binding.ts';
import { ContentType } from '../wire/codepoints.ts';
import type { RawObject } from './assembler.ts';
import { Delivery } from './delivery.ts';
import { EvidenceFlag } from './evidence.ts';
import type { Place } from './messages.ts';
import type { Gap } from './sequence-window.ts';

/** An object on its way from the wire to its reader. */
export class Incoming extends Delivery {
  readonly raw: RawObject;
  /** Without ports. */
  readonly bytes: Uint8Array;
  readonly place: Place | undefined;
  /** The signer's chain from certificate_sign, as it was when the object came. */
  readonly announced: readonly Uint8Array[] | undefined;

  constructor(
    raw: RawObject,
    bytes: Uint8Array,
    place: Place | undefined,
    announced: readonly Uint8Array[] | undefined,
  ) {
    super();
    this.raw = raw;
    this.bytes = bytes;
    this.place = place;
    this.announced = announced;
  }
}

/** What the archive keeps of an object that was verified, but for what its kind adds. */
export function receivedEntry({ raw, announced }: Incoming, binding: Binding, time: number) {
  return {
    direction: 'received',
    status: 'verified',
    reason: undefined,
    time,
    sequence: binding.sequence,
    application: binding.application,
    contentType: raw.contentType,
    treeHead: binding.treeHead,
    signerChain: announced,
  } as const;
}

/** And of one that was refused, but for its bytes. */
export function rejectedEntry(
  { raw, place, announced }: Pick<Incoming, 'raw' | 'place' | 'announced'>,
  error: unknown,
  time: number,
) {
  return {
    direction: 'received',
    kind: raw.kind,
    status: 'rejected',
    reason: error instanceof TlsError ? error.code : 'ERR_TLS_INTERNAL',
    time,
    sequence: raw.sequence,
    application: place?.application ?? '',
    contentType: raw.contentType,
    objectDigest: undefined,
    content: undefined,
    target: undefined,
    treeHead: EMPTY,
    signerChain: announced,
    flags: raw.unsigned ? EvidenceFlag.unsigned : 0,
  } as const;
}

/** And of those that never came: of a gap in the numbers one entry. */
export function missingEntry({ from, to }: Gap, time: number) {
  return {
    direction: 'received',
    kind: 'data',
    status: 'missing',
    reason: from === to ? `number ${from}` : `numbers ${from} to ${to}`,
    time,
    sequence: from,
    application: '',
    contentType: ContentType.application_data,
    object: undefined,
    objectDigest: undefined,
    content: undefined,
    target: undefined,
    treeHead: EMPTY,
    signerChain: undefined,
    flags: 0,
  } as const;
}

const EMPTY = new Uint8Array(0);

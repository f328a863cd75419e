import type { SubProtocol } from '../../connection/sub-protocol.ts';
import { TlsError } from '../../errors/errors.ts';
import {
  type DataMultiplexing,
  decodeDataMultiplexing,
  encodeDataMultiplexing,
} from '../../mux/extension.ts';
import { decodeSignatureRequests, encodeSignatureRequests } from '../../sign/extension.ts';
import { clientOffer } from '../../sign/negotiation.ts';
import { UnassignedCodePoint } from '../../wire/codepoints.ts';
import type { MuxReport } from './report.ts';
import type { Subject } from './subject.ts';

/** Offers a sub-protocol to see whether the server agrees, and then says nothing in it. */
export class OfferOnly implements SubProtocol {
  readonly name: 'mux' | 'sign';
  readonly extensionType: number;
  readonly body: Uint8Array;
  /** The server's answer. */
  answered: Uint8Array | undefined;
  readonly contentTypes: readonly number[];
  readonly handshakeTypes: readonly number[];

  constructor(name: 'mux' | 'sign', extensionType: number, body: Uint8Array) {
    this.name = name;
    this.extensionType = extensionType;
    this.body = body;
    const { mtls, tls_sign, certificate_sign } = UnassignedCodePoint;
    this.contentTypes = [name === 'mux' ? mtls : tls_sign];
    this.handshakeTypes = name === 'mux' ? [] : [certificate_sign];
  }

  /** The same offer for another handshake. */
  again(): OfferOnly {
    return new OfferOnly(this.name, this.extensionType, this.body);
  }

  offer(): Uint8Array {
    return this.body;
  }

  answer(): undefined {
    return undefined;
  }

  confirm(answered: Uint8Array | undefined): void {
    this.answered = answered;
  }

  start(): void {}
  receiveRecord(): void {}
  receiveHandshake(): void {}
  receiveEnd(): void {}
  closed(): void {}
}

const ALL = { form: 'list', all: true, applications: [] } as const;

export const muxOffers = {
  both: encodeDataMultiplexing({ ...ALL, channel: true }),
  ports: encodeDataMultiplexing({ ...ALL, channel: false }),
} as const;

const FORMATS = ['pkcs7', 'smime', 'xmldsig'] as const;

export function signOffer(formats: readonly (typeof FORMATS)[number][] = FORMATS): Uint8Array {
  return encodeSignatureRequests(
    clientOffer({ formats, types: ['origin', 'delivery'], spelling: 'enum', policy: 'allow' }),
  );
}

/** What the server multiplexes. @param answered to the offer of both modes */
export async function muxFound(
  subject: Subject,
  answered: Uint8Array | undefined,
): Promise<MuxReport | undefined> {
  const first = read(answered);
  if (first === undefined) return undefined;
  const channels = first.form === 'list' && first.channel;
  let ports: DataMultiplexing | undefined = first;
  if (channels) {
    // In channel mode nothing is said of applications; in ports mode they have names.
    const offer = new OfferOnly('mux', UnassignedCodePoint.data_multiplexing, muxOffers.ports);
    const signing = new OfferOnly('sign', UnassignedCodePoint.signature, signOffer());
    await subject.dialer.shake(subject.configure({}), [() => offer, () => signing]);
    ports = read(offer.answered);
  }
  const list = ports?.form === 'list' ? ports : undefined;
  return {
    channels,
    ports: list !== undefined,
    applications: list?.all ? ['*'] : (list?.applications.map(({ name, port }) => `${name}:${port}`) ?? []),
  };
}

function read(answered: Uint8Array | undefined): DataMultiplexing | undefined {
  if (answered === undefined) return undefined;
  try {
    return decodeDataMultiplexing(answered);
  } catch (error) {
    // Someone else's use of a private code point.
    if (error instanceof TlsError) return undefined;
    throw error;
  }
}

/** The formats in which the server signs. @param answered to the offer of all of them */
export async function signFormats(subject: Subject, answered: Uint8Array | undefined): Promise<string[]> {
  if (formatOf(answered) === undefined) return [];
  const found = await Promise.all(
    FORMATS.map(async (format) => {
      const offer = new OfferOnly('sign', UnassignedCodePoint.signature, signOffer([format]));
      const mux = new OfferOnly('mux', UnassignedCodePoint.data_multiplexing, muxOffers.both);
      await subject.dialer.shake(subject.configure({}), [() => mux, () => offer]);
      return formatOf(offer.answered);
    }),
  );
  return found.filter((format) => format !== undefined);
}

function formatOf(answered: Uint8Array | undefined): string | undefined {
  if (answered === undefined) return undefined;
  try {
    return decodeSignatureRequests(answered)[0]?.format;
  } catch (error) {
    if (error instanceof TlsError) return undefined;
    throw error;
  }
}

import { ConnectionError, DecodeError } from '../../errors/errors.ts';
import { Reader } from '../../wire/reader.ts';
import { Writer } from '../../wire/writer.ts';

export interface ExporterRequest {
  readonly label: string;
  readonly context: Uint8Array;
  /** Bytes, 1 to 255: RFC 8446 §7.1 allows 255 hashes, protocols use 16 to 128 bytes. */
  readonly length: number;
}

/** `opaque label<1..249>; opaque context<0..2^16-1>; uint8 length;` */
export const exporterRequest = {
  /** @throws DecodeError */
  parse(data: Uint8Array): ExporterRequest {
    const r = new Reader(data, 'exporter request');
    // RFC 8446 §7.1: with "tls13 " before it, a label has at most 255 bytes.
    const label = new TextDecoder('latin1').decode(r.vector(1, 1, 249));
    const context = r.vector(2);
    const length = r.u8();
    r.end();
    if (length === 0) throw new DecodeError('exporter request: for no bytes');
    return { label, context, length };
  },
  /** @throws ConnectionError ERR_TLS_OPTION for what does not fit */
  build({ label, context, length }: ExporterRequest): Uint8Array {
    const fits = label.length <= 249 && context.length <= 0xffff && length >= 1 && length <= 255;
    if (!fits || !Number.isInteger(length)) {
      const most = 'a label of 249 bytes, a context of 65,535, and 1 to 255 bytes of keying material';
      throw new ConnectionError('ERR_TLS_OPTION', `A module exports at most: ${most}`);
    }
    return new Writer(label.length + context.length + 4)
      .vector(1, new TextEncoder().encode(label))
      .vector(2, context)
      .u8(length)
      .finish();
  },
};

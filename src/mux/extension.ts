import { TlsError } from '../errors/errors.ts';
import { latin1Bytes, latin1Text } from '../wire/latin1.ts';
import { Reader } from '../wire/reader.ts';
import { Writer } from '../wire/writer.ts';
import { APPLICATION_LIST_MAX, APPLICATION_NAME_MAX, APPLICATIONS_MAX } from './limits.ts';

/** One application that a session can carry. */
export interface Application {
  /** 1 to 16 bytes; names of our own are printable ASCII, a peer's byte is the character of the same number. */
  readonly name: string;
  /** The application's port at the server side, 1 to 65535: TCP over TLS, UDP over DTLS. */
  readonly port: number;
}

/** The body of `data_multiplexing`; client and server write the same struct. */
export type DataMultiplexing =
  /** Zero bytes, the form of draft-badra-hajjeh-mtls-03. */
  | { readonly form: 'empty' }
  | {
      readonly form: 'list';
      /** The entry `ALL`/0 is in the list. */
      readonly all: boolean;
      /** The entry `CHANNEL`/0 is in the list. */
      readonly channel: boolean;
      readonly applications: readonly Application[];
    };

/**
 * ```
 * opaque Port[2];
 * opaque ApplicationProtocolName<1..16>;
 * struct { ApplicationProtocolName apn; Port port; } ApplicationLayerProtocol;
 * struct { ApplicationLayerProtocol alp_list<0..2^20-1>; } data_multiplexing;
 * ```
 * @throws DecodeError for bytes that are not this struct, or go on after it
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for a name that is there twice, `ALL` or `CHANNEL` with a port, any other
 *   name with port 0 (frames could not be addressed to it), and more than 1,024 applications
 */
export function decodeDataMultiplexing(body: Uint8Array): DataMultiplexing {
  if (body.length === 0) return { form: 'empty' };
  const reader = new Reader(body, 'data_multiplexing');
  const entries = reader.list(3, decodeEntry, 0, APPLICATION_LIST_MAX);
  reader.end();

  const seen = new Set<string>();
  const applications: Application[] = [];
  for (const entry of entries) {
    if (seen.has(entry.name)) throw illegal(`names ${JSON.stringify(entry.name)} twice`);
    seen.add(entry.name);
    const word = entry.name === 'ALL' || entry.name === 'CHANNEL';
    if (word !== (entry.port === 0)) throw illegal(`gives ${JSON.stringify(entry.name)} port ${entry.port}`);
    if (!word) applications.push(entry);
  }
  if (applications.length > APPLICATIONS_MAX) throw illegal(`names ${applications.length} applications`);
  return { form: 'list', all: seen.has('ALL'), channel: seen.has('CHANNEL'), applications };
}

/** @throws TlsError ERR_TLS_INTERNAL when the list does not fit the extension */
export function encodeDataMultiplexing(value: DataMultiplexing): Uint8Array {
  if (value.form === 'empty') return new Uint8Array(0);
  const entries = [...value.applications];
  if (value.channel) entries.unshift({ name: 'CHANNEL', port: 0 });
  if (value.all) entries.unshift({ name: 'ALL', port: 0 });

  const writer = new Writer().vector(3, (list) => {
    for (const { name, port } of entries) {
      list.vector(1, latin1Bytes(name)).u16(port);
    }
  });
  if (writer.length - 3 > APPLICATION_LIST_MAX) {
    throw new TlsError('ERR_TLS_INTERNAL', `${entries.length} applications do not fit a hello extension`);
  }
  return writer.finish();
}

function decodeEntry(reader: Reader): Application {
  const name = reader.vector(1, 1, APPLICATION_NAME_MAX);
  return { name: latin1Text(name), port: reader.u16() };
}

function illegal(what: string): TlsError {
  return new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `data_multiplexing ${what}`);
}

import { DecodeError } from '../../errors/errors.ts';
import {
  type Extension,
  findExtension,
  protocolNameList,
  serverNameList,
} from '../../messages/extensions.ts';
import { HandshakeJoiner } from '../../messages/handshake.ts';
import { parseClientHello } from '../../messages/hello.ts';
import { ContentType, ExtensionType, HandshakeType } from '../../wire/codepoints.ts';

const RECORD_HEADER = 5;

/** What a server's host has to know of a ClientHello before it opens a session in the module. */
export interface PeekedHello {
  readonly serverName: string | undefined;
  /** What ALPN offers. */
  readonly protocols: readonly string[] | undefined;
  readonly extensions: readonly Extension[];
}

/** One that the module shall judge: nothing of it is of use to the host. */
const UNREADABLE: PeekedHello = { serverName: undefined, protocols: undefined, extensions: [] };

/**
 * Looks at the records of a ClientHello as they pass: no session of the module is taken up before one is complete. What
 * is wrong with it, the module finds as well, and has the alert for it.
 */
export class HelloPeek {
  readonly #joiner = new HandshakeJoiner();

  /** @returns the hello, once it is complete */
  push(record: Uint8Array): PeekedHello | undefined {
    if (record[0] !== ContentType.handshake || record.length <= RECORD_HEADER) return UNREADABLE;
    this.#joiner.push(record.subarray(RECORD_HEADER));
    try {
      const message = this.#joiner.next();
      return message === undefined ? undefined : peekHello(message, false);
    } catch (error) {
      if (isFault(error)) return UNREADABLE;
      throw error;
    }
  }
}

/** What a first message says. @param inDatagrams it is one of DTLS */
export function peekHello(
  { type, body }: { readonly type: number; readonly body: Uint8Array },
  inDatagrams: boolean,
): PeekedHello {
  if (type !== HandshakeType.client_hello) return UNREADABLE;
  try {
    const { extensions } = parseClientHello(body, inDatagrams);
    const find = (wanted: number) => findExtension(extensions, wanted);
    const name = find(ExtensionType.server_name);
    const alpn = find(ExtensionType.application_layer_protocol_negotiation);
    return {
      serverName: name === undefined ? undefined : serverNameList.parse(name),
      protocols: alpn === undefined ? undefined : protocolNameList.parse(alpn),
      extensions,
    };
  } catch (error) {
    if (isFault(error)) return UNREADABLE;
    throw error;
  }
}

function isFault(error: unknown): boolean {
  return error instanceof DecodeError || (error instanceof Error && 'alert' in error);
}

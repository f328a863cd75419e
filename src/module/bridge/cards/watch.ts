import { suiteById } from '../../../crypto/suites.ts';
import { suite12ById } from '../../../crypto/suites12.ts';
import { ModuleError } from '../../../errors/module.ts';
import { findExtension, selectedVersion } from '../../../messages/extensions.ts';
import { HandshakeJoiner } from '../../../messages/handshake.ts';
import { parseServerHello } from '../../../messages/hello.ts';
import { parseCertificateChain } from '../../../messages/tls12.ts';
import { ContentType, ExtensionType, HandshakeType } from '../../../wire/codepoints.ts';
import type { AgreedSession } from '../information.ts';

const RECORD_HEADER = 5;

/** Whole records, one by one; a rest that is none is the last of them. */
export function* recordsIn(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const length = ((bytes[at + 3] ?? 0) << 8) | (bytes[at + 4] ?? 0);
    yield bytes.subarray(at, at + RECORD_HEADER + length);
    at += RECORD_HEADER + length;
  }
}

/**
 * Reads what a server says in clear: what old cards do not tell their host. It decides nothing: a card that takes part in
 * another handshake than this one fails it.
 */
export class ServerWatch {
  readonly #joiner = new HandshakeJoiner();
  #version: number | undefined;
  #suite = 0;
  #chain: readonly Uint8Array[] = [];
  /** Records after the server's ChangeCipherSpec. */
  #encrypted = -1;

  /** @throws DecodeError, TlsError for handshake messages that are none */
  see(record: Uint8Array): void {
    const [type] = record;
    if (this.#encrypted >= 0) this.#encrypted++;
    else if (type === ContentType.change_cipher_spec) this.#encrypted = 0;
    else if (type === ContentType.handshake) {
      this.#joiner.push(record.subarray(RECORD_HEADER));
      for (let message = this.#joiner.next(); message !== undefined; message = this.#joiner.next()) {
        if (message.type === HandshakeType.server_hello) this.#hello(message.body);
        if (message.type === HandshakeType.certificate) this.#chain = parseCertificateChain(message.body);
      }
    }
  }

  /** Something has come that only the key of this session can read: up to TLS 1.2, the server's Finished. */
  get finished(): boolean {
    return this.#encrypted > 0;
  }

  /** @throws ModuleError ERR_MODULE_PROTOCOL before ServerHello, or for a suite of unknown meaning */
  agreed(serverName: string | undefined): AgreedSession {
    const suite = suiteById(this.#suite) ?? suite12ById(this.#suite);
    if (this.#version === undefined || suite === undefined) {
      throw new ModuleError(
        'ERR_MODULE_PROTOCOL',
        `The card has made a handshake of a kind that is not known here (suite ${this.#suite})`,
      );
    }
    return {
      version: this.#version,
      suite,
      group: undefined,
      peerPath: this.#chain,
      pskIdentity: undefined,
      ownChain: [],
      extensions: new Map(),
      sessionBinding: NOTHING,
      transcriptHash: NOTHING,
      serverName,
      alpnProtocol: undefined,
      maxDatagram: undefined,
    };
  }

  #hello(body: Uint8Array): void {
    const { legacyVersion, cipherSuite, extensions } = parseServerHello(body);
    const selected = findExtension(extensions, ExtensionType.supported_versions);
    this.#version = selected === undefined ? legacyVersion : selectedVersion.parse(selected);
    this.#suite = cipherSuite;
  }
}

/** The description of an alert that is in clear among records. */
export function alertAmong(records: Uint8Array): number | undefined {
  for (const record of recordsIn(records)) {
    const isAlert = record[0] === ContentType.alert && record.length === RECORD_HEADER + 2;
    if (isAlert) return record[RECORD_HEADER + 1];
  }
  return undefined;
}

const NOTHING = new Uint8Array(0);

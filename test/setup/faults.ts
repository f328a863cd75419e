import { expect } from 'vitest';
import type { Role } from '../../src/connection/sub-protocol.ts';
import type { AlertName } from '../../src/errors/alerts.ts';
import type { TlsErrorCode } from '../../src/errors/errors.ts';
import type { Extension } from '../../src/messages/extensions.ts';
import { type HandshakeMessage, handshakeMessage } from '../../src/messages/handshake.ts';
import {
  buildClientHello,
  buildEncryptedExtensions,
  buildServerHello,
  type ClientHello,
  isHelloRetryRequest,
  parseClientHello,
  parseEncryptedExtensions,
  parseServerHello,
  type ServerHello,
} from '../../src/messages/hello.ts';
import { HandshakeType } from '../../src/wire/codepoints.ts';
import { type Pair, peerOf, type Tamper, tamperMessages } from './pair.ts';

/** `finder` must have ended with exactly this code, and its peer must have been told exactly this alert. */
export function expectFound(pair: Pair, finder: Role, code: TlsErrorCode, alert: AlertName): void {
  const found = pair[finder].error;
  expect(found?.code, found?.message).toBe(code);
  const told = pair[peerOf[finder]].error;
  expect(told?.code, told?.message).toBe(`ERR_TLS_ALERT_${alert.toUpperCase()}`);
}

/** Neither side has failed. */
export function expectUnharmed(pair: Pair): void {
  expect(pair.client.error?.message).toBeUndefined();
  expect(pair.server.error?.message).toBeUndefined();
  expect(pair.client.connected && pair.server.connected).toBe(true);
}

/** Data still travels in both directions. */
export function expectAlive(pair: Pair): void {
  const before = { client: pair.client.data.length, server: pair.server.data.length };
  pair.client.connection.send(Uint8Array.of(1, 2, 3));
  pair.server.connection.send(Uint8Array.of(4, 5));
  pair.run();
  expectUnharmed(pair);
  expect([...pair.server.data.subarray(before.server)]).toEqual([1, 2, 3]);
  expect([...pair.client.data.subarray(before.client)]).toEqual([4, 5]);
}

type Change = (message: HandshakeMessage) => readonly Uint8Array[] | undefined;

/** Changes the messages of one type that one side sends: all of them, or with `nth` only that one. */
export function changing(from: Role, type: number, change: Change, nth?: number): Tamper {
  let seen = 0;
  return tamperMessages((message, sender) => {
    if (sender !== from || message.type !== type) return undefined;
    return nth === undefined || seen++ === nth ? change(message) : undefined;
  });
}

/** Replaces a message's body; the header fits the new one. */
export function changingBody(from: Role, type: number, change: (body: Uint8Array) => Uint8Array): Tamper {
  return changing(from, type, (message) => [withBody(type, change(message.body))]);
}

export function withBody(type: number, body: Uint8Array): Uint8Array {
  return handshakeMessage(type, (w) => w.bytes(body));
}

/** Rewrites the `nth` ClientHello (0: the first). */
export function changingClientHello(change: (hello: ClientHello) => ClientHello, nth = 0): Tamper {
  return changing(
    'client',
    HandshakeType.client_hello,
    ({ body }) => [buildClientHello(change(parseClientHello(body)))],
    nth,
  );
}

/** Rewrites ServerHello, or with `retry` the HelloRetryRequest. */
export function changingServerHello(change: (hello: ServerHello) => ServerHello, retry = false): Tamper {
  return changing('server', HandshakeType.server_hello, ({ body }) => {
    const hello = parseServerHello(body);
    return isHelloRetryRequest(hello) === retry ? [buildServerHello(change(hello))] : undefined;
  });
}

export function changingEncryptedExtensions(
  change: (extensions: readonly Extension[]) => readonly Extension[],
): Tamper {
  return changing('server', HandshakeType.encrypted_extensions, ({ body }) => [
    buildEncryptedExtensions(change(parseEncryptedExtensions(body))),
  ]);
}

/** An extension block with one extension replaced, added (at the end), or with `undefined` taken away. */
export function withExtension(
  extensions: readonly Extension[],
  type: number,
  body: Uint8Array | undefined,
): readonly Extension[] {
  if (body === undefined) return extensions.filter((extension) => extension.type !== type);
  if (!extensions.some((extension) => extension.type === type)) return [...extensions, { type, body }];
  return extensions.map((extension) => (extension.type === type ? { type, body } : extension));
}

/** Changes an extension in anything that has extensions. */
export function setExtension<T extends { readonly extensions: readonly Extension[] }>(
  message: T,
  type: number,
  body: Uint8Array | undefined,
): T {
  return { ...message, extensions: withExtension(message.extensions, type, body) };
}

/** What is wrong, where, and what comes of it: the code of whoever finds it, and the alert that the other side receives. */
export type Fault = readonly [what: string, tamper: Tamper, code: TlsErrorCode, alert: AlertName];

export const DECODE = ['ERR_TLS_DECODE', 'decode_error'] as const;
export const FAILURE = ['ERR_TLS_HANDSHAKE_FAILURE', 'handshake_failure'] as const;
export const FINISHED = ['ERR_TLS_BAD_FINISHED', 'decrypt_error'] as const;
export const ILLEGAL = ['ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'] as const;
export const MISSING = ['ERR_TLS_MISSING_EXTENSION', 'missing_extension'] as const;
export const SIGNATURE = ['ERR_TLS_BAD_SIGNATURE', 'decrypt_error'] as const;
export const UNEXPECTED = ['ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message'] as const;
export const UNSUPPORTED = ['ERR_TLS_UNSUPPORTED_EXTENSION', 'unsupported_extension'] as const;
export const VERSION = ['ERR_TLS_UNSUPPORTED_VERSION', 'protocol_version'] as const;

export const NOTHING = new Uint8Array(0);

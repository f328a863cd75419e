export type Role = 'client' | 'server';

/** What the hellos have settled by the time an extension's owner is asked. */
export interface HelloContext {
  readonly serverName: string | undefined;
  /** Protocol selected by ALPN; known to the server when it answers, to the client when it confirms. */
  readonly alpnProtocol: string | undefined;
}

/**
 * A hello extension that lives outside the engine: offered in ClientHello, answered in EncryptedExtensions.
 * It is negotiated when the server answers with a body.
 * Whatever it throws as a `TlsError` ends the handshake with that error's alert.
 */
export interface HelloExtension {
  readonly extensionType: number;
  /** Client: the body for ClientHello, or `undefined` not to offer it. */
  offer(): Uint8Array | undefined;
  /**
   * Server: the body for EncryptedExtensions, or `undefined` for none. `offered` is `undefined` when the client sent
   * no such extension; then the result must be `undefined` as well (RFC 8446 §4.2).
   */
  answer(offered: Uint8Array | undefined, hello: HelloContext): Uint8Array | undefined;
  /** Client: what the server answered, `undefined` when it left the extension out. */
  confirm(answered: Uint8Array | undefined, hello: HelloContext): void;
}

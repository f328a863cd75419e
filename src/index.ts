/**
 * Trellis: TLS 1.3 and 1.2 with the interface of node:tls, sub-protocols that share a session, and the engine itself.
 *
 * ```
 * connect, createServer, createSecureContext   as in node:tls (docs/node-api.md)
 * Connection, configureClient, configureServer the engine: bytes in, bytes out, no I/O (docs/architecture.md)
 * SubProtocol                                  the seam for protocols beside application data
 * nodeCrypto                                   the cryptography that audits and verifiers of `trellis/evidence` ask for
 * connectMux, muxSession                       many application connections in one session (docs/multiplexing.md)
 * ```
 *
 * What multiplexing is made of, without I/O, is in `trellis/mux`; signing and what it is made of in `trellis/sign`
 * (docs/tls-sign.md).
 */
export {
  Connection,
  type ConnectionEvent,
  type ConnectionInfo,
} from './connection/connection.ts';
export type {
  HelloContext,
  Role,
  SubProtocol,
  SubProtocolFactory,
  SubProtocolLink,
} from './connection/sub-protocol.ts';
export type { Legacy } from './crypto/legacy.ts';
export { nodeCrypto } from './crypto/node/provider.ts';
export type { CryptoProvider, SigningKey } from './crypto/provider.ts';
export type { AlertName } from './errors/alerts.ts';
export {
  AlertReceivedError,
  CertificateError,
  ConnectionError,
  type ConnectionErrorCode,
  DecodeError,
  RefusedError,
  TlsError,
  type TlsErrorCode,
  TrellisError,
} from './errors/errors.ts';
export { ModuleError, type ModuleErrorCode } from './errors/module.ts';
export type {
  CertificateWishes,
  ClientConfig,
  Identity,
  PeerVerifier,
  ServerConfig,
  SessionStore,
} from './handshake/config.ts';
export type { ALPNCallback, CertificateCallback, SNICallback } from './node/callbacks.ts';
export { type ConnectionOptions, connect } from './node/connect.ts';
export {
  type CheckServerIdentity,
  type ClientSettings,
  checkServerIdentity,
  configureClient,
  configureServer,
  type PeerSettings,
  type ServerSettings,
} from './node/engine-config.ts';
export { keyLogFile } from './node/keylog.ts';
export { openModule } from './node/module/open.ts';
export { SecurityModule, type SecurityModuleOptions } from './node/module/security-module.ts';
export {
  connectMux,
  MuxConnection,
  type MuxConnectionOptions,
  type MuxConnectOptions,
  MuxDatagrams,
  type MuxOpenOptions,
  MuxSession,
  muxSession,
  type SessionSocket,
} from './node/mux.ts';
export {
  MuxAgent,
  type MuxAgentOptions,
  MuxHttpsAgent,
  type MuxRoute,
  muxCreateConnection,
  muxUndiciConnect,
} from './node/mux-clients.ts';
export type { DetailedPeerCertificate, PeerCertificate } from './node/peer-certificate.ts';
export { Pkcs11Key, type Pkcs11Options } from './node/pkcs11/open.ts';
export type { PskInput, PskLookup } from './node/psk.ts';
export {
  type CertificateInput,
  createSecureContext,
  type KeyInput,
  type KeyWithPassphrase,
  SecureContext,
  type SecureContextOptions,
  type Staple,
} from './node/secure-context.ts';
export { createServer, type SecureConnectionListener, Server, type ServerOptions } from './node/server.ts';
export type { SignWriteOptions, SocketSigning } from './node/sign.ts';
export type { SignSource } from './node/sign-source.ts';
export { type SignedMessages, StreamedMessage } from './node/signed-messages.ts';
export { type StreamOptions, TLSSocket, type TLSSocketOptions } from './node/tls-socket.ts';

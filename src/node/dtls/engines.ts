import { DtlsConnection } from '../../connection/dtls-connection.ts';
import type { DatagramEngine } from '../../connection/engine.ts';
import type { SubProtocol, SubProtocolFactory } from '../../connection/sub-protocol.ts';
import type { ServerConfig } from '../../handshake/config.ts';
import { ProtocolVersion } from '../../wire/codepoints.ts';
import { clientConfig, readSession, type ServerSettings, serverConfig } from '../engine-config.ts';
import { clientPsks, pskFinder } from '../psk.ts';
import { type ContextOptions, contextOf, type SecureContext } from '../secure-context.ts';
import { type DatagramOptions, type DtlsConnectOptions, datagramConfig, factoriesOf } from './options.ts';

/*
 * Engines of DTLS made of the options of `trellis/dtls`, over whatever carries their datagrams.
 */

/**
 * Milliseconds for a handshake at a server. Shorter than over TLS, since one of `MAX_HALF_OPEN` places is taken meanwhile; long
 * enough for a flight to be sent five times (RFC 6347 §4.2.4.1: after 1, 3, 7 and 15 s).
 */
const HANDSHAKE_TIMEOUT = 30_000;

/**
 * Checks the options of a client at once; the engine is made when its time has come.
 * @param made gets its sub-protocols
 * @throws ConnectionError ERR_TLS_OPTION
 */
export function prepareClient(
  options: DtlsConnectOptions,
  made: SubProtocol[],
  wantsKeyLog: () => boolean,
): () => DatagramEngine {
  const session = options.session === undefined ? undefined : readSession(options.session);
  const context = contextOf(options);
  const config = clientConfig(context, options, session, wantsKeyLog);
  const judges = context.hasOwnTrust || options.rejectUnauthorized === false;
  const psks = clientPsks(options.psk, ProtocolVersion.dtls13);
  // It wants none itself: its port, or its transport, is its own.
  const connectionId = options.connectionId === false ? undefined : new Uint8Array(0);
  const datagrams = { ...datagramConfig(options), connectionId };
  const factories = remember(factoriesOf(options), made);
  return () => {
    const own = { ...config, datagrams, psks };
    const now = Date.now();
    return (
      options.module?.datagramClient(own, now, factories, judges) ??
      DtlsConnection.client(own, now, factories)
    );
  };
}

/**
 * The configuration of sessions that peers begin.
 * @param contextFor for a name that `addContext` has
 * @throws ConnectionError ERR_TLS_OPTION
 */
export function datagramServerConfig(
  context: SecureContext,
  options: DatagramOptions & ServerSettings,
  contextFor: (serverName: string) => SecureContext | undefined,
  wantsKeyLog: () => boolean,
): ServerConfig {
  const settings = { ...options, handshakeTimeout: options.handshakeTimeout ?? HANDSHAKE_TIMEOUT };
  return {
    ...serverConfig(context, settings, contextFor, wantsKeyLog),
    datagrams: datagramConfig(options),
    findPsk: options.psk === undefined ? undefined : pskFinder(options.psk, ProtocolVersion.dtls13),
  };
}

/** The same for one session whose peer is known to be there, so that no cookie is asked for. */
export function prepareServer(
  options: DatagramOptions & ContextOptions & ServerSettings,
  made: SubProtocol[],
  wantsKeyLog: () => boolean,
): () => DatagramEngine {
  const { module } = options;
  const config = datagramServerConfig(contextOf(options), options, () => undefined, wantsKeyLog);
  const factories = remember(factoriesOf(options), made);
  const judges = config.certificateAuthorities.length > 0;
  return () =>
    module?.datagramServer(config, Date.now(), factories, judges) ??
    DtlsConnection.server(config, Date.now(), factories);
}

/** Remembers what the factories make, for `subProtocol`. */
export function remember(
  factories: readonly SubProtocolFactory[],
  made: SubProtocol[],
): SubProtocolFactory[] {
  return factories.map((make) => (role) => {
    const subProtocol = make(role);
    made.push(subProtocol);
    return subProtocol;
  });
}

import type { CookieProof } from '../../connection/engine.ts';
import type { Seat } from '../../connection/seat.ts';
import { TlsError } from '../../errors/errors.ts';
import type { ClientConfig, ServerConfig } from '../../handshake/config.ts';
import { versionNumbers } from '../../handshake/versions.ts';
import { findExtension } from '../../messages/extensions.ts';
import { type OpenRequest, writeOpenRequest } from '../applet/open.ts';
import type { HostExtension } from '../applet/passthrough.ts';
import type { PeekedHello } from './hello-peek.ts';

/**
 * What a host says when it opens a session: a client what it offers, a server what it answers to the hello that it has
 * seen.
 *
 * @throws TlsError what the sub-protocols throw; ERR_TLS_NO_APPLICATION_PROTOCOL
 */
export function openRequest(
  config: ClientConfig | ServerConfig,
  seats: readonly Seat[],
  hello: PeekedHello | undefined,
  common: Pick<OpenRequest, 'alias' | 'fragmentSize' | 'time'> & { readonly cookie: CookieProof | undefined },
): Uint8Array {
  const { cookie, ...asked } = common;
  const { tls13, tls12 } = versionNumbers(config);
  const versions = [
    ...(config.suites.length > 0 ? [tls13] : []),
    ...(config.tls12 === undefined ? [] : [tls12]),
  ];
  const { datagrams: terms } = config;
  const datagrams = terms && { mtu: terms.mtu, timeout: terms.initialTimeout, cookie };
  const shared = { mode: 'bridge', versions, datagrams, ...asked } as const;
  if ('identities' in config) {
    return writeOpenRequest({
      ...shared,
      role: 'client',
      serverName: config.serverName,
      alpnProtocols: config.alpnProtocols,
      extensions: seats.flatMap((seat) => extension(seat, seat.offer())),
    });
  }
  const { serverName, protocols, extensions } = hello ?? NO_HELLO;
  const alpnProtocol = selectProtocol(config, protocols, serverName);
  return writeOpenRequest({
    ...shared,
    role: 'server',
    serverName: undefined,
    alpnProtocols: alpnProtocol === undefined ? [] : [alpnProtocol],
    extensions: seats.flatMap((seat) => {
      const offered = findExtension(extensions, seat.extensionType);
      return extension(seat, seat.answer(offered, { serverName, alpnProtocol }));
    }),
  });
}

function extension({ occupant }: Seat, body: Uint8Array | undefined): HostExtension[] {
  if (body === undefined) return [];
  const { extensionType: type, contentTypes, handshakeTypes } = occupant;
  return [{ type, contentTypes, handshakeTypes, body }];
}

/** @throws TlsError ERR_TLS_NO_APPLICATION_PROTOCOL (RFC 7301 §3.2) */
function selectProtocol(
  { selectProtocol: select }: ServerConfig,
  offered: readonly string[] | undefined,
  serverName: string | undefined,
): string | undefined {
  if (offered === undefined || select === undefined) return undefined;
  const selected = select(offered, serverName);
  if (selected !== undefined) return selected;
  throw new TlsError('ERR_TLS_NO_APPLICATION_PROTOCOL', 'The client offers no protocol that is served here');
}

const NO_HELLO: PeekedHello = { serverName: undefined, protocols: undefined, extensions: [] };

import type { Legacy } from '../../crypto/legacy.ts';
import { keyLogFile } from '../../node/keylog.ts';
import type { PskInput } from '../../node/psk.ts';
import { readCredential } from '../../tunnel/credentials.ts';
import { errorMessage, TunnelError } from '../../tunnel/errors.ts';
import type { TunnelLog } from '../../tunnel/log.ts';
import type { TlsVersion, TunnelOptions } from '../../tunnel/options.ts';
import { readPskFile } from '../../tunnel/psk.ts';

/** What `serve` and `connect` have in common, from the command line's names to the library's. */
export function sessionOptionsFrom(values: {
  readonly keylog: string | undefined;
  readonly 'min-version': TlsVersion | undefined;
  readonly 'max-version': TlsVersion | undefined;
  readonly legacy: readonly Legacy[] | undefined;
  readonly ciphers: string | undefined;
  readonly groups: string | undefined;
  readonly alpn: readonly string[] | undefined;
  readonly 'drain-timeout': number | undefined;
  readonly 'handshake-timeout': number | undefined;
  readonly 'mux-mode': 'channels' | 'ports' | undefined;
  readonly 'max-connections': number | undefined;
  readonly 'max-udp-flows': number | undefined;
  readonly 'udp-idle': number | undefined;
  readonly 'connection-buffer': number | undefined;
  readonly 'session-buffer': number | undefined;
}): TunnelOptions {
  return {
    onKeylog: values.keylog === undefined ? undefined : keylogTo(values.keylog),
    minVersion: values['min-version'],
    maxVersion: values['max-version'],
    legacy: values.legacy,
    ciphers: values.ciphers,
    groups: values.groups,
    alpn: values.alpn,
    drainTimeout: values['drain-timeout'],
    handshakeTimeout: values['handshake-timeout'],
    muxMode: values['mux-mode'],
    maxConnections: values['max-connections'],
    maxUdpFlows: values['max-udp-flows'],
    udpIdle: values['udp-idle'],
    connectionBuffer: values['connection-buffer'],
    sessionBuffer: values['session-buffer'],
  };
}

/** The files that serve, connect and probe have in common, read. @throws TunnelError */
export async function peerOptionsFrom(values: {
  readonly psk: readonly PskInput[] | undefined;
  readonly 'psk-file': string | undefined;
  readonly crl: string | undefined;
}): Promise<Pick<TunnelOptions, 'psk' | 'crl'>> {
  const { psk: given = [], 'psk-file': pskFile, crl } = values;
  const psk = [...given, ...(pskFile === undefined ? [] : await readPskFile('--psk-file', pskFile))];
  return {
    psk: psk.length === 0 ? undefined : psk,
    crl: crl === undefined ? undefined : await readCredential('--crl', crl, 'crl'),
  };
}

/** Someone may have left the option in a configuration file. */
export function warnOfKeylog(log: TunnelLog, file: string | undefined): void {
  if (file === undefined) return;
  log.warn(
    { event: 'keylog', file },
    'the secrets of every session are written to a file; use this for debugging only',
  );
}

function keylogTo(path: string): (line: Uint8Array) => void {
  try {
    return keyLogFile(path);
  } catch (cause) {
    throw new TunnelError('ERR_TUNNEL_FILE', `--keylog: ${errorMessage(cause)}`, { cause });
  }
}

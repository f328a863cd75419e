import { probe as examine } from '../../node/probe/probe.ts';
import { formatEndpoint } from '../../tunnel/addresses.ts';
import { readCredential } from '../../tunnel/credentials.ts';
import { TunnelError } from '../../tunnel/errors.ts';
import { secureContext } from '../../tunnel/sessions.ts';
import type { CommandContext } from '../context.ts';
import { isTokenKey } from '../keys.ts';
import { EXIT_FAILURE, EXIT_OK } from '../lifecycle.ts';
import { type SessionIdentity, withIdentity } from '../module/session.ts';
import { commonOptions, PROBE_TIME_LIMIT, PROBE_TIMEOUT, probeOptions } from '../options.ts';
import { probeText } from '../probe-text.ts';
import { statusLine } from '../status-line.ts';
import { type Found, readValues } from '../values.ts';
import { peerOptionsFrom } from './session-options.ts';

/**
 * `trellis probe`: prints what a server speaks.
 * @returns the exit code: 0 when its certificate is trusted or a key authenticates it, and the handshake of a module
 *   succeeded where there is one; 1 when there is a report and that is not so; what prevents a report is thrown
 */
export async function probe(
  given: ReadonlyMap<string, Found>,
  { printResult, printText }: CommandContext,
): Promise<number> {
  const values = readValues([...probeOptions, ...commonOptions], given);
  const { server, cert, key } = values;
  if ((cert === undefined) !== (key === undefined) && !isTokenKey(key))
    throw new TunnelError('ERR_TUNNEL_OPTION', '--cert and --key belong together; give both, or neither.');
  const { psk, crl } = await peerOptionsFrom(values);
  const ca = values.ca === undefined ? undefined : await readCredential('--ca', values.ca, 'certificate');
  const run = async ({ cert, key, module }: SessionIdentity): Promise<number> => {
    const context = { ca, crl, cert, key };
    secureContext('Certificates and keys', context);
    const status = statusLine();
    const label = formatEndpoint(server);
    try {
      const report = await examine({
        ...context,
        module,
        host: server.host,
        port: server.port,
        label,
        servername: values.servername ?? server.host,
        psk,
        ocsp: values.revocation,
        ALPNProtocols: values.alpn ?? DEFAULT_ALPN,
        timeout: values.timeout ?? PROBE_TIMEOUT,
        timeLimit: values['time-limit'] ?? PROBE_TIME_LIMIT,
        onProgress: (handshakes) => status.show(`asking ${label}, handshake ${handshakes}`),
      });
      status.end();
      if (values.json) printResult({ event: 'probed', command: 'probe', ...report });
      else printText(probeText(report));
      const hasKey = report.pskIdentity !== undefined || report.module?.pskIdentity !== undefined;
      const isAuthentic = report.trust?.trusted === true || hasKey;
      const isDone = module === undefined || report.module?.connected === true;
      return isAuthentic && isDone ? EXIT_OK : EXIT_FAILURE;
    } finally {
      status.end();
    }
  };
  return withIdentity(values, false, run);
}

/** What web servers are asked for by everybody; `--alpn` asks for others. */
const DEFAULT_ALPN: readonly string[] = ['h2', 'http/1.1'];

import { formatEndpoint } from '../../tunnel/addresses.ts';
import { readCredential } from '../../tunnel/credentials.ts';
import { serveTunnel } from '../../tunnel/serve.ts';
import type { CommandContext } from '../context.ts';
import { logWarnings, runUntilStopped } from '../lifecycle.ts';
import { createLog, standardError } from '../log.ts';
import { type SessionIdentity, withIdentity } from '../module/session.ts';
import { commonOptions, serveOptions } from '../options.ts';
import { type Found, readValues } from '../values.ts';
import { peerOptionsFrom, sessionOptionsFrom, warnOfKeylog } from './session-options.ts';
import { withSigning } from './signing.ts';

/** `trellis serve`: runs until a signal. @returns the exit code */
export async function serve(
  given: ReadonlyMap<string, Found>,
  { printResult }: CommandContext,
): Promise<number> {
  const values = readValues([...serveOptions, ...commonOptions], given);
  const log = createLog(values['log-level'] ?? 'info', values.json === true, standardError());
  logWarnings(log);
  const clientCa = values['client-ca'];
  const trust =
    clientCa === undefined ? undefined : await readCredential('--client-ca', clientCa, 'certificate');
  const peer = await peerOptionsFrom(values);
  const names = values.app.map(({ name }) => name);
  const run = (identity: SessionIdentity) =>
    withSigning(values, names, '--app', log, async (signing) => {
      const tunnel = await serveTunnel({
        ...sessionOptionsFrom(values),
        ...peer,
        ...identity,
        clientCa: trust,
        listen: values.listen,
        signing,
        applications: values.app,
        mux: values.mux,
        policy: values.policy,
        connectTimeout: values['connect-timeout'],
        maxSessions: values['max-sessions'],
        log,
      });
      const listen = formatEndpoint(tunnel.address);
      const applications = values.app.map(
        ({ name, port, target }) => `${name}:${port}=${formatEndpoint(target)}`,
      );
      const mux = values.mux ?? 'require';
      // Without a certificate to show, a server can only agree with who has one of its keys.
      if (clientCa === undefined && (peer.psk === undefined || hasCertificate(values))) {
        const keys =
          values.module !== undefined
            ? ', and where its identity in the module has keys and no certificate, only those with one of them come in'
            : peer.psk === undefined
              ? ''
              : ', and without --cert only those with a key of --psk come in';
        const text = `anyone who reaches ${listen} may use the applications; --client-ca lets in only clients with a certificate${keys}`;
        log.warn({ event: 'open-to-anyone', listen }, text);
      }
      warnOfKeylog(log, values.keylog);
      return runUntilStopped(tunnel, log, () => {
        log.info(
          { event: 'ready', listen, applications, mux, clientCertificates: clientCa !== undefined },
          'ready',
        );
        if (values.json) {
          printResult({ event: 'ready', command: 'serve', pid: process.pid, listen, applications, mux });
        }
      });
    });
  return withIdentity(values, peer.psk === undefined, run);
}

function hasCertificate(values: {
  readonly cert: string | undefined;
  readonly module: string | undefined;
}): boolean {
  return values.cert !== undefined || values.module !== undefined;
}

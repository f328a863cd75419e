import type { Applications } from './applications.ts';
import { newObservation, type Observation, startRelay } from './observer.ts';
import { type Program, type StartOptions, startProgram } from './programs.ts';
import type { Ports } from './workload.ts';

export interface Running {
  readonly clients: readonly Ports[];
  readonly seen: Observation;
  close(): Promise<void>;
}

/** With what both ends are authenticated, as options of `trellis serve` and `trellis connect`. */
export interface Credentials {
  readonly gateway: readonly string[];
  readonly client: readonly string[];
  readonly gatewayStart?: StartOptions;
}

export interface Tunnel extends Running {
  /** Process ids. */
  readonly pids: { readonly gateway: number; readonly client: number };
}

/** The real gateway and clients in processes of their own, with a relay between them that looks on. */
export async function startTunnel(
  credentials: Credentials,
  applications: Applications,
  sessions = 1,
): Promise<Tunnel> {
  const seen = newObservation();
  const programs: Program<unknown>[] = [];
  const gateway = await startProgram<{ listen: string }>(
    'src/cli/main.ts',
    [
      ...['serve', '--json', '--log-level', 'warn', '--listen', '127.0.0.1:0', ...credentials.gateway],
      ...['--app', `http=127.0.0.1:${applications.http}`],
      ...['--app', `echo=127.0.0.1:${applications.echo}`],
      ...['--app', `sink=127.0.0.1:${applications.sink}`],
    ],
    credentials.gatewayStart,
  );
  programs.push(gateway);
  const relay = await startRelay(portOf(gateway.ready.listen), seen);
  const close = async (): Promise<void> => {
    await Promise.all(programs.map((program) => program.stop()));
    relay.close();
  };
  try {
    const clients = await Promise.all(
      Array.from({ length: sessions }, () =>
        startProgram<{ forwards: { listen: string; application: string }[] }>('src/cli/main.ts', [
          ...['connect', `127.0.0.1:${relay.port}`, '--json', '--log-level', 'warn'],
          ...['--servername', 'localhost', ...credentials.client],
          ...['--forward', '0=http', '--forward', '0=echo', '--forward', '0=sink'],
        ]),
      ),
    );
    programs.push(...clients);
    const pids = { gateway: gateway.pid, client: clients[0]?.pid ?? -1 };
    return { clients: clients.map(({ ready }) => portsOf(ready.forwards)), seen, pids, close };
  } catch (error) {
    await close();
    throw error;
  }
}

function portsOf(forwards: readonly { readonly listen: string; readonly application: string }[]): Ports {
  const port = (name: string): number =>
    portOf(forwards.find(({ application }) => application === name)?.listen ?? '');
  return { http: port('http'), echo: port('echo'), sink: port('sink') };
}

function portOf(endpoint: string): number {
  return Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
}

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
  const { http, echo, sink } = applications;
  const ends = await startEnds({
    credentials,
    applications: { http, echo, sink },
    sessions,
    relay: (target) => startRelay(target, seen),
  });
  const clients = ends.clients.map(({ http = -1, echo = -1, sink = -1 }) => ({ http, echo, sink }));
  return { ...ends, clients, seen };
}

export interface EndsOptions {
  readonly credentials: Credentials;
  /** Ports on 127.0.0.1 by name; those of UDP end in `/udp`. */
  readonly applications: Readonly<Record<string, number>>;
  readonly sessions: number;
  /** Of what sessions run over. Default: TCP. */
  readonly transport?: 'udp';
  readonly relay: (target: number) => Promise<{ readonly port: number; close(): void }>;
}

export interface Ends extends Pick<Tunnel, 'pids' | 'close'> {
  /** Local ports by the application that they lead to. */
  readonly clients: readonly Readonly<Record<string, number>>[];
}

export async function startEnds(options: EndsOptions): Promise<Ends> {
  const { credentials, applications, sessions, transport, relay: startRelay } = options;
  const prefix = transport === 'udp' ? 'udp:' : '';
  const programs: Program<unknown>[] = [];
  const gateway = await startProgram<{ listen: string }>(
    'src/cli/main.ts',
    [
      ...[
        'serve',
        '--json',
        '--log-level',
        'warn',
        '--listen',
        `${prefix}127.0.0.1:0`,
        ...credentials.gateway,
      ],
      ...Object.entries(applications).flatMap(([name, port]) => ['--app', `${name}=127.0.0.1:${port}`]),
    ],
    credentials.gatewayStart,
  );
  programs.push(gateway);
  const relay = await startRelay(portOf(gateway.ready.listen));
  const close = async (): Promise<void> => {
    await Promise.all(programs.map((program) => program.stop()));
    relay.close();
  };
  try {
    const clients = await Promise.all(
      Array.from({ length: sessions }, () =>
        startProgram<{ forwards: { listen: string; application: string }[] }>('src/cli/main.ts', [
          ...['connect', `${prefix}127.0.0.1:${relay.port}`, '--json', '--log-level', 'warn'],
          ...['--servername', 'localhost', ...credentials.client],
          ...Object.keys(applications).flatMap((name) => ['--forward', forwardOf(name)]),
        ]),
      ),
    );
    programs.push(...clients);
    return {
      clients: clients.map(({ ready }) =>
        Object.fromEntries(ready.forwards.map(({ application, listen }) => [application, portOf(listen)])),
      ),
      pids: { gateway: gateway.pid, client: clients[0]?.pid ?? -1 },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Any local port, as `--forward` wants it. */
function forwardOf(application: string): string {
  return application.endsWith('/udp') ? `0/udp=${application.slice(0, -'/udp'.length)}` : `0=${application}`;
}

function portOf(endpoint: string): number {
  return Number(endpoint.slice(endpoint.lastIndexOf(':') + 1));
}

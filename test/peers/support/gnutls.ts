import { spawnSync } from 'node:child_process';
import { need } from '../../setup/need.ts';
import { freePort } from '../../setup/ports.ts';
import { type Credential, HOST } from './pki.ts';
import { Program } from './program.ts';

export const gnutlsClient = need('gnutls-cli');
export const gnutlsServer = need('gnutls-serv');

export function gnutlsVersion(): string {
  const { stdout } = spawnSync(gnutlsClient.path, ['--version'], { encoding: 'utf8' });
  return `GnuTLS ${/^gnutls-cli (\S+)/.exec(stdout)?.[1] ?? ''}`;
}

/** A priority string for TLS 1.3 alone. */
export function priority(...words: readonly string[]): string {
  return ['NORMAL', '-VERS-ALL', '+VERS-TLS1.3', ...words].join(':');
}

export interface GnutlsServer {
  readonly program: Program;
  readonly port: number;
}

/**
 * `gnutls-serv`, ready to accept; without `--http` it sends back what it gets. It has no option for the address to
 * listen on, and cannot choose a port and say which.
 */
export async function startGnutlsServer(
  credentials: readonly Credential[],
  args: readonly string[] = [],
): Promise<GnutlsServer> {
  const port = await freePort();
  const identities = credentials.flatMap(({ certFile, keyFile }) => [
    ...['--x509certfile', certFile],
    ...['--x509keyfile', keyFile],
  ]);
  const mode = args.includes('--http') ? [] : ['--echo'];
  const program = new Program(gnutlsServer.path, ['-p', `${port}`, ...mode, ...identities, ...args]);
  await program.until(new RegExp(`IPv4 0\\.0\\.0\\.0 port ${port}\\.\\.\\.done`));
  return { program, port };
}

/** `gnutls-cli`; it ends at the end of its standard input. */
export class GnutlsClient extends Program {
  /** @param trust the CA */
  constructor(port: number, trust: Credential, args: readonly string[] = []) {
    super(gnutlsClient.path, [
      ...['--port', `${port}`, '--x509cafile', trust.certFile],
      ...['--sni-hostname', HOST, '--verify-hostname', HOST],
      ...args,
      '127.0.0.1',
    ]);
  }

  /** Sends close_notify and ends. */
  async quit(): Promise<number | null> {
    this.child.stdin.end();
    return this.end();
  }
}

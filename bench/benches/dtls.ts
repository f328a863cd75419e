import { type Bench, defineBench, median } from '../harness.ts';
import { bytesPerSession, hasNodeDtlsClient, isHere, type Measured, run } from '../support/dtls.ts';
import type { StackName } from '../support/dtls-terms.ts';

/** Each round starts two processes, which get warm by themselves. */
const ROUNDS = 3;
/** werift waits by the clock between flights; so that its rate is that of its work, many go on at once. */
const MANY = 16;

/** Processor time beside the rates: on a busy machine it says more. */
class Costs {
  readonly #seen = new Map<string, Measured[]>();

  async rate(what: string, measured: Promise<Measured>): Promise<number> {
    const found = await measured;
    this.#seen.set(what, [...(this.#seen.get(what) ?? []), found]);
    return found.rate;
  }

  /** Microseconds, medians. */
  report(): Record<string, { client: number; server: number }> {
    const of = (all: readonly Measured[], which: 'clientMs' | 'serverMs'): number =>
      Math.round(median(all.map((one) => one[which])) * 1_000);
    return Object.fromEntries(
      [...this.#seen].map(([what, all]) => [
        what,
        { client: of(all, 'clientMs'), server: of(all, 'serverMs') },
      ]),
    );
  }
}

const handshakes = new Costs();
const oursOnce = (): Promise<number> =>
  handshakes.rate('ours', run({ server: 'ours', client: 'ours', auth: 'cert', scenario: 'handshake:1' }));
const both = (stack: StackName): Promise<number> =>
  handshakes.rate(
    `${stack}, ${MANY} at once`,
    run({ server: stack, client: stack, auth: 'cert', scenario: `handshake:${MANY}` }),
  );
const withKey = (client: StackName): Promise<number> =>
  handshakes.rate(
    `${client} with a key`,
    run({ server: 'openssl', client, auth: 'psk', scenario: 'handshake:1' }),
  );

/**
 * Full handshakes of DTLS 1.2 between two processes, the cookie's round trip included: X25519, a certificate on P-256 that
 * is verified by path and name (werift: not), AES-128-GCM. The client is ours, and goes on to the next as soon as it is done.
 */
export const dtlsHandshake: Bench = defineBench({
  name: 'dtls-handshake',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'OpenSSL s_server, our client',
  rounds: ROUNDS,
  coldStart: true,
  ours: oursOnce,
  peer: () =>
    isHere('openssl')
      ? handshakes.rate(
          's_server',
          run({ server: 'openssl', client: 'ours', auth: 'cert', scenario: 'handshake:1' }),
        )
      : undefined,
  rivals: [
    { name: `werift, both ends, ${MANY} at once`, ours: () => both('ours'), theirs: () => both('werift') },
    ...(isHere('openssl') && hasNodeDtlsClient()
      ? [
          {
            // It has no server, and no certificates.
            name: 'node-dtls-client, PSK, with s_server',
            ours: () => withKey('ours'),
            theirs: () => withKey('node-dtls-client'),
          },
        ]
      : []),
  ],
  details: async () => ({ 'µs of processor': handshakes.report() }),
});

const echoes = new Costs();
const SIZES = [200, 1_200] as const;
const echo = (
  server: StackName | 'gnutls-serv',
  client: StackName,
  size: number,
  auth: 'cert' | 'psk' = 'cert',
) =>
  echoes.rate(
    `${client} and ${server}, ${size} bytes${auth === 'psk' ? ', PSK' : ''}`,
    run({ server, client, auth, scenario: `echo:${size}` }),
  );

/** Datagrams to a server and back in one session of AES-128-GCM between two processes, a window of them under way. */
export const dtlsDatagrams: Bench = defineBench({
  name: 'dtls-datagrams',
  unit: 'datagrams/s',
  higherIsBetter: true,
  // s_server sends nothing back over DTLS.
  peerName: 'GnuTLS gnutls-serv, our client, 200 bytes',
  rounds: ROUNDS,
  coldStart: true,
  ours: () => echo('ours', 'ours', 200),
  peer: () => (isHere('gnutls-serv') ? echo('gnutls-serv', 'ours', 200) : undefined),
  rivals: [
    ...(isHere('gnutls-serv')
      ? [
          {
            name: 'GnuTLS gnutls-serv, our client, 1,200 bytes',
            ours: () => echo('ours', 'ours', 1_200),
            theirs: () => echo('gnutls-serv', 'ours', 1_200),
          },
        ]
      : []),
    ...SIZES.map((size) => ({
      name: `werift, both ends, ${size} bytes`,
      ours: () => echo('ours', 'ours', size),
      theirs: () => echo('werift', 'werift', size),
    })),
    ...(hasNodeDtlsClient() ? SIZES : []).map((size) => ({
      name: `node-dtls-client with our server, ${size} bytes`,
      ours: () => echo('ours', 'ours', size, 'psk'),
      theirs: () => echo('ours', 'node-dtls-client', size, 'psk'),
    })),
  ],
  details: async () => ({ 'µs of processor': echoes.report() }),
});

const SESSIONS = 10_000;
/** Its handshakes take a hundred times as long. */
const WERIFT_SESSIONS = 500;

/** Resident memory of an idle session at a server that has 10,000 of them on one port. Clients are in another process. */
export const dtlsMemory: Bench = defineBench({
  name: 'dtls-memory',
  unit: 'bytes/session',
  higherIsBetter: false,
  peerName: `werift, ${WERIFT_SESSIONS} sessions`,
  rounds: 1,
  coldStart: true,
  ours: () => bytesPerSession('ours', SESSIONS),
  peer: () => bytesPerSession('werift', WERIFT_SESSIONS),
});

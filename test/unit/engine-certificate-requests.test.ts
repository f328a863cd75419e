import { describe, expect, test } from 'vitest';
import { TlsError } from '../../src/errors/errors.ts';
import type { CertificateWishes, ClientConfig, Identity, ServerConfig } from '../../src/handshake/config.ts';
import {
  clientConfig,
  clientIdentity,
  ONLY_TLS12,
  serverConfig,
  serverIdentity,
  testIdentity,
} from '../setup/engine-config.ts';
import { expectAlive, expectFound } from '../setup/faults.ts';
import { Pair } from '../setup/pair.ts';

/* A client that chooses its certificate by the server's request: the wanted state `identities`. */

const name = (fill: number) => new Uint8Array(10).fill(fill);
const other = testIdentity('p384');
const [RSA_SIGN, ECDSA_SIGN] = [1, 64];
const bytes = (chain: readonly Uint8Array[]) => chain.map((der) => [...der]);
const chainOf = (pair: Pair) => bytes(pair.server.connection.info?.peer?.chain ?? []);
const LATER = new Promise<readonly Identity[]>(() => {});

/** What is told of the kinds of certificates: TLS 1.3 has schemes alone. */
const VERSIONS = [
  ['TLS 1.3', {}, undefined],
  ['TLS 1.2', ONLY_TLS12, [ECDSA_SIGN, RSA_SIGN]],
] as const;

describe.each(VERSIONS)('a request for a certificate, %s', (_version, version, certificateTypes) => {
  const connect = (client: Partial<ClientConfig>, server: Partial<ServerConfig> = {}) =>
    new Pair({
      client: clientConfig({ ...version, identities: [clientIdentity], ...client }),
      server: serverConfig({ ...version, clientCertificate: 'request', ...server }),
    }).run();
  const choosing = (answer: readonly Identity[] | Promise<readonly Identity[]>) => {
    const asked: [string | undefined, CertificateWishes][] = [];
    const identitySource: ClientConfig['identitySource'] = {
      select(...question) {
        asked.push(question);
        return answer;
      },
    };
    return { asked, identitySource };
  };

  test('says what the server would like to see, and the answer is shown in place of others', () => {
    const { asked, identitySource } = choosing([other]);
    const { schemes } = serverConfig(version);
    const pair = connect({ identitySource }, { certificateAuthorities: [name(1), name(2)] });
    expectAlive(pair);
    expect(asked).toEqual([['server.test', { schemes, authorities: [name(1), name(2)], certificateTypes }]]);
    expect(chainOf(pair)).toEqual(bytes(other.chain));
    expect(pair.client.connection.identities).toEqual([other]);
  });

  test('without authorities names none', () => {
    const { asked, identitySource } = choosing([other]);
    expectAlive(connect({ identitySource }));
    expect(asked.map(([, { authorities }]) => authorities)).toEqual([[]]);
  });

  test('may be answered later: nothing is said before', () => {
    const { identitySource } = choosing(LATER);
    const pair = connect({ identitySource });
    const said = pair.sent.client.length;
    expect(pair.client.connection.wanted).toMatchObject({ kind: 'identities', serverName: 'server.test' });
    expect(pair.server.connected).toBe(false);
    pair.client.connection.provideIdentities([other], pair.now);
    pair.run();
    expectAlive(pair);
    expect(pair.sent.client.length).toBeGreaterThan(said);
    expect(chainOf(pair)).toEqual(bytes(other.chain));
  });

  test('that is answered by nothing shows nothing', () => {
    const pair = connect({ identitySource: choosing([]).identitySource, insistOnCertificate: true });
    expectAlive(pair);
    expect(pair.server.connection.info?.peer).toBeUndefined();
    expect(pair.client.connection.identities).toEqual([]);
  });

  test('that is answered by what does not suit ends the handshake where it is insisted on', () => {
    const { identitySource } = choosing([testIdentity('ed25519')]);
    const server = { schemes: clientIdentity.key.schemes };
    const pair = connect({ identitySource, insistOnCertificate: true }, server);
    expectFound(pair, 'client', 'ERR_TLS_NO_SUITABLE_CERTIFICATE', 'handshake_failure');
    expectAlive(connect({ identitySource }, server));
  });

  test('that cannot be answered ends the handshake', () => {
    const pair = connect({ identitySource: choosing(LATER).identitySource });
    pair.client.connection.abandon(new TlsError('ERR_TLS_INTERNAL', 'The card is gone'));
    pair.run();
    expectFound(pair, 'client', 'ERR_TLS_INTERNAL', 'internal_error');
  });

  test('that does not come asks for nothing', () => {
    const { asked, identitySource } = choosing([other]);
    expectAlive(connect({ identitySource }, { clientCertificate: 'none' }));
    expect(asked).toEqual([]);
  });
});

test.each(VERSIONS)(
  'a server that looks for certificates is told what the client verifies, %s',
  (_v, version, certificateTypes) => {
    const asked: CertificateWishes[] = [];
    const authorities = [name(3)];
    const schemes = clientConfig(version).schemes.slice(0, 4);
    const pair = new Pair({
      client: clientConfig({ ...version, schemes, authorities }),
      server: serverConfig({
        ...version,
        identitySource: {
          select(_name, wishes) {
            asked.push(wishes);
            return [serverIdentity];
          },
        },
      }),
    }).run();
    expectAlive(pair);
    // Our ClientHello has the extension for TLS 1.3.
    const named = certificateTypes === undefined ? authorities : [];
    expect(asked).toEqual([{ schemes, authorities: named, certificateTypes: undefined }]);
  },
);

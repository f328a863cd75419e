import { describe, expect, test } from 'vitest';
import { Connection } from '../../../src/connection/connection.ts';
import { DtlsConnection } from '../../../src/connection/dtls-connection.ts';
import { DtlsGreeter } from '../../../src/connection/dtls-greeter.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { isCbc, LEGACY_SUITES, type Suite12, TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import { AlertDescription } from '../../../src/errors/alerts.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { PROTOCOLS_12, suitesOf } from '../../../src/handshake/tls12/protocol.ts';
import { parseFragments } from '../../../src/messages/dtls.ts';
import { type Frame, nextFrame } from '../../../src/record/dtls/frames.ts';
import { MAC_THEN_ENCRYPT_FORGERIES, Opener12, Sealer12 } from '../../../src/record/dtls/protection12.ts';
import type { Keys12 } from '../../../src/record/tls/record12.ts';
import { ContentType, ProtocolVersion } from '../../../src/wire/codepoints.ts';
import { ADDRESS, DtlsPair, type DtlsPairSetup, LATENCY, type Network } from '../../setup/dtls-pair.ts';
import { clientConfig, serverConfig, testTickets } from '../../setup/engine-config.ts';
import { START } from '../../setup/pair.ts';
import { EVERY_IDENTITY, WITH_PSK } from '../tls12/kit.ts';

/* DTLS 1.0, RSA key exchange and CBC over datagrams: spoken where both sides name them. */

const { dtls10, dtls12, tls11 } = ProtocolVersion;
const datagrams = { mtu: 1232, initialTimeout: 1000, maxTimeout: 60_000 };
const suites = [...TLS12_SUITES, ...LEGACY_SUITES];
const tls12 = { suites, requireExtendedMasterSecret: true } as const;
const OLD = { suites: [], tls12, datagrams, legacy: ['dtls1.0', 'rsa', 'cbc', 'rc4'] } as const;
/** DTLS 1.0 alone. */
const ONLY_10 = { ...OLD, tls12: { ...tls12, newest: tls11 } } as const;
/** Without what is only spoken where it is named. */
const PLAIN = { ...OLD, legacy: [] } as const;

function connect(
  client: Partial<ClientConfig>,
  server: Partial<ServerConfig>,
  setup: Partial<DtlsPairSetup> = {},
): DtlsPair {
  const { p256, rsa } = EVERY_IDENTITY;
  const selectIdentities = () => [p256, rsa];
  return new DtlsPair({
    client: clientConfig(client),
    server: serverConfig({ selectIdentities, ...server }),
    now: START,
    ...setup,
  }).run();
}

function expectAlive(pair: DtlsPair): void {
  expect([pair.client.error?.message, pair.server.error?.message]).toEqual([undefined, undefined]);
  pair.client.connection.send(Uint8Array.of(1));
  pair.server.connection.send(Uint8Array.of(2));
  pair.run();
  expect([pair.client.data, pair.server.data]).toEqual([['\u0002'], ['\u0001']]);
}

/** Changes, with `change`, the first datagram that has this type of message as its first, however often it is sent. */
function changing(from: 'client' | 'server', type: number, change: (datagram: Uint8Array) => void): Network {
  return (sent, role) => {
    const bytes = new Uint8Array(sent);
    if (role === from && bytes[0] === ContentType.handshake && bytes[13] === type) change(bytes);
    return [{ after: LATENCY, bytes }];
  };
}
const [CLIENT_HELLO, SERVER_HELLO] = [1, 2];
/** Of ClientHello and ServerHello, behind the headers of record and fragment. */
const VERSION_AT = 13 + 12;

const cases = PROTOCOLS_12.filter(({ version }) => version === dtls12 || version === dtls10).flatMap(
  (protocol) =>
    suitesOf(OLD, protocol)
      .filter((suite) => suite.legacy.length > 0 || protocol.version === dtls10)
      .map((suite) => ({ protocol, suite, version: protocol.version === dtls10 ? 'DTLSv1' : 'DTLSv1.2' })),
);

describe('every old suite in every version that has it', () => {
  test('there are some, and RC4 is not among them', () => {
    expect(cases.length).toBeGreaterThan(25);
    expect(cases.some(({ suite }) => suite.legacy.includes('rc4'))).toBe(false);
  });

  test.each(cases)('$version $suite.name', ({ protocol, suite, version }) => {
    const one = { ...OLD, tls12: { ...tls12, suites: [suite], newest: protocol.rulesOf } };
    const withKey = suite.authentication === 'psk' ? WITH_PSK : { client: {}, server: {} };
    const pair = connect({ ...one, ...withKey.client }, { ...OLD, ...withKey.server });
    expectAlive(pair);
    expect(pair.client.connection.info).toMatchObject({ protocol: version, suite });
    const [ours, theirs] = [pair.client, pair.server].map(({ connection }) =>
      connection.exportKeyingMaterial('EXPORTER-test', undefined, 32),
    );
    expect(ours).toEqual(theirs);
  });
});

describe('without being named', () => {
  test('a server does not speak DTLS 1.0', () => {
    const pair = connect(ONLY_10, PLAIN);
    expect(pair.server.error?.code).toBe('ERR_TLS_UNSUPPORTED_VERSION');
    expect(pair.client.error?.code).toBe('ERR_TLS_ALERT_PROTOCOL_VERSION');
  });

  test('nor does it ask such a client for a cookie', () => {
    const [hello] = DtlsConnection.client(clientConfig(ONLY_10), START).transmit();
    const greeting = new DtlsGreeter(serverConfig(PLAIN), new Uint8Array(32)).greet(
      hello as Uint8Array,
      ADDRESS,
      START,
    );
    expect(greeting.kind === 'reply' ? [...greeting.datagram.subarray(13)] : greeting).toEqual([
      2,
      AlertDescription.protocol_version,
    ]);
  });

  test('naming those of TLS names none of DTLS', () => {
    const pair = connect(ONLY_10, { ...OLD, legacy: ['tls1.0', 'tls1.1', 'cbc'] });
    expect(pair.server.error?.code).toBe('ERR_TLS_UNSUPPORTED_VERSION');
  });

  test('a client does not speak DTLS 1.0, whatever a server says', () => {
    const network = changing('server', SERVER_HELLO, (bytes) => {
      bytes[VERSION_AT + 1] = 0xff;
    });
    const pair = connect(PLAIN, PLAIN, { network });
    expect(pair.client.error?.code).toBe('ERR_TLS_UNSUPPORTED_VERSION');
    expect(pair.server.error?.code).toBe('ERR_TLS_ALERT_PROTOCOL_VERSION');
  });

  test('neither side speaks CBC without encrypt_then_mac', () => {
    const cbc = {
      ...PLAIN,
      tls12: { ...tls12, suites: suites.filter(({ protection }) => 'cbc' in protection) },
    };
    expectAlive(connect(cbc, cbc));
    // The extension has no body: under another number nobody knows it.
    const without = (type: number) => (bytes: Uint8Array) => {
      const at = Buffer.from(bytes).indexOf(Buffer.of(0, 22, 0, 0));
      if (at > 0) bytes[at] = type;
    };
    const server = connect(cbc, cbc, { network: changing('client', CLIENT_HELLO, without(0xee)) }).server;
    expect(server.error?.code).toBe('ERR_TLS_NO_SHARED_CIPHER');
  });

  test('a suite with the RSA key exchange is not used', () => {
    const one = { ...tls12, suites: LEGACY_SUITES.filter(({ legacy }) => legacy.includes('rsa')) };
    const pair = connect({ ...OLD, tls12: one }, { ...PLAIN, tls12: one });
    expect(pair.server.error?.code).toBe('ERR_TLS_NO_SHARED_CIPHER');
  });
});

test('a client that is left without any version says so', () => {
  const option = expect.objectContaining({ code: 'ERR_TLS_OPTION' });
  const of = (legacy: ClientConfig['legacy'], network: Partial<ClientConfig>) =>
    clientConfig({ suites: [], tls12: ONLY_10.tls12, legacy, ...network });
  expect(() => DtlsConnection.client(of(['tls1.1'], { datagrams }), START)).toThrow(option);
  expect(() => Connection.client(of(['dtls1.0'], {}), START)).toThrow(option);
});

test('RC4 is not for datagrams, though it is named', () => {
  const one = { ...tls12, suites: LEGACY_SUITES.filter(({ legacy }) => legacy.includes('rc4')) };
  const pair = connect(OLD, { ...OLD, tls12: one });
  expect(pair.server.error?.code).toBe('ERR_TLS_NO_SHARED_CIPHER');
});

describe('versions', () => {
  test('the newest that both speak is taken', () => {
    expect(connect(ONLY_10, OLD).server.connection.info?.protocol).toBe('DTLSv1');
    expect(connect(OLD, ONLY_10).client.connection.info?.protocol).toBe('DTLSv1');
    expect(connect(OLD, OLD).client.connection.info?.protocol).toBe('DTLSv1.2');
  });

  test('a server that was led back to DTLS 1.0 says so, and a client of DTLS 1.2 heeds it', () => {
    const network = changing('client', CLIENT_HELLO, (bytes) => {
      bytes[VERSION_AT + 1] = 0xff;
    });
    const pair = connect(OLD, OLD, { network });
    expect(pair.client.error?.code).toBe('ERR_TLS_ILLEGAL_PARAMETER');
    expect(pair.server.error?.code).toBe('ERR_TLS_ALERT_ILLEGAL_PARAMETER');
  });

  test('a client that fell back is refused by a server that speaks more', () => {
    const pair = connect({ ...ONLY_10, fallback: true }, OLD);
    expect(pair.server.error?.code).toBe('ERR_TLS_INAPPROPRIATE_FALLBACK');
    expect(pair.client.error?.code).toBe('ERR_TLS_ALERT_INAPPROPRIATE_FALLBACK');
  });

  test('every record of DTLS 1.0 says so, with a cookie before', () => {
    const server = serverConfig({ ...OLD, selectIdentities: () => [EVERY_IDENTITY.p256] });
    const greeter = new DtlsGreeter(server, new Uint8Array(32).fill(3));
    const pair = connect(ONLY_10, OLD, { greeter });
    expectAlive(pair);
    const versions = [...pair.client.sent, ...pair.server.sent].map((bytes) =>
      Buffer.from(bytes).readUInt16BE(1),
    );
    expect(new Set(versions)).toEqual(new Set([dtls10]));
    const [first] = parseFragments((pair.server.sent[0] as Uint8Array).subarray(13));
    expect(first?.type).toBe(3);
  });

  test('a session is resumed in its own version only', () => {
    const server = { ...OLD, tickets: testTickets };
    const first = connect(ONLY_10, server);
    const [session] = first.client.sessions;
    const { now } = first;
    expect(connect({ ...ONLY_10, session }, server, { now }).server.connection.info?.resumed).toBe(true);
    expect(connect({ ...OLD, session }, server, { now }).server.connection.info).toMatchObject({
      resumed: false,
      protocol: 'DTLSv1.2',
    });
  });

  test('connection IDs are of DTLS 1.2 (RFC 9146)', () => {
    const withId = { ...datagrams, connectionId: Uint8Array.of(7, 7) };
    const pair = connect({ ...ONLY_10, datagrams: withId }, { ...OLD, datagrams: withId });
    expectAlive(pair);
    expect(pair.client.connection.sendingConnectionId).toHaveLength(0);
    expect(pair.server.connection.sendingConnectionId).toHaveLength(0);
  });
});

/* Both our sides know encrypt_then_mac, so here are the records alone; peers without it are in test/peers/dtls-legacy.test.ts. */
const CBC: readonly Suite12[] = suites
  .filter(isCbc)
  .filter(({ protection }, i, all) => all.findIndex((other) => other.protection === protection) === i);
const records = CBC.flatMap((suite) =>
  [false, true].flatMap((macThenEncrypt) =>
    [0, 3].map((cidLength) => ({ suite, macThenEncrypt, cid: new Uint8Array(cidLength).fill(9) })),
  ),
);

describe.each(records)(
  '$suite.name, MAC inside: $macThenEncrypt, connection ID $cid',
  ({ suite, macThenEncrypt, cid }) => {
    const { protection } = suite;
    const keys: Keys12 = {
      suite,
      macKey: new Uint8Array(protection.macKeyLength).fill(1),
      key: new Uint8Array(protection.keyLength).fill(2),
      iv: new Uint8Array(0),
      macThenEncrypt,
    };
    const opener = () => new Opener12(nodeCrypto, keys, dtls10, 1, cid);
    const sealer = () => new Sealer12(nodeCrypto, keys, dtls10, 1, cid);
    const frameOf = (record: Uint8Array) => {
      const cut = nextFrame(record, 0, cid.length);
      if (cut === undefined) throw new Error('no record');
      return cut.frame;
    };

    test('bears few forgeries only where the MAC is inside', () => {
      expect(opener().forgeryLimit).toBe(macThenEncrypt ? MAC_THEN_ENCRYPT_FORGERIES : 2 ** 36);
    });

    test('comes back', () => {
      const [seal, open] = [sealer(), opener()];
      for (const length of [0, 1, 15, 16, 31, 600, 2 ** 14]) {
        const content = new Uint8Array(length).fill(7);
        const record = seal.seal(ContentType.application_data, content);
        const opened = open.open(frameOf(record));
        expect(opened?.type).toBe(ContentType.application_data);
        expect(Buffer.from(opened?.content ?? []).equals(content)).toBe(true);
      }
    });

    test('says how much goes into a record of a size', () => {
      const seal = sealer();
      const lengthWith = (size: number) => seal.seal(ContentType.alert, new Uint8Array(size)).length;
      for (let length = 110; length < 150; length++) {
        const most = seal.room(length);
        expect(lengthWith(most)).toBeLessThanOrEqual(length);
        expect(lengthWith(most + 1)).toBeGreaterThan(length);
      }
    });

    test('is discarded and counted when anything is damaged, or it is cut, or from elsewhere', () => {
      const record = sealer().seal(ContentType.application_data, new Uint8Array(20));
      const open = opener();
      const from = 13 + cid.length;
      for (let at = from; at < record.length; at += 3) {
        const bytes = new Uint8Array(record);
        (bytes[at] as number) ^= 1;
        expect(open.open(frameOf(bytes))).toBeUndefined();
      }
      expect(open.forgeries).toBe(Math.ceil((record.length - from) / 3));
      const frame = frameOf(record);
      for (const cut of [1, 8, 16, frame.fragment.length]) {
        expect(open.open({ ...frame, fragment: frame.fragment.subarray(cut) } as Frame)).toBeUndefined();
      }
      expect(open.open({ ...frame, sequence: 5 } as Frame)).toBeUndefined();
      expect(open.open({ ...frame, version: dtls12 } as Frame)).toBeUndefined();
      expect(open.open(frame)?.content).toHaveLength(20);
    });
  },
);

test('DTLS 1.0 over a network that loses, doubles and turns around', () => {
  for (let lost = 0; lost < 12; lost++) {
    let count = 0;
    const network: Network = (bytes) => {
      const nth = count++;
      if (nth === lost) return [];
      const after = nth % 3 === 0 ? 4 * LATENCY : LATENCY;
      return nth % 4 === 0
        ? [
            { after, bytes },
            { after: 2 * after, bytes },
          ]
        : [{ after, bytes }];
    };
    const small = { ...datagrams, mtu: 508 };
    const pair = connect({ ...ONLY_10, datagrams: small }, { ...OLD, datagrams: small }, { network });
    expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
    expect(pair.client.connection.info?.protocol).toBe('DTLSv1');
  }
});

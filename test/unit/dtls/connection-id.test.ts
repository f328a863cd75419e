import { describe, expect, test } from 'vitest';
import { SrtpNegotiation, SrtpProfile } from '../../../src/connection/srtp.ts';
import type { DatagramConfig } from '../../../src/handshake/config.ts';
import { DtlsPair } from '../../setup/dtls-pair.ts';
import { clientConfig, ONLY_TLS12, serverConfig } from '../../setup/engine-config.ts';

const CLIENT = Uint8Array.of(0xc1, 0xc2, 0xc3);
const SERVER = Uint8Array.of(0x51, 0x52, 0x53, 0x54, 0x55);
const NONE = new Uint8Array(0);
const VERSIONS = [
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const;

function connect(only: object, client: Partial<DatagramConfig>, server: Partial<DatagramConfig>): DtlsPair {
  const datagrams = { mtu: 1232, initialTimeout: 1000, maxTimeout: 60_000 };
  const pair = new DtlsPair({
    client: clientConfig({ ...only, datagrams: { ...datagrams, ...client } }),
    server: serverConfig({ ...only, datagrams: { ...datagrams, ...server } }),
  }).run();
  expect(pair.client.error?.message).toBeUndefined();
  expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
  return pair;
}

function exchange(pair: DtlsPair): { toServer: Uint8Array; toClient: Uint8Array } {
  const before = [pair.client.data.length, pair.server.data.length] as const;
  pair.client.connection.send(Uint8Array.of(0x61));
  pair.server.connection.send(Uint8Array.of(0x62));
  pair.run();
  expect(pair.server.data.slice(before[1])).toEqual(['a']);
  expect(pair.client.data.slice(before[0])).toEqual(['b']);
  return { toServer: pair.client.sent.at(-1) ?? NONE, toClient: pair.server.sent.at(-1) ?? NONE };
}

/** The connection ID of a record that has one (RFC 9146 §4: behind eleven bytes; RFC 9147 §4: behind one). */
function cidOf(record: Uint8Array, length: number): number[] {
  return [...(record[0] === 25 ? record.subarray(11, 11 + length) : record.subarray(1, 1 + length))];
}

function hasCid(record: Uint8Array): boolean {
  return record[0] === 25 || ((record[0] as number) & 0x30) === 0x30;
}

describe.each(VERSIONS)('%s', (_protocol, only) => {
  test('each side puts the other’s in its records', () => {
    const { toServer, toClient } = exchange(
      connect(only, { connectionId: CLIENT }, { connectionId: SERVER }),
    );
    expect(cidOf(toServer, SERVER.length)).toEqual([...SERVER]);
    expect(cidOf(toClient, CLIENT.length)).toEqual([...CLIENT]);
  });

  test('one side may want none', () => {
    const { toServer, toClient } = exchange(connect(only, { connectionId: NONE }, { connectionId: SERVER }));
    expect(cidOf(toServer, SERVER.length)).toEqual([...SERVER]);
    expect(hasCid(toClient)).toBe(false);
  });

  test('without the extension on both sides there are none', () => {
    const { toServer } = exchange(connect(only, { connectionId: CLIENT }, {}));
    expect(hasCid(toServer)).toBe(false);
  });

  test('a record with another’s is discarded', () => {
    const pair = connect(only, { connectionId: CLIENT }, { connectionId: SERVER });
    pair.network = () => [];
    pair.client.connection.send(Uint8Array.of(0x61));
    pair.run(1);
    const record = new Uint8Array(pair.client.sent.at(-1) ?? NONE);
    const at = record[0] === 25 ? 11 : 1;
    record[at] = (record[at] as number) ^ 1;
    const { discarded } = pair.server.connection.stats;
    pair.inject('client', record);
    expect(pair.server.data).toEqual([]);
    expect(pair.server.connection.stats.discarded).toBe(discarded + 1);
    expect(pair.server.connection.receivedNewest).toBe(false);
    record[at] = (record[at] as number) ^ 1;
    pair.inject('client', record);
    expect(pair.server.data).toEqual(['a']);
    expect(pair.server.connection.receivedNewest).toBe(true);
  });

  test('use_srtp gives both sides the same keys', () => {
    const profiles = [SrtpProfile.SRTP_AEAD_AES_128_GCM, SrtpProfile.SRTP_AES128_CM_HMAC_SHA1_80];
    const [client, server] = [new SrtpNegotiation(profiles), new SrtpNegotiation(profiles.slice(1))];
    new DtlsPair({
      client: clientConfig(only),
      server: serverConfig(only),
      clientProtocols: [() => client],
      serverProtocols: [() => server],
    }).run();
    expect(client.keys?.profile).toBe(SrtpProfile.SRTP_AES128_CM_HMAC_SHA1_80);
    expect(client.keys?.client.key).toHaveLength(16);
    expect(client.keys?.server.salt).toHaveLength(14);
    expect(server.keys).toEqual(client.keys);
  });
});

test('DTLS 1.3: more connection IDs on request', () => {
  let made = 0;
  const newConnectionId = () => Uint8Array.of(0x90, 0x91, 0x92, 0x93, made++);
  const pair = connect({}, { connectionId: CLIENT }, { connectionId: SERVER, newConnectionId });
  pair.client.connection.requestConnectionIds(2);
  pair.run();
  expect(made).toBe(2);
  expect(pair.client.connection.useNextConnectionId()).toBe(true);
  expect(cidOf(exchange(pair).toServer, 5)).toEqual([0x90, 0x91, 0x92, 0x93, 0]);
  expect(pair.client.connection.useNextConnectionId()).toBe(true);
  expect(cidOf(exchange(pair).toServer, 5)).toEqual([0x90, 0x91, 0x92, 0x93, 1]);
  expect(pair.client.connection.useNextConnectionId()).toBe(false);
  expect(pair.client.connection.info?.protocol).toBe('DTLSv1.3');
});

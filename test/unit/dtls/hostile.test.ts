import { describe, expect, test } from 'vitest';
import { DEFAULT_DATAGRAM } from '../../../src/connection/dtls-connection.ts';
import { DtlsIO, MAX_UNACKNOWLEDGED_MESSAGES } from '../../../src/connection/dtls-io.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { suiteById } from '../../../src/crypto/suites.ts';
import { suite12ById } from '../../../src/crypto/suites12.ts';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { DatagramPacker, Flight } from '../../../src/handshake/dtls/flight.ts';
import { Reassembler } from '../../../src/handshake/dtls/reassembly.ts';
import { datagramKeys } from '../../../src/handshake/key-schedule.ts';
import { buildAck, buildFragment } from '../../../src/messages/dtls.ts';
import { buildHelloVerifyRequest, buildServerHello } from '../../../src/messages/hello.ts';
import { classicRecord } from '../../../src/record/dtls/frames.ts';
import { CCM_8_FORGERIES, Sealer13 } from '../../../src/record/dtls/protection.ts';
import { ClearSealer } from '../../../src/record/dtls/protection12.ts';
import { DatagramRecords } from '../../../src/record/dtls/record-layer.ts';
import { ContentType, ExtensionType, HandshakeType, ProtocolVersion } from '../../../src/wire/codepoints.ts';
import { concat } from '../../../src/wire/writer.ts';
import { DtlsPair, perfect } from '../../setup/dtls-pair.ts';
import { clientConfig, ONLY_TLS12, serverConfig, testIdentity } from '../../setup/engine-config.ts';
import { START } from '../../setup/pair.ts';

/*
 * What somebody on the path can do who has no keys, and a peer that has them and breaks the protocol.
 */

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function pairOf(client: Partial<ClientConfig> = {}, server: Partial<ServerConfig> = {}): DtlsPair {
  return new DtlsPair({ client: clientConfig(client), server: serverConfig(server), now: START });
}

/** A record in clear, as anybody can make it. */
function clear(type: number, content: Uint8Array, sequence = 900): Uint8Array {
  return classicRecord(
    { type, version: ProtocolVersion.dtls12, epoch: 0, sequence, cid: new Uint8Array(0) },
    [content],
  );
}

const HANDSHAKE_FAILURE = Uint8Array.of(2, 40);
const CLOSE_NOTIFY = Uint8Array.of(1, 0);

/** The datagram in which the client sends this, which does not arrive. */
function capture(pair: DtlsPair, data: string): Uint8Array {
  pair.network = () => [];
  pair.client.connection.send(text(data));
  pair.run(1);
  pair.network = perfect;
  return new Uint8Array(pair.client.sent.at(-1) as Uint8Array);
}

const VERSIONS = [
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const;

describe.each(VERSIONS)('%s: without keys', (_protocol, only) => {
  test.each([
    ['fatal alert', HANDSHAKE_FAILURE],
    ['close_notify', CLOSE_NOTIFY],
    ['half an alert', Uint8Array.of(2)],
  ])('a forged %s in clear does not end a handshake that goes on', (_what, alert) => {
    const pair = pairOf(only, only);
    pair.client.connection.receive(clear(ContentType.alert, alert), START);
    pair.server.connection.receive(clear(ContentType.alert, alert), START);
    pair.run();
    expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
    expect([pair.client.error, pair.server.error]).toEqual([undefined, undefined]);
  });

  test('a forged alert ends a handshake that nobody answers, after the time of a retransmission', () => {
    const pair = pairOf(only, only);
    pair.network = () => [];
    pair.client.connection.receive(clear(ContentType.alert, HANDSHAKE_FAILURE), START);
    pair.run(999);
    expect(pair.client.error).toBeUndefined();
    pair.run(1000);
    expect(pair.client.error?.code).toBe('ERR_TLS_ALERT_HANDSHAKE_FAILURE');
  });

  test('nothing in clear touches a session', () => {
    const pair = pairOf(only, only).run();
    const before = pair.server.connection.stats.discarded;
    const hello = buildFragment({
      type: HandshakeType.client_hello,
      length: 1,
      messageSeq: 9,
      offset: 0,
      body: Uint8Array.of(0),
    });
    const records = [
      clear(ContentType.alert, HANDSHAKE_FAILURE),
      clear(ContentType.alert, CLOSE_NOTIFY),
      clear(ContentType.application_data, text('forged')),
      clear(ContentType.change_cipher_spec, Uint8Array.of(1)),
      clear(ContentType.handshake, hello),
      clear(ContentType.ack, buildAck([{ epoch: 3, sequence: 0 }])),
    ];
    for (const record of records) pair.inject('client', record);
    expect(pair.server.connection.stats.discarded).toBe(before + records.length);
    expect([pair.server.error, pair.server.ended, pair.server.data]).toEqual([undefined, false, []]);
    pair.client.connection.send(text('still here'));
    expect(pair.run().server.data).toEqual(['still here']);
  });

  test('data in clear before the handshake is over is discarded', () => {
    const pair = pairOf(only, only);
    pair.server.connection.receive(clear(ContentType.application_data, text('forged')), START);
    pair.run();
    expect([pair.server.connected, pair.server.data]).toEqual([true, []]);
  });

  test('a replay is discarded, at once and later', () => {
    const pair = pairOf(only, only).run();
    const record = capture(pair, 'once');
    pair.inject('client', record);
    const { discarded } = pair.server.connection.stats;
    pair.inject('client', record);
    for (let i = 0; i < 100; i++) pair.client.connection.send(text('more'));
    pair.run();
    pair.inject('client', record);
    expect(pair.server.data.filter((data) => data === 'once')).toEqual(['once']);
    expect(pair.server.connection.stats.discarded).toBe(discarded + 2);
    expect(pair.server.connection.stats.forged).toBe(0);
  });

  test('a forged record is discarded and counted, and whoever has the keys goes on', () => {
    const pair = pairOf(only, only).run();
    const record = capture(pair, 'genuine');
    const forged = new Uint8Array(record);
    forged[forged.length - 1] = (forged.at(-1) as number) ^ 1;
    pair.inject('client', forged).inject('client', record);
    expect(pair.server.data).toEqual(['genuine']);
    expect(pair.server.connection.stats.forged).toBe(1);
  });
});

test('DTLS 1.3: an ACK in clear acknowledges nothing, and one that is malformed ends nothing', () => {
  const pair = pairOf();
  // The server's flight is lost, and then it is told that all of it arrived.
  pair.network = (bytes, from, nth) => (from === 'server' && nth < 4 ? [] : perfect(bytes, from, nth));
  pair.run(100);
  const all = [0, 2].flatMap((epoch) => Array.from({ length: 8 }, (_, sequence) => ({ epoch, sequence })));
  pair.server.connection.receive(clear(ContentType.ack, buildAck(all)), pair.now);
  pair.server.connection.receive(clear(ContentType.ack, Uint8Array.of(0, 7, 1)), pair.now);
  expect(pair.server.connection.nextTimeout()).toBeDefined();
  const sent = pair.server.sent.length;
  pair.server.connection.handleTimeout(START + 5000);
  pair.run();
  expect(pair.server.sent.length).toBeGreaterThan(sent);
  expect([pair.client.connected, pair.server.connected, pair.server.error]).toEqual([true, true, undefined]);
});

describe('CCM_8: 128 forgeries under one key end the session', () => {
  const suite13 = suiteById(0x1305);
  const suite12 = suite12ById(0xc0ae);
  if (suite13 === undefined || suite12 === undefined) throw new Error('no such suite');
  const tls12 = { suites: [suite12], requireExtendedMasterSecret: true };
  const identity = testIdentity('p256');
  test.each([
    ['DTLSv1.3', { suites: [suite13] }, {}],
    ['DTLSv1.2', { ...ONLY_TLS12, tls12 }, { selectIdentities: () => [identity] }],
  ])('%s', (_protocol, only, more) => {
    const pair = pairOf(only, { ...only, ...more }).run();
    expect(pair.server.connected).toBe(true);
    const forged = capture(pair, 'forged');
    forged[forged.length - 1] = (forged.at(-1) as number) ^ 1;
    for (let i = 1; i < CCM_8_FORGERIES; i++) pair.inject('client', forged);
    expect(pair.server.error).toBeUndefined();
    pair.inject('client', forged);
    expect(pair.server.error?.code).toBe('ERR_TLS_KEY_LIMIT');
  });
});

describe('DTLS 1.3: old epochs', () => {
  test('data under the keys before a KeyUpdate may come late', () => {
    const pair = pairOf().run();
    const late = capture(pair, 'late');
    pair.client.connection.updateKeys(false);
    pair.run();
    pair.client.connection.send(text('new'));
    pair.run().inject('client', late);
    expect(pair.server.data).toEqual(['new', 'late']);
  });

  test('data under keys three KeyUpdates back is discarded', () => {
    const pair = pairOf().run();
    const late = capture(pair, 'too late');
    for (let i = 0; i < 3; i++) {
      pair.client.connection.updateKeys(false);
      pair.run();
    }
    pair.inject('client', late);
    expect(pair.server.data).toEqual([]);
    expect(pair.server.error).toBeUndefined();
  });
});

describe('DTLS 1.3: a client that has the keys', () => {
  /** A server, and what makes records of its client's first epoch of application data. */
  function hostile(cid = new Uint8Array(0)): {
    pair: DtlsPair;
    seal: (type: number, content: Uint8Array) => Uint8Array;
  } {
    const suite = suiteById(0x1301);
    if (suite === undefined) throw new Error('no such suite');
    const terms = (connectionId: Uint8Array) =>
      cid.length === 0
        ? {}
        : { datagrams: { ...DEFAULT_DATAGRAM, connectionId, newConnectionId: () => cid } };
    const own = Uint8Array.of(7);
    const pair = pairOf({ keylog: () => true, suites: [suite], ...terms(own) }, terms(cid)).run();
    const line = pair.client.keylog.find((entry) => entry.startsWith('CLIENT_TRAFFIC_SECRET_0 '));
    const secret = new Uint8Array(Buffer.from(line?.split(' ')[2] ?? '', 'hex'));
    const crypto = { ...nodeCrypto, labelPrefix: 'dtls13' as const };
    const sealer = new Sealer13(crypto, datagramKeys(crypto, suite, secret), 3, cid);
    sealer.sequence = 100;
    return { pair, seal: (type, content) => sealer.seal(type, content) };
  }

  /** Its ClientHello is 0, its Finished 1. */
  const keyUpdate = (messageSeq: number): Uint8Array =>
    buildFragment({
      type: HandshakeType.key_update,
      length: 1,
      messageSeq,
      offset: 0,
      body: Uint8Array.of(0),
    });

  test('a message behind a KeyUpdate under the keys before it is unexpected_message', () => {
    const { pair, seal } = hostile();
    pair.inject('client', seal(ContentType.handshake, keyUpdate(2)));
    expect(pair.server.error).toBeUndefined();
    pair.inject('client', seal(ContentType.handshake, keyUpdate(3)));
    expect(pair.server.error).toMatchObject({
      code: 'ERR_TLS_UNEXPECTED_MESSAGE',
      alert: 'unexpected_message',
    });
  });

  test('who acknowledges no connection IDs, and asks for more and more, is sent away (RFC 9147 §9)', () => {
    const { pair, seal } = hostile(Uint8Array.of(1, 2, 3));
    const { connection } = pair.server;
    const ask = (messageSeq: number): void => {
      const type = HandshakeType.request_connection_id;
      const request = buildFragment({ type, length: 1, messageSeq, offset: 0, body: Uint8Array.of(1) });
      connection.receive(seal(ContentType.handshake, request), pair.now);
    };
    pair.network = () => [];
    // The first is answered, and the answer to the second has to wait.
    for (const messageSeq of [2, 3]) ask(messageSeq);
    pair.run(0);
    expect(pair.server.error).toBeUndefined();
    ask(4);
    pair.run(0);
    expect(pair.server.error).toMatchObject({
      code: 'ERR_DTLS_TOO_MANY_CIDS',
      alert: 'too_many_cids_requested',
    });
  });

  test('a record of which a part was discarded is not acknowledged (RFC 9147 §7)', () => {
    const { pair, seal } = hostile();
    const before = pair.server.sent.length;
    pair.inject('client', seal(ContentType.handshake, concat([keyUpdate(1000), keyUpdate(2)])));
    expect(pair.server.error).toBeUndefined();
    expect(pair.server.sent.length).toBe(before);
    // The same message without the other is repeated, and is acknowledged.
    pair.inject('client', seal(ContentType.handshake, keyUpdate(2)));
    expect(pair.server.sent.length).toBe(before + 1);
  });

  test('a record too long to be one is discarded, and too much plaintext is record_overflow', () => {
    const { pair, seal } = hostile();
    const { discarded } = pair.server.connection.stats;
    pair.inject('client', seal(ContentType.application_data, new Uint8Array(2 ** 14 + 300)));
    expect(pair.server.connection.stats.discarded).toBe(discarded + 1);
    pair.inject('client', seal(ContentType.application_data, new Uint8Array(2 ** 14)));
    expect([pair.server.error, pair.server.data.length]).toEqual([undefined, 1]);
    pair.inject('client', seal(ContentType.application_data, new Uint8Array(2 ** 14 + 1)));
    expect(pair.server.error).toMatchObject({ code: 'ERR_TLS_RECORD_OVERFLOW', alert: 'record_overflow' });
  });
});

test('an ACK brings the rest of its own flight again, and a doubled one nothing', () => {
  const sealer = new ClearSealer(ProtocolVersion.dtls12);
  const flight = new Flight();
  const out: Uint8Array[] = [];
  const packer = (): DatagramPacker => new DatagramPacker(128, out);
  const sent = packer();
  flight.addMessage(sealer, HandshakeType.certificate, 1, new Uint8Array(150), -1);
  flight.addMessage(sealer, HandshakeType.key_update, 2, Uint8Array.of(0), 2);
  flight.send(sent);
  sent.close();
  expect(out).toHaveLength(2);
  const first = [{ epoch: 0, sequence: 0 }];
  const groups = flight.acknowledge(first);
  expect([...groups]).toEqual([-1]);
  const again = packer();
  expect(flight.resendGroups(groups, again)).toBe(true);
  again.close();
  // Header of the record, header of the fragment, and what the first record did not hold.
  expect(out[2]).toHaveLength(13 + 12 + 150 - (128 - 13 - 12));
  expect(flight.acknowledge(first).size).toBe(0);
});

test('HelloVerifyRequest and then DTLS 1.3 is refused by the client', () => {
  const pair = pairOf({ tls12: ONLY_TLS12.tls12 });
  pair.network = () => [];
  pair.run(1);
  const asked = buildHelloVerifyRequest(Uint8Array.of(1, 2, 3, 4));
  pair.client.connection.receive(inClear(asked, 0), START);
  pair.run(1);
  expect([pair.client.error, pair.client.sent.length]).toEqual([undefined, 2]);
  const hello = buildServerHello({
    legacyVersion: ProtocolVersion.dtls12,
    random: new Uint8Array(32),
    legacySessionIdEcho: new Uint8Array(0),
    cipherSuite: 0x1301,
    legacyCompressionMethod: 0,
    extensions: [{ type: ExtensionType.supported_versions, body: Uint8Array.of(0xfe, 0xfc) }],
  });
  pair.inject('server', inClear(hello, 1));
  expect(pair.client.error).toMatchObject({
    code: 'ERR_TLS_UNEXPECTED_MESSAGE',
    alert: 'unexpected_message',
  });
});

test('HelloVerifyRequest tells a client of DTLS 1.3 alone that the server does not speak it', () => {
  const pair = pairOf();
  pair.inject('server', inClear(buildHelloVerifyRequest(Uint8Array.of(1)), 0));
  expect(pair.client.error).toMatchObject({ code: 'ERR_TLS_UNSUPPORTED_VERSION', alert: 'protocol_version' });
});

/** A handshake message in a record in clear, as from a server. */
function inClear(message: Uint8Array, messageSeq: number): Uint8Array {
  const body = message.subarray(4);
  const type = message[0] as number;
  return clear(
    ContentType.handshake,
    buildFragment({ type, length: body.length, messageSeq, offset: 0, body }),
    messageSeq,
  );
}

test('the numbers of messages are used up, not used again', () => {
  const config = clientConfig();
  const parts = {
    records: new DatagramRecords(nodeCrypto, ProtocolVersion.dtls12),
    reassembler: new Reassembler(),
    messageSeq: 0xffff,
  };
  const io = new DtlsIO(config, DEFAULT_DATAGRAM, parts, START, () => {});
  const keyUpdate = Uint8Array.of(HandshakeType.key_update, 0, 0, 1, 0);
  io.send(keyUpdate);
  expect(() => io.send(keyUpdate)).toThrow(expect.objectContaining({ code: 'ERR_TLS_KEY_LIMIT' }));
  expect(io.drain()).toHaveLength(1);
});

test('a peer that acknowledges nothing cannot make messages pile up (RFC 9147 §5.8.4)', () => {
  const config = serverConfig();
  const parts = {
    records: new DatagramRecords(config.crypto, ProtocolVersion.dtls12),
    reassembler: new Reassembler(),
    messageSeq: 0,
  };
  const io = new DtlsIO(config, DEFAULT_DATAGRAM, parts, START, () => {});
  io.speaksDtls13 = true;
  io.handshaking = false;
  const keyUpdate = Uint8Array.of(HandshakeType.key_update, 0, 0, 1, 0);
  for (let sent = 0; sent < MAX_UNACKNOWLEDGED_MESSAGES; sent++) io.send(keyUpdate);
  expect(() => io.send(keyUpdate)).toThrow(expect.objectContaining({ code: 'ERR_TLS_UNEXPECTED_MESSAGE' }));
  // One of a type is under way, and the others wait.
  expect(io.drain()).toHaveLength(1);
});

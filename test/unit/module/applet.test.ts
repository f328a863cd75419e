import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { mutate, Random } from '../../../fuzz/mutate.ts';
import { nodeModuleKeys } from '../../../src/crypto/node/module-keys.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { suiteById } from '../../../src/crypto/suites.ts';
import { encodeName } from '../../../src/der/name.ts';
import { encodePem } from '../../../src/der/pem.ts';
import { type Binding, encodeBinding } from '../../../src/formats/binding.ts';
import { cmsMaker } from '../../../src/formats/cms/make.ts';
import { xmlMaker } from '../../../src/formats/xml/make.ts';
import { trafficKeys } from '../../../src/handshake/key-schedule.ts';
import { encodeCommand } from '../../../src/module/apdu/command.ts';
import { exporterRequest } from '../../../src/module/applet/exporter-request.ts';
import {
  ACKNOWLEDGEMENT,
  buildEap,
  buildEapTls,
  EapCode,
  EapType,
  parseEap,
  parseEapTls,
} from '../../../src/module/eap/packet.ts';
import {
  InformationTag,
  Instruction,
  KeyAlgorithmCode,
  MODULE_AID,
  ObjectTag,
  Permission,
  RequestTag,
  TrafficKeyTag,
} from '../../../src/module/protocol.ts';
import { numberTlv, readTlvs, writeTlvs } from '../../../src/module/tlv.ts';
import { Opener, Sealer } from '../../../src/record/tls/protection.ts';
import { concat } from '../../../src/wire/writer.ts';
import {
  aliasAnd,
  CA,
  Card,
  cardWith,
  certificateFor,
  chain,
  EapHost,
  NOW,
  OPERATOR_PIN,
  openData,
  openState,
  USER_PIN,
  utf8,
} from './kit.ts';

const { processEap, encrypt, decrypt, sessionInformation, computeSignature } = Instruction;
const { getMasterSessionKey, exportTrafficKeys, resetState, open } = Instruction;
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
/** For `Buffer.includes`. */
const buffer = (bytes: Uint8Array | undefined): Buffer => Buffer.from(bytes ?? []);

interface Pair {
  readonly client: Card;
  readonly server: Card;
  readonly a: EapHost;
  readonly b: EapHost;
}

/** Two cards, connected. */
function connected(
  over: { permissions?: number; size?: number; mode?: 'bridge' | 'method'; versions?: number[] } = {},
): Pair {
  const { permissions = 7, size = 4000, mode = 'bridge', versions = [0x0304, 0x0303] } = over;
  const client = cardWith({ kind: 'client', permissions }).verifyUser();
  const server = cardWith({ kind: 'server', clientCertificate: 2, permissions }).verifyUser();
  const a = new EapHost(client, client.open({ fragmentSize: size, mode, versions }), 'client', size);
  const b = new EapHost(server, server.open({ role: 'server', fragmentSize: size, mode }), 'server', size);
  const hello = a.start();
  b.start();
  const finished = a.exchange(processEap, 0, b.exchange(processEap, 0, hello));
  const last = b.exchange(processEap, 0, finished);
  if (last.length > 0) a.exchange(processEap, 0, last);
  return { client, server, a, b };
}

const state = (card: Card, handle: number): number =>
  card.ok(sessionInformation, handle << 1, 2)[0] as number;

const information = (card: Card, handle: number): Map<number, Uint8Array> =>
  new Map(
    readTlvs(new Uint8Array(card.ok(sessionInformation, handle << 1, 0)), 'test').map(({ tag, value }) => [
      tag,
      value,
    ]),
  );

describe('sessions of two modules', () => {
  it.each([4000, 200, 100, 50, 32])('carry data in packets of %d bytes', (size) => {
    const { a, b } = connected({ size });
    const items = b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8('hello, card')));
    expect(Buffer.from(items).toString('latin1')).toBe('\x17\x00\x00\x0bhello, card');
    const long = new Uint8Array(40_000).fill(7);
    const back = a.exchange(decrypt, 0, b.exchange(encrypt, 23, long));
    // Three records, three items.
    expect(back.length).toBe(long.length + 3 * 4);
  });

  it.each([4000, 50])('speak TLS 1.2 in packets of %d bytes', (size) => {
    const { client, a, b } = connected({ size, versions: [0x0303] });
    expect(hex(information(client, a.handle).get(InformationTag.version) as Uint8Array)).toBe('0303');
    const items = b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8('old, not bad')));
    expect(Buffer.from(items).toString('latin1')).toBe('\x17\x00\x00\x0cold, not bad');
    expect(client.send(exportTrafficKeys, a.handle << 1, 0).status).toBe(0x6982);
  });

  it('tell what was agreed on', () => {
    const { client, server, a, b } = connected();
    const [c, s] = [information(client, a.handle), information(server, b.handle)];
    expect(hex(c.get(InformationTag.version) as Uint8Array)).toBe('0304');
    expect(c.get(InformationTag.sessionBinding)).toEqual(s.get(InformationTag.sessionBinding));
    expect(c.get(InformationTag.transcriptHash)).toEqual(s.get(InformationTag.transcriptHash));
    expect(c.get(InformationTag.sessionBinding)).toHaveLength(32);
    expect(Buffer.from(s.get(InformationTag.peerPath) as Uint8Array).includes(buffer(CA))).toBe(true);
    const request = { label: 'EXPORTER-test', context: utf8('x'), length: 40 };
    const [x, y] = [client, server].map((card, i) =>
      card.ok(sessionInformation, (i === 0 ? a : b).handle << 1, 1, exporterRequest.build(request)),
    );
    expect(x).toEqual(y);
    expect(x).toHaveLength(40);
  });

  it('keep what EAP-TLS derives its keys from for the master session key alone', () => {
    const { client, a } = connected();
    for (const label of ['EXPORTER_EAP_TLS_Key_Material', 'client EAP encryption', 'key expansion']) {
      const request = exporterRequest.build({ label, context: new Uint8Array(0), length: 64 });
      expect(client.send(sessionInformation, a.handle << 1, 1, request).status).toBe(0x6982);
    }
  });

  it('can be interleaved by the host', () => {
    const client = cardWith({ kind: 'client' }).verifyUser();
    const server = cardWith({ kind: 'server' }).verifyUser();
    const pairs = [50, 200].map((size) => ({
      a: new EapHost(client, client.open({ fragmentSize: size }), 'client', size),
      b: new EapHost(server, server.open({ role: 'server', fragmentSize: size }), 'server', size),
    }));
    const hellos = pairs.map(({ a }) => a.start());
    for (const { b } of pairs) b.start();
    const flights = pairs.map(({ b }, i) => b.exchange(processEap, 0, hellos[i] as Uint8Array));
    const finished = pairs.map(({ a }, i) => a.exchange(processEap, 0, flights[i] as Uint8Array));
    for (const [i, { b }] of pairs.entries()) b.exchange(processEap, 0, finished[i] as Uint8Array);
    for (const [i, { a, b }] of pairs.entries()) {
      const items = b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8(`session ${i}`)));
      expect(Buffer.from(items).toString('latin1')).toContain(`session ${i}`);
    }
  });

  it('close with close_notify, and tell the other side', () => {
    const { client, server, a, b } = connected();
    const records = a.exchange(encrypt, 21, Uint8Array.of(1, 0));
    expect(hex(b.exchange(decrypt, 0, records))).toBe('150000020100');
    expect(state(server, b.handle)).toBe(1);
    // What the other side still sends can be received; this side sends no more.
    expect(hex(a.exchange(decrypt, 0, b.exchange(encrypt, 23, utf8('x'))))).toBe('1700000178');
    expect(
      client.send(
        encrypt,
        a.handle << 1,
        23,
        a.wrap(13, buildEapTls({ ...ACKNOWLEDGEMENT, data: utf8('x') })),
      ).status,
    ).toBe(0x6985);
  });

  it('end with an alert when a record was changed, and say why', () => {
    const { client, server, a, b } = connected({ size: 32 });
    const records = new Uint8Array(a.exchange(encrypt, 23, utf8('hello')));
    records[10] = (records[10] as number) ^ 1;
    const items = b.exchange(decrypt, 0, records);
    // bad_record_mac, and the record that tells the peer.
    expect(hex(items).startsWith('150000020214')).toBe(true);
    expect(state(server, b.handle)).toBe(3);
    const why = information(server, b.handle).get(InformationTag.failure) as Uint8Array;
    expect(why[0]).toBe(20);
    expect(Buffer.from(why.subarray(1)).toString()).toBe('ERR_TLS_BAD_RECORD_MAC');
    const alert = items.subarray(6 + 4);
    expect(hex(a.exchange(decrypt, 0, alert))).toContain('15');
    expect(state(client, a.handle)).toBe(3);
    expect(information(client, a.handle).has(InformationTag.failureByPeer)).toBe(true);
  });

  it('update their keys, one side or both', () => {
    const { a, b } = connected();
    for (const requested of [0, 1]) {
      const update = a.exchange(encrypt, 22, Uint8Array.of(24, 0, 0, 1, requested));
      const answer = b.exchange(decrypt, 0, update);
      expect(answer.length > 0).toBe(requested === 1);
      if (answer.length > 0) a.exchange(decrypt, 0, answer.subarray(4));
      const items = b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8('on')));
      expect(hex(items)).toBe('170000026f6e');
    }
  });

  it('give handshake messages out of place, and types not agreed on, no way through', () => {
    const { client, a } = connected();
    const send = (type: number, data: Uint8Array) =>
      client.send(encrypt, a.handle << 1, type, a.wrap(13, buildEapTls({ ...ACKNOWLEDGEMENT, data }))).status;
    expect(send(22, Uint8Array.of(11, 0, 0, 0))).toBe(0x6982);
    expect(send(22, Uint8Array.of(20, 0, 0, 1, 0))).toBe(0x6982);
    expect(send(22, Uint8Array.of(24, 0, 0, 1, 2))).toBe(0x6a80);
    expect(send(20, Uint8Array.of(1))).toBe(0x6a86);
    expect(send(28, Uint8Array.of(1))).toBe(0x6a86);
    expect(send(21, Uint8Array.of(2))).toBe(0x6a80);
    expect(state(client, a.handle)).toBe(1);
  });

  it('pass a sub-protocol of the host through: its extension, its records, its handshake messages', () => {
    const client = cardWith({ kind: 'client' }).verifyUser();
    const server = cardWith({ kind: 'server' }).verifyUser();
    const extension = (body: string) => [
      { type: 0xff53, contentTypes: [29], handshakeTypes: [240], body: utf8(body) },
    ];
    const a = new EapHost(client, client.open({ extensions: extension('offer') }), 'client');
    const b = new EapHost(server, server.open({ role: 'server', extensions: extension('answer') }), 'server');
    const hello = a.start();
    b.start();
    b.exchange(processEap, 0, a.exchange(processEap, 0, b.exchange(processEap, 0, hello)));
    const agreed = information(client, a.handle).get(InformationTag.helloExtension) as Uint8Array;
    expect(Buffer.from(agreed).toString('latin1')).toBe('\xff\x53answer');
    expect(hex(b.exchange(decrypt, 0, a.exchange(encrypt, 29, utf8('A'))))).toBe('1d00000141');
    const message = Uint8Array.of(240, 0, 0, 2, 1, 2);
    expect(hex(b.exchange(decrypt, 0, a.exchange(encrypt, 22, message)))).toBe('16000006f00000020102');
  });
});

describe('EAP-TLS as a method', () => {
  it.each([0x0304, 0x0303])('ends in success with version %i, both sides with the same key', (version) => {
    const { client, server, a, b } = connected({ mode: 'method', size: 100, versions: [version] });
    // RFC 5216 §2.1.3, RFC 9190 §2.1.1: the empty response to the server's last words.
    const result = server.ok(processEap, b.handle << 1, 0, b.wrap(13, buildEapTls(ACKNOWLEDGEMENT)));
    expect(parseEap(new Uint8Array(result)).code).toBe(EapCode.success);
    expect(client.ok(processEap, a.handle << 1, 0, new Uint8Array(result))).toHaveLength(0);
    const [x, y] = [
      client.ok(getMasterSessionKey, a.handle << 1, 0),
      server.ok(getMasterSessionKey, b.handle << 1, 0),
    ];
    expect(x).toEqual(y);
    expect(x).toHaveLength(64);
  });

  it('gives no key before the commitment, in bridge mode, or without permission', () => {
    const early = connected({ mode: 'method' });
    // The server's response is still awaited.
    expect(early.server.send(getMasterSessionKey, early.b.handle << 1, 0).status).toBe(0x6985);
    const bridge = connected();
    expect(bridge.client.send(getMasterSessionKey, bridge.a.handle << 1, 0).status).toBe(0x6985);
    const forbidden = connected({ mode: 'method', permissions: Permission.sign });
    expect(forbidden.client.send(getMasterSessionKey, forbidden.a.handle << 1, 0).status).toBe(0x6982);
  });

  it('fails with the alert first and EAP-Failure after it', () => {
    const client = cardWith({ kind: 'client' }).verifyUser();
    const server = cardWith({ kind: 'server' }).verifyUser();
    const a = new EapHost(client, client.open({ mode: 'method', serverName: 'other.test' }), 'client');
    const b = new EapHost(server, server.open({ role: 'server', mode: 'method' }), 'server');
    const hello = a.start();
    b.start();
    const alert = a.exchange(processEap, 0, b.exchange(processEap, 0, hello));
    expect(state(client, a.handle)).toBe(3);
    expect(
      Buffer.from(information(client, a.handle).get(InformationTag.failure) ?? []).toString('latin1'),
    ).toBe('\x2aERR_TLS_CERT_ALTNAME_INVALID');
    expect(b.exchange(processEap, 0, alert)).toHaveLength(0);
    const result = server.ok(processEap, b.handle << 1, 0, b.wrap(13, buildEapTls(ACKNOWLEDGEMENT)));
    expect(parseEap(new Uint8Array(result)).code).toBe(EapCode.failure);
  });

  it('answers Identity, Notification and other methods as RFC 3748 has it', () => {
    const card = cardWith().verifyUser();
    const a = new EapHost(card, card.open({ mode: 'method' }), 'client');
    const ask = (type: number, data: Uint8Array = new Uint8Array(0)) => {
      const eap = parseEap(a.send(processEap, 0, a.wrap(type, data)));
      return 'type' in eap ? `${eap.type}:${hex(eap.data)}` : `${eap.code}`;
    };
    expect(ask(EapType.identity)).toBe(`1:${hex(utf8('main'))}`);
    expect(ask(EapType.notification, utf8('hello'))).toBe('2:');
    expect(ask(4, utf8('md5'))).toBe('3:0d');
    expect(state(card, a.handle)).toBe(0);
    expect(a.start().length).toBeGreaterThan(100);
  });
});

describe('EAP packets that are wrong', () => {
  const setup = () => {
    const client = cardWith({ kind: 'client' }).verifyUser();
    const server = cardWith({ kind: 'server' }).verifyUser();
    const a = new EapHost(client, client.open(), 'client');
    const b = new EapHost(server, server.open({ role: 'server' }), 'server');
    return { client, server, a, b };
  };

  it('are 6A80 and change nothing: the handshake goes on', () => {
    const { client, server, a, b } = setup();
    const hello = a.start();
    b.start();
    const packet = (over: object) =>
      buildEap({ code: 2, identifier: 0, type: 13, data: buildEapTls(ACKNOWLEDGEMENT), ...over });
    const awaited = (server.dialogue.at(-1)?.response[1] ?? 0) as number;
    const wrong: [string, Uint8Array][] = [
      ['wrong identifier', packet({ identifier: (awaited + 1) & 0xff })],
      ['a request for an authenticator', packet({ code: 1, identifier: awaited })],
      ['success for an authenticator', buildEap({ code: 3, identifier: awaited })],
      ['no packet', Uint8Array.of(2, 0, 0)],
      ['a lying length', Uint8Array.of(2, awaited, 0, 99, 13, 0)],
      ['another method', packet({ identifier: awaited, type: 4 })],
      ['start for an authenticator', packet({ identifier: awaited, data: Uint8Array.of(0x20) })],
      ['an empty fragment', packet({ identifier: awaited, data: Uint8Array.of(0x40) })],
    ];
    for (const [name, bytes] of wrong) {
      expect(server.send(processEap, b.handle << 1, 0, bytes).status, name).toBe(0x6a80);
    }
    expect(client.send(processEap, a.handle << 1, 0, packet({ identifier: 9 })).status).toBe(0x6a80);
    const finished = a.exchange(processEap, 0, b.exchange(processEap, 0, hello));
    b.exchange(processEap, 0, finished);
    expect(state(server, b.handle)).toBe(1);
  });

  it('that come twice are answered twice alike', () => {
    const { client, a } = setup();
    const start = a.wrap(13, buildEapTls({ ...ACKNOWLEDGEMENT, start: true }));
    const first = a.send(processEap, 0, start);
    expect(a.send(processEap, 0, start)).toEqual(first);
    // A new start is another handshake in the place of this one.
    const again = a.wrap(13, buildEapTls({ ...ACKNOWLEDGEMENT, start: true }));
    expect(client.send(processEap, a.handle << 1, 0, again).status).toBe(0x6985);
  });

  it('of another instruction wait until the fragments on their way are done', () => {
    const { a, b, client } = connected({ size: 50 });
    const answer = a.packet(encrypt, 23, buildEapTls({ ...ACKNOWLEDGEMENT, data: new Uint8Array(40) }));
    const eap = parseEap(answer);
    expect('type' in eap && parseEapTls(eap.data).more).toBe(true);
    const other = a.wrap(13, buildEapTls({ ...ACKNOWLEDGEMENT, data: Uint8Array.of(1) }));
    expect(client.send(decrypt, a.handle << 1, 0, other).status).toBe(0x6985);
    expect(client.send(encrypt, a.handle << 1, 23, other).status).toBe(0x6a80);
    const rest = parseEap(a.packet(encrypt, 23, buildEapTls(ACKNOWLEDGEMENT)));
    const data = [eap, rest].flatMap((p) => ('type' in p ? [parseEapTls(p.data).data] : []));
    expect(b.exchange(decrypt, 0, concat(data))).toHaveLength(44);
  });

  it('never crash the module, whatever they are', () => {
    const { client, server, a, b } = setup();
    const hello = a.start();
    b.start();
    const seeds = [...client.dialogue, ...server.dialogue].map(({ command }) => command);
    seeds.push(buildEap({ code: 2, identifier: 1, type: 13, data: hello }));
    for (let seed = 0; seed < 3000; seed++) {
      const bytes = mutate(seeds, new Random(seed));
      // Guesses of a PIN cost tries: the card would be blocked, as it must be.
      if (bytes[1] === Instruction.verifyPin || bytes[1] === Instruction.changePin) continue;
      for (const card of [client, server]) {
        const response = card.raw(bytes);
        expect(response.length).toBeGreaterThanOrEqual(2);
        expect(hex(response.subarray(-2))).not.toBe('6f00');
      }
    }
    for (const card of [client, server]) {
      card.ok(Instruction.select, 4, 0, MODULE_AID);
      card.verifyUser();
      expect(card.applet.sessions).toBe(0);
    }
    const again = new EapHost(client, client.open(), 'client');
    expect(again.start().length).toBeGreaterThan(100);
  });
});

describe('traffic keys', () => {
  it('leave once, and the session with them', () => {
    const { client, server, a, b } = connected();
    b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8('before')));
    const given = new Map(
      readTlvs(new Uint8Array(client.ok(exportTrafficKeys, a.handle << 1, 0)), 'keys').map(
        ({ tag, value }) => [tag, value],
      ),
    );
    for (const [ins, p2] of [
      [processEap, 0],
      [encrypt, 23],
      [decrypt, 0],
      [exportTrafficKeys, 0],
    ] as const) {
      expect(client.send(ins, a.handle << 1, p2, a.wrap(13, buildEapTls(ACKNOWLEDGEMENT))).status).toBe(
        0x6985,
      );
    }
    expect(state(client, a.handle)).toBe(2);
    // They are the right ones, and stand where the session stood.
    const suite = suiteById(0x1301);
    if (suite === undefined) throw new Error('no suite');
    const at = (tag: number) => Buffer.from(given.get(tag) as Uint8Array).readUIntBE(0, 6);
    expect(at(TrafficKeyTag.writeSequence)).toBe(1);
    expect(at(TrafficKeyTag.readSequence)).toBe(0);
    const keys = (tag: number) => trafficKeys(nodeCrypto, suite, given.get(tag) as Uint8Array);
    const sealer = new Sealer(nodeCrypto, keys(TrafficKeyTag.writeSecret));
    sealer.seal(23, utf8('skipped'), 7, []);
    const out: Uint8Array[] = [];
    sealer.seal(23, utf8('after'), 5, out);
    expect(hex(b.exchange(decrypt, 0, concat(out)))).toBe(`17000005${hex(utf8('after'))}`);
    const record = b.exchange(encrypt, 23, utf8('back'));
    const opener = new Opener(nodeCrypto, keys(TrafficKeyTag.readSecret));
    expect(opener.open(record.subarray(0, 5), record.subarray(5)).content).toEqual(Buffer.from(utf8('back')));
    expect(state(server, b.handle)).toBe(1);
  });

  it('stay where the identity does not permit it', () => {
    const { client, a } = connected({ permissions: Permission.sign });
    expect(client.send(exportTrafficKeys, a.handle << 1, 0).status).toBe(0x6982);
    expect(state(client, a.handle)).toBe(1);
  });
});

describe('Compute signature', () => {
  const binding = (card: Card, handle: number, over: Partial<Binding> = {}): Binding => ({
    version: 1,
    role: 'client',
    kind: 'data',
    sequence: 0,
    contentType: 23,
    application: '',
    peer: new Uint8Array(0),
    sessionBinding: information(card, handle).get(InformationTag.sessionBinding) as Uint8Array,
    treeHead: new Uint8Array(0),
    ...over,
  });
  const object = (b: Binding) =>
    cmsMaker.prepareObject(nodeCrypto, utf8('an order'), {
      signer: { chain: [signerCertificate], scheme: 0x0403 },
      binding: b,
      signingTime: NOW,
      includeCertificates: true,
      receiptRequest: true,
    });
  const signerCertificate = certificateFor(
    nodeModuleKeys.load(nodeModuleKeys.generate('P-256')).spki,
    'client',
  );
  const ask = (card: Card, handle: number, data: Uint8Array, scheme = 0x0403) =>
    card.send(computeSignature, handle << 1, 0x9a, concat([Uint8Array.of(scheme >> 8, scheme & 0xff), data]));

  it('signs what names this session, this side and the next number', () => {
    const { client, a } = connected();
    const key = openState(client.storage).key(openState(client.storage).identities[0] as never);
    const publicKey = nodeCrypto.importPublicKey(key.spki);
    for (const sequence of [0, 1, 2]) {
      const later = object(binding(client, a.handle, { sequence: sequence + 1 })).toBeSigned;
      expect(ask(client, a.handle, later).status).toBe(0x6982);
      const { toBeSigned } = object(binding(client, a.handle, { sequence }));
      const { data, status } = ask(client, a.handle, toBeSigned);
      expect(status).toBe(0x9000);
      expect(nodeCrypto.verify({ kind: 'ecdsa', hash: 'sha256' }, publicKey, toBeSigned, data)).toBe(true);
      expect(ask(client, a.handle, toBeSigned).status).toBe(0x6982);
    }
  });

  const leaveOpen = (card: Card, handle: number, next: number) =>
    card.send(computeSignature, handle << 1, 0x9b, numberTlv(0, next, 6).value).status;

  it('signs numbers that were left open, each once, and forgets them in the end', () => {
    const { client, a } = connected();
    const sign = (sequence: number) =>
      ask(client, a.handle, object(binding(client, a.handle, { sequence })).toBeSigned).status;
    expect(leaveOpen(client, a.handle, 2)).toBe(0x9000);
    expect([sign(3), sign(2), sign(1), sign(1), sign(0), sign(0)]).toEqual([
      0x6982, 0x9000, 0x9000, 0x6982, 0x9000, 0x6982,
    ]);
    // Not back.
    expect(leaveOpen(client, a.handle, 2)).toBe(0x6982);
    expect(leaveOpen(client, a.handle, 3)).toBe(0x9000);
    expect(leaveOpen(client, a.handle, 1000)).toBe(0x9000);
    expect([sign(935), sign(936), sign(936), sign(999), sign(1000)]).toEqual([
      0x6982, 0x9000, 0x6982, 0x9000, 0x9000,
    ]);
    expect(client.send(computeSignature, a.handle << 1, 0x9b, new Uint8Array(5)).status).toBe(0x6700);
    expect(client.send(computeSignature, a.handle << 1, 0x9d, new Uint8Array(6)).status).toBe(0x6a86);
  });

  it('signs a SignedInfo that has the digest of such a binding, and no other XML', () => {
    const { client, a } = connected();
    const key = openState(client.storage).key(openState(client.storage).identities[0] as never);
    const publicKey = nodeCrypto.importPublicKey(key.spki);
    const prepared = (b: Binding) =>
      xmlMaker.prepareObject(nodeCrypto, utf8('an order'), {
        signer: { chain: [signerCertificate], scheme: 0x0403 },
        binding: b,
        signingTime: NOW,
        includeCertificates: true,
        receiptRequest: true,
      }).toBeSigned;
    const askXml = (b: Uint8Array, info: Uint8Array, scheme = 0x0403) =>
      client.send(
        computeSignature,
        a.handle << 1,
        0x9c,
        concat([Uint8Array.of(scheme >> 8, scheme & 0xff, b.length >> 8, b.length & 0xff), b, info]),
      );
    const right = binding(client, a.handle);
    const info = prepared(right);
    const text = Buffer.from(info).toString();
    const elsewhere = binding(client, a.handle, { sessionBinding: new Uint8Array(32) });
    const third = text.lastIndexOf('<ds:Reference');
    const refusals: [string, Uint8Array, Uint8Array, number][] = [
      ['another session', encodeBinding(elsewhere), prepared(elsewhere), 0x6982],
      ['the binding of another SignedInfo', encodeBinding({ ...right, application: 'x' }), info, 0x6a80],
      [
        'a number further on',
        encodeBinding({ ...right, sequence: 1 }),
        prepared({ ...right, sequence: 1 }),
        0x6982,
      ],
      ['a receipt that is none', encodeBinding({ ...right, kind: 'receipt' }), info, 0x6a80],
      [
        'not canonical',
        encodeBinding(right),
        utf8(text.replace('<ds:SignedInfo', '<ds:SignedInfo ')),
        0x6a80,
      ],
      ['without properties', encodeBinding(right), utf8(`${text.slice(0, third)}</ds:SignedInfo>`), 0x6a80],
      ['other XML', encodeBinding(right), utf8('<a></a>'), 0x6a80],
      ['cut short', encodeBinding(right), info.subarray(0, -1), 0x6a80],
      ['no binding', new Uint8Array(0), info, 0x6a80],
    ];
    for (const [name, b, signed, status] of refusals) {
      expect(askXml(b, signed).status, name).toBe(status);
    }
    expect(askXml(encodeBinding(right), info, 0x0503).status).toBe(0x6a80);
    const { data, status } = askXml(encodeBinding(right), info);
    expect(status).toBe(0x9000);
    expect(nodeCrypto.verify({ kind: 'ecdsa', hash: 'sha256' }, publicKey, info, data)).toBe(true);
    expect(askXml(encodeBinding(right), info).status).toBe(0x6982);
  });

  it('refuses everything else', () => {
    const { client, a } = connected();
    const good = object(binding(client, a.handle)).toBeSigned;
    const implicit = new Uint8Array(good);
    implicit[0] = 0xa0;
    const refusals: [string, Uint8Array, number][] = [
      [
        'another session',
        object(binding(client, a.handle, { sessionBinding: new Uint8Array(32) })).toBeSigned,
        0x6982,
      ],
      ['another role', object(binding(client, a.handle, { role: 'server' })).toBeSigned, 0x6982],
      ['a bare digest', new Uint8Array(32), 0x6a80],
      ['text', utf8('please sign this'), 0x6a80],
      ['attributes cut short', good.subarray(0, -1), 0x6a80],
      ['bytes after them', concat([good, Uint8Array.of(0)]), 0x6a80],
      ['the tag under which they travel', implicit, 0x6a80],
    ];
    for (const [name, data, status] of refusals)
      expect(ask(client, a.handle, data).status, name).toBe(status);
    expect(ask(client, a.handle, good, 0x0804).status).toBe(0x6a86);
    expect(ask(client, a.handle, good).status).toBe(0x9000);
    const forbidden = connected({ permissions: Permission.masterSessionKey });
    expect(ask(forbidden.client, forbidden.a.handle, good).status).toBe(0x6982);
  });
});

describe('identities', () => {
  it('are listed, chosen and removed', () => {
    const card = cardWith({ alias: 'one' });
    cardWith({ alias: 'two', kind: 'server' }, card);
    const next = () => {
      const { data, status } = card.send(Instruction.getNextIdentity, 0, 1);
      return status === 0x9000 ? Buffer.from(data).toString() : status;
    };
    expect([next(), next(), next(), next()]).toEqual(['one', 'two', 0x6a83, 'one']);
    const current = () => Buffer.from(card.ok(Instruction.getCurrentIdentity, 0, 0)).toString();
    expect(current()).toBe('one');
    card.ok(Instruction.setIdentity, 0, 0x80, utf8('two'));
    expect(current()).toBe('two');
    expect(card.send(Instruction.setIdentity, 0, 0x80, utf8('three')).status).toBe(0x6a83);
    card.verifyOperator().put(ObjectTag.remove, 'two');
    expect(card.send(Instruction.getCurrentIdentity, 0, 0).status).toBe(0x6a83);
  });

  it('open only in their role', () => {
    const card = cardWith({ kind: 'client' }).verifyUser();
    expect(card.send(open, 0, 0, openData({ role: 'server' })).status).toBe(0x6982);
    expect(card.send(open, 0, 0, openData({ alias: 'nobody' })).status).toBe(0x6a83);
  });

  it.each(Object.entries(KeyAlgorithmCode))(
    'have keys of kind %s, born inside, and a request for them',
    (_name, code) => {
      const card = new Card().verifyOperator();
      const spki = card.ok(Instruction.generateKey, 0, code, utf8('new'));
      const subject = encodeName([{ CN: 'new.test' }]);
      const request = card.ok(
        Instruction.makeRequest,
        0,
        0,
        writeTlvs([
          { tag: RequestTag.alias, value: utf8('new') },
          { tag: RequestTag.subject, value: subject },
          { tag: RequestTag.host, value: utf8('new.test') },
          { tag: RequestTag.host, value: utf8('127.0.0.1') },
        ]),
      );
      expect(buffer(request).includes(buffer(spki))).toBe(true);
      expect(Buffer.from(request).includes('new.test')).toBe(true);
      expect(encodePem('CERTIFICATE REQUEST', request)).toContain('BEGIN CERTIFICATE REQUEST');
      const certificate = certificateFor(new Uint8Array(spki), 'client');
      card.put(ObjectTag.certificateChain, 'new', chain(certificate));
      const stored = openState(card.storage).identity('new');
      const key = createPrivateKey({
        key: Buffer.from(stored?.privateKey ?? []),
        format: 'der',
        type: 'pkcs8',
      });
      expect(new X509Certificate(certificate).checkPrivateKey(key)).toBe(true);
      expect(card.send(Instruction.generateKey, 0, code, utf8('new')).status).toBe(0x6985);
    },
  );

  it('take certificates for their own key only, whole ones, and nothing of unknown meaning', () => {
    const card = cardWith().verifyOperator();
    const other = certificateFor(nodeModuleKeys.load(nodeModuleKeys.generate('P-256')).spki, 'client');
    const put = (tag: number, object: Uint8Array, alias = 'main') =>
      card.send(Instruction.putData, tag >> 8, tag & 0xff, aliasAnd(alias, object)).status;
    expect(put(ObjectTag.certificateChain, chain(other))).toBe(0x6a80);
    expect(put(ObjectTag.certificateChain, chain())).toBe(0x6a80);
    expect(put(ObjectTag.certificateChain, chain(other.subarray(0, -1)))).toBe(0x6a80);
    expect(put(ObjectTag.trustAnchors, chain(utf8('no certificate')))).toBe(0x6a80);
    expect(put(ObjectTag.role, Uint8Array.of(4))).toBe(0x6a80);
    expect(put(ObjectTag.role, Uint8Array.of(0))).toBe(0x6a80);
    expect(put(ObjectTag.role, Uint8Array.of(1, 1))).toBe(0x6a80);
    expect(put(ObjectTag.policy, Uint8Array.of(8, 0, 0))).toBe(0x6a80);
    expect(put(ObjectTag.policy, Uint8Array.of(1, 3, 0))).toBe(0x6a80);
    expect(put(ObjectTag.privateKey, utf8('no key'), 'fresh')).toBe(0x6a80);
    expect(put(ObjectTag.privateKey, nodeModuleKeys.generate('P-256'))).toBe(0x6985);
    expect(put(ObjectTag.privateKey, nodeModuleKeys.generate('P-256'), 'fresh')).toBe(0x9000);
    expect(put(0x0109, new Uint8Array(0))).toBe(0x6a86);
    expect(put(ObjectTag.role, Uint8Array.of(1), 'x'.repeat(65))).toBe(0x6a80);
    expect(card.send(Instruction.getData, 1, 4, utf8('main')).status).toBe(0x6a86);
    expect(card.send(Instruction.getData, 1, 5, utf8('nobody')).status).toBe(0x6a83);
    expect(card.ok(Instruction.getData, 1, 3, utf8('main'))).toEqual(Uint8Array.of(7, 0, 0));
  });
});

describe('Open', () => {
  it.each([
    ['a role that is none', writeTlvs([{ tag: 0x80, value: Uint8Array.of(2) }])],
    ['no role', writeTlvs([])],
    ['no time', writeTlvs([{ tag: 0x80, value: Uint8Array.of(0) }])],
    ['a field of unknown meaning', concat([openData(), writeTlvs([{ tag: 0x7f, value: Uint8Array.of(0) }])])],
    ['a field twice', concat([openData(), writeTlvs([{ tag: 0x80, value: Uint8Array.of(0) }])])],
    [
      'a name that is no text',
      concat([openData({ serverName: undefined }), writeTlvs([{ tag: 0x84, value: Uint8Array.of(0xff) }])]),
    ],
    ['a name that is none', openData({ serverName: 'a b' })],
    ['fragments of 31 bytes', openData({ fragmentSize: 31 })],
    ['datagrams', concat([openData(), writeTlvs([{ tag: 0x82, value: Uint8Array.of(1) }])])],
    ['a version not spoken', concat([openData(), writeTlvs([{ tag: 0x83, value: Uint8Array.of(3, 1) }])])],
    ['half a field', openData().subarray(0, -1)],
  ])('refuses %s', (_name, data) => {
    const card = cardWith().verifyUser();
    const handle = card.send(open, 0, 0, data);
    // A name is only looked at when the handshake begins.
    if (handle.status === 0x9000) {
      const start = new EapHost(card, handle.data[0] as number, 'client').wrap(13, Uint8Array.of(0x20));
      expect(card.send(processEap, (handle.data[0] as number) << 1, 0, start).status).toBe(0x6a80);
    } else expect(handle.status).toBe(0x6a80);
  });

  it('has room for so many sessions; those that are over give way', () => {
    const card = cardWith({}, new Card(undefined, 2)).verifyUser();
    const [first] = [card.open(), card.open()];
    expect(card.send(open, 0, 0, openData()).status).toBe(0x6a84);
    // EAP-Failure gives a session up.
    card.ok(processEap, first << 1, 0, buildEap({ code: 4, identifier: 1 }));
    expect(card.open()).toBe(first);
    expect(card.ok(resetState, 0x10, first)).toHaveLength(1);
    expect(card.applet.sessions).toBe(1);
    expect(card.send(resetState, 0x10, first).status).toBe(0x6a83);
  });

  it('never lets time go backwards, not even over a loss of power', () => {
    const card = cardWith({ kind: 'client' }).verifyUser();
    const YEAR = 365 * 86_400_000;
    card.open({ time: NOW + 20 * YEAR });
    const later = new Card(card.storage).verifyUser();
    const server = cardWith({ kind: 'server' }).verifyUser();
    const a = new EapHost(later, later.open({ time: NOW }), 'client');
    const b = new EapHost(server, server.open({ role: 'server' }), 'server');
    const hello = a.start();
    b.start();
    a.exchange(processEap, 0, b.exchange(processEap, 0, hello));
    const why = information(later, a.handle).get(InformationTag.failure) ?? new Uint8Array(0);
    expect(Buffer.from(why.subarray(1)).toString()).toBe('CERT_HAS_EXPIRED');
  });
});

describe('SELECT, Reset-State and loss of power', () => {
  it('erase every session; SELECT and power loss forget PINs too', () => {
    const events: [string, (card: Card) => void, number][] = [
      [
        'Reset-State',
        (card) => expect(hex(card.raw(Uint8Array.of(0xa0, 0x19, 0x10, 0, 0, 1)))).toBe('039000'),
        0x9000,
      ],
      ['SELECT', (card) => void card.ok(Instruction.select, 4, 0, MODULE_AID), 0x63c3],
      ['power', (card) => card.applet.reset(), 0x63c3],
    ];
    for (const [name, event, pinStatus] of events) {
      const { client, a } = connected();
      event(client);
      expect(client.applet.sessions, name).toBe(0);
      expect(client.send(Instruction.verifyPin, 0, 0).status, name).toBe(pinStatus);
      client.verifyUser();
      expect(client.send(decrypt, a.handle << 1, 0, a.wrap(13, Uint8Array.of(0))).status, name).toBe(0x6985);
      expect(new EapHost(client, client.open(), 'client').start().length).toBeGreaterThan(100);
    }
  });

  it('knows its own name alone', () => {
    const card = new Card();
    expect(card.send(Instruction.select, 4, 0, utf8('other')).status).toBe(0x6a82);
    expect(card.send(Instruction.select, 4, 0).status).toBe(0x6a82);
    const fields = readTlvs(new Uint8Array(card.ok(Instruction.select, 4, 0, MODULE_AID)), 'FCI');
    expect(fields.map(({ tag }) => tag)).toEqual([0x70, 0x71, 0x72, 0x73]);
  });
});

describe('long answers', () => {
  it('are fetched in pieces, by FETCH and by GET RESPONSE', () => {
    for (const [cla, ins, more] of [
      [0xa0, 0x12, 0x9f],
      [0x00, 0xc0, 0x61],
    ] as const) {
      const { client, a } = connected();
      const whole = client.ok(sessionInformation, a.handle << 1, 0);
      const first = client.raw(
        encodeCommand(
          { cla, ins: sessionInformation, p1: a.handle << 1, p2: 0, data: new Uint8Array(0), le: 256 },
          'short',
        ),
      );
      const pieces = [first.subarray(0, -2)];
      let last = first;
      while (last.at(-2) === more) {
        last = client.raw(Uint8Array.of(cla, ins, 0, 0, last.at(-1) as number));
        pieces.push(last.subarray(0, -2));
      }
      expect(hex(last.subarray(-2))).toBe('9000');
      expect(hex(concat(pieces))).toBe(hex(whole));
      expect(client.send(ins, 0, 0, undefined, cla).status).toBe(0x6985);
    }
  });

  it('are gone after another command', () => {
    const { client, a } = connected();
    client.raw(
      encodeCommand(
        { cla: 0xa0, ins: sessionInformation, p1: a.handle << 1, p2: 0, data: new Uint8Array(0), le: 0 },
        'short',
      ),
    );
    client.ok(Instruction.getCurrentIdentity, 0, 0);
    expect(client.send(Instruction.fetch, 0, 0).status).toBe(0x6985);
  });
});

/** Every state that a card can be in, as a caller sees it. */
const STATES: Record<string, () => { card: Card; handle: number }> = {
  'no identity, no PIN': () => ({ card: new Card(), handle: 1 }),
  'no identity, both PINs': () => ({ card: new Card().verifyUser().verifyOperator(), handle: 1 }),
  'identity, no PIN': () => ({ card: cardWith(), handle: 1 }),
  'user PIN': () => ({ card: cardWith().verifyUser(), handle: 1 }),
  'operator PIN': () => ({ card: cardWith().verifyOperator(), handle: 1 }),
  opened: () => {
    const card = cardWith().verifyUser();
    return { card, handle: card.open() };
  },
  handshaking: () => {
    const card = cardWith().verifyUser();
    const handle = card.open();
    new EapHost(card, handle, 'client').start();
    return { card, handle };
  },
  open: () => {
    const { client, a } = connected({ permissions: 0 });
    return { card: client, handle: a.handle };
  },
  exported: () => {
    const { client, a } = connected();
    client.ok(exportTrafficKeys, a.handle << 1, 0);
    return { card: client, handle: a.handle };
  },
  closed: () => {
    const { client, a } = connected();
    a.exchange(encrypt, 21, Uint8Array.of(2, 80));
    return { card: client, handle: a.handle };
  },
};

const NEEDS_OPERATOR = new Set<number>([0x46, 0x48, 0xda, 0xca, 0x2c]);
const NEEDS_USER = new Set<number>([0x14, 0x80, 0x82, 0x84, 0x88, 0xa6, 0xa8, 0x2a]);
const KNOWN = new Set<number>(Object.values(Instruction));
const NO_PIN = new Set(['no identity, no PIN', 'identity, no PIN']);

describe.each(Object.entries(STATES))('every command in state: %s', (name, make) => {
  const verified = {
    user: !NO_PIN.has(name) && name !== 'operator PIN',
    operator: name === 'operator PIN' || name === 'no identity, both PINs',
  };

  it('answers a status word that fits, and changes nothing when it says no', () => {
    const { card, handle } = make();
    for (let ins = 0; ins < 256; ins++) {
      for (const [p1, p2] of [
        [handle << 1, 0],
        [0, 0],
        [0xfe, 0xff],
      ] as const) {
        for (const data of [new Uint8Array(0), Uint8Array.of(0x32, 0x33), new Uint8Array(40).fill(0xee)]) {
          // These two change what they are meant to change, and have tests of their own.
          if (ins === Instruction.resetState && p1 === 0x10) continue;
          const before = [card.applet.sessions, card.storage.writes];
          const sessions = verified.user ? card.send(sessionInformation, handle << 1, 2).data : undefined;
          const { status, data: answer } = card.send(ins, p1, p2, data);
          const label = `${ins.toString(16)} ${p1} ${p2} ${data.length}: ${status.toString(16)}`;
          expect(status, label).not.toBe(0x6f00);
          if (!KNOWN.has(ins)) expect(status, label).toBe(0x6d00);
          if (NEEDS_OPERATOR.has(ins) && !verified.operator && p1 === 0 && p2 === 0)
            expect(status, label).toBe(0x6982);
          if (NEEDS_USER.has(ins) && !verified.user && p1 === 0 && p2 === 0)
            expect(status, label).toBe(0x6982);
          if (status === 0x9000 || ins === Instruction.getNextIdentity) continue;
          expect(answer, label).toHaveLength(0);
          expect([card.applet.sessions, card.storage.writes], label).toEqual(before);
          if (sessions !== undefined) {
            expect(card.send(sessionInformation, handle << 1, 2).data, label).toEqual(sessions);
          }
        }
      }
    }
    // It works on.
    card.ok(Instruction.resetState, 0x10, 0);
    card.verifyUser().verifyOperator();
    cardWith({ alias: 'afterwards' }, card).verifyUser();
    const afterwards = new EapHost(card, card.open({ alias: 'afterwards' }), 'client');
    expect(afterwards.start().length).toBeGreaterThan(100);
  });

  it('refuses classes that are not its own', () => {
    const { card } = make();
    for (let cla = 0; cla < 256; cla++) {
      const known = [0x00, 0x10, 0x80, 0x90, 0xa0, 0xb0].includes(cla);
      expect(card.send(0xff, 0, 0, undefined, cla).status === 0x6e00).toBe(!known);
    }
  });
});

describe('keys', () => {
  it('are in nothing that the module says, in all of a life', () => {
    const { client, server, a, b } = connected({ mode: 'bridge', size: 100 });
    client.verifyOperator();
    client.raw(Uint8Array.from([0xa0, 0x20, 0, 0, 8, ...USER_PIN]));
    client.raw(Uint8Array.from([0xa0, 0x20, 0, 1, 8, ...OPERATOR_PIN]));
    b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8('data')));
    for (const tag of [0x100, 0x101, 0x102, 0x103, 0x105])
      client.ok(Instruction.getData, tag >> 8, tag & 0xff, utf8('main'));
    for (const card of [client, server]) {
      for (const identity of openState(card.storage).identities) {
        const key = createPrivateKey({
          key: Buffer.from(identity.privateKey ?? []),
          format: 'der',
          type: 'pkcs8',
        });
        const scalar = Buffer.from(key.export({ format: 'jwk' }).d ?? '', 'base64url');
        expect(scalar).toHaveLength(32);
        const said = Buffer.concat(card.dialogue.map(({ response }) => response));
        for (let at = 0; at + 8 <= scalar.length; at++) {
          expect(said.includes(scalar.subarray(at, at + 8))).toBe(false);
        }
        for (const digits of ['1234\xff', '12345678'])
          expect(said.includes(Buffer.from(digits, 'latin1'))).toBe(false);
      }
    }
  });
});

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { writeChain } from '../../../src/handshake/session.ts';
import { encodeCommand } from '../../../src/module/apdu/command.ts';
import { Tracer } from '../../../src/module/apdu/trace.ts';
import { Applet } from '../../../src/module/applet/applet.ts';
import type { PersistentState } from '../../../src/module/applet/persistent.ts';
import { MAX_PSKS } from '../../../src/module/applet/psks.ts';
import { InformationTag, Instruction, ObjectTag } from '../../../src/module/protocol.ts';
import { readTlvs } from '../../../src/module/tlv.ts';
import { type ConnectionOptions, connect } from '../../../src/node/connect.ts';
import { connect as connectDtls, createServer as createDtlsServer } from '../../../src/node/dtls/index.ts';
import { InProcessTransport } from '../../../src/node/module/in-process.ts';
import { SecurityModule } from '../../../src/node/module/security-module.ts';
import { createServer, type Server, type ServerOptions } from '../../../src/node/server.ts';
import type { TLSSocket } from '../../../src/node/tls-socket.ts';
import { concat, Writer } from '../../../src/wire/writer.ts';
import {
  aliasAnd,
  Card,
  cardWith,
  cardWithPsks,
  createStore,
  EapHost,
  MemoryStorage,
  OPERATOR_PIN,
  openState,
  pskObject,
  utf8,
} from './kit.ts';

const { processEap, encrypt, decrypt, sessionInformation, putData, getData } = Instruction;
const TLS13 = 0x0304;
const TLS12 = 0x0303;
const KEY = Uint8Array.from({ length: 32 }, (_, i) => 0xa0 ^ (i * 37));
const OTHER_KEY = Uint8Array.from({ length: 32 }, (_, i) => 0x5b ^ (i * 29));

const put = (card: Card, tag: number, object: Uint8Array, alias = 'main') =>
  card.send(putData, tag >> 8, tag & 0xff, aliasAnd(alias, object)).status;
const putPsk = (card: Card, object: Uint8Array, alias?: string) =>
  put(card, ObjectTag.preSharedKey, object, alias);
const listed = (card: Card) => Buffer.from(card.ok(getData, 1, 6, utf8('main'))).toString('latin1');

describe('a pre-shared key of an identity', () => {
  it('is put by the operator alone, is listed without its key, and is removed', () => {
    const card = cardWithPsks('client', []);
    const writes = card.storage.writes;
    expect(putPsk(card, pskObject('one', KEY))).toBe(0x6982);
    expect(putPsk(card.verifyUser(), pskObject('one', KEY))).toBe(0x6982);
    expect(card.storage.writes).toBe(writes + 2);
    card.verifyOperator();
    expect(putPsk(card, pskObject('one', KEY))).toBe(0x9000);
    expect(putPsk(card, pskObject('two', OTHER_KEY, 2))).toBe(0x9000);
    expect(listed(card)).toBe('\x00\x01\x03one\x00\x02\x03two');
    expect(openState(card.storage).identity('main')?.psks).toEqual([
      { identity: utf8('one'), key: KEY, hash: 'sha256', binder: 'external' },
      { identity: utf8('two'), key: OTHER_KEY, hash: 'sha384', binder: 'external' },
    ]);
    const remove = (name: string) =>
      put(card, ObjectTag.removePreSharedKey, new Writer(8).vector(1, utf8(name)).finish());
    expect(remove('three')).toBe(0x6a83);
    expect(remove('one')).toBe(0x9000);
    expect(remove('one')).toBe(0x6a83);
    expect(listed(card)).toBe('\x00\x02\x03two');
    // Nobody reads it, with either PIN, under any tag.
    card.verifyUser();
    for (let tag = 0; tag < 0x10000; tag += tag < 0x200 ? 1 : 0x7f) {
      const { data } = card.send(getData, tag >> 8, tag & 0xff, utf8('main'));
      expect(holdsPartOf(data, OTHER_KEY), tag.toString(16)).toBe(false);
    }
  });

  it.each([
    ['a key of 15 bytes', pskObject('new', KEY.subarray(0, 15))],
    ['a key of 513 bytes', pskObject('new', new Uint8Array(513))],
    ['no key', pskObject('new', new Uint8Array(0))],
    ['no identity', pskObject('', KEY)],
    ['a KDF that no suite has', pskObject('new', KEY, 3)],
    ['no KDF', pskObject('new', KEY, 0)],
    ['bytes behind it', concat([pskObject('new', KEY), Uint8Array.of(0)])],
    ['a lying length', pskObject('new', KEY).subarray(0, -1)],
    ['nothing', new Uint8Array(0)],
  ])('is not taken: %s', (_name, object) => {
    const card = cardWithPsks('client', [pskObject('one', KEY)]).verifyOperator();
    const writes = card.storage.writes;
    expect(putPsk(card, object)).toBe(0x6a80);
    expect(card.storage.writes).toBe(writes);
    expect(listed(card)).toBe('\x00\x01\x03one');
    expect(putPsk(card, pskObject('new', KEY))).toBe(0x9000);
  });

  it('is not overwritten by one of the same identity, whatever its hash', () => {
    const card = cardWithPsks('client', [pskObject('one', KEY)]).verifyOperator();
    const writes = card.storage.writes;
    for (const kdf of [1, 2]) expect(putPsk(card, pskObject('one', OTHER_KEY, kdf))).toBe(0x6985);
    expect(card.storage.writes).toBe(writes);
    expect(openState(card.storage).identity('main')?.psks[0]?.key).toEqual(KEY);
    // Those of another identity are another matter.
    expect(putPsk(card, pskObject('one', OTHER_KEY), 'second')).toBe(0x9000);
  });

  it('finds no room beyond the bound of an identity, and beyond that of the store', () => {
    const card = cardWithPsks('client', []).verifyOperator();
    const long = (alias: string, i: number) =>
      pskObject(`${alias} ${i}`.padEnd(255, '.'), new Uint8Array(512));
    for (let i = 0; i < MAX_PSKS; i++) expect(putPsk(card, long('main', i))).toBe(0x9000);
    const writes = card.storage.writes;
    expect(putPsk(card, long('main', MAX_PSKS))).toBe(0x6a84);
    expect(card.storage.writes).toBe(writes);
    const storage = card.storage.copy();
    const state = openState(storage);
    const full = state.identity('main') ?? expect.unreachable();
    let identities = 1;
    const fill = () => {
      for (; ; identities++) state.putIdentity({ ...full, alias: `id ${identities}` });
    };
    expect(fill).toThrow(expect.objectContaining({ code: 'ERR_MODULE_NO_ROOM' }));
    expect(openState(storage).identities).toHaveLength(identities);
    const [crowded, before] = [new Card(storage).verifyOperator(), storage.writes];
    let last = 0x9000;
    for (let i = 0; i < MAX_PSKS && last === 0x9000; i++) last = putPsk(crowded, long('x', i), 'last');
    expect(last).toBe(0x6a84);
    expect(openState(storage).identity('last')?.psks ?? []).toHaveLength(storage.writes - before);
    // It works on.
    expect(put(crowded, ObjectTag.remove, new Uint8Array(0), 'id 1')).toBe(0x9000);
    expect(putPsk(crowded, pskObject('x', KEY), 'last')).toBe(0x9000);
  });
});

/** As format 1 had it: identities without keys. */
function oldState(state: PersistentState, aliases: readonly string[]): Uint8Array {
  const writer = new Writer(4096).u8(1).u16(0).u32(0);
  for (const kind of ['user', 'operator'] as const) {
    const { salt, mac, tries } = state.pin(kind);
    writer.vector(1, salt).vector(1, mac).u8(tries);
  }
  writer.u16(aliases.length);
  for (const alias of aliases) {
    const { roles, privateKey, chain, anchors, permissions, clientCertificate, nai } =
      state.identity(alias) ?? expect.unreachable();
    writer
      .vector(1, utf8(alias))
      .u8(roles)
      .vector(2, privateKey ?? new Uint8Array(0));
    writeChain(writer, chain);
    writeChain(writer, anchors);
    writer.u8(permissions).u8(clientCertificate).vector(1, nai);
  }
  return writer.finish();
}

/** Of all that identities are, quicker than comparing it a thousand times. */
function digestOf({ identities }: PersistentState): string {
  const parts = identities.map(({ alias, privateKey, chain, anchors, psks, ...rest }) => {
    const policy = utf8(JSON.stringify([alias, rest, psks.length]));
    return concat([policy, privateKey ?? new Uint8Array(0), ...chain, ...anchors]);
  });
  return Buffer.from(nodeCrypto.digest('sha256', concat(parts))).toString('hex');
}

describe('a store of format 1', () => {
  const card = cardWith({ alias: 'first' });
  cardWith({ alias: 'second', kind: 'server', clientCertificate: 2 }, card);
  const now = openState(card.storage);
  const old = oldState(now, ['first', 'second']);
  const oldStorage = () => {
    const storage = new MemoryStorage();
    createStore(storage, old);
    return storage;
  };

  it('is read, and written as format 2', () => {
    const storage = oldStorage();
    expect(openState(storage).identities).toEqual(now.identities);
    const again = new Card(storage).verifyOperator();
    expect(putPsk(again, pskObject('one', KEY), 'second')).toBe(0x9000);
    const [first, second] = openState(storage).identities;
    expect(first).toEqual(now.identity('first'));
    expect(second?.psks).toHaveLength(1);
    expect({ ...second, psks: [] }).toEqual(now.identity('second'));
  });

  it('survives being written as format 2 for the first time, torn at any byte', () => {
    const before = oldStorage();
    const whole = digestOf(now);
    for (let at = 0; ; at++) {
      const storage = before.copy();
      const card = new Card(storage);
      storage.tearAt = at;
      // The try that is taken is the first write.
      expect(card.send(Instruction.verifyPin, 0, 1, OPERATOR_PIN).status).toBe(0x6f00);
      const state = openState(storage);
      expect(digestOf(state)).toBe(whole);
      const { tries } = state.pin('operator');
      if (tries === 2) break;
      expect(tries).toBe(3);
    }
  });

  it.each([0, 3, 255])('of format %i is none', (format) => {
    const storage = new MemoryStorage();
    const changed = new Uint8Array(old);
    changed[0] = format;
    createStore(storage, changed);
    expect(() => openState(storage)).toThrow(`format ${format}`);
  });
});

// Sessions

interface Pair {
  readonly client: Card;
  readonly server: Card;
  readonly a: EapHost;
  readonly b: EapHost;
}

/** What is left to say when the server has seen the client's last flight. */
function shake(
  client: Card,
  server: Card,
  { versions = [TLS13, TLS12], mode = 'bridge' as 'bridge' | 'method', size = 4000 } = {},
): Pair {
  client.verifyUser();
  server.verifyUser();
  const a = new EapHost(client, client.open({ fragmentSize: size, mode, versions }), 'client', size);
  const b = new EapHost(server, server.open({ role: 'server', fragmentSize: size, mode }), 'server', size);
  let fromClient = a.start();
  b.start();
  for (let flight = 0; flight < 3 && fromClient.length > 0; flight++) {
    const fromServer = b.exchange(processEap, 0, fromClient);
    if (fromServer.length === 0) break;
    fromClient = a.exchange(processEap, 0, fromServer);
  }
  return { client, server, a, b };
}

const information = (card: Card, { handle }: EapHost): Map<number, Uint8Array> =>
  new Map(
    readTlvs(new Uint8Array(card.ok(sessionInformation, handle << 1, 0)), 'test').map(({ tag, value }) => [
      tag,
      value,
    ]),
  );
const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('latin1');
const failure = (card: Card, host: EapHost): string =>
  text(information(card, host).get(InformationTag.failure));
const isByPeer = (card: Card, host: EapHost): boolean =>
  information(card, host).has(InformationTag.failureByPeer);

describe.each([
  ['TLS 1.3, SHA-256', TLS13, 1, 0x1301],
  ['TLS 1.3, SHA-384', TLS13, 2, 0x1302],
  ['TLS 1.2', TLS12, 1, 0xd001],
])('with a key alone, %s', (_name, version, kdf, suite) => {
  it.each([4000, 50])('two modules agree, in packets of %i bytes', (size) => {
    const psk = pskObject('sensor-7', KEY, kdf);
    const { client, server, a, b } = shake(cardWithPsks('client', [psk]), cardWithPsks('server', [psk]), {
      versions: [version],
      size,
    });
    for (const [card, host] of [
      [client, a],
      [server, b],
    ] as const) {
      const facts = information(card, host);
      expect(text(facts.get(InformationTag.pskIdentity))).toBe('sensor-7');
      expect(facts.get(InformationTag.suite)).toEqual(Uint8Array.of(suite >> 8, suite & 0xff));
      expect(facts.get(InformationTag.group)).toBeDefined();
      expect(facts.has(InformationTag.peerPath)).toBe(false);
      expect(facts.has(InformationTag.ownChain)).toBe(false);
    }
    expect(text(b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8('by key'))))).toBe(
      '\x17\x00\x00\x06by key',
    );
  });
});

describe('keys and certificates', () => {
  const key = pskObject('sensor-7', KEY);

  it('the order of the server decides between keys, where the client offers several', () => {
    const [one, two] = [pskObject('one', KEY), pskObject('two', OTHER_KEY)];
    const { client, a } = shake(cardWithPsks('client', [one, two]), cardWithPsks('server', [two, one]));
    expect(text(information(client, a).get(InformationTag.pskIdentity))).toBe('two');
  });

  it.each([TLS13, TLS12])('a client without key is shown the certificate, version %i', (version) => {
    const server = cardWith({ kind: 'server' });
    server.verifyOperator();
    expect(putPsk(server, key)).toBe(0x9000);
    server.applet.reset();
    const { client, a } = shake(cardWith({ kind: 'client' }), server, { versions: [version] });
    const facts = information(client, a);
    expect(facts.has(InformationTag.peerPath)).toBe(true);
    expect(facts.has(InformationTag.pskIdentity)).toBe(false);
  });

  it('a client with both takes either; one without trust anchors takes keys alone', () => {
    const both = cardWith({ kind: 'client' });
    both.verifyOperator();
    putPsk(both, key);
    both.applet.reset();
    const shown = shake(both, cardWith({ kind: 'server' }));
    expect(information(shown.client, shown.a).has(InformationTag.peerPath)).toBe(true);
    both.applet.reset();
    const byKey = shake(both, cardWithPsks('server', [key]));
    expect(information(byKey.client, byKey.a).has(InformationTag.pskIdentity)).toBe(true);
    const { client, server, a, b } = shake(cardWithPsks('client', [key]), cardWith({ kind: 'server' }));
    expect(failure(client, a)).toBe('\x6dERR_TLS_MISSING_EXTENSION');
    expect(isByPeer(server, b)).toBe(true);
  });

  it('a server that requires certificates asks nobody who has a key', () => {
    const server = cardWith({ kind: 'server', clientCertificate: 2 });
    server.verifyOperator();
    putPsk(server, key);
    server.applet.reset();
    const { b } = shake(cardWithPsks('client', [key]), server);
    expect(text(information(server, b).get(InformationTag.pskIdentity))).toBe('sensor-7');
  });

  it.each([
    ['an identity nobody knows, TLS 1.3', TLS13, pskObject('sensor-8', KEY), '\x28ERR_TLS_NO_SHARED_PSK'],
    [
      'an identity nobody knows, TLS 1.2',
      TLS12,
      pskObject('sensor-8', KEY),
      '\x73ERR_TLS_UNKNOWN_PSK_IDENTITY',
    ],
    ['another key, TLS 1.3', TLS13, pskObject('sensor-7', OTHER_KEY), '\x33ERR_TLS_BAD_BINDER'],
    ['another key, TLS 1.2', TLS12, pskObject('sensor-7', OTHER_KEY), '\x14ERR_TLS_BAD_RECORD_MAC'],
    ['another hash, TLS 1.3', TLS13, pskObject('sensor-7', KEY, 2), '\x33ERR_TLS_BAD_BINDER'],
  ])('%s: refused, with the alert', (_name, version, offered, why) => {
    const { client, server, a, b } = shake(cardWithPsks('client', [offered]), cardWithPsks('server', [key]), {
      versions: [version],
    });
    expect(failure(server, b)).toBe(why);
    expect(isByPeer(server, b)).toBe(false);
    expect(failure(client, a)[0]).toBe(why[0]);
    expect(isByPeer(client, a)).toBe(true);
    expect(information(server, b).has(InformationTag.pskIdentity)).toBe(false);
  });

  it.each([TLS13, TLS12])('EAP-TLS as a method knows no keys (RFC 9190 §2.1.1), version %i', (version) => {
    const side = (kind: 'client' | 'server') => {
      const card = cardWith({ kind });
      card.verifyOperator();
      putPsk(card, key);
      card.applet.reset();
      return card;
    };
    const { client, a } = shake(side('client'), side('server'), { versions: [version], mode: 'method' });
    expect(information(client, a).has(InformationTag.peerPath)).toBe(true);
    expect(information(client, a).has(InformationTag.pskIdentity)).toBe(false);
    // With nothing but a key there is nothing to show.
    const alone = shake(cardWithPsks('client', [key]), cardWithPsks('server', [key]), {
      versions: [version],
      mode: 'method',
    });
    expect(failure(alone.server, alone.b)[0]).toBe('\x28');
  });

  it('a session goes on when its key is removed, and the next one does not begin', () => {
    const server = cardWithPsks('server', [key]);
    const client = cardWithPsks('client', [key]);
    const { a, b } = shake(client, server);
    server.verifyOperator();
    put(server, ObjectTag.removePreSharedKey, new Writer(16).vector(1, utf8('sensor-7')).finish());
    expect(text(b.exchange(decrypt, 0, a.exchange(encrypt, 23, utf8('on'))))).toContain('on');
    const next = shake(client, server);
    expect(failure(server, next.b)[0]).toBe('\x28');
  });
});

/** Any eight bytes of it. */
function holdsPartOf(bytes: Uint8Array, key: Uint8Array): boolean {
  const where = Buffer.from(bytes);
  for (let at = 0; at + 8 <= key.length; at++) {
    if (where.includes(Buffer.from(key.subarray(at, at + 8)))) return true;
  }
  return false;
}

describe('keys that were given', () => {
  it('are in no answer and in no trace, whole or chained', async () => {
    const [client, server] = (['client', 'server'] as const).map((kind) =>
      cardWithPsks(kind, [pskObject('sensor-7', KEY)]),
    ) as [Card, Card];
    const { a, b } = shake(client, server, { size: 100 });
    a.exchange(decrypt, 0, b.exchange(encrypt, 23, utf8('data')));
    client.verifyOperator();
    client.ok(getData, 1, 6, utf8('main'));
    putPsk(client, pskObject('sensor-7', KEY));
    // In pieces, by the bit of CLA.
    const object = aliasAnd('main', pskObject('sensor-9', OTHER_KEY));
    for (let at = 0; at < object.length; at += 9) {
      const more = at + 9 < object.length;
      const data = object.subarray(at, at + 9);
      client.raw(
        encodeCommand({ cla: more ? 0xb0 : 0xa0, ins: putData, p1: 1, p2: 6, data, le: 0 }, 'short'),
      );
    }
    expect(openState(client.storage).identity('main')?.psks).toHaveLength(2);
    const tracer = new Tracer();
    for (const card of [client, server]) {
      const entries = card.dialogue.map(({ command, response }) => tracer.describe(command, response));
      const said = Buffer.concat(card.dialogue.map(({ response }) => response));
      const hex = JSON.stringify(entries);
      for (const key of [KEY, OTHER_KEY]) {
        expect(holdsPartOf(said, key)).toBe(false);
        for (let at = 0; at + 8 <= key.length; at++) {
          expect(hex).not.toContain(Buffer.from(key.subarray(at, at + 8)).toString('hex'));
        }
      }
      const named = entries.filter(({ object: what }) => what === 'preSharedKey');
      expect(named.find(({ name }) => name === 'putData')?.data).toMatch(/^\(\d+ bytes not shown\)$/);
    }
  });
});

// Sockets

const opened: { close(): unknown }[] = [];
afterEach(() => {
  for (const one of opened.splice(0).reverse()) one.close();
});

async function moduleOn(card: Card, offload = false): Promise<SecurityModule> {
  const applet = new Applet({ crypto: nodeCrypto, state: openState(card.storage) });
  const module = await SecurityModule.open(new InProcessTransport(applet), { pin: '1234', offload });
  opened.push(module);
  return module;
}

async function pair(
  serverOptions: ServerOptions,
  clientOptions: ConnectionOptions,
): Promise<{ client: TLSSocket; server: TLSSocket }> {
  const listening: Server = createServer(serverOptions);
  opened.push(listening);
  listening.listen(0, '127.0.0.1');
  await once(listening, 'listening');
  const { port } = listening.address() as AddressInfo;
  const client = connect({ port, host: '127.0.0.1', servername: 'server.test', ...clientOptions });
  opened.push({ close: () => client.destroy() });
  const [[server]] = (await Promise.all([
    once(listening, 'secureConnection'),
    once(client, 'secureConnect'),
  ])) as [[TLSSocket], unknown];
  opened.push({ close: () => server.destroy() });
  return { client, server };
}

describe('sockets of modules with keys', () => {
  const object = pskObject('sensor-7', KEY);
  const psk = { identity: 'sensor-7', key: KEY };

  it.each([
    ['TLS 1.3', undefined, false],
    ['TLS 1.3, offloaded', undefined, true],
    ['TLS 1.2', 'TLSv1.2', false],
  ] as const)(
    '%s: say by which key they are authorized, with a module on either side',
    async (_name, maxVersion, offload) => {
      for (const sides of ['both', 'client', 'server']) {
        const { client, server } = await pair(
          sides === 'client'
            ? { psk, maxVersion }
            : { module: await moduleOn(cardWithPsks('server', [object]), offload) },
          sides === 'server'
            ? { psk, maxVersion }
            : { module: await moduleOn(cardWithPsks('client', [object]), offload), maxVersion },
        );
        for (const socket of [client, server]) {
          expect(socket.authorized, sides).toBe(true);
          expect(socket.pskIdentity?.toString(), sides).toBe('sensor-7');
          expect(socket.getPeerCertificate().raw, sides).toBeUndefined();
        }
        client.write('ping');
        expect(String((await once(server, 'data'))[0])).toBe('ping');
        server.write('pong');
        expect(String((await once(client, 'data'))[0])).toBe('pong');
      }
    },
  );

  it('a host that demands certificates takes who has a key of the identity', async () => {
    const card = cardWith({ kind: 'server', clientCertificate: 2 });
    card.verifyOperator();
    putPsk(card, object);
    const { server } = await pair({ module: await moduleOn(card), requestCert: true }, { psk });
    expect(server.pskIdentity?.toString()).toBe('sensor-7');
  });

  it.each([{ psk }, { requirePsk: true }])('refuse keys of the host beside them: %o', async (options) => {
    const module = await moduleOn(cardWithPsks('client', [object]));
    const code = { code: 'ERR_TLS_OPTION', message: expect.stringContaining('trellis module psk add') };
    expect(() => connect({ port: 9, host: '127.0.0.1', module, ...options })).toThrow(
      expect.objectContaining(code),
    );
    expect(() => connectDtls({ port: 9, host: '127.0.0.1', module, ...options })).toThrow(
      expect.objectContaining(code),
    );
    if (options.psk !== undefined) {
      expect(() => createServer({ module, psk: options.psk })).toThrow(expect.objectContaining(code));
    }
  });

  const datagrams = async (kdf: number, maxVersion?: 'TLSv1.2') => {
    const keyed = pskObject('sensor-7', KEY, kdf);
    const server = createDtlsServer({ module: await moduleOn(cardWithPsks('server', [keyed])) });
    opened.push({ close: () => server.close() });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const module = await moduleOn(cardWithPsks('client', [keyed]));
    const { port } = server.address() as AddressInfo;
    const client = connectDtls({ port, host: '127.0.0.1', module, maxVersion });
    opened.push({ close: () => client.close() });
    return { server, client };
  };

  it.each([
    ['DTLSv1.3', 1, undefined],
    ['DTLSv1.2', 1, 'TLSv1.2'],
    ['DTLSv1.2', 2, 'TLSv1.2'],
  ] as const)('%s, KDF %i: at a port with cookies', async (protocol, kdf, maxVersion) => {
    const { server, client } = await datagrams(kdf, maxVersion);
    const [[accepted]] = await Promise.all([once(server, 'secureConnection'), once(client, 'secureConnect')]);
    expect(client.getProtocol()).toBe(protocol);
    for (const socket of [client, accepted]) {
      expect(socket.authorized).toBe(true);
      expect(socket.pskIdentity?.toString()).toBe('sensor-7');
    }
    const heard = once(accepted, 'message');
    client.send('ping');
    expect(String((await heard)[0])).toBe('ping');
  });

  it('DTLSv1.3, KDF 2: the port, which knows no keys, has chosen a suite of SHA-256', async () => {
    const { client } = await datagrams(2);
    const [error] = await once(client, 'error');
    expect(error).toMatchObject({ code: 'ERR_TLS_ALERT_HANDSHAKE_FAILURE' });
  });
});

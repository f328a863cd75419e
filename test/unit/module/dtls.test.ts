import { describe, expect, it } from 'vitest';
import { DtlsConnection } from '../../../src/connection/dtls-connection.ts';
import { DtlsGreeter } from '../../../src/connection/dtls-greeter.ts';
import type { DatagramEngine } from '../../../src/connection/engine.ts';
import { nodeModuleKeys } from '../../../src/crypto/node/module-keys.ts';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { ClientConfig, Identity, PeerVerifier, ServerConfig } from '../../../src/handshake/config.ts';
import { parseFragments } from '../../../src/messages/dtls.ts';
import { parseResponse } from '../../../src/module/apdu/command.ts';
import { Applet } from '../../../src/module/applet/applet.ts';
import type { CardTransport } from '../../../src/module/bridge/exchange.ts';
import { parseEap, parseEapTls } from '../../../src/module/eap/packet.ts';
import { Instruction } from '../../../src/module/protocol.ts';
import { readTlvs, writeTlvs } from '../../../src/module/tlv.ts';
import { InProcessTransport } from '../../../src/node/module/in-process.ts';
import { SecurityModule } from '../../../src/node/module/security-module.ts';
import { type ClassicFrame, nextFrame } from '../../../src/record/dtls/frames.ts';
import { ContentType, HandshakeType } from '../../../src/wire/codepoints.ts';
import { Certificate } from '../../../src/x509/certificate.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import { verifyPeer } from '../../../src/x509/verify.ts';
import { ADDRESS, type Arrival, DatagramPair, LATENCY, type Network } from '../../setup/dtls-pair.ts';
import { clientConfig, ONLY_TLS12, serverConfig } from '../../setup/engine-config.ts';
import { randomNumbers } from '../../setup/pair.ts';
import { CA, type Card, cardWith, certificateFor, EapHost, NOW, openData, openState } from './kit.ts';

/*
 * DTLS whose engine is in a module: bridge and applet under a virtual clock, on a network that loses, doubles and delays.
 */

const SECRET = new Uint8Array(32).fill(3);
const VERSIONS = [
  ['DTLSv1.3', {}],
  ['DTLSv1.2', ONLY_TLS12],
] as const;
type Side = 'module' | 'host';

const trust = new TrustStore([Certificate.parse(CA)]);
/** Sides without a module judge as a module does. */
const judge: PeerVerifier = (chain, { now }) =>
  verifyPeer(nodeCrypto, chain, { purpose: 'server', trust, now });

function identityOf(kind: 'client' | 'server'): Identity {
  const key = nodeModuleKeys.load(nodeModuleKeys.generate('P-256'));
  return { chain: [certificateFor(key.spki, kind)], key };
}

async function moduleOn(
  card: Card,
  fragmentSize?: number,
): Promise<{ module: SecurityModule; applet: Applet }> {
  const applet = new Applet({ crypto: nodeCrypto, state: openState(card.storage) });
  const transport = new InProcessTransport(applet, fragmentSize === undefined ? 'extended' : 'short');
  const module = await SecurityModule.open(transport, { pin: '1234', fragmentSize });
  return { module, applet };
}

/** Each test has its own applets on them. */
const CARDS = {
  client: cardWith({ kind: 'client' }),
  server: cardWith({ kind: 'server' }),
  strictServer: cardWith({ kind: 'server', clientCertificate: 2 }),
};

interface Setup {
  readonly client: Side;
  readonly server: Side;
  readonly only?: Partial<ClientConfig & ServerConfig>;
  readonly mtu?: number;
  readonly network?: Network;
  readonly fragmentSize?: number;
}

async function pairOf({ client, server, only = {}, mtu = 1232, network, fragmentSize }: Setup) {
  const datagrams = { mtu, initialTimeout: 1000, maxTimeout: 60_000 };
  const common = { ...only, datagrams, handshakeTimeout: 300_000 };
  const forClient = clientConfig({ ...common, verifyPeer: judge, identities: [identityOf('client')] });
  const forServer = serverConfig({
    ...common,
    verifyPeer: judge,
    selectIdentities: () => [identityOf('server')],
  });
  const modules = {
    client: await moduleOn(CARDS.client, fragmentSize),
    server: await moduleOn(client === 'module' ? CARDS.strictServer : CARDS.server, fragmentSize),
  };
  const greeting = server === 'module' ? modules.server.module.greeting(forServer) : forServer;
  const proof = { address: ADDRESS, secret: SECRET };
  const pair = new DatagramPair<DatagramEngine, DatagramEngine>({
    client: (now) =>
      client === 'module'
        ? modules.client.module.datagramClient(forClient, now, [], server === 'host')
        : DtlsConnection.client(forClient, now),
    accept: (now, seed) =>
      server === 'module'
        ? modules.server.module.datagramServer(forServer, now, [], false, proof)
        : DtlsConnection.server(forServer, now, [], seed),
    greeter: new DtlsGreeter(greeting, SECRET),
    now: NOW,
    network,
  });
  return { pair, modules };
}

const SIDES: [Side, Side][] = [
  ['module', 'module'],
  ['module', 'host'],
  ['host', 'module'],
];

describe.each(VERSIONS)('%s', (protocol, only) => {
  it.each(SIDES)('client in a %s, server in a %s: data both ways, and the end', async (client, server) => {
    const { pair, modules } = await pairOf({ client, server, only });
    pair.run(5_000);
    expect(pair.client.error?.message).toBeUndefined();
    expect(pair.server.error?.message).toBeUndefined();
    expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
    expect(pair.client.connection.info?.protocol).toBe(protocol);
    expect(hex(pair.client.connection.info?.transcriptHash)).toBe(
      hex(pair.server.connection.info?.transcriptHash),
    );
    pair.client.connection.send(Uint8Array.of(0x61));
    pair.client.connection.send(Uint8Array.of(0x62));
    pair.server.connection.send(Uint8Array.of(0x63));
    pair.run(5_000);
    expect(pair.server.data.sort()).toEqual(['a', 'b']);
    expect(pair.client.data).toEqual(['c']);
    pair.client.connection.close();
    pair.run(5_000);
    expect(pair.server.ended).toBe(true);
    pair.server.connection.close();
    pair.run(5_000);
    if (client === 'module') expect(modules.client.applet.sessions).toBe(0);
    if (server === 'module') expect(modules.server.applet.sessions).toBe(0);
  });

  it.each([32, 100])('EAP fragments of %i bytes', async (fragmentSize) => {
    const { pair } = await pairOf({ client: 'module', server: 'module', only, fragmentSize });
    pair.run(5_000);
    expect(pair.client.error?.message ?? pair.server.error?.message).toBeUndefined();
    pair.client.connection.send(new Uint8Array(600).fill(0x61));
    pair.run(5_000);
    expect(pair.server.data).toEqual(['a'.repeat(600)]);
  });

  it.each([296, 1232])('MTU %i: no datagram is larger, whatever the network does', async (mtu) => {
    for (const [client, server] of SIDES) {
      for (let seed = 1; seed <= 2; seed++) {
        const network = faulty({ loss: 10, double: 15, delay: 30 }, seed * 7919 + mtu);
        const { pair } = await pairOf({ client, server, only, mtu, network });
        pair.run();
        expect(pair.client.error?.message).toBeUndefined();
        expect(pair.server.error?.message).toBeUndefined();
        expect([pair.client.connected, pair.server.connected]).toEqual([true, true]);
        const sizes = [...pair.client.sent, ...pair.server.sent].map(({ length }) => length);
        expect(Math.max(...sizes)).toBeLessThanOrEqual(mtu);
        expect(sizes.length).toBeLessThan(300);
      }
    }
  });

  it('a single lost datagram, whichever it is, costs no more than a retransmission', async () => {
    for (const role of ['client', 'server'] as const) {
      for (let lost = 0; lost < 9; lost++) {
        const network: Network = (bytes, from, nth) =>
          from === role && nth === lost ? [] : [{ after: LATENCY, bytes }];
        const { pair } = await pairOf({ client: 'module', server: 'module', only, mtu: 400, network });
        pair.run(10_000);
        expect(pair.client.error?.message).toBeUndefined();
        expect([pair.client.connected, pair.server.begun && pair.server.connected]).toEqual([true, true]);
      }
    }
  });

  it('nothing arrives: the flight is sent again, and the handshake ends with its time', async () => {
    const { pair, modules } = await pairOf({ client: 'module', server: 'host', only, network: () => [] });
    pair.run();
    expect(pair.client.error?.code).toBe('ERR_TLS_HANDSHAKE_TIMEOUT');
    // 1, 2, 4, 8, 16, 32, 60, 60, 60 s: the waiting doubles.
    expect(pair.client.sent.length).toBeGreaterThan(6);
    expect(pair.client.sent.length).toBeLessThan(15);
    expect(modules.client.applet.sessions).toBe(0);
  });
});

describe('what passes between bridge and module', () => {
  it('in DTLS 1.2 are whole messages, and fragments of the MTU on the wire', async () => {
    const seen: Uint8Array[] = [];
    const card = cardWith({ kind: 'server' });
    const applet = new Applet({ crypto: nodeCrypto, state: openState(card.storage) });
    const inner = new InProcessTransport(applet, 'extended');
    const transport: CardTransport = {
      maxCommandData: inner.maxCommandData,
      maxResponseData: inner.maxResponseData,
      close: () => inner.close(),
      transmit: (command) => {
        const answer = inner.transmit(command);
        if (command[1] === Instruction.processEap) seen.push(new Uint8Array(answer as Uint8Array));
        return answer;
      },
    };
    const module = await SecurityModule.open(transport, { pin: '1234' });
    const datagrams = { mtu: 300, initialTimeout: 1000, maxTimeout: 60_000 };
    const server = serverConfig({ ...ONLY_TLS12, datagrams });
    const greeter = new DtlsGreeter(module.greeting(server), SECRET);
    const proof = { address: ADDRESS, secret: SECRET };
    const pair = new DatagramPair<DatagramEngine, DatagramEngine>({
      client: (now) =>
        DtlsConnection.client(clientConfig({ ...ONLY_TLS12, datagrams, verifyPeer: judge }), now),
      accept: (now) => module.datagramServer(server, now, [], false, proof),
      greeter,
      now: NOW,
    });
    pair.run(5_000);
    expect(pair.client.connected && pair.server.connected).toBe(true);
    const inModule = seen.flatMap((response) => fragmentsIn(eapData(response)));
    const onWire = pair.server.sent.flatMap(fragmentsIn);
    const isCertificate = ({ type }: { type: number }) => type === HandshakeType.certificate;
    expect(inModule.filter(isCertificate).map(({ body, length }) => body.length === length)).toEqual([true]);
    expect(onWire.filter(isCertificate).length).toBeGreaterThan(1);
    const numbers = pair.server.sent.flatMap(clearNumbers);
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
  });
});

describe('Retransmit flight', () => {
  const open = (over: Parameters<typeof openData>[0], data?: Uint8Array) => {
    const card = cardWith({ kind: over?.role ?? 'client' }).verifyUser();
    const handle = card.ok(Instruction.open, 0, 0, openData(over))[0] as number;
    return card.send(Instruction.retransmit, handle << 1, 0, data).status.toString(16);
  };
  const datagrams = { mtu: 1232, timeout: 1000 };
  const versions = [0xfefc, 0xfefd];

  it('is 6985 in a session over a stream, and before there is a flight', () => {
    expect(open({})).toBe('6985');
    expect(open({ datagrams, versions })).toBe('6985');
  });

  it('takes no data and no P2', () => {
    expect(open({ datagrams, versions }, Uint8Array.of(1))).toBe('6700');
    const card = cardWith().verifyUser();
    const handle = card.ok(Instruction.open, 0, 0, openData({ datagrams, versions }))[0] as number;
    expect(card.send(Instruction.retransmit, handle << 1, 1).status).toBe(0x6a86);
    expect(card.send(Instruction.retransmit, 0x7e, 0).status).toBe(0x6985);
  });

  it('says the ClientHello again, with another record number', () => {
    const card = cardWith().verifyUser();
    const handle = card.ok(Instruction.open, 0, 0, openData({ datagrams, versions }))[0] as number;
    const host = new EapHost(card, handle, 'client');
    const first = host.start();
    const again = card.ok(Instruction.retransmit, handle << 1, 0);
    expect(fragmentsIn(first)).toEqual(fragmentsIn(again));
    expect([...clearNumbers(first), ...clearNumbers(again)]).toEqual([0, 1]);
    // 1 s, then 2.
    expect(hex(card.ok(Instruction.sessionInformation, handle << 1, 2))).toBe('000007d0');
  });
});

describe('Open of datagrams', () => {
  const status = (...fields: (readonly [number, string])[]) => {
    const card = cardWith().verifyUser();
    const other = openData({ datagrams: { mtu: 1232, timeout: 1000 }, versions: [0xfefc, 0xfefd] });
    const changed = fields.reduce((data, [tag, value]) => withField(data, tag, value), other);
    return card.send(Instruction.open, 0, 0, changed).status.toString(16);
  };

  it('is well-formed, or 6a80', () => {
    expect(status()).toBe('9000');
    // Transport: another, too short, too long, without a time.
    for (const value of ['02', '0104d0', '0104d003e800', '0104d00000', '0104d0ffff', '']) {
      expect(status([0x82, value])).toBe('6a80');
    }
    // An MTU in which no fragment has room.
    expect(status([0x82, '01007f03e8'])).toBe('6a80');
    // As an EAP method; versions of TLS; a cookie of a short secret, and without an address.
    expect(status([0x81, '01'])).toBe('6a80');
    expect(status([0x83, '0304'])).toBe('6a80');
    expect(status([0x87, '0101000101'])).toBe('6a80');
    expect(status([0x87, '000000'])).toBe('6a80');
    expect(status([0x82, '00'], [0x83, '0304'], [0x87, '01010000'])).toBe('6a80');
  });
});

it('a module asks for a cookie of its own where the host has no secret', () => {
  const card = cardWith({ kind: 'server' }).verifyUser();
  const cookie = { address: ADDRESS, secret: new Uint8Array(0) };
  const over = { role: 'server', versions: [0xfefd], serverName: undefined } as const;
  const datagrams = { mtu: 1232, timeout: 1000, cookie };
  const handle = card.ok(Instruction.open, 0, 0, openData({ ...over, datagrams }))[0] as number;
  const host = new EapHost(card, handle, 'server');
  host.start();
  const terms = { mtu: 1232, initialTimeout: 1000, maxTimeout: 60_000 };
  const client = DtlsConnection.client(clientConfig({ ...ONLY_TLS12, datagrams: terms }), NOW);
  const types = (bytes: Uint8Array) => fragmentsIn(bytes).map(({ type }) => type);
  const hello = client.transmit()[0] as Uint8Array;
  const asked = host.exchange(Instruction.processEap, 0, hello);
  expect(types(asked)).toEqual([HandshakeType.hello_verify_request]);
  // The same hello gets the same answer: nothing was kept of it.
  expect(types(host.exchange(Instruction.processEap, 0, hello))).toEqual([
    HandshakeType.hello_verify_request,
  ]);
  client.receive(asked, NOW);
  const answered = host.exchange(Instruction.processEap, 0, client.transmit()[0] as Uint8Array);
  expect(types(answered)[0]).toBe(HandshakeType.server_hello);
});

// What is in datagrams

function fragmentsIn(bytes: Uint8Array) {
  return clearRecords(bytes).flatMap(({ type, fragment }) =>
    type === ContentType.handshake ? parseFragments(fragment) : [],
  );
}

function clearNumbers(bytes: Uint8Array): number[] {
  return clearRecords(bytes).map(({ sequence }) => sequence);
}

function clearRecords(bytes: Uint8Array) {
  const records: ClassicFrame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const cut = nextFrame(bytes, at, 0);
    if (cut === undefined) break;
    at = cut.end;
    if (cut.frame.kind === 'classic' && cut.frame.epoch === 0) records.push(cut.frame);
  }
  return records;
}

/** EAP-TLS bytes of a response APDU that holds a whole message. */
function eapData(response: Uint8Array): Uint8Array {
  const { data } = parseResponse(response);
  const eap = parseEap(data);
  return 'type' in eap ? parseEapTls(eap.data).data : new Uint8Array(0);
}

/** @param value hexadecimal, in the place of the field's own */
function withField(data: Uint8Array, tag: number, value: string): Uint8Array {
  const others = readTlvs(data, 'Open').filter((field) => field.tag !== tag);
  return writeTlvs([...others, { tag, value: Uint8Array.from(Buffer.from(value, 'hex')) }]);
}

function hex(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString('hex');
}

/** In parts of a hundred. Repeatable: the same seed makes the same faults. */
function faulty(faults: { loss: number; double: number; delay: number }, seed: number): Network {
  const random = randomNumbers(seed);
  const hits = (percent: number): boolean => random(100) < percent;
  return (bytes) => {
    if (hits(faults.loss)) return [];
    const copies = hits(faults.double) ? 2 : 1;
    return Array.from({ length: copies }, (): Arrival => {
      const after = LATENCY + (hits(faults.delay) ? random(3000) : 0);
      return { after, bytes };
    });
  };
}

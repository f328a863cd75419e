import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { cmsVerifier } from '../../../src/formats/cms/verify.ts';
import type { SignWanted } from '../../../src/sign/index.ts';
import {
  bytes,
  CLIENT,
  legible,
  MemoryArchive,
  owner,
  SERVER,
  SignPair,
  START,
  sha256,
  signerOf,
  TRUST,
  text,
} from './kit.ts';

describe.each(['pkcs7', 'smime', 'xmldsig'] as const)('%s', (format) => {
  test('data is signed, verified, acknowledged, in both directions', () => {
    const pair = new SignPair({ client: { formats: [format] } });
    expect(pair.client.session.agreement).toEqual({ format, types: ['origin', 'delivery'] });
    const order = pair.say('client', 'three chairs');
    pair.say('server', 'no receipt', false);
    pair.run();
    pair.expectUnharmed();
    const [message] = pair.server.messages;
    expect(text(message?.content)).toBe('three chairs');
    expect(message).toMatchObject({ sequence: 0, application: '', contentType: 23, acknowledged: true });
    expect(message?.signer?.leaf.subject.toString()).toBe('CN=alice');
    expect(message?.verified?.binding).toMatchObject({ role: 'client', kind: 'data', sequence: 0 });
    expect(message?.verified?.binding.peer).toEqual(sha256(SERVER.chain[0] as Uint8Array));
    const [{ message: acknowledged, receipt } = {}] = pair.client.receipts;
    expect(acknowledged).toBe(order);
    // The server's own message was number 0.
    expect(receipt).toMatchObject({ sequence: 1, signingTime: START });
    expect(receipt?.acknowledges).toEqual(message?.objectDigest);
    expect(receipt?.signer.leaf.subject.toString()).toBe('CN=server.test');
    expect(pair.client.texts).toEqual(['no receipt']);
    expect(pair.server.receipts).toEqual([]);
    expect(pair.client.session.pendingReceipts).toBe(0);
  });

  test('unsigned data gets its receipt', () => {
    const pair = new SignPair({ client: { formats: [format], types: ['delivery'] } });
    pair.say('client', 'unsigned');
    pair.run();
    pair.expectUnharmed();
    const [message] = pair.server.messages;
    expect(message).toMatchObject({ verified: undefined, signer: undefined, acknowledged: true });
    expect(text(message?.content)).toBe('unsigned');
    expect(pair.client.receipts).toHaveLength(1);
  });
});

test('objects that are larger than a record, at any cut of the stream', () => {
  const content = new Uint8Array(100_000).map((_, i) => i);
  const pair = new SignPair({ pair: { delivery: { seed: 5 } } });
  pair.say('client', content);
  pair.say('client', 'short');
  pair.run();
  pair.expectUnharmed();
  expect(pair.server.messages.map(({ content: { length } }) => length)).toEqual([100_000, 5]);
  expect(pair.server.messages[0]?.content).toEqual(content);
  expect(pair.client.receipts).toHaveLength(2);
});

test('both sides are told of switches, and an object that was sent before one travels before it', () => {
  const held: SignWanted[] = [];
  const pair = new SignPair({
    hold: (wanted, role) => role === 'client' && wanted.kind === 'signature' && held.push(wanted) > 0,
  });
  pair.say('client', 'before');
  pair.client.session.off();
  expect(() => pair.client.session.send(bytes('off'), {}, START)).toThrow(
    expect.objectContaining({ code: 'ERR_SIGN_UNAVAILABLE' }),
  );
  pair.run();
  expect(pair.server.events).toEqual([{ type: 'switch', on: true }]);
  for (const wanted of held) pair.answer(wanted, pair.client.session);
  pair.run();
  expect(pair.server.events.map(({ type }) => type)).toEqual(['switch', 'switch', 'message']);
  expect(pair.server.session.peerIsOn).toBe(false);
});

test('several signatures are in flight, and the order on the wire is that of sending', () => {
  const held: SignWanted[] = [];
  const pair = new SignPair({
    hold: (wanted, role) => role === 'client' && wanted.kind === 'signature' && held.push(wanted) > 0,
  });
  for (const word of ['one', 'two', 'three']) pair.say('client', word);
  pair.run();
  expect(held).toHaveLength(3);
  for (const wanted of held.reverse()) {
    expect(pair.server.texts).toEqual([]);
    pair.answer(wanted, pair.client.session);
    pair.run();
  }
  expect(pair.server.texts).toEqual(['one', 'two', 'three']);
  expect(pair.client.receipts.map(({ message }) => message.sequence)).toEqual([0, 1, 2]);
});

test('verifications may be answered in any order; delivery keeps that of the wire', () => {
  const held: SignWanted[] = [];
  const pair = new SignPair({
    hold: (wanted, role) => role === 'server' && wanted.kind === 'verification' && held.push(wanted) > 0,
  });
  for (const word of ['one', 'two', 'three']) pair.say('client', word);
  pair.run();
  for (const wanted of held.reverse()) {
    expect(pair.server.texts).toEqual([]);
    pair.answer(wanted, pair.server.session);
    pair.run();
  }
  expect(pair.server.texts).toEqual(['one', 'two', 'three']);
});

describe('the archive', () => {
  const archives = () => ({ client: new MemoryArchive(), server: new MemoryArchive() });

  test('keeps on both sides what was said and acknowledged, and who said it', () => {
    const { client, server } = archives();
    client.head = bytes('head of the client');
    const pair = new SignPair({ client: { archive: client }, server: { archive: server } });
    pair.say('client', 'three chairs');
    pair.run();
    const object = pair.server.messages[0]?.object ?? bytes('');
    const [sent, received] = client.entries.map(legible);
    const content = { length: 12, digest: sha256(bytes('three chairs')) };
    const data = legible({
      kind: 'data',
      sequence: 0,
      application: '',
      contentType: 23,
      format: 'pkcs7',
      object,
    });
    const facts = { ...data, ...legible({ content, treeHead: client.head }), flags: 1, target: undefined };
    expect(sent).toMatchObject({ ...facts, direction: 'sent', status: 'unverified' });
    expect(received).toMatchObject({ direction: 'received', kind: 'receipt', status: 'verified', target: 0 });
    expect(server.entries.map(legible)).toMatchObject([
      { ...facts, direction: 'received', status: 'verified' },
      {
        ...received,
        direction: 'sent',
        status: 'unverified',
        objectDigest: undefined,
        target: 0,
      },
    ]);
    expect(client.sessions).toMatchObject([
      { role: 'client', protocol: 0x0304, ownName: 'CN=alice', peerName: 'CN=server.test', started: START },
    ]);
    expect(server.sessions[0]?.sessionBinding).toEqual(client.sessions[0]?.sessionBinding);
    expect(server.sessions[0]?.peerChain).toEqual(CLIENT.chain);
    // Years later, from the archive alone.
    const again = cmsVerifier.verifyObject(nodeCrypto, object, { trust: TRUST, now: START });
    expect(again.binding.sessionBinding).toEqual(server.sessions[0]?.sessionBinding);
  });

  test('has it before the receipt leaves, and before anyone is told', () => {
    const held: SignWanted[] = [];
    const pair = new SignPair({
      server: { archive: new MemoryArchive() },
      hold: (wanted, role) => role === 'server' && wanted.kind === 'persisted' && held.push(wanted) > 0,
    });
    pair.say('client', 'durable?');
    pair.run();
    expect(held).toHaveLength(1);
    expect(pair.server.messages).toEqual([]);
    expect(pair.client.receipts).toEqual([]);
    expect(pair.server.session.isBusy).toBe(true);
    pair.answer(held[0] as SignWanted, pair.server.session);
    pair.run();
    expect(pair.server.texts).toEqual(['durable?']);
    // The receipt itself has to be there as well.
    expect(held).toHaveLength(2);
    expect(pair.client.receipts).toEqual([]);
    pair.answer(held[1] as SignWanted, pair.server.session);
    pair.run();
    expect(pair.client.receipts).toHaveLength(1);
    expect(pair.server.session.isBusy).toBe(false);
  });

  test('has a message before the first byte of it leaves', () => {
    const held: SignWanted[] = [];
    const { client } = archives();
    const pair = new SignPair({
      client: { archive: client },
      hold: (wanted, role) =>
        role === 'client' &&
        wanted.kind === 'persisted' &&
        wanted.entry.kind === 'data' &&
        held.push(wanted) > 0,
    });
    pair.say('client', 'kept?');
    pair.run();
    expect(pair.server.texts).toEqual([]);
    expect(pair.client.session.hasOutput).toBe(false);
    pair.answer(held[0] as SignWanted, pair.client.session);
    pair.run();
    expect(pair.server.texts).toEqual(['kept?']);
    expect(pair.client.receipts).toMatchObject([{ receipt: { record: 1 } }]);
    expect(client.entries[1]).toMatchObject({ kind: 'receipt', target: 0 });
    expect(pair.client.events.map(({ type }) => type)).toEqual(['sent', 'receipt']);
  });

  test('that fails ends the session: nothing is acknowledged that is not kept', () => {
    const pair = new SignPair({
      server: { archive: new MemoryArchive() },
      hold: (wanted, role) => {
        if (role === 'client' || wanted.kind !== 'persisted') return false;
        wanted.fail(new Error('disk full'));
        return true;
      },
    });
    pair.say('client', 'lost');
    pair.run();
    pair.expectFound('server', 'ERR_TLS_INTERNAL', 'internal_error');
    expect(pair.client.receipts).toEqual([]);
    expect(pair.client.lost).toMatchObject([{ code: 'ERR_SIGN_NO_RECEIPT' }]);
  });
});

describe('the signer', () => {
  test('of an anonymous client comes by certificate_sign', () => {
    const pair = new SignPair({
      clientIdentity: null,
      client: { signer: signerOf(CLIENT) },
      server: { trust: TRUST },
    });
    pair.say('client', 'it is me');
    pair.say('server', 'and me');
    pair.run();
    pair.expectUnharmed();
    expect(pair.server.messages[0]?.signer?.leaf.subject.toString()).toBe('CN=alice');
    expect(pair.client.messages[0]?.verified?.binding.peer).toHaveLength(0);
    expect(pair.client.receipts).toHaveLength(1);
    expect(pair.server.receipts).toHaveLength(1);
  });

  test('of an anonymous client that signs receipts only is announced as well', () => {
    const pair = new SignPair({
      clientIdentity: null,
      client: { signer: signerOf(CLIENT) },
      server: { trust: TRUST },
    });
    pair.say('server', 'did you get it?');
    pair.run();
    pair.expectUnharmed();
    expect(pair.server.receipts).toHaveLength(1);
    expect(pair.server.session.peerIsOn).toBe(false);
  });

  test('may be another certificate with the same subject', () => {
    const other = owner('alice', { kind: 'ed25519' });
    const archive = new MemoryArchive();
    const pair = new SignPair({ client: { signer: signerOf(other) }, server: { trust: TRUST, archive } });
    pair.say('client', 'with my other key');
    pair.run();
    pair.expectUnharmed();
    expect(pair.server.messages[0]?.signer?.leaf.raw).toEqual(other.chain[0]);
    expect(archive.entries[0]?.signerChain).toEqual(other.chain);
  });

  test('may be another subject where that is allowed', () => {
    const pair = new SignPair({
      client: { signer: signerOf(owner('notary')) },
      server: { trust: TRUST, otherSigners: 'any' },
    });
    pair.say('client', 'in the name of alice');
    pair.run();
    expect(pair.server.messages[0]?.signer?.leaf.subject.toString()).toBe('CN=notary');
  });

  test('is needed to switch on', () => {
    const pair = new SignPair({ clientIdentity: null });
    expect(pair.client.session.canSign).toBe(false);
    expect(() => pair.client.session.on()).toThrow(expect.objectContaining({ code: 'ERR_SIGN_UNAVAILABLE' }));
    // And to acknowledge: the message comes, its receipt does not.
    pair.say('server', 'hello?');
    pair.run();
    expect(pair.client.messages).toMatchObject([{ receiptRequested: true, acknowledged: false }]);
    expect(pair.server.session.pendingReceipts).toBe(1);

    pair.pair.client.connection.close();
    pair.run();
    expect(pair.server.lost).toMatchObject([{ code: 'ERR_SIGN_NO_RECEIPT' }]);
  });

  test.each(['p256', 'p384', 'ed25519', 'rsa2048'] as const)('has a key of kind %s', (kind) => {
    const pair = new SignPair({ clientIdentity: owner(kind, { kind }) });
    pair.say('client', kind);
    pair.run();
    pair.expectUnharmed();
    expect(pair.server.texts).toEqual([kind]);
  });
});

describe('bounds', () => {
  test('receipts that are awaited', () => {
    const pair = new SignPair({ client: { maxPendingReceipts: 2 }, hold: (_, role) => role === 'server' });
    pair.say('client', 'one');
    pair.say('client', 'two');
    pair.say('client', 'three', false);
    expect(() => pair.say('client', 'four')).toThrow(expect.objectContaining({ code: 'ERR_SIGN_LIMIT' }));
  });

  test('bytes that nobody takes stop the reading, and taking them starts it', () => {
    const pair = new SignPair({ server: { receiveBuffer: 8192 } });
    for (let i = 0; i < 8; i++) pair.say('client', new Uint8Array(2048));
    pair.run();
    expect(pair.server.session.paused).toBe(true);
    for (const message of pair.server.messages) pair.server.session.release(message);
    expect(pair.server.session.paused).toBe(false);
  });
});

describe('the end', () => {
  test('comes after everything that was sent before it', () => {
    const held: SignWanted[] = [];
    const pair = new SignPair({
      hold: (wanted, role) => role === 'server' && wanted.kind === 'verification' && held.push(wanted) > 0,
    });
    pair.say('client', 'last words');
    pair.run();
    pair.pair.client.connection.close();
    pair.run();
    expect(pair.server.events.map(({ type }) => type)).toEqual(['switch']);
    pair.answer(held[0] as SignWanted, pair.server.session);
    pair.run();
    expect(pair.server.events.map(({ type }) => type)).toEqual(['switch', 'message', 'end']);
    // The other direction is open: the receipt has come.
    expect(pair.client.receipts).toHaveLength(1);
  });

  test('tells of what was not sent', () => {
    const pair = new SignPair({ hold: (wanted) => wanted.kind === 'signature' });
    const message = pair.say('client', 'never signed');
    pair.run();
    pair.pair.client.connection.close();
    pair.pair.server.connection.close();
    pair.run();
    expect(pair.client.lost).toEqual([{ message, code: 'ERR_TLS_CLOSED' }]);
    expect(() => pair.say('client', 'more')).toThrow(expect.objectContaining({ code: 'ERR_TLS_CLOSED' }));
  });
});

import { describe, expect, test } from 'vitest';
import { muxClient, muxServer } from '../../../src/mux/index.ts';
import { ONLY_TLS12 } from '../../setup/engine-config.ts';
import { MemoryArchive, owner, SignPair, signerOf, TRUST, text } from './kit.ts';

const TLS12 = { pair: { client: ONLY_TLS12, server: ONLY_TLS12 } };

describe('signing over TLS 1.2', () => {
  test.each(['pkcs7', 'smime', 'xmldsig'] as const)('carries %s and its receipts, both ways', (format) => {
    const archives = { client: new MemoryArchive(), server: new MemoryArchive() };
    const pair = new SignPair({
      ...TLS12,
      client: { formats: [format], archive: archives.client },
      server: { archive: archives.server },
    });
    pair.say('client', 'three chairs');
    pair.say('server', 'a bill');
    pair.run();
    pair.expectUnharmed();
    expect([pair.server.texts, pair.client.texts]).toEqual([['three chairs'], ['a bill']]);
    expect(pair.client.receipts).toHaveLength(1);
    expect(pair.server.receipts).toHaveLength(1);
    // Both ends name the session alike, and with the version that was agreed on.
    const [client, server] = [archives.client.sessions[0], archives.server.sessions[0]];
    expect(client?.protocol).toBe(0x0303);
    expect(client?.sessionBinding).toHaveLength(32);
    expect(client?.sessionBinding).toEqual(server?.sessionBinding);
  });

  test('binds what is signed to one session', () => {
    const bindingOf = () => {
      const pair = new SignPair(TLS12);
      pair.say('client', 'once');
      pair.run();
      return Buffer.from(pair.server.messages[0]?.verified?.binding.sessionBinding ?? []).toString('hex');
    };
    expect(bindingOf()).not.toBe(bindingOf());
  });

  test('announces a signer that the handshake has not shown: certificate_sign', () => {
    const pair = new SignPair({
      ...TLS12,
      clientIdentity: null,
      client: { signer: signerOf(owner('carol')) },
      server: { trust: TRUST },
    });
    pair.say('client', 'who am I?');
    pair.run();
    pair.expectUnharmed();
    expect(pair.server.messages[0]?.signer?.leaf.subject.toString()).toBe('CN=carol');
    expect(pair.client.receipts).toHaveLength(1);
  });

  test('signs one application of a multiplexed session', () => {
    const applications = [{ name: 'orders', port: 7000 }];
    const pair = new SignPair({
      ...TLS12,
      mux: { client: muxClient({ applications, mode: 'ports' }), server: muxServer({ applications }) },
    });
    pair.run();
    const session = pair.client.mux()?.session;
    const connection = session?.open('orders');
    expect(connection).toBeDefined();
    pair.client.session.on();
    pair.client.session.send(new TextEncoder().encode('two tables'), { receipt: true, connection }, pair.now);
    pair.run();
    pair.expectUnharmed();
    expect(
      pair.server.messages.map(({ application, contentType, content }) => [
        application,
        contentType,
        text(content),
      ]),
    ).toEqual([['orders', 28, 'two tables']]);
    expect(pair.client.receipts).toHaveLength(1);
  });
});

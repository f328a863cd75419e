import { describe, expect, test } from 'vitest';
import type { SubProtocol, SubProtocolLink } from '../../../src/connection/sub-protocol.ts';
import { ContentType, ExtensionType, ProtocolVersion } from '../../../src/wire/codepoints.ts';
import { testTickets } from '../../setup/engine-config.ts';
import { changingServerHello, expectAlive, expectFound, setExtension } from '../../setup/faults.ts';
import { clearRecord, type PairSetup } from '../../setup/pair.ts';
import { toHex } from '../../vectors/rfc8448.ts';
import { connect12, TLS12 } from './kit.ts';

/* The seam of src/connection/sub-protocol.ts in TLS 1.2: answered in ServerHello, its types seen on the wire. */

const EXTENSION = 0xff99;
const CONTENT = 29;
const MESSAGE = 240;
const LAX = { ...TLS12, requireExtendedMasterSecret: false };

class Noting implements SubProtocol {
  readonly name = 'noting';
  readonly extensionType = EXTENSION;
  readonly contentTypes = [CONTENT];
  readonly handshakeTypes = [MESSAGE];
  readonly log: string[] = [];
  link: SubProtocolLink | undefined;
  readonly checkApplicationData = () => {};

  offer(): Uint8Array {
    return Uint8Array.of(1);
  }
  answer(offered: Uint8Array | undefined): Uint8Array | undefined {
    return offered === undefined ? undefined : Uint8Array.of(2);
  }
  confirm(): void {}
  start(link: SubProtocolLink): void {
    this.link = link;
  }
  receiveRecord(type: number, content: Uint8Array): void {
    this.log.push(`record ${type} ${toHex(content)}`);
  }
  receiveHandshake(type: number, body: Uint8Array): void {
    this.log.push(`message ${type} ${toHex(body)}`);
  }
  receiveEnd(): void {}
  closed(): void {}
}

function joined(setup: Partial<PairSetup> = {}, change: { client?: object; server?: object } = {}) {
  const client = new Noting();
  const server = new Noting();
  const pair = connect12(change.client, change.server, {
    clientProtocols: [() => client],
    serverProtocols: [() => server],
    ...setup,
  });
  return { pair, client, server };
}

describe('a sub-protocol over TLS 1.2', () => {
  test('is agreed on in ServerHello and bound to the same handshake on both sides', () => {
    const { pair, client, server } = joined();
    expectAlive(pair);
    expect(client.link?.session.version).toBe(ProtocolVersion.tls12);
    const bindings = [client, server].map(({ link }) =>
      toHex(link?.session.transcriptHash ?? new Uint8Array()),
    );
    expect(bindings[0]).toHaveLength(64);
    expect(bindings[0]).toBe(bindings[1]);
  });

  test('has records of its own type, under encryption', () => {
    const { pair, client, server } = joined();
    client.link?.send(CONTENT, Uint8Array.of(7));
    client.link?.sendHandshake(MESSAGE, Uint8Array.of(8));
    pair.run();
    server.link?.send(CONTENT, Uint8Array.of(9));
    pair.run();
    expect(server.log).toEqual([`record ${CONTENT} 07`, `message ${MESSAGE} 08`]);
    expect(client.log).toEqual([`record ${CONTENT} 09`]);
    expect(pair.sent.client.map(([type]) => type)).toContain(CONTENT);
    expectAlive(pair);
  });

  test('is negotiated afresh, and bound afresh, in a resumption', () => {
    const server = { tickets: testTickets };
    const first = joined({}, { server });
    const [session] = first.pair.client.sessions;
    const again = joined({}, { server, client: { session } });
    expect(again.pair.client.connection.info?.resumed).toBe(true);
    const bindings = [first.client, again.client, again.server].map(({ link }) =>
      toHex(link?.session.transcriptHash ?? new Uint8Array()),
    );
    expect(bindings[1]).toBe(bindings[2]);
    expect(bindings[0]).not.toBe(bindings[1]);
  });

  test('is not there before the handshake is complete', () => {
    const { pair } = joined({
      tamper: ({ from, nth, type, content }) =>
        from === 'client' && nth === 1
          ? [{ raw: clearRecord(CONTENT, Uint8Array.of(1)) }, { type, content }]
          : undefined,
    });
    expectFound(pair, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('is not answered to a client without extended_master_secret', () => {
    const { pair, client } = joined(
      {
        tamper: changingServerHello((hello) =>
          setExtension(hello, ExtensionType.extended_master_secret, undefined),
        ),
      },
      { client: { tls12: LAX }, server: { tls12: LAX } },
    );
    expectFound(pair, 'client', 'ERR_TLS_HANDSHAKE_FAILURE', 'handshake_failure');
    expect(client.link).toBeUndefined();
  });

  test('that one side does not know leaves its types out of place', () => {
    const { pair } = joined({ serverProtocols: [] });
    expectAlive(pair);
    pair.inject('client', { type: CONTENT, content: Uint8Array.of(1) });
    expectFound(pair, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('sends nothing under the type of ordinary data', () => {
    const { pair, client } = joined();
    client.link?.send(CONTENT, Uint8Array.of(7));
    pair.run();
    expect(pair.server.data).toHaveLength(0);
    expect(pair.sent.client.filter(([type]) => type === ContentType.application_data)).toHaveLength(0);
  });
});

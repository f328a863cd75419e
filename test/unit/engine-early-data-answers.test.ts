import { describe, expect, test } from 'vitest';
import { Connection } from '../../src/connection/connection.ts';
import { AlertDescription, AlertLevel } from '../../src/errors/alerts.ts';
import { EarlyDataGuard } from '../../src/handshake/early-data-guard.ts';
import { TicketKeys } from '../../src/handshake/tickets.ts';
import { ContentType } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { clientConfig, ONLY_TLS12, serverConfig } from '../setup/engine-config.ts';
import { Endpoint, Pair, START } from '../setup/pair.ts';
import { keyed } from './engine-early-data-kit.ts';

/* What a server says before the client's Finished (RFC 8446 §2.3), and servers that have forgotten TLS 1.3 (§D.3). */

const WORDS = Uint8Array.from(Buffer.from('early words'));
const ANSWER = Uint8Array.from(Buffer.from('half a round trip'));
const BOTH = { ...ONLY_TLS12, suites: clientConfig().suites };
const tickets = {
  keys: new TicketKeys(new Uint8Array(48).fill(5)),
  lifetime: 86_400,
  count: 1,
  earlyData: keyed(1000, new EarlyDataGuard(START - 3_600_000)),
};
const [session] = new Pair({ client: clientConfig(BOTH), server: serverConfig({ tickets }) }).run().client
  .tickets;

/** A client that has offered early data and sent some. */
function client() {
  const endpoint = new Endpoint(
    'client',
    Connection.client(clientConfig({ ...BOTH, session, earlyData: true }), START),
  );
  endpoint.connection.sendEarly(WORDS);
  return endpoint;
}

describe('the answer to early data', () => {
  test('reaches the client before its Finished has left', () => {
    const ours = client();
    const theirs = new Endpoint('server', Connection.server(serverConfig({ tickets }), START));
    expect(theirs.connection.earlyDataLeft).toBe(0);
    theirs.connection.receive(concat(ours.connection.transmit()), START);
    theirs.collect();
    expect(theirs.connected).toBe(false);
    expect(theirs.connection.earlyDataLeft).toBe(Number.POSITIVE_INFINITY);
    theirs.connection.sendEarly(ANSWER);

    ours.connection.receive(concat(theirs.connection.transmit()), START);
    ours.collect();
    expect(ours.data).toEqual(ANSWER);
    theirs.connection.receive(concat(ours.connection.transmit()), START);
    theirs.collect();
    expect(theirs.connected).toBe(true);
    // From here on there is `send`.
    expect(theirs.connection.earlyDataLeft).toBe(0);
    expect(() => theirs.connection.sendEarly(ANSWER)).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_NOT_CONNECTED' }),
    );
  });

  test('cannot be sent where no early data was taken', () => {
    const ours = client();
    const theirs = new Endpoint('server', Connection.server(serverConfig(), START));
    theirs.connection.receive(concat(ours.connection.transmit()), START);
    expect(theirs.connection.earlyDataLeft).toBe(0);
    expect(() => theirs.connection.sendEarly(ANSWER)).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_NOT_CONNECTED' }),
    );
  });
});

describe('a server that answers early data with TLS 1.2', () => {
  /** ServerHello of such a server, which never sees the early data. */
  function serverHello12(): Uint8Array {
    const asked = Connection.client(clientConfig(BOTH), START);
    const server = Connection.server(serverConfig(ONLY_TLS12), START);
    server.receive(concat(asked.transmit()), START);
    return concat(server.transmit());
  }

  test('is refused with protocol_version', () => {
    const ours = client();
    ours.connection.transmit();
    ours.connection.receive(serverHello12(), START);
    ours.collect();
    expect(ours.error?.code).toBe('ERR_TLS_UNSUPPORTED_VERSION');
    // In clear, for a server that has no other keys.
    const alert = concat(ours.connection.transmit());
    expect([...alert.subarray(0, 1), ...alert.subarray(5)]).toEqual([
      ContentType.alert,
      AlertLevel.fatal,
      AlertDescription.protocol_version,
    ]);
  });

  test('may send a warning before that', () => {
    const ours = client();
    const { warning } = AlertLevel;
    const remark = [ContentType.alert, 3, 3, 0, 2, warning, AlertDescription.unrecognized_name];
    ours.connection.receive(Uint8Array.from(remark), START);
    ours.collect();
    expect(ours.error).toBeUndefined();
  });
});

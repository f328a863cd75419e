import { describe, expect, test } from 'vitest';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { buildFragment } from '../../../src/messages/dtls.ts';
import { ContentType, HandshakeType } from '../../../src/wire/codepoints.ts';
import { DtlsPair } from '../../setup/dtls-pair.ts';
import { clientConfig, ONLY_TLS12, serverConfig } from '../../setup/engine-config.ts';

/* A renegotiation begins with message_seq 0 again (RFC 6347 §4.2.2), and is refused as over TLS (RFC 5246 §7.2.2). */

const CASES = [
  { asks: 'client', refuses: 'server', type: HandshakeType.client_hello },
  { asks: 'server', refuses: 'client', type: HandshakeType.hello_request },
] as const;

function connected(config: Partial<ClientConfig & ServerConfig>): DtlsPair {
  return new DtlsPair({
    client: clientConfig({ ...ONLY_TLS12, ...config }),
    server: serverConfig({ ...ONLY_TLS12, ...config }),
  }).run();
}

/** What no engine of ours says: a handshake message under the keys of an established session. */
function say(
  pair: DtlsPair,
  from: 'client' | 'server',
  type: number,
  messageSeq = 0,
  body = new Uint8Array(0),
): void {
  const message = buildFragment({ type, length: body.length, messageSeq, offset: 0, body });
  const { io } = pair[from].connection as unknown as {
    io: { write(type: number, content: Uint8Array): void };
  };
  io.write(ContentType.handshake, message);
  pair.run();
}

describe.each(CASES)('a $asks that wants to renegotiate', ({ asks, refuses, type }) => {
  test('is told no, and the session goes on', () => {
    const pair = connected({});
    say(pair, asks, type);
    say(pair, asks, type);
    expect([pair.client.error, pair.server.error]).toEqual([undefined, undefined]);
    pair[asks].connection.send(new TextEncoder().encode('still here'));
    pair.run();
    expect(pair[refuses].data).toEqual(['still here']);
  });

  test('ends the session where the configuration says so', () => {
    const pair = connected({ endOnRenegotiation: true });
    say(pair, asks, type);
    expect(pair[refuses].error?.code).toBe('ERR_TLS_RENEGOTIATION');
    expect(pair[asks].error?.code).toBe('ERR_TLS_ALERT_NO_RENEGOTIATION');
  });

  test('and goes on asking ends it too', () => {
    const pair = connected({});
    for (let i = 0; i < 100 && pair[refuses].error === undefined; i++) say(pair, asks, type);
    expect(pair[refuses].error?.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });
});

test('what is no beginning of a handshake is a repetition, and passed over', () => {
  const pair = connected({ endOnRenegotiation: true });
  say(pair, 'client', HandshakeType.finished, 0, new Uint8Array(12));
  say(pair, 'server', HandshakeType.server_hello_done);
  expect([pair.client.error, pair.server.error]).toEqual([undefined, undefined]);
});

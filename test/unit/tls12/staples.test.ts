import { describe, expect, test } from 'vitest';
import type { ClientConfig, ServerConfig } from '../../../src/handshake/config.ts';
import { buildServerHello, parseServerHello } from '../../../src/messages/hello.ts';
import { ExtensionType, HandshakeType } from '../../../src/wire/codepoints.ts';
import { ONLY_TLS12, serverIdentity, testTickets } from '../../setup/engine-config.ts';
import {
  changing,
  changingClientHello,
  expectAlive,
  expectFound,
  setExtension,
  withBody,
} from '../../setup/faults.ts';
import { connectPair } from '../../setup/handshakes.ts';
import type { Tamper } from '../../setup/pair.ts';

/* What goes with a server's certificate in TLS 1.2: CertificateStatus (RFC 6066 §8), timestamps (RFC 6962 §3.3.1). */

const OCSP = Uint8Array.of(1, 2, 3);
const SCTS = [Uint8Array.of(4), Uint8Array.of(5, 6)];
const stapled = { ...serverIdentity, ocspResponse: OCSP, scts: SCTS };
const both = { requestOcsp: true, requestScts: true };

const run = (client: Partial<ClientConfig>, server: Partial<ServerConfig> = {}, tamper?: Tamper) =>
  connectPair(
    { ...ONLY_TLS12, ...client },
    { ...ONLY_TLS12, selectIdentities: () => [stapled], ...server },
    tamper,
  );

describe('a stapling server', () => {
  test.each<[string, Partial<ClientConfig>, object]>([
    ['nothing', {}, { ocspResponse: undefined, scts: undefined }],
    ['OCSP alone', { requestOcsp: true }, { ocspResponse: OCSP, scts: undefined }],
    ['timestamps alone', { requestScts: true }, { ocspResponse: undefined, scts: SCTS }],
    ['both', both, { ocspResponse: OCSP, scts: SCTS }],
  ])('sends what is asked for: %s', (_what, client, expected) => {
    const pair = run(client);
    expectAlive(pair);
    expect(pair.client.connection.info).toMatchObject(expected);
  });

  test('says nothing of it where it has none', () => {
    const pair = run(both, { selectIdentities: () => [serverIdentity] });
    expectAlive(pair);
    expect(pair.client.connection.info).toMatchObject({ ocspResponse: undefined, scts: undefined });
  });

  test('says nothing of it in a resumed session, which shows no certificate', () => {
    const first = run(both, { tickets: testTickets });
    const session = first.client.events.flatMap((event) =>
      event.type === 'ticket' ? [event.session] : [],
    )[0];
    const pair = run({ ...both, session }, { tickets: testTickets });
    expectAlive(pair);
    expect(pair.client.connection.info).toMatchObject({
      resumed: true,
      ocspResponse: undefined,
      scts: undefined,
    });
  });
});

describe('a client refuses', () => {
  const SYNTAX = ['ERR_TLS_DECODE', 'decode_error'] as const;
  const serverHello = (type: number, body: readonly number[]): Tamper =>
    changing('server', HandshakeType.server_hello, ({ body: hello }) => [
      buildServerHello(setExtension(parseServerHello(hello), type, Uint8Array.from(body))),
    ]);

  test.each([
    ['an empty list of timestamps', [0, 0]],
    ['an empty timestamp', [0, 2, 0, 0]],
    ['a byte behind the list', [0, 3, 0, 1, 7, 0]],
  ])('%s', (_what, body) => {
    const tamper = serverHello(ExtensionType.signed_certificate_timestamp, body);
    expectFound(run(both, {}, tamper), 'client', ...SYNTAX);
  });

  test('timestamps that it did not ask for', () => {
    const tamper = serverHello(ExtensionType.signed_certificate_timestamp, [0, 3, 0, 1, 7]);
    expectFound(run({}, {}, tamper), 'client', 'ERR_TLS_UNSUPPORTED_EXTENSION', 'unsupported_extension');
  });

  test('a CertificateStatus without a response', () => {
    const tamper = changing('server', HandshakeType.certificate_status, () => [
      withBody(HandshakeType.certificate_status, Uint8Array.of(1, 0, 0, 0)),
    ]);
    expectFound(run(both, {}, tamper), 'client', ...SYNTAX);
  });
});

test('a server refuses a request for timestamps that is not empty', () => {
  const tamper = changingClientHello((hello) =>
    setExtension(hello, ExtensionType.signed_certificate_timestamp, Uint8Array.of(7)),
  );
  expectFound(run(both, {}, tamper), 'server', 'ERR_TLS_DECODE', 'decode_error');
});

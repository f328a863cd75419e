import { describe, expect, test } from 'vitest';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import { chooseIdentity } from '../../src/handshake/tls13/shared.ts';
import { certificateAuthorities } from '../../src/messages/extensions.ts';
import { ExtensionType } from '../../src/wire/codepoints.ts';
import { clientConfig, ONLY_TLS12, serverConfig, testIdentity } from '../setup/engine-config.ts';
import { changingClientHello, expectAlive, expectFound, setExtension } from '../setup/faults.ts';
import { Pair } from '../setup/pair.ts';

/* certificate_authorities, RFC 8446 §4.2.4. */

const name = (fill: number) => new Uint8Array(10).fill(fill);
const under = (...fills: number[]) => ({ ...testIdentity(), issuers: fills.map(name) });
const [a, b, c] = [under(1), under(2, 3), under(4)];
const { schemes } = a.key;
const VERSIONS = [
  ['TLS 1.3', {}],
  ['TLS 1.2', ONLY_TLS12],
] as const;

test.each([
  ['none named', undefined, a],
  ['the issuer of the second', [name(2)], b],
  ['an issuer further up', [name(9), name(3)], b],
  ['nobody whom we have', [name(9)], a],
])('%s', (_what, authorities, expected) => {
  expect(chooseIdentity([a, b, c], schemes, authorities)?.identity).toBe(expected);
});

test('a scheme that fits counts more than an authority', () => {
  const ed25519 = { ...testIdentity('ed25519'), issuers: [name(7)] };
  expect(chooseIdentity([a, ed25519], schemes, [name(7)])?.identity).toBe(a);
});

test('a client shows the certificate that the server would like to see', () => {
  const pair = new Pair({
    client: clientConfig({ identities: [a, b, c] }),
    server: serverConfig({ clientCertificate: 'require', certificateAuthorities: [name(4)] }),
  }).run();
  expectAlive(pair);
  expect(pair.client.connection.identities).toEqual([c]);
});

describe('a certificate that is for those who name its issuer', () => {
  const only = { ...under(5), mustMatchIssuer: true };

  test.each([
    ['no list', [only, a], undefined, a],
    ['a list without it', [only, a], [name(9)], a],
    ['a list with it', [a, only], [name(5)], only],
    ['nothing else to show', [only], [name(9)], undefined],
  ])('%s', (_what, identities, authorities, expected) => {
    expect(chooseIdentity(identities, schemes, authorities)?.identity).toBe(expected);
  });

  test.each(VERSIONS)('is not shown by a server to others, %s', (_version, version) => {
    const server = serverConfig({ ...version, selectIdentities: () => [only] });
    const named = (fill: number) =>
      changingClientHello((hello) =>
        setExtension(
          hello,
          ExtensionType.certificate_authorities,
          certificateAuthorities.build([name(fill)]),
        ),
      );
    const refused = new Pair({ client: clientConfig(version), server }).run();
    expectFound(refused, 'server', 'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME', 'handshake_failure');
    const other = new Pair({ client: clientConfig(version), server, tamper: named(9) }).run();
    expectFound(other, 'server', 'ERR_TLS_NO_SHARED_SIGNATURE_SCHEME', 'handshake_failure');
    // The hello was changed on its way, which is found at the end; until then the certificate was shown.
    const shown = new Pair({ client: clientConfig(version), server, tamper: named(5) }).run();
    expect(shown.client.error?.code).not.toBe('ERR_TLS_ALERT_HANDSHAKE_FAILURE');
  });
});

describe.each(VERSIONS)('a client that insists on its certificate, %s', (_version, version) => {
  const connect = (client: Partial<ClientConfig>, server: Partial<ServerConfig>) =>
    new Pair({
      client: clientConfig({ ...version, insistOnCertificate: true, ...client }),
      server: serverConfig({ ...version, clientCertificate: 'request', ...server }),
    }).run();
  const only = { ...under(5), mustMatchIssuer: true };

  test('shows it', () => {
    const pair = connect({ identities: [only] }, { certificateAuthorities: [name(5)] });
    expectAlive(pair);
    expect(pair.server.connection.info?.peer).toBeDefined();
  });

  test.each([
    ['issuer', { identities: [only] }, { certificateAuthorities: [name(9)] }],
    ['scheme', { identities: [testIdentity('ed25519')] }, { schemes: a.key.schemes }],
  ])('ends the handshake where no %s suits', (_what, client, server) => {
    const pair = connect(client, server);
    expectFound(pair, 'client', 'ERR_TLS_NO_SUITABLE_CERTIFICATE', 'handshake_failure');
    expectAlive(connect({ ...client, insistOnCertificate: false }, server));
  });

  test('goes on without where it has none', () => {
    expectAlive(connect({ identities: [] }, {}));
  });
});

test('a list that is malformed is decode_error', () => {
  const right = certificateAuthorities.build([name(1)]);
  for (const body of [right.subarray(1), Uint8Array.of(0, 0), Uint8Array.of(0, 2, 0, 0)]) {
    const tamper = changingClientHello((hello) =>
      setExtension(hello, ExtensionType.certificate_authorities, body),
    );
    const pair = new Pair({ client: clientConfig(), server: serverConfig(), tamper }).run();
    expectFound(pair, 'server', 'ERR_TLS_DECODE', 'decode_error');
  }
});

import { expect, test } from 'vitest';
import { chooseIdentity } from '../../src/handshake/tls13/shared.ts';
import { certificateAuthorities } from '../../src/messages/extensions.ts';
import { ExtensionType } from '../../src/wire/codepoints.ts';
import { clientConfig, serverConfig, testIdentity } from '../setup/engine-config.ts';
import { changingClientHello, expectAlive, expectFound, setExtension } from '../setup/faults.ts';
import { Pair } from '../setup/pair.ts';

/* certificate_authorities, RFC 8446 §4.2.4. */

const name = (fill: number) => new Uint8Array(10).fill(fill);
const under = (...fills: number[]) => ({ ...testIdentity(), issuers: fills.map(name) });
const [a, b, c] = [under(1), under(2, 3), under(4)];
const { schemes } = a.key;

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

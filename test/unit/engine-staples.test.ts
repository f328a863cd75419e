import { describe, expect, test } from 'vitest';
import { CertificateError } from '../../src/errors/errors.ts';
import type { ClientConfig, PeerVerifier } from '../../src/handshake/config.ts';
import {
  buildCertificate,
  type CertificateEntry,
  parseCertificate,
} from '../../src/messages/authentication.ts';
import type { Extension } from '../../src/messages/extensions.ts';
import { ExtensionType, HandshakeType } from '../../src/wire/codepoints.ts';
import { clientConfig, serverConfig, serverIdentity } from '../setup/engine-config.ts';
import { changing, changingClientHello, expectAlive, expectFound, setExtension } from '../setup/faults.ts';
import { connectPair } from '../setup/handshakes.ts';
import { Pair, type Tamper } from '../setup/pair.ts';

/* What goes with the server's certificate: an OCSP response and timestamps, passed through (RFC 8446 §4.4.2.1). */

const OCSP = Uint8Array.of(1, 2, 3);
const SCTS = [Uint8Array.of(4), Uint8Array.of(5, 6)];
const stapled = {
  ...serverIdentity,
  chain: [...serverIdentity.chain, Uint8Array.of(9)],
  ocspResponse: OCSP,
  scts: SCTS,
};
const both = { requestOcsp: true, requestScts: true };

const run = (client: Partial<ClientConfig>, tamper?: Tamper) =>
  connectPair(client, { selectIdentities: () => [stapled] }, tamper);

describe('a stapling server', () => {
  test('sends what is asked for, and the verifier sees it', () => {
    const seen: unknown[] = [];
    const { verifyPeer } = clientConfig();
    const look: PeerVerifier = (chain, context) => {
      seen.push(context.ocspResponse);
      return verifyPeer(chain, context);
    };
    const pair = run({ ...both, verifyPeer: look });
    expectAlive(pair);
    expect(seen).toEqual([OCSP]);
    expect(pair.client.connection.info).toMatchObject({ ocspResponse: OCSP, scts: SCTS });
  });

  test.each<[string, Partial<ClientConfig>, object]>([
    ['nothing', {}, { ocspResponse: undefined, scts: undefined }],
    ['OCSP alone', { requestOcsp: true }, { ocspResponse: OCSP, scts: undefined }],
    ['timestamps alone', { requestScts: true }, { ocspResponse: undefined, scts: SCTS }],
  ])('sends no more than %s', (_what, client, expected) => {
    const pair = run(client);
    expectAlive(pair);
    expect(pair.client.connection.info).toMatchObject(expected);
  });

  test('passes over requests of unknown types', () => {
    const tamper = changingClientHello((hello) =>
      setExtension(hello, ExtensionType.status_request, Uint8Array.of(2, 1, 2, 3)),
    );
    const pair = new Pair({
      client: clientConfig(),
      server: serverConfig({ selectIdentities: () => [stapled] }),
      tamper,
    }).run();
    // The hello was changed on its way, so the handshake fails, but not for the request.
    expect(pair.server.error?.code).toMatch(/^ERR_TLS_ALERT_/);
  });

  test.each([
    ['status_request that ends early', ExtensionType.status_request, Uint8Array.of(1, 0)],
    ['status_request that is long', ExtensionType.status_request, Uint8Array.of(1, 0, 0, 0, 0, 0)],
    [
      'signed_certificate_timestamp with a body',
      ExtensionType.signed_certificate_timestamp,
      Uint8Array.of(0),
    ],
  ])('finds a %s: decode_error', (_what, type, body) => {
    const pair = run(
      both,
      changingClientHello((hello) => setExtension(hello, type, body)),
    );
    expectFound(pair, 'server', 'ERR_TLS_DECODE', 'decode_error');
  });
});

describe('a client', () => {
  const entries = (change: (list: readonly CertificateEntry[]) => readonly CertificateEntry[]) =>
    changing('server', HandshakeType.certificate, ({ body }) => {
      const { context, entries: list } = parseCertificate(body);
      return [buildCertificate({ context, entries: change(list) })];
    });
  const onFirst = (...extensions: Extension[]) =>
    entries(([first, ...rest]) => [{ ...(first as CertificateEntry), extensions }, ...rest]);
  const status = (...body: number[]) => ({ type: ExtensionType.status_request, body: Uint8Array.from(body) });
  const timestamps = (...body: number[]) => ({
    type: ExtensionType.signed_certificate_timestamp,
    body: Uint8Array.from(body),
  });

  test.each<[string, Extension]>([
    ['an empty response', status(1, 0, 0, 0)],
    ['a response that ends early', status(1, 0, 0, 2, 7)],
    ['a response with more after it', status(1, 0, 0, 1, 7, 7)],
    ['an empty list of timestamps', timestamps(0, 0)],
    ['an empty timestamp', timestamps(0, 2, 0, 0)],
  ])('finds %s: decode_error', (_what, extension) => {
    expectFound(run(both, onFirst(extension)), 'client', 'ERR_TLS_DECODE', 'decode_error');
  });

  test('finds a response of another type: illegal_parameter', () => {
    const pair = run(both, onFirst(status(2, 0, 0, 1, 7)));
    expectFound(pair, 'client', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('finds what it has not asked for: unsupported_extension', () => {
    for (const extension of [status(1, 0, 0, 1, 7), timestamps(0, 3, 0, 1, 7)]) {
      const pair = run({}, onFirst(extension));
      expectFound(pair, 'client', 'ERR_TLS_UNSUPPORTED_EXTENSION', 'unsupported_extension');
    }
  });

  test('tells the server what its verifier says of the response', () => {
    const verifyPeer: PeerVerifier = () => {
      throw new CertificateError('ERR_TLS_BAD_CERTIFICATE_STATUS', 'no');
    };
    expectFound(
      run({ ...both, verifyPeer }),
      'client',
      'ERR_TLS_BAD_CERTIFICATE_STATUS',
      'bad_certificate_status_response',
    );
    const revoked: PeerVerifier = () => {
      throw new CertificateError('CERT_REVOKED', 'no');
    };
    expectFound(run({ ...both, verifyPeer: revoked }), 'client', 'CERT_REVOKED', 'certificate_revoked');
  });
});

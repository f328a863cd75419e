import http from 'node:http';
import net from 'node:net';
import tls from 'node:tls';
import { beforeAll, describe, expect, it } from 'vitest';
import { describeWith } from '../setup/need.ts';
import { GnutlsClient, gnutlsClient, gnutlsServer, startGnutlsServer } from './support/gnutls.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import {
  type CodedError,
  closed,
  connectFailure,
  connectOurs,
  event,
  listen,
  serve,
} from './support/ours.ts';
import { type Credential, makePki, type Pki } from './support/pki.ts';

/*
 * Sessions that must not come about: what each side reports, and the alert that the other side sees.
 */

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

const identity = ({ cert, key }: Credential) => ({ cert, key });

/** Ways for a server certificate to be wrong. */
type Fault = 'unknown CA' | 'expired' | 'other name';
const shown = (fault: Fault): Credential =>
  ({ 'unknown CA': pki.servers.p256, expired: pki.expiredServer, 'other name': pki.misnamedServer })[fault];
const trusted = (fault: Fault): Credential => (fault === 'unknown CA' ? pki.otherCa : pki.ca);

/** What our client makes of it, and the number of the alert that it sends. */
const OURS: readonly (readonly [Fault, string, number])[] = [
  ['unknown CA', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 48],
  ['expired', 'CERT_HAS_EXPIRED', 45],
  ['other name', 'ERR_TLS_CERT_ALTNAME_INVALID', 42],
];

describe('our client refuses a certificate', () => {
  it.each(OURS)("of Node's tls: %s", async (fault, code, alert) => {
    const server = tls.createServer(identity(shown(fault)));
    const port = await listen(server);
    const told = event<CodedError>(server, 'tlsClientError');
    expect((await connectFailure({ port, ca: trusted(fault).cert })).code).toBe(code);
    expect((await told).message).toContain(`SSL alert number ${alert}`);
  });
});

describeWith(openssl, 'our client refuses a certificate', () => {
  it.each(OURS)('of OpenSSL: %s', async (fault, code, alert) => {
    const server = new OpensslServer(shown(fault));
    expect((await connectFailure({ port: await server.port, ca: trusted(fault).cert })).code).toBe(code);
    await server.until(`SSL alert number ${alert}`);
  });
});

describeWith(gnutlsServer, 'our client refuses a certificate', () => {
  it.each(OURS)('of GnuTLS: %s', async (fault, code, alert) => {
    const { program, port } = await startGnutlsServer([shown(fault)], ['--debug', '5']);
    expect((await connectFailure({ port, ca: trusted(fault).cert })).code).toBe(code);
    await program.until(`Alert[2|${alert}]`);
  });
});

describe('our client goes on with a bad certificate where that is allowed, and says what is wrong', () => {
  it.each(OURS)('%s', async (fault, code) => {
    const port = await listen(tls.createServer(identity(shown(fault))));
    const socket = await connectOurs({ port, ca: trusted(fault).cert, rejectUnauthorized: false });
    expect(socket.authorized).toBe(false);
    expect(socket.authorizationError).toBe(code);
    socket.end();
  });
});

describeWith(openssl, 'our server hears why OpenSSL refuses its certificate', () => {
  it.each([
    ['unknown CA', 'ERR_TLS_ALERT_UNKNOWN_CA'],
    ['expired', 'ERR_TLS_ALERT_CERTIFICATE_EXPIRED'],
    ['other name', 'ERR_TLS_ALERT_BAD_CERTIFICATE'],
  ] as const)('%s', async (fault, code) => {
    const ours = await serve(identity(shown(fault)));
    const client = new OpensslClient(ours.port, [
      ...['-CAfile', trusted(fault).certFile, '-verify_return_error', '-verify_hostname', 'localhost'],
    ]);
    expect((await ours.failure()).code).toBe(code);
    expect(await client.end()).toBe(1);
  });
});

describeWith(gnutlsClient, 'our server hears why GnuTLS refuses its certificate', () => {
  it.each(['unknown CA', 'expired', 'other name'] as const)('%s', async (fault) => {
    const ours = await serve(identity(shown(fault)));
    const client = new GnutlsClient(ours.port, trusted(fault));
    // GnuTLS tells peers no more than that.
    expect((await ours.failure()).code).toBe('ERR_TLS_ALERT_BAD_CERTIFICATE');
    expect(await client.end()).toBe(1);
  });
});

describe('peers that speak TLS 1.2 only, where we do not', () => {
  const TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const;

  it("Node's tls as the server: our client is told protocol_version", async () => {
    const port = await listen(tls.createServer({ ...identity(pki.servers.p256), ...TLS12 }));
    const error = await connectFailure({ port, ca: pki.ca.cert, minVersion: 'TLSv1.3' });
    expect(error.code).toBe('ERR_TLS_ALERT_PROTOCOL_VERSION');
  });

  it("Node's tls as the client: our server tells it protocol_version", async () => {
    const ours = await serve({ ...identity(pki.servers.p256), minVersion: 'TLSv1.3' });
    const client = tls.connect({ port: ours.port, ca: pki.ca.cert, ...TLS12 });
    const told = await event<CodedError>(client, 'error');
    expect((await ours.failure()).code).toBe('ERR_TLS_UNSUPPORTED_VERSION');
    expect(told.code).toBe('ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  });
});

describeWith(openssl, 'peers that speak TLS 1.2 only, where we do not', () => {
  it('OpenSSL as the server: our client is told protocol_version', async () => {
    const server = new OpensslServer(pki.servers.p256, ['-tls1_2']);
    const error = await connectFailure({ port: await server.port, ca: pki.ca.cert, minVersion: 'TLSv1.3' });
    expect(error.code).toBe('ERR_TLS_ALERT_PROTOCOL_VERSION');
    await server.until('unsupported protocol');
  });

  it('OpenSSL as the client: our server tells it protocol_version', async () => {
    const ours = await serve({ ...identity(pki.servers.p256), minVersion: 'TLSv1.3' });
    const client = new OpensslClient(ours.port, ['-tls1_2']);
    expect((await ours.failure()).code).toBe('ERR_TLS_UNSUPPORTED_VERSION');
    await client.until('SSL alert number 70');
  });
});

describeWith([gnutlsServer, gnutlsClient], 'peers that speak TLS 1.2 only', () => {
  const PRIORITY = ['--priority', 'NORMAL:-VERS-ALL:+VERS-TLS1.2'];

  it('GnuTLS as the server: our client is told handshake_failure', async () => {
    const { port } = await startGnutlsServer([pki.servers.p256], PRIORITY);
    const error = await connectFailure({ port, ca: pki.ca.cert, minVersion: 'TLSv1.3' });
    // It passes over supported_versions, and finds no cipher suite of TLS 1.2 then.
    expect(error.code).toBe('ERR_TLS_ALERT_HANDSHAKE_FAILURE');
  });

  it('GnuTLS as the client: our server tells it protocol_version', async () => {
    const ours = await serve({ ...identity(pki.servers.p256), minVersion: 'TLSv1.3' });
    const client = new GnutlsClient(ours.port, pki.ca, PRIORITY);
    expect((await ours.failure()).code).toBe('ERR_TLS_UNSUPPORTED_VERSION');
    await client.until('Received alert [70]');
  });
});

describe('peers that do not speak TLS', () => {
  it('an HTTP client at our server: it gets unexpected_message, and the port goes on serving', async () => {
    const ours = await serve({ ...identity(pki.servers.p256), minVersion: 'TLSv1.3' });
    const client = net.connect(ours.port, '127.0.0.1');
    client.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n');
    const answer: Buffer[] = [];
    client.on('data', (chunk: Buffer) => answer.push(chunk));
    await event(client, 'end');
    expect((await ours.failure()).code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
    // A record of type alert: fatal, unexpected_message.
    expect([...Buffer.concat(answer)]).toEqual([21, 3, 3, 0, 2, 2, 10]);
    client.destroy();
    const socket = await connectOurs({ port: ours.port, ca: pki.ca.cert, minVersion: 'TLSv1.3' });
    socket.resume().end();
    expect(await closed(socket)).toBeNull();
  });

  it('our client at an HTTP server', async () => {
    const port = await listen(http.createServer());
    const error = await connectFailure({ port, ca: pki.ca.cert, minVersion: 'TLSv1.3' });
    expect(error.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
    expect(error.message).toContain('is the peer speaking TLS?');
  });

  it('our client at a server that speaks first', async () => {
    const server = net.createServer((socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n'));
    const error = await connectFailure({
      port: await listen(server),
      ca: pki.ca.cert,
      minVersion: 'TLSv1.3',
    });
    expect(error.code).toBe('ERR_TLS_UNEXPECTED_MESSAGE');
  });

  it('our client at a server that hangs up', async () => {
    const server = net.createServer((socket) => socket.end());
    const error = await connectFailure({
      port: await listen(server),
      ca: pki.ca.cert,
      minVersion: 'TLSv1.3',
    });
    expect(error.code).toBe('ECONNRESET');
  });
});

import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { NamedGroup } from '../../src/wire/codepoints.ts';
import { describeWith } from '../setup/need.ts';
import { HYBRID as HYBRID_NAMES } from './support/algorithms.ts';
import { serveHttp } from './support/http.ts';
import { OpensslClient, OpensslServer } from './support/openssl.ts';
import { opensslMatrix } from './support/openssl-matrix.ts';
import { curl35, openssl35 } from './support/openssl35.ts';
import { connectFailure, connectOurs, Incoming, serve } from './support/ours.ts';
import { makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

/*
 * X25519MLKEM768 with the ML-KEM of OpenSSL itself: its two programs in both directions, and curl. What each side says of
 * the group is compared, and of how it came to be agreed on.
 */

const HYBRID = HYBRID_NAMES.name;
const NEGOTIATED = `Negotiated TLS1.3 group: ${HYBRID}`;

let pki: Pki;

beforeAll(() => {
  pki = makePki();
});

/** It prints each message in full, and answers each line reversed. */
function theirServer(groups: string): OpensslServer {
  const args = ['-rev', '-tls1_3', '-trace', '-groups', groups];
  return new OpensslServer(pki.servers.p256, args, { path: openssl35.path });
}

function theirClient(port: number, args: readonly string[]): OpensslClient {
  const trust = ['-CAfile', pki.ca.certFile, '-verify_hostname', 'localhost', '-verify_return_error'];
  return new OpensslClient(port, [...trust, ...args], { path: openssl35.path });
}

/** A line that our server sends back; its tickets are before it. */
async function talk(peer: OpensslClient): Promise<void> {
  await peer.connected();
  peer.say('abcdef');
  await peer.until(/^abcdef$/m);
  expect(await peer.quit()).toBe(0);
}

/** The group of each key share that the server has sent, a HelloRetryRequest's first. */
function sharesSent({ output }: Program): string[] {
  const hellos = output.split(/^ +ServerHello, Length=\d+$/m).slice(1);
  return hellos.map(
    (hello) => /extension_type=key_share\(51\).*\n +NamedGroup: (\S+)/.exec(hello)?.[1] ?? 'none',
  );
}

describeWith(openssl35, 'OpenSSL 3.5', () => {
  it.each([
    ['with its share in the first ClientHello', HYBRID, [HYBRID]],
    ['after a HelloRetryRequest', `X25519:${HYBRID}`, [HYBRID, HYBRID]],
  ])('its server agrees with us on X25519MLKEM768 %s', async (_, ecdhCurve, shares) => {
    const peer = theirServer(HYBRID);
    const socket = await connectOurs({ port: await peer.port, ca: pki.ca.cert, ecdhCurve });
    const incoming = new Incoming(socket);
    socket.write('abcdef\n');
    await incoming.until('fedcba\n');
    socket.end();
    await incoming.end();
    expect(socket.connection.info?.group).toBe(NamedGroup.x25519mlkem768);
    expect(socket.getEphemeralKeyInfo()).toMatchObject({ type: 'TLSGroup', name: HYBRID });
    expect(sharesSent(peer)).toEqual(shares);
  });

  it.each([
    ['with its share in the first ClientHello', HYBRID, HYBRID, false],
    ['of its defaults, where we prefer it', undefined, `${HYBRID}:X25519`, false],
    ['after a HelloRetryRequest', `X25519:${HYBRID}`, HYBRID, true],
  ])('its client agrees with us on X25519MLKEM768 %s', async (_, groups, ecdhCurve, retried) => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, ecdhCurve });
    const peer = theirClient(ours.port, ['-msg', ...(groups === undefined ? [] : ['-groups', groups])]);
    await talk(peer);
    expect(peer.output).toContain(NEGOTIATED);
    expect(peer.output).toContain('Verify return code: 0 (ok)');
    expect(peer.output.match(/>>> TLS.*, ClientHello/g)).toHaveLength(retried ? 2 : 1);
    expect((await ours.session()).connection.info?.group).toBe(NamedGroup.x25519mlkem768);
  });

  it('its client resumes with a fresh exchange over X25519MLKEM768', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, ecdhCurve: HYBRID });
    const file = join(pki.folder, 'session');
    const first = theirClient(ours.port, ['-groups', HYBRID, '-sess_out', file]);
    await talk(first);
    const second = theirClient(ours.port, ['-groups', HYBRID, '-sess_in', file]);
    await talk(second);
    expect(second.output).toContain('Reused, TLSv1.3');
    expect(second.output).toContain(NEGOTIATED);
    const sessions = [await ours.session(), await ours.session()];
    expect(sessions.map((socket) => socket.isSessionReused())).toEqual([false, true]);
    expect(sessions.map(({ connection }) => connection.info?.group)).toEqual([
      NamedGroup.x25519mlkem768,
      NamedGroup.x25519mlkem768,
    ]);
  });

  it('either side refuses a peer that has only other groups', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, ecdhCurve: 'P-256' });
    const client = theirClient(ours.port, ['-groups', HYBRID]);
    expect(await client.end()).toBe(1);
    expect(client.output).toContain('alert handshake failure');
    expect((await ours.failure()).code).toBe('ERR_TLS_NO_SHARED_GROUP');

    const server = theirServer('P-256');
    const failure = await connectFailure({ port: await server.port, ca: pki.ca.cert, ecdhCurve: HYBRID });
    expect(failure.code).toBe('ERR_TLS_ALERT_HANDSHAKE_FAILURE');
  });
});

describeWith(openssl35, 'OpenSSL 3.5, every combination with X25519MLKEM768', () => {
  opensslMatrix('openssl35', openssl35.path, [HYBRID_NAMES]);
});

describeWith(curl35, 'curl with OpenSSL 3.5', () => {
  it.each([
    ['with --curves', ['--curves', HYBRID]],
    ['by default', []],
  ])('agrees with our server on X25519MLKEM768 %s, and gets a page', async (_, args) => {
    const { cert, key } = pki.servers.p256;
    const server = await serveHttp({ cert, key, ecdhCurve: `${HYBRID}:X25519` });
    const peer = new Program(curl35.path, [
      ...['--silent', '--show-error', '--max-time', '10', '--noproxy', '*', '--verbose', ...args],
      ...['--cacert', pki.ca.certFile, '--resolve', `localhost:${server.port}:127.0.0.1`, server.url],
    ]);
    expect(await peer.end(), peer.output).toBe(0);
    expect(peer.output).toContain('Hello from Trellis');
    expect(peer.output).toMatch(/SSL connection using TLSv1\.3 \/ \S+ \/ X25519MLKEM768 \//);
    expect(server.sessions.map(({ connection }) => connection.info?.group)).toEqual([
      NamedGroup.x25519mlkem768,
    ]);
  });
});

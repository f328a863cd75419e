import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { describe, expect, it, onTestFinished } from 'vitest';
import { encodePem } from '../../../src/der/pem.ts';
import { connect as connectTls, createServer as createTlsServer } from '../../../src/index.ts';
import {
  type AttachedDtlsSocket,
  accept,
  connect,
  type DtlsAcceptOptions,
  type DtlsConnectOptions,
  isDtls,
} from '../../../src/node/dtls/index.ts';
import { signClient, signServer } from '../../../src/sign/index.ts';
import { ca, client, DAY, type Identity } from '../x509/pki.ts';

/* DTLS over what the application carries, and certificates known by their fingerprints: what WebRTC needs. */

const pem = ({ der, privateKey }: Identity) => ({
  cert: encodePem('CERTIFICATE', der),
  key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
});
/** Long expired, which nobody asks here. */
const old = { notBefore: Date.now() - 9 * DAY, notAfter: Date.now() - DAY };
const alice = client('alice', { input: old });
const bob = client('bob', { input: old });
const mallory = ca('mallory');

function fingerprint({ der }: Identity, hash = 'sha-256'): string {
  const digest = createHash(hash.replace('-', '')).update(der).digest('hex').toUpperCase();
  return `${hash} ${digest.match(/../g)?.join(':')}`;
}

/** Two sessions, each the other's transport; datagrams arrive in a turn of their own, from a buffer that is then reused. */
function pair(
  client: Partial<DtlsConnectOptions> = {},
  server: Partial<DtlsAcceptOptions> = {},
): { readonly alice: AttachedDtlsSocket; readonly bob: AttachedDtlsSocket } {
  const deliver = (to: () => AttachedDtlsSocket, datagram: Uint8Array): void => {
    expect(isDtls(datagram)).toBe(true);
    const copy = Buffer.from(datagram);
    setImmediate(() => {
      to().receive(copy);
      copy.fill(0);
    });
  };
  const ends: { alice?: AttachedDtlsSocket; bob?: AttachedDtlsSocket } = {};
  // An alert in clear is believed when nothing better comes within a retransmission.
  const retransmitTimeout = 100;
  const made = {
    bob: accept({
      retransmitTimeout,
      transport: { send: (datagram) => deliver(() => ends.alice as AttachedDtlsSocket, datagram) },
      ...pem(bob),
      fingerprints: fingerprint(alice),
      ...server,
    }),
    alice: connect({
      retransmitTimeout,
      transport: { send: (datagram) => deliver(() => ends.bob as AttachedDtlsSocket, datagram) },
      ...pem(alice),
      fingerprints: fingerprint(bob),
      ...client,
    }),
  };
  Object.assign(ends, made);
  onTestFinished(() => {
    made.alice.destroy();
    made.bob.destroy();
  });
  return made;
}

const VERSIONS = [
  ['DTLSv1.2', 'TLSv1.2'],
  ['DTLSv1.3', 'TLSv1.3'],
] as const;

describe.each(VERSIONS)('%s over a transport of the application', (protocol, version) => {
  const only = { minVersion: version, maxVersion: version } as const;

  it('has sessions whose ends know each other by fingerprint, and keys for SRTP', async () => {
    const srtp = ['SRTP_AEAD_AES_128_GCM'] as const;
    const ends = pair({ ...only, srtp }, { srtp });
    await Promise.all([once(ends.alice, 'secureConnect'), once(ends.bob, 'secureConnect')]);
    expect([ends.alice.getProtocol(), ends.bob.getProtocol()]).toEqual([protocol, protocol]);
    expect([ends.alice.authorized, ends.bob.authorized]).toEqual([true, true]);
    expect(ends.bob.getPeerX509Certificate()?.raw.equals(alice.der)).toBe(true);
    expect(ends.alice.srtp).toBeDefined();
    expect(ends.bob.srtp).toEqual(ends.alice.srtp);
    const heard = once(ends.bob, 'message');
    ends.alice.send('hello');
    expect(String((await heard)[0])).toBe('hello');
    const closed = once(ends.bob, 'close');
    ends.alice.close();
    await closed;
  });

  it('refuses a certificate of another fingerprint, and tells why: the server', async () => {
    const ends = pair({ ...only, ...pem(mallory) });
    const errors = await Promise.all([once(ends.alice, 'error'), once(ends.bob, 'error')]);
    expect(errors[1][0]).toMatchObject({ code: 'ERR_TLS_BAD_CERTIFICATE', alert: 'bad_certificate' });
    expect(errors[0][0]).toMatchObject({ code: 'ERR_TLS_ALERT_BAD_CERTIFICATE' });
  });

  it('refuses a certificate of another fingerprint, and tells why: the client', async () => {
    const ends = pair(only, pem(mallory));
    const errors = await Promise.all([once(ends.alice, 'error'), once(ends.bob, 'error')]);
    expect(errors[0][0]).toMatchObject({ code: 'ERR_TLS_BAD_CERTIFICATE', alert: 'bad_certificate' });
    expect(errors[1][0]).toMatchObject({ code: 'ERR_TLS_ALERT_BAD_CERTIFICATE' });
  });

  it('refuses a client without a certificate where fingerprints are known', async () => {
    const ends = pair({ ...only, cert: undefined, key: undefined });
    ends.alice.on('error', () => {});
    const [error] = await once(ends.bob, 'error');
    expect(error).toMatchObject({
      code: version === 'TLSv1.3' ? 'ERR_TLS_CERTIFICATE_REQUIRED' : 'ERR_TLS_NO_CLIENT_CERTIFICATE',
    });
  });

  it('goes on without a proof only where that was asked for', async () => {
    const ends = pair({ ...only, rejectUnauthorized: false }, pem(mallory));
    await once(ends.alice, 'secureConnect');
    expect(ends.alice.authorized).toBe(false);
    expect(ends.alice.authorizationError).toBe('ERR_TLS_BAD_CERTIFICATE');
  });
});

it('takes any of several fingerprints, and of several hash functions the strongest (RFC 8122 §5.1)', async () => {
  const several = pair({ fingerprints: [fingerprint(mallory), fingerprint(bob).toLowerCase()] });
  await once(several.alice, 'secureConnect');
  const strong = pair({ fingerprints: [fingerprint(mallory), fingerprint(bob, 'sha-512')] });
  await once(strong.alice, 'secureConnect');
  const weak = pair({ fingerprints: [fingerprint(mallory, 'sha-384'), fingerprint(bob)] });
  weak.bob.on('error', () => {});
  const [error] = await once(weak.alice, 'error');
  expect(error).toMatchObject({ code: 'ERR_TLS_BAD_CERTIFICATE' });
});

it('emits key logs to listeners that come after the call', async () => {
  const ends = pair();
  const lines: string[] = [];
  ends.bob.on('keylog', (line) => lines.push(String(line)));
  await once(ends.bob, 'secureConnect');
  expect(lines.join('')).toContain('CLIENT_TRAFFIC_SECRET_0');
});

it('ends a session whose transport throws, with what it threw', async () => {
  const failure = new Error('no candidate pair');
  const session = connect({
    transport: {
      send: () => {
        throw failure;
      },
    },
    fingerprints: fingerprint(bob),
  });
  const [error] = await once(session, 'error');
  expect(error).toBe(failure);
});

it('counts what the transport has dropped', async () => {
  const session = connect({ transport: { send: () => false }, fingerprints: fingerprint(bob) });
  await new Promise((resolve) => setImmediate(resolve));
  expect(session.counts.dropped).toBe(1);
  session.destroy();
});

it.each([
  [[]],
  ['sha-256 AB:CD'],
  ['sha-1 AB:CD:EF:01:23:45:67:89:AB:CD:EF:01:23:45:67:89:AB:CD:EF:01'],
  ['AB:CD'],
  [fingerprint(bob).replace('sha-256', 'constructor')],
  [`${fingerprint(bob)} `],
])('refuses fingerprints that cannot be: %s', (fingerprints) => {
  const transport = { send: () => {} };
  const wrong = expect.objectContaining({ code: 'ERR_TLS_OPTION' });
  expect(() => connect({ transport, fingerprints })).toThrow(wrong);
  expect(() => accept({ transport, ...pem(bob), fingerprints })).toThrow(wrong);
});

it('TLS takes fingerprints too', async () => {
  const server = createTlsServer({ ...pem(bob), fingerprints: fingerprint(alice) });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as { port: number };
  const accepted = once(server, 'secureConnection');
  const socket = connectTls({ port, host: '127.0.0.1', ...pem(alice), fingerprints: fingerprint(bob) });
  await once(socket, 'secureConnect');
  const [theirs] = await accepted;
  theirs.on('error', () => {});
  expect([socket.authorized, theirs.authorized]).toEqual([true, true]);
  socket.destroy();
});

it.each([
  ['', false],
  ['13', false],
  ['14', true],
  ['16fefd', true],
  ['3f', true],
  ['40', false],
  ['80', false],
])('isDtls: a datagram that begins with %s: %s', (hex, expected) => {
  expect(isDtls(Buffer.from(hex, 'hex'))).toBe(expected);
});

it('a receipt that fits no datagram is an event of who would have signed it', async () => {
  const input = { notBefore: Date.now() - DAY, notAfter: Date.now() + DAY };
  const [near, far] = [client('alice', { input }), client('bob', { input })];
  const ends = pair(
    { ...pem(near), fingerprints: fingerprint(far), subProtocols: [signClient({})] },
    { ...pem(far), fingerprints: fingerprint(near), mtu: 600, subProtocols: [signServer({})] },
  );
  await once(ends.alice, 'secureConnect');
  const told = once(ends.bob, 'receiptError');
  const sent = ends.alice.signWrite('three chairs', { receiptTimeout: 100 });
  await expect(sent).rejects.toMatchObject({ code: 'ERR_SIGN_NO_RECEIPT' });
  expect((await told)[0]).toMatchObject({ code: 'ERR_SIGN_TOO_LARGE' });
  for await (const message of ends.bob.signed) {
    expect(message.content).toEqual(new Uint8Array(Buffer.from('three chairs')));
    break;
  }
});

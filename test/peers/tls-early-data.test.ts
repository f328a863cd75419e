import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { describeWith } from '../setup/need.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import { connectOurs, event, Incoming, serve } from './support/ours.ts';
import { makePki, type Pki } from './support/pki.ts';

/* 0-RTT with OpenSSL, both ways, and between our own sockets. */

const WORDS = 'early words from them\n';
let pki: Pki;
let file: string;

beforeAll(() => {
  pki = makePki();
  file = join(pki.folder, 'early.txt');
  writeFileSync(file, WORDS);
});

const ourServer = (maxEarlyData: number) => {
  const { cert, key } = pki.servers.p256;
  return serve({ cert, key, maxEarlyData });
};

describeWith(openssl, 'early data, OpenSSL', () => {
  it('is sent by s_client and taken by our server', async () => {
    const ours = await ourServer(1000);
    const session = join(pki.folder, 'session.pem');
    const first = new OpensslClient(ours.port, ['-tls1_3', '-CAfile', pki.ca.certFile, '-sess_out', session]);
    first.say('hello');
    await first.until(/^hello$/m);
    await first.quit();
    expect((await ours.session()).earlyData).toHaveLength(0);

    const seen: string[] = [];
    ours.server.on('earlyData', (data: Buffer) => seen.push(data.toString()));
    const args = ['-tls1_3', '-CAfile', pki.ca.certFile, '-sess_in', session, '-early_data', file];
    const second = new OpensslClient(ours.port, args);
    await second.until('Early data was accepted');
    const socket = await ours.session();
    expect(seen).toEqual([WORDS]);
    expect(socket.earlyData.toString()).toBe(WORDS);
    expect(socket.isSessionReused()).toBe(true);
    await second.quit();

    // The same ticket brings no early data twice.
    const third = new OpensslClient(ours.port, args);
    await third.until('Early data was rejected');
    expect((await ours.session()).earlyData).toHaveLength(0);
    await third.quit();
  });

  it('is sent by our client and taken by s_server', async () => {
    const peer = new OpensslServer(pki.servers.p256, ['-tls1_3', '-early_data']);
    const port = await peer.port;
    const first = await connectOurs({ port, ca: pki.ca.cert, minVersion: 'TLSv1.3' });
    const session = await event<Buffer>(first, 'session');
    first.destroy();
    const earlyData = Buffer.from('early words of ours\n');
    const second = await connectOurs({ port, ca: pki.ca.cert, session, earlyData });
    expect(second.earlyDataAccepted).toBe(true);
    await peer.until('early words of ours');
    second.write('late words of ours\n');
    await peer.until('late words of ours');
    second.destroy();
  });
});

it('travels between our own sockets, once', async () => {
  const ours = await ourServer(1000);
  const first = await connectOurs({ port: ours.port, ca: pki.ca.cert });
  const session = await event<Buffer>(first, 'session');
  first.destroy();
  await ours.session();
  for (const taken of [true, false]) {
    const socket = await connectOurs({
      port: ours.port,
      ca: pki.ca.cert,
      session,
      earlyData: Buffer.from('x'),
    });
    const server = await ours.session();
    expect([socket.earlyDataAccepted, server.earlyData.toString()]).toEqual([taken, taken ? 'x' : '']);
    const incoming = new Incoming(socket);
    socket.write('echo\n');
    await incoming.until('echo\n');
    expect(incoming.text).toBe('echo\n');
    socket.destroy();
  }
  const large = await connectOurs({
    port: ours.port,
    ca: pki.ca.cert,
    session,
    earlyData: Buffer.alloc(1001),
  });
  expect((await ours.session()).earlyData).toHaveLength(0);
  large.destroy();
});

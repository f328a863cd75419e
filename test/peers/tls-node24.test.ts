import { spawnSync } from 'node:child_process';
import { beforeAll, expect, it } from 'vitest';
import { NamedGroup } from '../../src/wire/codepoints.ts';
import { describeWith, needThat } from '../setup/need.ts';
import { connectOurs, Incoming, serve } from './support/ours.ts';
import { makePki, type Pki } from './support/pki.ts';
import { Program } from './support/program.ts';

/*
 * node:tls of a Node whose OpenSSL (3.5) has X25519MLKEM768: the implementation of ML-KEM that curl and many servers get
 * from their systems next. Only where npx has such a Node already: tests fetch nothing.
 */

const LOOK_MS = 20_000;
const found = spawnSync('npx', ['--offline', '-y', '-p', 'node@24', 'node', '-p', 'process.execPath'], {
  encoding: 'utf8',
  timeout: LOOK_MS,
});
const program = process.env.TRELLIS_NODE24 ?? (found.status === 0 ? found.stdout.trim() : undefined);
const node24 = needThat(program !== undefined, 'no Node 24 at hand (npx -y -p node@24 node --version)');

const SERVER = `
const fs = require('fs'), [cert, key] = process.argv.slice(1);
require('tls').createServer({ cert: fs.readFileSync(cert), key: fs.readFileSync(key), ecdhCurve: 'X25519MLKEM768' },
  (socket) => socket.pipe(socket)).listen(0, '127.0.0.1', function () { console.log('LISTEN ' + this.address().port); });`;
const CLIENT = `
const fs = require('fs'), [port, ca] = process.argv.slice(1);
const socket = require('tls').connect({ port, host: '127.0.0.1', servername: 'localhost', ca: fs.readFileSync(ca),
  ecdhCurve: 'X25519MLKEM768' }, () => { console.log('AGREED ' + socket.getProtocol()); socket.write('ping'); });
socket.on('data', (data) => { console.log('GOT ' + data); socket.end(); });`;

let pki: Pki;

describeWith(node24, 'Node 24', () => {
  beforeAll(() => {
    pki = makePki();
  });

  it('its server agrees on X25519MLKEM768 with our client', async () => {
    const { certFile, keyFile } = pki.servers.p256;
    const peer = new Program(program ?? '', ['-e', SERVER, certFile, keyFile]);
    const [, port] = await peer.until(/^LISTEN (\d+)$/m);
    const socket = await connectOurs({ port: Number(port), ca: pki.ca.cert, ecdhCurve: 'X25519MLKEM768' });
    expect(socket.connection.info?.group).toBe(NamedGroup.x25519mlkem768);
    const incoming = new Incoming(socket);
    socket.write('ping');
    await incoming.until('ping');
    socket.destroy();
  });

  it('its client agrees on X25519MLKEM768 with our server', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, ecdhCurve: 'X25519MLKEM768' });
    const peer = new Program(program ?? '', ['-e', CLIENT, `${ours.port}`, pki.ca.certFile]);
    expect(await peer.end()).toBe(0);
    expect(peer.output).toContain('AGREED TLSv1.3');
    expect(peer.output).toContain('GOT ping');
    expect((await ours.session()).connection.info?.group).toBe(NamedGroup.x25519mlkem768);
  });
});

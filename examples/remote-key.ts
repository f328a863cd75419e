// A server whose private key is somewhere else: a card, a PKCS#11 token, a signing service. It only has to sign.
//
//   node scripts/run-ts.mjs examples/remote-key.ts [FOLDER]     FOLDER has ca.pem, server.pem, server.key; default pki
import { createPrivateKey, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect, createServer, type SigningKey } from 'trellis';

const folder = process.argv[2] ?? 'pki';
const read = (name: string) => readFileSync(`${folder}/${name}`);

/** ecdsa_secp256r1_sha256, RFC 8446 §4.2.3; the certificates of `trellis init` are P-256. */
const ECDSA_P256_SHA256 = 0x0403;

/** Stands for the device: takes its time. */
const device = createPrivateKey(read('server.key'));
const key: SigningKey = {
  schemes: [ECDSA_P256_SHA256],
  async sign(_scheme, data) {
    await sleep(50);
    console.log(`the device signs ${data.length} bytes`);
    return sign('sha256', data, device);
  },
};

const server = createServer({ cert: read('server.pem'), key }, (socket) => socket.end('hello\n'));
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as AddressInfo;

const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: read('ca.pem') });
for await (const chunk of socket) process.stdout.write(chunk as Buffer);
server.close();

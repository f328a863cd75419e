import {
  type CipherGCM,
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  type KeyObject,
} from 'node:crypto';
import { Connection, configureClient, configureServer } from '../../src/index.ts';
import { defineBench } from '../harness.ts';
import { type Files, makeFiles } from '../support/stacks.ts';

const CHUNK = Buffer.alloc(64 * 1024, 7);
const CHUNKS = 1024;
const RECORD = 16_385;
const TAG = { authTagLength: 16 };

let files: Promise<Files> | undefined;

/**
 * The engine alone, sealing and opening without a network, against node:crypto doing nothing but the same AEAD
 * operations: what the engine adds to what cryptography costs here. Counted in processor time, not on the clock.
 */
export default defineBench({
  name: 'records',
  unit: 'MB/s of CPU',
  higherIsBetter: true,
  peerName: 'bare node:crypto',
  ours: measureEngine,
  peer: measureCrypto,
});

async function measureEngine(): Promise<number> {
  files ??= makeFiles();
  const { ca, cert, key } = await files;
  const now = Date.now();
  const ciphers = 'TLS_AES_128_GCM_SHA256';
  const client = Connection.client(configureClient({ servername: 'localhost', ca, ciphers }), now);
  const server = Connection.server(configureServer({ cert, key, ciphers }), now);
  while (carry(client, server, now) || carry(server, client, now));
  return rate(() => {
    client.send(CHUNK);
    server.receive(Buffer.concat(client.transmit()), now);
    while (server.nextEvent() !== undefined);
  });
}

function carry(from: Connection, to: Connection, now: number): boolean {
  const records = from.transmit();
  for (const bytes of records) to.receive(bytes, now);
  const { wanted } = to;
  if (wanted?.kind === 'signature')
    to.provide(wanted.key.sign(wanted.scheme, wanted.input) as Uint8Array, now);
  while (to.nextEvent() !== undefined);
  return records.length > 0;
}

async function measureCrypto(): Promise<number> {
  const key = createSecretKey(Buffer.alloc(16, 1));
  const nonce = Buffer.alloc(12, 2);
  const header = Buffer.from([23, 3, 3, 0x41, 0x11]);
  const plaintext = Buffer.alloc(RECORD, 7);
  return rate(() => {
    const sealed: Buffer[] = [];
    for (let i = 0; i < CHUNK.length / (RECORD - 1); i++)
      sealed.push(header, ...seal(key, nonce, header, plaintext));
    const wire = Buffer.concat(sealed);
    const length = header.length + RECORD + TAG.authTagLength;
    for (let at = 0; at < wire.length; at += length) open(key, nonce, wire.subarray(at, at + length));
  });
}

function seal(key: KeyObject, nonce: Buffer, header: Buffer, plaintext: Buffer): Buffer[] {
  const cipher = createCipheriv('aes-128-gcm', key, nonce, TAG) as CipherGCM;
  cipher.setAAD(header);
  const ciphertext = cipher.update(plaintext);
  cipher.final();
  return [ciphertext, cipher.getAuthTag()];
}

function open(key: KeyObject, nonce: Buffer, record: Buffer): Buffer {
  const decipher = createDecipheriv('aes-128-gcm', key, nonce, TAG);
  decipher.setAAD(record.subarray(0, 5));
  decipher.setAuthTag(record.subarray(-TAG.authTagLength));
  const plaintext = decipher.update(record.subarray(5, -TAG.authTagLength));
  decipher.final();
  return plaintext;
}

function rate(chunk: () => void): number {
  const began = process.cpuUsage();
  for (let i = 0; i < CHUNKS; i++) chunk();
  const { user, system } = process.cpuUsage(began);
  return (CHUNKS * CHUNK.length) / (user + system);
}

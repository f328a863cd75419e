import { generateKeyPairSync, sign } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import nodeTls from 'node:tls';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { connect, createSecureContext, createServer } from '../../src/index.ts';
import { initPki } from '../../src/tunnel/init.ts';
import { issueCertificate, keyIdentifier, serverExtensions } from '../../src/x509/issue.ts';

/** The part of `node:tls` that both have, so that one bench drives either. */
export interface Stack {
  readonly name: 'trellis' | 'node:tls';
  serve(onSession: (socket: Duplex) => void): Server;
  /** @param session to resume, of an earlier socket's 'session' event */
  dial(port: number, session?: Buffer): Duplex;
}

/** What both are told beside certificates. */
export interface Algorithms {
  readonly ciphers: string;
  readonly ecdhCurve: string;
  readonly maxVersion?: 'TLSv1.2' | 'TLSv1.3';
}

export interface Files {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

const HOST = '127.0.0.1';
/** Both are made to use them: the suite that the goal names, and the group that every Node has. */
const TLS13: Algorithms = { ciphers: 'TLS_AES_128_GCM_SHA256', ecdhCurve: 'X25519' };
/** The group of the certificate has to be there too (RFC 8422 §5.1.1). */
export const TLS12: Algorithms = {
  ciphers: 'ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256',
  ecdhCurve: 'X25519:P-256',
  maxVersion: 'TLSv1.2',
};

/** A fresh private CA and a P-256 server certificate. */
export async function makeFiles(): Promise<Files> {
  const directory = mkdtempSync(join(tmpdir(), 'trellis-bench-'));
  try {
    await initPki({ directory });
    const read = (name: string): Buffer => readFileSync(join(directory, name));
    return { ca: read('ca.pem'), cert: read('server.pem'), key: read('server.key') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** A server certificate with an RSA key of 2048 bits, as most servers have, that vouches for itself. */
export function makeRsaFiles(): Files {
  const { privateKey: key, publicKey: spki } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const id = keyIdentifier(nodeCrypto, spki);
  const subject = [{ CN: 'localhost' }];
  const certificate = issueCertificate(
    {
      subject,
      issuer: subject,
      publicKeySpki: spki,
      serial: Uint8Array.of(1),
      notBefore: Date.now() - DAY,
      notAfter: Date.now() + DAY,
      extensions: serverExtensions({ subjectKeyId: id, issuerKeyId: id }, ['localhost']),
    },
    {
      algorithm: { kind: 'rsa-pkcs1', hash: 'sha256' },
      sign: (tbs) => sign('sha256', tbs, key),
    },
  );
  const cert = Buffer.from(encodePem('CERTIFICATE', certificate));
  return { ca: cert, cert, key: Buffer.from(key) };
}

const DAY = 86_400_000;

/** Trellis. The server's certificate path and name are verified in full, as by node:tls. */
export function ours({ ca, cert, key }: Files, algorithms: Partial<Algorithms> = {}): Stack {
  const chosen = { ...TLS13, ...algorithms };
  // As a program would: the context is made once and shared by all connections.
  const secureContext = createSecureContext({ ca, ...chosen });
  return {
    name: 'trellis',
    serve: (onSession) => createServer({ cert, key, ...chosen }, onSession),
    dial: (port, session) => connect({ host: HOST, port, servername: 'localhost', secureContext, session }),
  };
}

export function nodes({ ca, cert, key }: Files, algorithms: Partial<Algorithms> = {}): Stack {
  const chosen = { ...TLS13, ...algorithms };
  const secureContext = nodeTls.createSecureContext({ ca, ...chosen });
  return {
    name: 'node:tls',
    serve: (onSession) => nodeTls.createServer({ cert, key, ...chosen }, onSession),
    dial: (port, session) =>
      nodeTls.connect({ host: HOST, port, servername: 'localhost', secureContext, session }),
  };
}

export async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, HOST, resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('The server listens on no port');
  return address.port;
}

export function once(emitter: Duplex | Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    emitter.once(event, () => resolve());
    emitter.once('error', reject);
  });
}

export function close(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

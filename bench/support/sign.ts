import { createPrivateKey, createPublicKey, sign, verify, X509Certificate } from 'node:crypto';
import { connect, createSecureContext } from '../../src/index.ts';
import { signClient } from '../../src/sign/index.ts';
import { runFile } from './child.ts';
import { type Files, makeFiles, once } from './stacks.ts';

/** 1 KiB, as issue 3 has it. */
export const MESSAGE = Buffer.alloc(1024, 7);
const MESSAGES = 8_000;
/** Messages under way at once: enough that neither side waits for the other. */
const WINDOW = 512;
/** Bare operations: about a second. */
const BARE = 8_000;

let files: Promise<Files> | undefined;

/** One P-256 key and its certificate, for all benches of signing. */
export function signFiles(): Promise<Files> {
  files ??= makeFiles();
  return files;
}

/** Signed messages per second, from a client to a server in a process of its own, until that has verified the last. */
export async function endToEnd(receipt: boolean): Promise<number> {
  const { ca, cert, key } = await signFiles();
  process.env.TRELLIS_BENCH_FILES = JSON.stringify({ ca: `${ca}`, cert: `${cert}`, key: `${key}` });
  const sink = runFile('bench/support/sign-sink.ts', [String(MESSAGES)]);
  try {
    const { port } = await sink.next<{ port: number }>();
    // The server asks for no certificate: the client announces its own, and both sides sign with the same key.
    const [identity] = createSecureContext({ cert, key }).identities;
    const protocol = signClient({ formats: ['pkcs7'], signer: identity });
    const socket = connect({
      host: '127.0.0.1',
      port,
      servername: 'localhost',
      ca,
      subProtocols: [protocol],
    });
    await once(socket, 'secureConnect');
    socket.signing?.on();
    const done = sink.next<{ received: number }>();
    const began = performance.now();
    let sent = 0;
    const lane = async (): Promise<void> => {
      while (sent < MESSAGES) {
        sent++;
        await socket.signWrite(MESSAGE, { receipt });
      }
    };
    await Promise.all([done, ...Array.from({ length: WINDOW }, lane)]);
    const seconds = (performance.now() - began) / 1000;
    socket.destroy();
    return MESSAGES / seconds;
  } finally {
    await sink.stop();
  }
}

/** Operations per second of bare node:crypto, on the key that signs. */
export async function bare(operation: 'sign' | 'verify'): Promise<number> {
  const { cert, key } = await signFiles();
  const privateKey = createPrivateKey(key);
  const spki = new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'pem' });
  const publicKey = createPublicKey(spki);
  const signature = sign('sha256', MESSAGE, privateKey);
  const began = performance.now();
  for (let i = 0; i < BARE; i++) {
    if (operation === 'sign') sign('sha256', MESSAGE, privateKey);
    else verify('sha256', MESSAGE, publicKey, signature);
  }
  return (BARE / (performance.now() - began)) * 1000;
}

/** The slower of the two: no session can be faster that does one of each for a message, on a core each. */
export async function slowerBare(): Promise<number> {
  return Math.min(await bare('sign'), await bare('verify'));
}

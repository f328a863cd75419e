import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { need } from '../../setup/need.ts';
import type { SchemeNames } from './algorithms.ts';
import type { Credential } from './pki.ts';
import { Program, type ProgramOptions } from './program.ts';

export const openssl = need('openssl');

export function opensslVersion(path = openssl.path): string {
  const { stdout } = spawnSync(path, ['version'], { encoding: 'utf8' });
  return /^OpenSSL \S+/.exec(stdout)?.[0] ?? 'OpenSSL';
}

/** That `s_client` tells of a key exchange, in the words of OpenSSL 3.0 and of 3.5. */
export const KEY_EXCHANGE = /^(?:Server|Peer) Temp Key: |^Negotiated TLS1\.3 group: \w/m;

/** And by which group. @param reported with the bits of its keys; a hybrid group has its name alone */
export function agreedGroup(reported: string): RegExp {
  return new RegExp(`^(?:(?:Server|Peer) Temp Key|Negotiated TLS1\\.3 group): ${reported}$`, 'm');
}

/** And of the peer's signature. */
export function signatureType({ name, opensslType }: Pick<SchemeNames, 'name' | 'opensslType'>): RegExp {
  return new RegExp(`^Peer signature type: (?:${opensslType}|${name})$`, 'm');
}

/** A name of one part as the two write it. */
export function commonName(name: string): RegExp {
  return new RegExp(`CN ?= ?${name}$`, 'm');
}

/** A security level at which OpenSSL takes suites with tags of 8 bytes; 3.5 counts these as 64 bits. */
export const ANY_STRENGTH = ['-cipher', 'DEFAULT:@SECLEVEL=0'] as const;

export interface OpensslOptions extends ProgramOptions {
  /** Another `openssl` than the machine's own. */
  readonly path?: string;
}

/** `openssl s_server` on a free port, ready to accept. It serves one connection after the other. */
export class OpensslServer extends Program {
  readonly port: Promise<number>;

  constructor({ certFile, keyFile }: Credential, args: readonly string[] = [], options?: OpensslOptions) {
    super(
      options?.path ?? openssl.path,
      ['s_server', '-accept', '127.0.0.1:0', '-cert', certFile, '-key', keyFile, ...args],
      options,
    );
    this.port = this.until(/^ACCEPT 127\.0\.0\.1:(\d+)$/m).then(([, port]) => Number(port));
    this.port.catch(() => {});
  }
}

/** `openssl s_client` to a port of 127.0.0.1. Its standard input stays open, so that it can be told `Q`, `K`, `k`. */
export class OpensslClient extends Program {
  constructor(port: number, args: readonly string[] = [], options?: OpensslOptions) {
    super(options?.path ?? openssl.path, ['s_client', '-connect', `127.0.0.1:${port}`, ...args], options);
  }

  /** The handshake is complete and its summary printed. */
  async connected(): Promise<void> {
    await this.until(
      /Verify return code: .*\n(?: +Extended master secret: .*\n)?---|Verification error|Keying material: /,
    );
  }

  /** Sends close_notify and ends. */
  async quit(): Promise<number | null> {
    this.say('Q');
    return this.end();
  }
}

/**
 * `s_server -quiet` or `s_client -quiet`: its standard input is what it sends and its standard output what it
 * received, bytes and nothing else, no commands.
 */
export class OpensslPipe extends Program {
  readonly received: Digest;

  constructor(words: readonly string[], expected: number) {
    const received = new Digest(expected);
    super(openssl.path, [...words, '-quiet'], { onStdout: (chunk) => received.add(chunk) });
    this.received = received;
  }
}

/** Hashes bytes until there are as many as expected. */
export class Digest {
  /** SHA-256, hex, of the first `expected` bytes; rejects nothing: the test's time limit ends a wait in vain. */
  readonly complete: Promise<string>;
  count = 0;
  readonly #expected: number;
  readonly #hash = createHash('sha256');
  #resolve: (digest: string) => void = () => {};

  constructor(expected: number) {
    this.#expected = expected;
    this.complete = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  add(chunk: Uint8Array): void {
    this.count += chunk.length;
    this.#hash.update(chunk);
    if (this.count === this.#expected) this.#resolve(this.#hash.digest('hex'));
    if (this.count > this.#expected)
      throw new Error(`received ${this.count} bytes, more than ${this.#expected}`);
  }
}

export function sha256(data: Uint8Array): string {
  return createHash('sha256').update(data).digest('hex');
}

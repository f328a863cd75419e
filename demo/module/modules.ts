import { randomBytes, randomInt } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeModuleKeys } from '../../src/crypto/node/module-keys.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { decodePemBlocks } from '../../src/der/pem.ts';
import { Card } from '../../src/module/bridge/card.ts';
import { ModuleClient } from '../../src/module/bridge/client.ts';
import { ClientCertificate, IdentityRole, type KeyAlgorithm, Permission } from '../../src/module/protocol.ts';
import { createModuleFile } from '../../src/node/module/store-file.ts';
import { UnixTransport } from '../../src/node/module/unix.ts';
import { initPki } from '../../src/tunnel/init.ts';
import { SignatureScheme } from '../../src/wire/codepoints.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import { clientExtensions, issueCertificate, keyIdentifier, serverExtensions } from '../../src/x509/issue.ts';
import { type Program, startProgram } from '../programs.ts';
import type { Needle } from './memory.ts';
import { findReader, type VirtualReader } from './reader.ts';
import { secretsOf } from './secrets.ts';

/** A module in a process of its own, with one identity whose key was born in it. */
export interface DemoModule {
  /** Options of `serve` and `connect`. */
  readonly options: readonly string[];
  readonly transport: 'unix' | 'pcsc';
  /** Where it listens, whether it is in a reader or not. */
  readonly socket: string;
  readonly pin: Buffer;
  /** What must not be in the memory of a host. */
  readonly secrets: readonly Needle[];
  /** How often it was given a command so far; by its name in traces. */
  count(command: string): number;
  /** The dialogue as `module serve --trace` has written it. */
  trace(): Buffer;
}

export interface DemoModules {
  readonly gateway: DemoModule;
  readonly client: DemoModule;
  /** The CA of both certificates. */
  readonly ca: string;
  /** Why the client's module is not in a PC/SC reader; `undefined` when it is. */
  readonly whyNoReader: string | undefined;
  close(): Promise<void>;
}

interface Kind {
  readonly name: 'gateway' | 'client';
  readonly alias: string;
  readonly algorithm: KeyAlgorithm;
  readonly role: 'server' | 'client';
  readonly clientCertificate: number;
}

const GATEWAY: Kind = {
  name: 'gateway',
  alias: 'web',
  algorithm: 'RSA-2048',
  role: 'server',
  clientCertificate: ClientCertificate.require,
};
const CLIENT: Kind = {
  name: 'client',
  alias: 'buyer',
  algorithm: 'P-256',
  role: 'client',
  clientCertificate: ClientCertificate.none,
};
const HOSTS = ['localhost', '127.0.0.1'];
const DAY = 86_400_000;
const PIN_DIGITS = 8;

export interface ModulesOptions {
  /** Keep the dialogue. Default true; it takes time. */
  readonly trace?: boolean;
  /** Put the client's module into a PC/SC reader, if there is one. Default true. */
  readonly reader?: boolean;
  /** Bits of `Permission`. Default: TLS Sign alone. */
  readonly permissions?: number;
}

/** Makes two modules in a folder and starts them: the gateway's at a Unix socket, the client's in a PC/SC reader if there is one. */
export async function startModules(folder: string, options: ModulesOptions = {}): Promise<DemoModules> {
  const pki = join(folder, 'pki');
  await initPki({ directory: pki });
  const reader = options.reader === false ? 'none was wanted' : await findReader();
  const programs: Program<unknown>[] = [];
  const close = async (): Promise<void> => {
    await Promise.all(programs.map((program) => program.stop()));
    if (typeof reader !== 'string') await reader.close();
  };
  try {
    const started = await Promise.all(
      [GATEWAY, CLIENT].map((kind) =>
        start(kind, folder, typeof reader === 'string' ? undefined : reader, programs, options),
      ),
    );
    if (typeof reader !== 'string') await reader.awaitCard();
    const [gateway, client] = started as [DemoModule, DemoModule];
    const whyNoReader = typeof reader === 'string' ? reader : undefined;
    return { gateway, client, ca: join(pki, 'ca.pem'), whyNoReader, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function start(
  kind: Kind,
  folder: string,
  reader: VirtualReader | undefined,
  programs: Program<unknown>[],
  { trace = true, permissions = Permission.sign }: ModulesOptions,
): Promise<DemoModule> {
  const { name, alias } = kind;
  const file = (what: string): string => join(folder, `${name}.${what}`);
  const pins = { user: newPin(), operator: newPin() };
  const secret = Buffer.from(randomBytes(16).toString('hex'));
  writeFileSync(file('pin'), pins.user, { mode: 0o600 });
  writeFileSync(file('secret'), secret, { mode: 0o600 });
  createModuleFile(file('store'), secret, pins);
  const place = reader === undefined || kind === GATEWAY ? [] : ['--vpcd', reader.place];
  programs.push(
    await startProgram('src/cli/main.ts', [
      ...['module', 'serve', '--json', '--store', file('store'), '--secret-file', file('secret')],
      ...['--socket', file('sock'), ...(trace ? ['--trace', file('trace')] : []), ...place],
    ]),
  );
  await provision(kind, join(folder, 'pki'), file('sock'), pins.operator, permissions);
  const inReader = place.length > 0 && reader !== undefined;
  const uri = inReader ? `pcsc:${reader.name}#${alias}` : `unix:${file('sock')}#${alias}`;
  return {
    options: ['--module', uri, '--pin-file', file('pin')],
    transport: inReader ? 'pcsc' : 'unix',
    socket: file('sock'),
    pin: pins.user,
    secrets: secretsOf(name, file('store'), secret, pins),
    trace: () => readFileSync(file('trace')),
    count: (command) =>
      readFileSync(file('trace'), 'utf8')
        .split('\n')
        .filter((line) => line !== '' && (JSON.parse(line) as { name: string }).name === command).length,
  };
}

/** The key is made in the module; what leaves it is the public one, and what comes back its certificate. */
async function provision(
  kind: Kind,
  pki: string,
  socket: string,
  operatorPin: Uint8Array,
  permissions: number,
): Promise<void> {
  const { alias, algorithm, role, clientCertificate } = kind;
  const card = new Card(await UnixTransport.connect(socket));
  try {
    const module = new ModuleClient(card);
    await module.select();
    await module.verifyPin('operator', operatorPin);
    const publicKey = await module.generateKey(alias, algorithm);
    const pem = (file: string): string => readFileSync(join(pki, file), 'latin1');
    const ca = decodePemBlocks(pem('ca.pem'), 'CERTIFICATE');
    await module.putChain(alias, [certify(kind, publicKey, ca[0] as Uint8Array, pem('ca.key'))]);
    await module.putAnchors(alias, ca);
    await module.putRole(alias, IdentityRole[role]);
    await module.putPolicy(alias, { permissions, clientCertificate, nai: '' });
  } finally {
    card.close();
  }
}

function certify({ role }: Kind, publicKeySpki: Uint8Array, caDer: Uint8Array, caKeyPem: string): Uint8Array {
  const ca = Certificate.parse(caDer);
  const [caPkcs8] = decodePemBlocks(caKeyPem, 'PRIVATE KEY') as [Uint8Array];
  const caKey = nodeModuleKeys.load(caPkcs8);
  const ids = {
    subjectKeyId: keyIdentifier(nodeCrypto, publicKeySpki),
    issuerKeyId: keyIdentifier(nodeCrypto, ca.spki),
  };
  return issueCertificate(
    {
      subject: [{ CN: role === 'server' ? 'localhost' : 'Trellis client' }],
      issuer: ca.subject.raw,
      publicKeySpki,
      serial: randomInt(1, 2 ** 47),
      notBefore: Date.now() - DAY,
      notAfter: Date.now() + DAY,
      extensions: role === 'server' ? serverExtensions(ids, HOSTS) : clientExtensions(ids),
    },
    {
      algorithm: { kind: 'ecdsa', hash: 'sha256' },
      sign: (tbs) => caKey.sign(SignatureScheme.ecdsa_secp256r1_sha256, tbs),
    },
  );
}

/** Digits, all of them random: whoever finds them in a process has found the PIN. */
function newPin(): Buffer {
  return Buffer.from(Array.from({ length: PIN_DIGITS }, () => 0x30 + randomInt(10)));
}

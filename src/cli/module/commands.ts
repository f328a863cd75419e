import { writeFileSync } from 'node:fs';
import { privateKeyPkcs8 } from '../../crypto/node/import-key.ts';
import { encodeName } from '../../der/name.ts';
import { decodePemBlocks, encodePem } from '../../der/pem.ts';
import { ModuleError } from '../../errors/module.ts';
import { TARGET_HASHES, type TargetHash } from '../../handshake/psk.ts';
import { Status } from '../../module/apdu/status.ts';
import type { ModuleClient } from '../../module/bridge/client.ts';
import {
  ClientCertificate,
  IdentityRole,
  type KeyAlgorithm,
  KeyAlgorithmCode,
  Permission,
} from '../../module/protocol.ts';
import { createModuleFile } from '../../node/module/store-file.ts';
import { readCredential } from '../../tunnel/credentials.ts';
import { TunnelError } from '../../tunnel/errors.ts';
import { readPskFile } from '../../tunnel/psk.ts';
import type { CommandContext } from '../context.ts';
import { EXIT_OK } from '../lifecycle.ts';
import { asOperator, fileError, readOrMakeSecret, readSecret, withModule } from './input.ts';

interface Output {
  readonly json?: boolean;
}
export interface InitArguments extends Output {
  readonly store: string;
  readonly secretFile: string;
  readonly pinFile: string;
  readonly operatorPinFile: string;
}
export interface ModuleArguments extends Output {
  readonly module: string;
}
interface OperatorArguments extends ModuleArguments {
  readonly operatorPinFile?: string;
}
export interface PinArguments extends OperatorArguments {
  readonly pinFile?: string;
  readonly newPinFile: string;
  readonly operator?: boolean;
  readonly unblock?: boolean;
}
interface IdentityArguments extends OperatorArguments {
  readonly role?: string;
  readonly key?: string;
  readonly cert?: string;
  readonly ca?: string;
  readonly permit?: string;
  readonly clientCert?: string;
  readonly nai?: string;
}

export async function init(options: InitArguments, context: CommandContext): Promise<number> {
  const user = readSecret('--pin-file', options.pinFile);
  const operator = readSecret('--operator-pin-file', options.operatorPinFile);
  for (const [option, pin] of [
    ['--pin-file', user],
    ['--operator-pin-file', operator],
  ] as const) {
    const isPin = pin.length >= 4 && pin.length <= 8 && pin.every((digit) => digit >= 0x30 && digit <= 0x39);
    if (!isPin) throw new TunnelError('ERR_TUNNEL_OPTION', `${option}: a PIN has 4 to 8 digits.`);
  }
  const secret = readOrMakeSecret('--secret-file', options.secretFile);
  createModuleFile(options.store, secret, { user, operator });
  say(context, options, { event: 'made', store: options.store }, `made ${options.store}`);
  return EXIT_OK;
}

export function status(options: ModuleArguments, context: CommandContext): Promise<number> {
  return withModule(options.module, async (client) => {
    const { name, sessions } = await client.select();
    const user = await client.pinState('user');
    const operator = await client.pinState('operator');
    const identities = await client.identities();
    const lines = [
      name,
      `sessions: ${sessions} at once`,
      `user PIN: ${user} tries left`,
      `operator PIN: ${operator} tries left`,
      `identities: ${identities.length === 0 ? 'none' : identities.join(', ')}`,
    ];
    say(context, options, { name, sessions, pinTries: { user, operator }, identities }, lines.join('\n'));
    return EXIT_OK;
  });
}

export async function changePin(options: PinArguments, context: CommandContext): Promise<number> {
  const pin = readSecret('--new-pin-file', options.newPinFile);
  if (options.unblock === true) await asOperator(options, (client) => client.unblockUserPin(pin));
  else {
    const old = readSecret('--pin-file', options.pinFile);
    const owner = options.operator === true ? 'operator' : 'user';
    await withModule(options.module, (client) => client.changePin(owner, old, pin));
  }
  say(context, options, { event: 'changed' }, 'the PIN is changed');
  return EXIT_OK;
}

export function listIdentities(options: ModuleArguments, context: CommandContext): Promise<number> {
  return withModule(options.module, async (client) => {
    const identities = await client.identities();
    say(context, options, { identities }, identities.join('\n'));
    return EXIT_OK;
  });
}

export async function addIdentity(
  alias: string,
  options: IdentityArguments,
  context: CommandContext,
): Promise<number> {
  const key = options.key === undefined ? undefined : await readCredential('--key', options.key, 'key');
  const cert = await certificates('--cert', options.cert);
  const ca = await certificates('--ca', options.ca);
  const role = options.role === undefined ? undefined : roleOf(options.role);
  const policy = policyOf(options);
  await asOperator(options, async (client) => {
    if (key !== undefined) await client.importKey(alias, privateKeyPkcs8(key));
    await putCertificates(client, alias, cert, ca);
    if (role !== undefined) await client.putRole(alias, role);
    if (policy !== undefined) await client.putPolicy(alias, policy);
  });
  say(context, options, { event: 'put', alias }, `${alias} is as you said`);
  return EXIT_OK;
}

/** Of every key in the file; what is there already stays, and the first that cannot be added is the last that is tried. */
export async function addPsks(
  alias: string,
  options: OperatorArguments & { readonly pskFile: string; readonly hash?: string },
  context: CommandContext,
): Promise<number> {
  const { hash = 'sha256' } = options;
  if (!isTargetHash(hash)) {
    throw new TunnelError('ERR_TUNNEL_OPTION', `--hash ${hash} is not one of ${TARGET_HASHES.join(', ')}.`);
  }
  const psks = await readPskFile('--psk-file', options.pskFile);
  const added: string[] = [];
  await asOperator(options, async (client) => {
    for (const { identity, key } of psks) {
      const name = String(identity);
      try {
        await client.putPsk(alias, { identity: Buffer.from(name), key, hash });
      } catch (error) {
        throw pskError(error, alias, name);
      }
      key.fill(0);
      added.push(name);
    }
  });
  const text = `${alias} has ${added.length === 1 ? 'the key' : `${added.length} keys more:`} ${added.join(', ')}`;
  say(context, options, { event: 'put', alias, hash, psks: added }, text);
  return EXIT_OK;
}

export function listPsks(
  alias: string,
  options: OperatorArguments,
  context: CommandContext,
): Promise<number> {
  return asOperator(options, async (client) => {
    const psks = (await client.psks(alias)).map(({ identity, hash }) => ({
      identity: Buffer.from(identity).toString(),
      hash,
    }));
    const lines = psks.map(({ identity, hash }) => `${identity} (${hash})`);
    say(context, options, { alias, psks }, lines.length === 0 ? 'none' : lines.join('\n'));
    return EXIT_OK;
  });
}

export async function removePsk(
  alias: string,
  options: OperatorArguments & { readonly identity: string },
  context: CommandContext,
): Promise<number> {
  const { identity } = options;
  await asOperator(options, (client) => client.removePsk(alias, Buffer.from(identity)));
  say(
    context,
    options,
    { event: 'removed', alias, psk: identity },
    `${alias} has the key ${identity} no more`,
  );
  return EXIT_OK;
}

export async function removeIdentity(
  alias: string,
  options: OperatorArguments,
  context: CommandContext,
): Promise<number> {
  await asOperator(options, (client) => client.removeIdentity(alias));
  say(context, options, { event: 'removed', alias }, `${alias} and its key are no more`);
  return EXIT_OK;
}

export async function generateKey(
  alias: string,
  options: OperatorArguments & { readonly algorithm?: string },
  context: CommandContext,
): Promise<number> {
  const { algorithm = 'P-256' } = options;
  if (!isAlgorithm(algorithm)) {
    const known = Object.keys(KeyAlgorithmCode).join(', ');
    throw new TunnelError('ERR_TUNNEL_OPTION', `--algorithm ${algorithm} is not one of ${known}.`);
  }
  const spki = await asOperator(options, (client) => client.generateKey(alias, algorithm));
  const publicKey = encodePem('PUBLIC KEY', spki);
  say(context, options, { event: 'generated', alias, publicKey }, publicKey.trimEnd());
  return EXIT_OK;
}

export async function csr(
  alias: string,
  options: OperatorArguments & {
    readonly subject: string;
    readonly host?: readonly string[];
    readonly out?: string;
  },
  context: CommandContext,
): Promise<number> {
  const subject = encodeName([{ CN: options.subject }]);
  const der = await asOperator(options, (client) => client.makeRequest(alias, subject, options.host ?? []));
  const request = encodePem('CERTIFICATE REQUEST', der);
  if (options.out === undefined) {
    say(context, options, { event: 'request', alias, request }, request.trimEnd());
    return EXIT_OK;
  }
  try {
    writeFileSync(options.out, request);
  } catch (cause) {
    throw fileError('--out', options.out, cause);
  }
  say(context, options, { event: 'request', alias, out: options.out }, `wrote ${options.out}`);
  return EXIT_OK;
}

export async function installCertificate(
  alias: string,
  options: OperatorArguments & { readonly cert: string; readonly ca?: string },
  context: CommandContext,
): Promise<number> {
  const cert = await certificates('--cert', options.cert);
  const ca = await certificates('--ca', options.ca);
  await asOperator(options, (client) => putCertificates(client, alias, cert, ca));
  say(context, options, { event: 'installed', alias }, `the certificate of ${alias} is installed`);
  return EXIT_OK;
}

/** In the words of what was to be done: the module has nothing but a status word. */
function pskError(error: unknown, alias: string, identity: string): unknown {
  if (!(error instanceof ModuleError)) return error;
  const { code, status, message } = error;
  const why =
    status === Status.wrongState
      ? `${alias} has a key of that name; remove it first (trellis module psk remove)`
      : message;
  return new ModuleError(code, `The key ${identity} was not put into the module: ${why}`, {
    cause: error,
    status,
  });
}

async function putCertificates(
  client: ModuleClient,
  alias: string,
  cert: readonly Uint8Array[] | undefined,
  ca: readonly Uint8Array[] | undefined,
): Promise<void> {
  if (cert !== undefined) await client.putChain(alias, cert);
  if (ca !== undefined) await client.putAnchors(alias, ca);
}

async function certificates(option: string, path: string | undefined): Promise<Uint8Array[] | undefined> {
  if (path === undefined) return undefined;
  return decodePemBlocks(await readCredential(option, path, 'certificate'), 'CERTIFICATE');
}

function roleOf(role: string): number {
  const roles: Readonly<Record<string, number>> = {
    ...IdentityRole,
    both: IdentityRole.client | IdentityRole.server,
  };
  const found = Object.hasOwn(roles, role) ? roles[role] : undefined;
  if (found === undefined) {
    throw new TunnelError('ERR_TUNNEL_OPTION', `--role ${role} is not client, server or both.`);
  }
  return found;
}

const PERMISSIONS: Readonly<Record<string, number>> = {
  sign: Permission.sign,
  msk: Permission.masterSessionKey,
  'traffic-keys': Permission.trafficKeys,
  none: 0,
};

/** `undefined` when nothing of it was given: then it stays as it is. */
function policyOf({ permit, clientCert, nai }: IdentityArguments) {
  if (permit === undefined && clientCert === undefined && nai === undefined) return undefined;
  let permissions = permit === undefined ? Permission.sign : 0;
  for (const word of permit?.split(',') ?? []) {
    const bit = Object.hasOwn(PERMISSIONS, word) ? PERMISSIONS[word] : undefined;
    if (bit === undefined) {
      throw new TunnelError('ERR_TUNNEL_OPTION', `--permit ${word} is not sign, msk, traffic-keys or none.`);
    }
    permissions |= bit;
  }
  const policy = clientCert ?? 'none';
  if (!(policy in ClientCertificate)) {
    throw new TunnelError('ERR_TUNNEL_OPTION', `--client-cert ${policy} is not none, request or require.`);
  }
  const clientCertificate = ClientCertificate[policy as keyof typeof ClientCertificate];
  return { permissions, clientCertificate, nai: nai ?? '' };
}

function isTargetHash(name: string): name is TargetHash {
  return (TARGET_HASHES as readonly string[]).includes(name);
}

function isAlgorithm(name: string): name is KeyAlgorithm {
  return Object.hasOwn(KeyAlgorithmCode, name);
}

function say(context: CommandContext, { json }: Output, result: object, text: string): void {
  if (json === true) context.printResult(result);
  else context.printText(`${text}\n`);
}

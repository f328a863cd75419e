import { ConnectionError } from '../../errors/errors.ts';
import type { CardTransport } from '../../module/bridge/exchange.ts';
import { PcscTransport } from './pcsc.ts';
import { SecurityModule, type SecurityModuleOptions } from './security-module.ts';
import { UnixTransport } from './unix.ts';

/** Where a module is, and which of its identities is meant. */
export interface ModuleAddress {
  readonly kind: 'unix' | 'pcsc';
  /** Path of the socket; name of the reader, or its beginning. */
  readonly place: string;
  readonly alias: string | undefined;
}

/** `unix:PATH#alias` or `pcsc:READER#alias`; without `#alias`, the first identity. @throws ConnectionError ERR_TLS_OPTION */
export function parseModuleAddress(uri: string): ModuleAddress {
  const match = /^(unix|pcsc):([^#]*)(?:#(.+))?$/.exec(uri);
  const [, kind, place = '', alias] = match ?? [];
  if ((kind !== 'unix' && kind !== 'pcsc') || (kind === 'unix' && place === '')) {
    throw new ConnectionError(
      'ERR_TLS_OPTION',
      `'${uri}' is no module: give unix:PATH#alias or pcsc:READER#alias`,
    );
  }
  return { kind, place, alias };
}

/** @throws ModuleError */
export function connectModule({ kind, place }: ModuleAddress): Promise<CardTransport> {
  return kind === 'unix' ? UnixTransport.connect(place) : PcscTransport.connect(place);
}

/**
 * The module at `uri`, its PIN verified, for the option `module` of `connect`, `createServer` and `connectMux`.
 * @param uri `unix:PATH#alias` or `pcsc:READER#alias`
 * @throws ModuleError; ConnectionError ERR_TLS_OPTION
 */
export async function openModule(uri: string, options: SecurityModuleOptions): Promise<SecurityModule> {
  const address = parseModuleAddress(uri);
  let transport: CardTransport;
  try {
    transport = await connectModule(address);
  } catch (error) {
    if (options.pin instanceof Uint8Array) options.pin.fill(0);
    throw error;
  }
  return SecurityModule.open(transport, { alias: address.alias, ...options }, () => connectModule(address));
}

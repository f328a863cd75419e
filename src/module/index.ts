/**
 * The security module, without I/O (docs/security-module.md): TLS sessions and their keys behind ISO 7816 commands.
 *
 * ```
 * apdu/      commands, responses, status words, chaining, traces
 * eap/       EAP and EAP-TLS packets, fragments
 * applet/    the module: PINs, identities, sessions, the encrypted store
 * bridge/    the host: a session whose engine is in a module, and commands outside of sessions
 * protocol.ts  the numbers that both sides use
 * ```
 *
 * `openModule` of `trellis` opens one for `connect` and `createServer`.
 */
export {
  type Command,
  encodeCommand,
  encodeResponse,
  parseCommand,
  parseResponse,
  type Response,
} from './apdu/command.ts';
export { parseStatus, type StatusWord } from './apdu/status.ts';
export { type TraceEntry, Tracer } from './apdu/trace.ts';
export { Applet, type AppletOptions } from './applet/applet.ts';
export type { ModuleKey, ModuleKeys } from './applet/keys.ts';
export { initialState, PersistentState } from './applet/persistent.ts';
export { type KeyDerivation, type ModuleStorage, SealedStore } from './applet/sealed-store.ts';
export { Card } from './bridge/card.ts';
export {
  type IdentityPolicy,
  type ModuleCapabilities,
  ModuleClient,
  type ModulePsk,
} from './bridge/client.ts';
export { ModuleConnection, type ModuleConnectionOptions } from './bridge/connection.ts';
export type { CardRequest, CardTransport } from './bridge/exchange.ts';

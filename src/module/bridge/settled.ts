import { type ConnectionInfo, PROTOCOL_NAME } from '../../connection/events.ts';
import type { SessionFacts } from '../../connection/sub-protocol.ts';
import { equalBytes } from '../../der/bytes.ts';
import { ConnectionError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { SESSION_BINDING_LABEL } from '../../formats/binding.ts';
import type { Identity } from '../../handshake/config.ts';
import { ProtocolVersion } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import type { AgreedSession } from './information.ts';

/* What the module says was agreed on, as the layers above want to hear it. */

export function connectionInfo(
  agreed: AgreedSession,
  peer: PeerIdentity | undefined,
  subProtocols: readonly string[],
): ConnectionInfo {
  const { version, suite, group, serverName, alpnProtocol, pskIdentity, transcriptHash } = agreed;
  const protocol = PROTOCOL_NAME[version] ?? 'TLSv1.3';
  const facts = { version, suite, group, serverName, alpnProtocol, pskIdentity, resumed: false };
  return { ...facts, protocol, peer, transcriptHash, subProtocols };
}

export function sessionFacts(
  { version, suite, transcriptHash }: AgreedSession,
  peer: PeerIdentity | undefined,
  identities: readonly Identity[],
): SessionFacts {
  return { version, cipherSuite: suite.id, resumed: false, transcriptHash, peer, identities };
}

/** @throws as `ModuleConnection.exportKeyingMaterial` */
export function materialAtHand(
  agreed: AgreedSession | undefined,
  label: string,
  context: Uint8Array | undefined,
  length: number,
): Uint8Array {
  if (agreed === undefined) {
    throw new ConnectionError('ERR_TLS_NOT_CONNECTED', 'The handshake is not complete yet');
  }
  const isBinding =
    label === SESSION_BINDING_LABEL &&
    context !== undefined &&
    equalBytes(context, agreed.transcriptHash) &&
    length > 0 &&
    length === agreed.sessionBinding.length;
  if (isBinding) return agreed.sessionBinding;
  throw new ModuleError(
    'ERR_MODULE_UNSUPPORTED',
    'Keying material of a session in a module cannot be had at once, but for the binding of TLS Sign; ask with requestKeyingMaterial',
  );
}

export function isTls13(version: number | undefined): boolean {
  return version === ProtocolVersion.tls13 || version === ProtocolVersion.dtls13;
}

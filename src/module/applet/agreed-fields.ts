import type { ConnectionInfo, TrafficState } from '../../connection/events.ts';
import { writeChain } from '../../handshake/session.ts';
import { Writer } from '../../wire/writer.ts';
import { InformationTag, TrafficKeyTag } from '../protocol.ts';
import { numberTlv, type Tlv, writeTlvs } from '../tlv.ts';
import type { Passthrough } from './passthrough.ts';

/** What the host is told of a session beside what the engine says of it. */
export interface AgreedFacts {
  readonly extensions: readonly Passthrough[];
  /** What this side has shown, DER; empty for nothing. */
  readonly ownChain: readonly Uint8Array[];
  readonly sessionBinding: Uint8Array;
  /** Over datagrams. */
  readonly maxDatagram: number | undefined;
}

/** What was agreed on, as fields of Session information (docs/security-module.md). */
export function agreedFields(info: ConnectionInfo, facts: AgreedFacts): (Tlv | undefined)[] {
  const { version, suite, group, peer, pskIdentity, serverName, alpnProtocol, transcriptHash } = info;
  const { extensions, ownChain, sessionBinding, maxDatagram } = facts;
  const text = (tag: number, value: string | undefined) =>
    value === undefined ? undefined : { tag, value: new TextEncoder().encode(value) };
  return [
    numberTlv(InformationTag.version, version, 2),
    numberTlv(InformationTag.suite, suite.id, 2),
    group === undefined ? undefined : numberTlv(InformationTag.group, group, 2),
    peer === undefined
      ? undefined
      : { tag: InformationTag.peerPath, value: chainBytes(peer.path.map(({ raw }) => raw)) },
    pskIdentity === undefined ? undefined : { tag: InformationTag.pskIdentity, value: pskIdentity },
    ownChain.length === 0 ? undefined : { tag: InformationTag.ownChain, value: chainBytes(ownChain) },
    ...extensions.map(({ extensionType, answered }) =>
      answered === undefined
        ? undefined
        : {
            tag: InformationTag.helloExtension,
            value: new Writer(answered.length + 2).u16(extensionType).bytes(answered).finish(),
          },
    ),
    { tag: InformationTag.sessionBinding, value: sessionBinding },
    { tag: InformationTag.transcriptHash, value: transcriptHash },
    text(InformationTag.serverName, serverName),
    text(InformationTag.alpn, alpnProtocol),
    maxDatagram === undefined ? undefined : numberTlv(InformationTag.maxDatagram, maxDatagram, 2),
  ];
}

/** The answer to Export traffic keys. */
export function writeTrafficKeys(version: number, { suite, read, write, limits }: TrafficState): Uint8Array {
  return writeTlvs([
    numberTlv(TrafficKeyTag.version, version, 2),
    numberTlv(TrafficKeyTag.suite, suite.id, 2),
    { tag: TrafficKeyTag.readSecret, value: read.secret },
    { tag: TrafficKeyTag.writeSecret, value: write.secret },
    numberTlv(TrafficKeyTag.readSequence, read.sequence, 6),
    numberTlv(TrafficKeyTag.writeSequence, write.sequence, 6),
    numberTlv(TrafficKeyTag.sendLimit, limits.sending, 2),
    limits.receiving === undefined ? undefined : numberTlv(TrafficKeyTag.receiveLimit, limits.receiving, 2),
  ]);
}

function chainBytes(chain: readonly Uint8Array[]): Uint8Array {
  const writer = new Writer(4096);
  writeChain(writer, chain);
  return writer.finish();
}

import type { TrafficState } from '../../connection/events.ts';
import type { Role } from '../../connection/sub-protocol.ts';
import { suiteById } from '../../crypto/suites.ts';
import { DecodeError } from '../../errors/errors.ts';
import { Established, type Exporter } from '../../handshake/established.ts';
import { FinishedVerified, PeerAuthenticated } from '../../handshake/proofs.ts';
import { MAX_PLAINTEXT } from '../../record/tls/deframer.ts';
import { ProtocolVersion } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { TrafficKeyTag } from '../protocol.ts';
import { TlvFields } from '../tlv.ts';
import type { AgreedSession } from './information.ts';

/** The answer to Export traffic keys. @throws DecodeError */
export function readTrafficKeys(answer: Uint8Array): TrafficState {
  const what = 'traffic keys';
  const fields = new TlvFields(new Uint8Array(answer), what, Object.values(TrafficKeyTag));
  const suite = suiteById(fields.number(TrafficKeyTag.suite, 2) ?? 0);
  if (fields.number(TrafficKeyTag.version, 2) !== ProtocolVersion.tls13 || suite === undefined) {
    throw new DecodeError('traffic keys: of another version or suite than TLS 1.3 has');
  }
  const direction = (secretTag: number, sequenceTag: number): TrafficState['read'] => {
    const secret = fields.get(secretTag);
    const sequence = fields.number(sequenceTag, 6);
    if (secret?.length !== suite.hashLength || sequence === undefined) {
      throw new DecodeError('traffic keys: a secret or a sequence number is missing');
    }
    return { secret, sequence };
  };
  const sending = fields.number(TrafficKeyTag.sendLimit, 2) ?? MAX_PLAINTEXT;
  if (sending === 0 || sending > MAX_PLAINTEXT) throw new DecodeError(`traffic keys: records of ${sending}`);
  return {
    suite,
    read: direction(TrafficKeyTag.readSecret, TrafficKeyTag.readSequence),
    write: direction(TrafficKeyTag.writeSecret, TrafficKeyTag.writeSequence),
    limits: { sending, receiving: fields.number(TrafficKeyTag.receiveLimit, 2) },
  };
}

/**
 * A session whose handshake the module has completed. Its exporter stays inside, and so does what tickets are made of.
 * @param exporter what can be had of it
 */
export function establishedElsewhere(
  role: Role,
  { group, serverName, alpnProtocol, pskIdentity, transcriptHash }: AgreedSession,
  { suite, read, write }: TrafficState,
  peer: PeerIdentity | undefined,
  exporter: Exporter,
): Established {
  if (group === undefined) throw new DecodeError('session information: TLS 1.3 without a group');
  const version = ProtocolVersion.tls13;
  return new Established(
    role,
    { version, suite, group, serverName, alpnProtocol, pskIdentity, resumed: false },
    { read: read.secret, write: write.secret, exporter, resumption: undefined },
    transcriptHash,
    FinishedVerified.elsewhere(),
    PeerAuthenticated.elsewhere(peer),
  );
}

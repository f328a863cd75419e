import { TLS12_SUITES } from '../src/crypto/suites12.ts';
import { parseResumable, serializeResumable } from '../src/handshake/resumable-session.ts';
import { buildState12, parseState12 } from '../src/handshake/tls12/session.ts';
import { parseCompressedCertificate, parseFinished } from '../src/messages/authentication.ts';
import * as messages from '../src/messages/tls12.ts';
import { parseAlert } from '../src/record/alert.ts';
import { HandshakeType, ProtocolVersion } from '../src/wire/codepoints.ts';
import { serverIdentity } from '../test/setup/engine-config.ts';
import { START } from '../test/setup/pair.ts';
import { bodies12 } from './connection-targets.ts';
import { decoder, isVerdict, type Target } from './target.ts';

/** What only TLS 1.2 says, and what its sessions are kept as. */

function state12() {
  const [suite] = TLS12_SUITES;
  if (suite === undefined) throw new Error('There is no suite of TLS 1.2');
  return {
    version: ProtocolVersion.tls12,
    suite,
    masterSecret: new Uint8Array(48).fill(1),
    extendedMasterSecret: true,
    createdAt: START,
    serverName: 'a.test',
    peerChain: serverIdentity.chain,
  };
}

const PSK = Uint8Array.of(0, 3, 1, 2, 3, 3, 0, 29, 2, 4, 5);

export const TLS12_TARGETS: readonly Target[] = [
  decoder('certificate-12', () => bodies12(HandshakeType.certificate), messages.parseCertificateChain),
  decoder(
    'server-key-exchange',
    () => bodies12(HandshakeType.server_key_exchange),
    inEveryVersion(messages.parseEcdheKeyExchange),
  ),
  decoder(
    'certificate-request-12',
    () => bodies12(HandshakeType.certificate_request),
    inEveryVersion(messages.parseCertificateRequest12),
  ),
  decoder(
    'certificate-verify-12',
    () => [Uint8Array.of(4, 3, 0, 2, 1, 2), Uint8Array.of(0, 2, 1, 2)],
    inEveryVersion(messages.parseCertificateVerify12),
  ),
  decoder(
    'rsa-client-key-exchange',
    () => [messages.buildRsaClientKeyExchange(new Uint8Array(256).fill(7)).subarray(4)],
    messages.parseRsaClientKeyExchange,
  ),
  decoder(
    'client-key-exchange',
    () => bodies12(HandshakeType.client_key_exchange),
    messages.parseEcdheClientKeyExchange,
  ),
  decoder(
    'psk-key-exchange',
    () => [PSK, PSK.subarray(0, 5)],
    (input) => {
      const readers = [messages.parsePskKeyExchange, messages.parsePskClientKeyExchange];
      for (const ephemeral of [true, false])
        for (const read of readers) tolerate(() => read(input, ephemeral));
    },
  ),
  decoder(
    'new-session-ticket-12',
    () => [messages.buildNewSessionTicket12({ lifetimeHint: 7, ticket: Uint8Array.of(1, 2, 3) }).subarray(4)],
    messages.parseNewSessionTicket12,
  ),
  decoder(
    'finished',
    () => [new Uint8Array(12), new Uint8Array(32)],
    (input) => parseFinished(input, 32),
  ),
  decoder(
    'compressed-certificate',
    () => [Uint8Array.of(0, 1, 0, 0, 9, 0, 0, 2, 1, 2)],
    parseCompressedCertificate,
  ),
  decoder('alert', () => [Uint8Array.of(1, 0), Uint8Array.of(2, 40)], parseAlert),
  decoder('session-state-12', () => [buildState12(state12())], parseState12),
  decoder(
    'resumable-session',
    () => [
      serializeResumable({
        ...state12(),
        sessionId: new Uint8Array(32),
        ticket: Uint8Array.of(9, 8, 7),
        lifetime: 60,
      }),
    ],
    parseResumable,
  ),
];

/** TLS 1.2 names signature schemes, and what is older does not. */
function inEveryVersion(read: (input: Uint8Array, namesSchemes: boolean) => unknown) {
  return (input: Uint8Array): void => {
    for (const namesSchemes of [true, false]) tolerate(() => read(input, namesSchemes));
  };
}

function tolerate(read: () => unknown): void {
  try {
    read();
  } catch (error) {
    if (!isVerdict(error)) throw error;
  }
}

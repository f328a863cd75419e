import { PREMASTER_LENGTH, unpadPremaster } from '../../crypto/premaster.ts';
import type { DecryptingKey, KeyExchange } from '../../crypto/provider.ts';
import { TlsError } from '../../errors/errors.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import {
  parseCertificateChain,
  parseCertificateVerify12,
  parseEcdheClientKeyExchange,
  parsePskClientKeyExchange,
  parseRsaClientKeyExchange,
} from '../../messages/tls12.ts';
import { HandshakeType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { isRaw, judgeShown } from '../certificate-types.ts';
import type { HandshakeIO } from '../io.ts';
import { PeerAuthenticated } from '../proofs.ts';
import type { DecryptionWanted, Expect, Step, Waiting } from '../step.ts';
import { MasterSecret12 } from './key-schedule.ts';
import { ExpectChangeCipherSpec, type Greeted, type Keyed } from './server-finish.ts';
import { pskPremaster, rawChain } from './shared.ts';

/*
 * The client's answer to our first flight, up to its CertificateVerify. The diagram is in server.ts.
 */

/** After our ServerHelloDone, and while we still say it. */
export interface KeysOffered extends Greeted {
  readonly group: number | undefined;
  /** Absent without ECDHE. */
  readonly keyExchange: KeyExchange | undefined;
  /** Of the RSA key exchange. */
  readonly decrypting?: DecryptingKey | undefined;
}

export class ExpectClientCertificate implements Expect {
  readonly kind = 'expect';
  readonly #state: KeysOffered;

  constructor(state: KeysOffered) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate) throw unexpected(message, "the client's Certificate");
    const { config, transcript, types } = this.#state;
    const raw = isRaw(types.client);
    const chain = raw ? rawChain(message.body) : parseCertificateChain(message.body);
    transcript.add(message.raw12);
    if (chain.length === 0) {
      if (config.clientCertificate === 'require') {
        // RFC 5246 §7.4.6: a fatal handshake_failure.
        throw new TlsError(
          'ERR_TLS_NO_CLIENT_CERTIFICATE',
          'The client showed no certificate, which is required here',
        );
      }
      transcript.forgetMessages();
      return new ExpectClientKeyExchange(this.#state, undefined);
    }
    const schemes = config.certificateSchemes ?? config.schemes;
    const peer = judgeShown(config, types.client, chain, { now: io.now, serverName: undefined, schemes });
    return new ExpectClientKeyExchange(this.#state, peer);
  }
}

export class ExpectClientKeyExchange implements Expect {
  readonly kind = 'expect';
  readonly #state: KeysOffered;
  readonly #peer: PeerIdentity | undefined;

  constructor(state: KeysOffered, peer: PeerIdentity | undefined) {
    this.#state = state;
    this.#peer = peer;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.client_key_exchange) throw unexpected(message, 'ClientKeyExchange');
    const { transcript, decrypting } = this.#state;
    if (decrypting !== undefined) {
      const ciphertext = parseRsaClientKeyExchange(message.body);
      transcript.add(message.raw12);
      const wanted = { kind: 'decryption', key: decrypting, ciphertext } as const;
      return new Decrypting(wanted, this.#state, this.#peer);
    }
    const { premaster, pskIdentity } = readKeyExchange(this.#state, message.body);
    transcript.add(message.raw12);
    return expectVerified({ pskIdentity, ...this.#state }, premaster, this.#peer, io);
  }
}

/** The premaster secret waits for whoever holds the key (RFC 5246 §7.4.7.1). */
class Decrypting implements Waiting {
  readonly kind = 'waiting';
  readonly wanted: DecryptionWanted;
  readonly #state: KeysOffered;
  readonly #peer: PeerIdentity | undefined;

  constructor(wanted: DecryptionWanted, state: KeysOffered, peer: PeerIdentity | undefined) {
    this.wanted = wanted;
    this.#state = state;
    this.#peer = peer;
  }

  provide(block: Uint8Array, io: HandshakeIO): Step {
    const { hello } = this.#state.checked;
    const otherwise = io.crypto.randomBytes(PREMASTER_LENGTH);
    const premaster = unpadPremaster(block, hello.legacyVersion, otherwise);
    return expectVerified(this.#state, premaster, this.#peer, io);
  }
}

/** Both sides know the premaster secret. */
function expectVerified(
  state: KeysOffered & Pick<Keyed, 'pskIdentity'>,
  premaster: Uint8Array,
  peer: PeerIdentity | undefined,
  io: HandshakeIO,
): Step {
  const { transcript, checked, randoms } = state;
  const master = checked.extendedMasterSecret
    ? MasterSecret12.extended(io.crypto, state, premaster, transcript.snapshot())
    : MasterSecret12.ofRandoms(io.crypto, state, premaster, randoms);
  io.keylog('CLIENT_RANDOM', randoms.client, master.bytes);
  const next = { master, keys: master.keys(randoms), resumedSince: undefined, ...state };
  return peer === undefined
    ? new ExpectChangeCipherSpec({ peer: PeerAuthenticated.anonymousClient(), ...next })
    : new ExpectCertificateVerify(next, peer);
}

/** @throws TlsError ERR_TLS_UNKNOWN_PSK_IDENTITY (RFC 4279 §2) */
function readKeyExchange(
  { config, suite, keyExchange }: KeysOffered,
  body: Uint8Array,
): { readonly premaster: Uint8Array; readonly pskIdentity?: Uint8Array | undefined } {
  if (suite.authentication !== 'psk') {
    if (keyExchange === undefined) throw new TlsError('ERR_TLS_INTERNAL', 'There is no key exchange');
    return { premaster: keyExchange.complete(parseEcdheClientKeyExchange(body)) };
  }
  const { identity, point } = parsePskClientKeyExchange(body, suite.ephemeral);
  const psk = config.findPsk?.(identity);
  // An imported key is bound to TLS 1.3 (RFC 9258 §5.1).
  if (psk === undefined || psk.binder !== 'external') {
    throw new TlsError(
      'ERR_TLS_UNKNOWN_PSK_IDENTITY',
      'The client has a pre-shared key that is not known here',
    );
  }
  const shared = point === undefined ? undefined : keyExchange?.complete(point);
  return { premaster: pskPremaster(psk.key, shared), pskIdentity: new Uint8Array(identity) };
}

class ExpectCertificateVerify implements Expect {
  readonly kind = 'expect';
  readonly #state: Omit<Keyed, 'peer'>;
  readonly #peer: PeerIdentity;

  constructor(state: Omit<Keyed, 'peer'>, peer: PeerIdentity) {
    this.#state = state;
    this.#peer = peer;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate_verify) {
      throw unexpected(message, "the client's CertificateVerify");
    }
    const { transcript, config, protocol } = this.#state;
    const peer = PeerAuthenticated.bySignature12(
      io.crypto,
      this.#peer,
      transcript.messages(),
      parseCertificateVerify12(message.body, protocol.namesSchemes),
      config.schemes,
    );
    transcript.forgetMessages();
    transcript.add(message.raw12);
    return new ExpectChangeCipherSpec({ peer, ...this.#state });
  }
}

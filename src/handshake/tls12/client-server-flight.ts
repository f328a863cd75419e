import { PREMASTER_LENGTH } from '../../crypto/premaster.ts';
import { isRsaKeyExchange } from '../../crypto/suites12.ts';
import { DecodeError, TlsError } from '../../errors/errors.ts';
import { certificateStatus } from '../../messages/extensions.ts';
import { type HandshakeMessage, unexpected } from '../../messages/handshake.ts';
import {
  buildCertificateChain,
  buildEcdheClientKeyExchange,
  buildPskClientKeyExchange,
  buildRawCertificate,
  buildRsaClientKeyExchange,
  type CertificateRequest12,
  ClientCertificateType,
  type EcdhParameters,
  parseCertificateChain,
  parseCertificateRequest12,
  parseEcdheKeyExchange,
  parseEmpty,
  parsePskKeyExchange,
} from '../../messages/tls12.ts';
import { HandshakeType } from '../../wire/codepoints.ts';
import type { PeerIdentity } from '../../x509/verify.ts';
import { identitiesOfType, isRaw, judgeShown, requireAcceptedType, shownAs } from '../certificate-types.ts';
import { ChoosingIdentities, certificateWishes } from '../choosing-identities.ts';
import type { ClientConfig } from '../config.ts';
import type { HandshakeIO } from '../io.ts';
import { PeerAuthenticated } from '../proofs.ts';
import type { ExternalPsk } from '../psk.ts';
import type { Expect, Step } from '../step.ts';
import { requireShown, suitedTo } from '../tls13/shared.ts';
import { finishFlight, type Greeted, type Keyed, SigningAsClient } from './client-finish.ts';
import { MasterSecret12 } from './key-schedule.ts';
import {
  chooseIdentity12,
  keyExchangeInput,
  pointGroups,
  pskPremaster,
  rawChain,
  requireCurveAmong,
  requireKindOf,
} from './shared.ts';
import type { Transcript12 } from './transcript.ts';

/*
 * The server's first flight, up to ServerHelloDone, and our answer to it. The diagram is in client.ts.
 */

export class ExpectCertificate implements Expect {
  readonly kind = 'expect';
  readonly #state: Greeted;

  constructor(state: Greeted) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate) throw unexpected(message, 'Certificate');
    const { answer, config, transcript, suite } = this.#state;
    const raw = isRaw(answer.types.server);
    requireAcceptedType(config, answer.types.server);
    const chain = raw ? rawChain(message.body) : parseCertificateChain(message.body);
    // RFC 5246 §7.4.2: the server's own certificate comes first, so there is one.
    if (chain.length === 0) throw new DecodeError('Certificate: the server sent no certificate');
    transcript.add(message.raw12);
    const judge = (ocspResponse: Uint8Array | undefined): Expect => {
      const schemes = config.certificateSchemes ?? config.schemes;
      const { serverName } = config;
      const keyUse = isRsaKeyExchange(suite) ? 'encipherment' : undefined;
      const context = { now: io.now, serverName, schemes, keyUse, ocspResponse } as const;
      const peer = judgeShown(config, answer.types.server, chain, context);
      requireKindOf(suite, peer);
      requireCurveAmong(config.groups, peer);
      const state = { ocspResponse, ...this.#state };
      return isRsaKeyExchange(suite)
        ? new ExpectCertificateRequestOrDone(withRsaKeyExchange(state, peer))
        : new ExpectServerKeyExchange(state, peer);
    };
    return answer.sendsStatus ? new ExpectCertificateStatus(transcript, judge) : judge(undefined);
  }
}

/** RFC 6066 §8: a server that has agreed to send its status may still leave it out. */
class ExpectCertificateStatus implements Expect {
  readonly kind = 'expect';
  readonly #transcript: Transcript12;
  readonly #judge: (ocspResponse: Uint8Array | undefined) => Expect;

  constructor(transcript: Transcript12, judge: (ocspResponse: Uint8Array | undefined) => Expect) {
    this.#transcript = transcript;
    this.#judge = judge;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate_status) return this.#judge(undefined).receive(message, io);
    const ocspResponse = certificateStatus.parse(message.body);
    this.#transcript.add(message.raw12);
    return this.#judge(ocspResponse);
  }
}

class ExpectServerKeyExchange implements Expect {
  readonly kind = 'expect';
  readonly #state: Greeted;
  readonly #peer: PeerIdentity;

  constructor(state: Greeted, peer: PeerIdentity) {
    this.#state = state;
    this.#peer = peer;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.server_key_exchange) throw unexpected(message, 'ServerKeyExchange');
    const { config, transcript, randoms, protocol } = this.#state;
    const exchange = parseEcdheKeyExchange(message.body, protocol.namesSchemes);
    requireOffered(config, exchange);
    const input = keyExchangeInput(randoms, exchange.encoded);
    const peer = PeerAuthenticated.bySignature12(
      io.crypto,
      this.#peer,
      input,
      exchange.signed,
      config.schemes,
    );
    transcript.add(message.raw12);
    return new ExpectCertificateRequestOrDone({
      peer,
      group: exchange.group,
      exchange: (later) => {
        const { share, secret } = respond(later, exchange);
        return { message: buildEcdheClientKeyExchange(share), premaster: secret };
      },
      ...this.#state,
    });
  }
}

/**
 * The PSK suites: no certificate, and of ServerKeyExchange only what is needed; without ECDHE and without a hint it is left
 * out (RFC 4279 §2). We have one key, so a hint chooses nothing: it is for the application.
 */
export class ExpectPskKeyExchange implements Expect {
  readonly kind = 'expect';
  readonly #state: Greeted;
  readonly #psk: ExternalPsk;

  constructor(state: Greeted, psk: ExternalPsk) {
    this.#state = state;
    this.#psk = psk;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    const { config, transcript, suite } = this.#state;
    if (message.type !== HandshakeType.server_key_exchange) {
      if (suite.ephemeral) throw unexpected(message, 'ServerKeyExchange');
      return this.#next(undefined, undefined).receive(message, io);
    }
    const { hint, parameters } = parsePskKeyExchange(message.body, suite.ephemeral);
    if (parameters !== undefined) requireOffered(config, parameters);
    transcript.add(message.raw12);
    // A copy: it outlives the record. RFC 5489 §2: without one the length is zero.
    return this.#next(parameters, hint.length === 0 ? undefined : new Uint8Array(hint));
  }

  #next(parameters: EcdhParameters | undefined, pskIdentityHint: Uint8Array | undefined): Expect {
    const { identity, key } = this.#psk;
    const state: KeysOffered = {
      peer: PeerAuthenticated.byExternalPsk(),
      pskIdentity: identity,
      pskIdentityHint,
      group: parameters?.group,
      exchange: (io) => {
        const own = parameters === undefined ? undefined : respond(io, parameters);
        const message = buildPskClientKeyExchange({ identity, point: own?.share });
        return { message, premaster: pskPremaster(key, own?.secret) };
      },
      ...this.#state,
    };
    return new ExpectServerHelloDone(state, undefined);
  }
}

/**
 * RFC 5246 §7.4.7.1: `struct { ProtocolVersion client_version; opaque random[46]; } PreMasterSecret;`, the version being the one
 * that was offered.
 */
function withRsaKeyExchange(state: Greeted, peer: PeerIdentity): KeysOffered {
  return {
    peer: PeerAuthenticated.byRsaKeyExchange(peer),
    group: undefined,
    exchange: ({ crypto }) => {
      const premaster = new Uint8Array(PREMASTER_LENGTH);
      premaster.set([state.offeredVersion >> 8, state.offeredVersion & 0xff]);
      premaster.set(crypto.randomBytes(PREMASTER_LENGTH - 2), 2);
      const message = buildRsaClientKeyExchange(crypto.encryptPkcs1(peer.publicKey, premaster));
      return { message, premaster };
    },
    ...state,
  };
}

/** RFC 8422 §5.4: the server chooses among our groups. */
function requireOffered({ groups }: ClientConfig, { group }: EcdhParameters): void {
  if (pointGroups(groups).includes(group)) return;
  throw new TlsError('ERR_TLS_ILLEGAL_PARAMETER', 'ServerKeyExchange uses a group that was not offered');
}

function respond(io: HandshakeIO, { group, point }: EcdhParameters) {
  const keyExchange = io.crypto.group(group);
  if (keyExchange === undefined) {
    throw new TlsError('ERR_TLS_INTERNAL', `Group 0x${group.toString(16)} is not available`);
  }
  return keyExchange.respond(point);
}

/** After ServerKeyExchange. */
interface KeysOffered extends Greeted {
  readonly peer: PeerAuthenticated;
  readonly group: number | undefined;
  readonly pskIdentity?: Uint8Array | undefined;
  readonly pskIdentityHint?: Uint8Array | undefined;
  /** Makes our ClientKeyExchange and the secret that both sides then have. */
  readonly exchange: (io: HandshakeIO) => { readonly message: Uint8Array; readonly premaster: Uint8Array };
}

class ExpectCertificateRequestOrDone implements Expect {
  readonly kind = 'expect';
  readonly #state: KeysOffered;

  constructor(state: KeysOffered) {
    this.#state = state;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.certificate_request) {
      return new ExpectServerHelloDone(this.#state, undefined).receive(message, io);
    }
    const request = parseCertificateRequest12(message.body, this.#state.protocol.namesSchemes);
    this.#state.transcript.add(message.raw12);
    return new ExpectServerHelloDone(this.#state, request);
  }
}

class ExpectServerHelloDone implements Expect {
  readonly kind = 'expect';
  readonly #state: KeysOffered;
  readonly #request: CertificateRequest12 | undefined;

  constructor(state: KeysOffered, request: CertificateRequest12 | undefined) {
    this.#state = state;
    this.#request = request;
  }

  receive(message: HandshakeMessage, io: HandshakeIO): Step {
    if (message.type !== HandshakeType.server_hello_done) throw unexpected(message, 'ServerHelloDone');
    parseEmpty('ServerHelloDone', message.body);
    // Nobody can know what to say next before our answer is there.
    io.requireRecordEnd();
    this.#state.transcript.add(message.raw12);
    const { config } = this.#state;
    const { identitySource } = config;
    if (this.#request === undefined || identitySource === undefined) return this.#answer(config, io);
    const { types, schemes, authorities } = this.#request;
    return new ChoosingIdentities(
      identitySource,
      config.serverName,
      certificateWishes(schemes, authorities, types),
      (identities, later) => this.#answer({ ...config, identities }, later),
    );
  }

  #answer(config: ClientConfig, io: HandshakeIO): Step {
    const { transcript, exchange, randoms, answer } = this.#state;
    const say = (ours: Uint8Array): void => transcript.add(io.send(ours));
    const type = answer.types.client;
    const choice = this.#request === undefined ? undefined : chooseForRequest(config, type, this.#request);
    if (this.#request !== undefined) {
      requireShown(config, choice);
      const shown = choice === undefined ? [] : shownAs(choice.identity, type);
      say(isRaw(type) ? buildRawCertificate(shown[0]) : buildCertificateChain(shown));
    }

    const { message: keyExchange, premaster } = exchange(io);
    say(keyExchange);
    const master = answer.extendedMasterSecret
      ? MasterSecret12.extended(io.crypto, this.#state, premaster, transcript.snapshot())
      : MasterSecret12.ofRandoms(io.crypto, this.#state, premaster, randoms);
    const certificateRequested = this.#request !== undefined;
    const keys = master.keys(randoms);
    const next: Keyed = { master, keys, resumed: undefined, certificateRequested, ...this.#state };
    if (choice === undefined) return finishFlight(next, io);
    const wanted = {
      kind: 'signature',
      key: choice.identity.key,
      scheme: choice.scheme,
      input: transcript.messages(),
    } as const;
    return new SigningAsClient(wanted, next);
  }
}

/** RFC 5246 §7.4.4: both lists bind us; the authorities are a wish. */
function chooseForRequest(
  config: ClientConfig,
  type: number,
  { types, schemes, authorities }: CertificateRequest12,
) {
  const kinds = (['ecdsa', 'rsa'] as const).filter((kind) =>
    types.includes(ClientCertificateType[`${kind}_sign`]),
  );
  return chooseIdentity12(suitedTo(identitiesOfType(config.identities, type), authorities), schemes, kinds);
}

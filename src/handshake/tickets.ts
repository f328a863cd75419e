import type { Aead, CryptoProvider } from '../crypto/provider.ts';
import { type Suite, suiteById } from '../crypto/suites.ts';
import { ConnectionError, DecodeError } from '../errors/errors.ts';
import { latin1Bytes, latin1Text } from '../wire/latin1.ts';
import { Reader } from '../wire/reader.ts';
import { concat, Writer } from '../wire/writer.ts';
import { readIdentity, readPeer, writePeer } from './session.ts';

/** What a server puts, sealed, into a ticket; it keeps nothing itself. */
export interface TicketState {
  /** TLS 1.3, or DTLS 1.3: a ticket of one is none of the other, though suites and keys are the same. */
  readonly version: number;
  readonly suite: Suite;
  readonly psk: Uint8Array;
  /** Unix milliseconds. */
  readonly issuedAt: number;
  readonly serverName: string | undefined;
  /** The client's certificates, empty when it showed none; judged again at each resumption. */
  readonly peerChain: readonly Uint8Array[];
  /** The raw public key that it showed in place of them, SubjectPublicKeyInfo; judged again as well. */
  readonly peerKey?: Uint8Array | undefined;
  /** The session began with this external key, which must still be known. */
  readonly pskIdentity?: Uint8Array | undefined;
  /** Present when the ticket may bring early data. */
  readonly early?: EarlyTerms | undefined;
}

/** What early data under a ticket depends on (RFC 8446 §4.2.10). */
export interface EarlyTerms {
  readonly maxBytes: number;
  readonly ageAdd: number;
  readonly alpnProtocol: string | undefined;
}

/** As in `node:tls`: 48 bytes that several processes may share. */
export const TICKET_KEYS_LENGTH = 48;
/** A longer ticket (a long client chain) would not fit the client's cache or its ClientHello well. */
export const MAX_TICKET = 8192;

const NAME_LENGTH = 16;
const NONCE_LENGTH = 12;
const TAG_LENGTH = 16;
const FORMAT = 5;
const utf8 = new TextEncoder();
const NOTHING = new Uint8Array(0);

/** So many sets at once: the one that seals, and those that sealed within the life of a ticket. */
const MAX_TICKET_KEYS = 16;

/**
 * Seals and opens tickets: a 16-byte key name in clear, then AES-256-GCM under the other 32 bytes. Several sets, one after
 * the other, make a rotation: the first seals, and all of them open, so that what was sealed before stays good.
 */
export class TicketKeys {
  readonly bytes: Uint8Array;
  /** Never empty. */
  readonly #sets: readonly KeySet[];

  /** @throws ConnectionError ERR_TLS_OPTION unless given 48 bytes, or up to 16 times as many */
  constructor(bytes: Uint8Array) {
    const count = bytes.length / TICKET_KEYS_LENGTH;
    if (!Number.isInteger(count) || count < 1 || count > MAX_TICKET_KEYS) {
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        `ticketKeys must be ${TICKET_KEYS_LENGTH} bytes, or up to ${MAX_TICKET_KEYS} such keys, the newest first; not ${bytes.length} bytes`,
      );
    }
    this.bytes = new Uint8Array(bytes);
    this.#sets = Array.from({ length: count }, (_, index) => {
      const set = this.bytes.subarray(index * TICKET_KEYS_LENGTH, (index + 1) * TICKET_KEYS_LENGTH);
      return new KeySet(set.subarray(0, NAME_LENGTH), set.subarray(NAME_LENGTH));
    });
  }

  static random(crypto: CryptoProvider): TicketKeys {
    return new TicketKeys(crypto.randomBytes(TICKET_KEYS_LENGTH));
  }

  /** `undefined` when the ticket would be longer than MAX_TICKET. */
  seal(crypto: CryptoProvider, state: TicketState): Uint8Array | undefined {
    return this.sealBytes(crypto, buildState(state));
  }

  /** As `seal`, of a state in its own encoding. */
  sealBytes(crypto: CryptoProvider, state: Uint8Array): Uint8Array | undefined {
    const set = this.#sets[0] as KeySet;
    const nonce = crypto.randomBytes(NONCE_LENGTH);
    const sealed = set.aead(crypto).seal(nonce, NOTHING, state);
    const ticket = concat([set.name, nonce, ...sealed]);
    return ticket.length <= MAX_TICKET ? ticket : undefined;
  }

  /** `undefined` for every ticket that is not ours: then the full handshake takes place (RFC 8446 §4.2.11). */
  open(crypto: CryptoProvider, ticket: Uint8Array): TicketState | undefined {
    const state = this.openBytes(crypto, ticket);
    return state === undefined ? undefined : parseState(state);
  }

  /** Under the key that seals now, and not under one that it has replaced. */
  isCurrent(crypto: CryptoProvider, ticket: Uint8Array): boolean {
    const { name } = this.#sets[0] as KeySet;
    return crypto.equal(ticket.subarray(0, NAME_LENGTH), name);
  }

  /** What `sealBytes` was given; `undefined` for every ticket that is not ours. */
  openBytes(crypto: CryptoProvider, ticket: Uint8Array): Uint8Array | undefined {
    const body = NAME_LENGTH + NONCE_LENGTH;
    if (ticket.length < body + TAG_LENGTH || ticket.length > MAX_TICKET) return undefined;
    const set = this.#sets.find(({ name }) => crypto.equal(ticket.subarray(0, NAME_LENGTH), name));
    if (set === undefined) return undefined;
    const tagAt = ticket.length - TAG_LENGTH;
    return set
      .aead(crypto)
      .open(
        ticket.subarray(NAME_LENGTH, body),
        NOTHING,
        ticket.subarray(body, tagAt),
        ticket.subarray(tagAt),
      );
  }
}

class KeySet {
  readonly name: Uint8Array;
  readonly #key: Uint8Array;
  /** Of one provider, which is nearly always the one that comes next. */
  #made: { readonly crypto: CryptoProvider; readonly aead: Aead } | undefined;

  constructor(name: Uint8Array, key: Uint8Array) {
    this.name = name;
    this.#key = key;
  }

  aead(crypto: CryptoProvider): Aead {
    if (this.#made?.crypto !== crypto) this.#made = { crypto, aead: crypto.aead('aes-256-gcm', this.#key) };
    return this.#made.aead;
  }
}

function buildState(state: TicketState): Uint8Array {
  const writer = new Writer(256)
    .u8(FORMAT)
    .u16(state.version)
    .u16(state.suite.id)
    .vector(1, state.psk)
    .u32(Math.floor(state.issuedAt / 1000))
    .u16(state.issuedAt % 1000)
    .vector(2, utf8.encode(state.serverName ?? ''));
  writePeer(writer, state);
  writer.vector(2, state.pskIdentity ?? NOTHING);
  const { early } = state;
  writer.u32(early?.maxBytes ?? 0);
  if (early !== undefined) writer.u32(early.ageAdd).vector(1, latin1Bytes(early.alpnProtocol ?? ''));
  return writer.finish();
}

/** Another version of this program may have sealed it under the same key; such a ticket is simply not resumed. */
function parseState(bytes: Uint8Array): TicketState | undefined {
  try {
    const r = new Reader(bytes, 'ticket');
    if (r.u8() !== FORMAT) return undefined;
    const version = r.u16();
    const suite = suiteById(r.u16());
    if (suite === undefined) return undefined;
    const known = {
      version,
      suite,
      psk: r.vector(1, suite.hashLength, suite.hashLength),
      issuedAt: r.u32() * 1000 + r.u16(),
      serverName: new TextDecoder().decode(r.vector(2)) || undefined,
    };
    const peer = readPeer(r);
    const state = { pskIdentity: readIdentity(r), early: readEarlyTerms(r), ...known, ...peer };
    r.end();
    return state;
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

function readEarlyTerms(r: Reader): EarlyTerms | undefined {
  const maxBytes = r.u32();
  if (maxBytes === 0) return undefined;
  return { maxBytes, ageAdd: r.u32(), alpnProtocol: latin1Text(r.vector(1)) || undefined };
}

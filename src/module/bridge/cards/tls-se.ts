import type { Role } from '../../../connection/sub-protocol.ts';
import { AlertDescription, AlertLevel } from '../../../errors/alerts.ts';
import { TlsError } from '../../../errors/errors.ts';
import { ContentType } from '../../../wire/codepoints.ts';
import { concat } from '../../../wire/writer.ts';
import { encodeCommand, MAX_SHORT_RESPONSE } from '../../apdu/command.ts';
import { parseStatus, statusError } from '../../apdu/status.ts';
import { Instruction } from '../../protocol.ts';
import type { CardSession, HandshakeStep } from '../card-session.ts';
import type { Dialogue } from '../eap-client.ts';
import { type CardRequest, endlessAnswer, MAX_ANSWER, readResponse } from '../exchange.ts';
import type { AgreedSession } from '../information.ts';
import type { Item } from '../items.ts';
import { cardRequest, type OldCard, OnlySession, unsupported } from './old-card.ts';
import { recordsIn, ServerWatch } from './watch.ts';

const CLA = 0;
/** "SEND" of the applet. */
const INS = 0xd8;
/** P1: what is brought. */
const Mode = { handshake: 0, read: 1, write: 2 } as const;
/** Bits of P2. */
const FIRST = 1;
const LAST = 2;
/** Of an APDU. The applet's buffer has 512 bytes for a record; clear text of one piece makes one that fits. */
const PIECE = 240;
const SESSION_OPEN = 0x9001;
const SESSION_END = 0x9002;

/**
 * TLS-SE (draft-urien-tls-se): a server of TLS 1.3 with a pre-shared key, ECDHE and AES-128-CCM, which is given records and
 * no EAP packets. It sends nothing but application data once it is open: no alert, so no close_notify, and no KeyUpdate.
 */
export class TlsSeCard implements OldCard {
  readonly profile = 'tls-se';
  readonly aid = Uint8Array.of(1, 2, 3, 4, 5, 0);
  readonly cla = CLA;
  readonly #only = new OnlySession();

  open(role: Role): CardSession {
    if (role === 'client') throw unsupported('A card of the profile tls-se is a server; use it with serve');
    this.#only.take();
    return new TlsSeSession(() => this.#only.give());
  }
}

class TlsSeSession implements CardSession {
  readonly #give: () => void;
  readonly #server = new ServerWatch();
  #ended = false;

  constructor(give: () => void) {
    this.#give = give;
  }

  *start(): Dialogue<Uint8Array> {
    yield cardRequest('the reset', reset);
    return NOTHING;
  }

  *handshake(records: Uint8Array): Dialogue<HandshakeStep> {
    const { status, data } = yield* this.#bring(Mode.handshake, records);
    for (const answered of recordsIn(data)) this.#server.see(answered);
    this.#ended = status === SESSION_END;
    return { records: data, ended: status === SESSION_OPEN || this.#ended, itemsWait: false, wait: 0 };
  }

  *encrypt(type: number, content: Uint8Array): Dialogue<Uint8Array> {
    // It cannot say goodbye: the session ends with its transport.
    if (type === ContentType.alert) return NOTHING;
    if (type !== ContentType.application_data) {
      throw unsupported('A card of the profile tls-se sends application data, and nothing else');
    }
    const records: Uint8Array[] = [];
    for (let at = 0; at < content.length; at += PIECE) {
      const { data } = yield* this.#bring(Mode.write, content.subarray(at, at + PIECE));
      records.push(data);
    }
    return concat(records);
  }

  *decrypt(records: Uint8Array): Dialogue<readonly Item[]> {
    const items: Item[] = [];
    for (const record of recordsIn(records)) {
      const { data, status } = yield* this.#bring(Mode.read, record);
      items.push({ type: ContentType.application_data, content: data });
      // It does not say why; what it was sent is an alert, and close_notify is the one that ends without a fault.
      if (status === SESSION_END) items.push({ type: ContentType.alert, content: CLOSE_NOTIFY });
    }
    return items;
  }

  // biome-ignore lint/correctness/useYield: nothing has to be asked, all of it has passed by.
  *inform(): Dialogue<{ agreed: AgreedSession | undefined; failure: TlsError | undefined }> {
    if (!this.#ended) return { agreed: this.#server.agreed(undefined), failure: undefined };
    const failure = new TlsError(
      'ERR_TLS_HANDSHAKE_FAILURE',
      'The card has ended the handshake, and does not say why',
    );
    return { agreed: undefined, failure };
  }

  release(): CardRequest {
    this.#give();
    return cardRequest('the reset', reset);
  }

  /** The status word comes before the data: to the card's queue an answer is bytes. */
  *#bring(mode: number, bytes: Uint8Array): Dialogue<{ status: number; data: Uint8Array }> {
    const answer = yield cardRequest(DOING[mode] ?? '', () => bring(mode, bytes));
    return { status: ((answer[0] as number) << 8) | (answer[1] as number), data: answer.subarray(2) };
  }
}

function* reset(): Generator<Uint8Array, Uint8Array, Uint8Array> {
  const { data, status } = readResponse(yield command(INS, 0, 0, NOTHING));
  if (parseStatus(status).kind !== 'success') throw statusError(status, 'the reset');
  return data;
}

/** @returns status word ‖ data */
function* bring(mode: number, bytes: Uint8Array): Generator<Uint8Array, Uint8Array, Uint8Array> {
  const doing = DOING[mode] ?? '';
  const pieces: Uint8Array[] = [];
  let length = 0;
  let at = 0;
  let response: { data: Uint8Array; status: number };
  do {
    const piece = bytes.subarray(at, at + PIECE);
    const flags = (at === 0 ? FIRST : 0) | (at + piece.length === bytes.length ? LAST : 0);
    at += piece.length;
    response = readResponse(yield command(INS, mode, flags, piece));
    if (at < bytes.length && parseStatus(response.status).kind !== 'success') {
      throw statusError(response.status, doing);
    }
  } while (at < bytes.length);
  for (;;) {
    pieces.push(new Uint8Array(response.data));
    length += response.data.length;
    const { status } = response;
    const word = parseStatus(status);
    if (word.kind === 'success' || status === SESSION_OPEN || status === SESSION_END) {
      return concat([Uint8Array.of(status >> 8, status & 0xff), ...pieces]);
    }
    if (word.kind !== 'more') throw statusError(status, doing);
    if (length > MAX_ANSWER) throw endlessAnswer(doing);
    const fetch = { cla: CLA, ins: Instruction.getResponse, p1: 0, p2: 0, data: NOTHING, le: word.available };
    response = readResponse(yield encodeCommand(fetch, 'short'));
    if (response.data.length === 0) throw endlessAnswer(doing);
  }
}

function command(ins: number, p1: number, p2: number, data: Uint8Array): Uint8Array {
  return encodeCommand({ cla: CLA, ins, p1, p2, data, le: MAX_SHORT_RESPONSE }, 'short');
}

const DOING: Readonly<Record<number, string>> = {
  [Mode.handshake]: 'a record of the handshake',
  [Mode.read]: 'a record',
  [Mode.write]: 'clear text',
};
const CLOSE_NOTIFY = Uint8Array.of(AlertLevel.warning, AlertDescription.close_notify);
const NOTHING = new Uint8Array(0);

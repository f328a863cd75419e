import type { Role } from '../../../connection/sub-protocol.ts';
import { AlertReceivedError, errorForAlert, type TrellisError } from '../../../errors/errors.ts';
import { ContentType } from '../../../wire/codepoints.ts';
import { concat } from '../../../wire/writer.ts';
import { encodeCommand } from '../../apdu/command.ts';
import { parseStatus, statusError } from '../../apdu/status.ts';
import { Instruction, MODULE_CLASS } from '../../protocol.ts';
import type { CardSession, HandshakeStep } from '../card-session.ts';
import { type Dialogue, EapClient } from '../eap-client.ts';
import { type CardRequest, endlessAnswer, MAX_ANSWER, readResponse } from '../exchange.ts';
import type { AgreedSession } from '../information.ts';
import type { Item } from '../items.ts';
import { cardRequest, type OldCard, OnlySession, unsupported } from './old-card.ts';
import { alertAmong, recordsIn, ServerWatch } from './watch.ts';

/** Of an APDU, either way: what the applet's buffer holds. */
const PIECE = 240;
/** Of an EAP packet: one APDU. */
const PACKET = PIECE;
/** Clear text of one record: the drafts speak of 25 KB for everything. */
const CLEAR = 1024;

/**
 * OpenEapSmartcard (docs/security-module.md, "Old cards"): INS 80 for everything, P1 not 0 on all but the last APDU of a
 * packet, answers fetched with A0 12 after 9F xx. A client of TLS 1.0; EAP-TLS from its beginning (RFC 5216). P2 of a packet
 * after the handshake says what it brings: 00 a record, 15 and 17 clear text of that type.
 */
export class OpenEapCard implements OldCard {
  readonly profile = 'openeap';
  readonly aid = undefined;
  readonly cla = MODULE_CLASS;
  readonly #only = new OnlySession();

  open(role: Role, judges: boolean): CardSession {
    if (role === 'server')
      throw unsupported('A card of the profile openeap is a client; use it with connect');
    if (!judges) {
      throw unsupported(
        'A card of the profile openeap does not say whom it trusts: give the certificates of CAs that this side trusts (ca, --ca)',
      );
    }
    this.#only.take();
    return new OpenEapSession(() => this.#only.give());
  }
}

class OpenEapSession implements CardSession {
  readonly #give: () => void;
  readonly #eap = new EapClient('client', PACKET, (ins, p2, packet) =>
    cardRequest('Process-EAP', () => process(ins, p2, packet)),
  );
  readonly #server = new ServerWatch();
  #failure: TrellisError | undefined;

  constructor(give: () => void) {
    this.#give = give;
  }

  *start(): Dialogue<Uint8Array> {
    yield cardRequest('Reset-State', reset);
    return yield* this.#eap.start();
  }

  *handshake(records: Uint8Array): Dialogue<HandshakeStep> {
    for (const record of recordsIn(records)) this.#server.see(record);
    const answer = yield* this.#eap.exchange(Instruction.processEap, 0, records);
    const told = this.#server.finished ? undefined : alertAmong(records);
    this.#failure = told === undefined ? alertErrorOf(alertAmong(answer)) : new AlertReceivedError(told);
    // After the server's Finished the card has nothing to say but that it has understood.
    const ended = this.#failure !== undefined || (this.#server.finished && answer.length === 0);
    return { records: answer, ended, itemsWait: false, wait: 0 };
  }

  *encrypt(type: number, content: Uint8Array): Dialogue<Uint8Array> {
    if (type !== ContentType.application_data && type !== ContentType.alert) {
      throw unsupported('A card of the profile openeap sends application data and alerts, and nothing else');
    }
    const records: Uint8Array[] = [];
    for (let at = 0; at < content.length; at += CLEAR) {
      records.push(yield* this.#eap.exchange(Instruction.processEap, type, content.subarray(at, at + CLEAR)));
    }
    return concat(records);
  }

  *decrypt(records: Uint8Array): Dialogue<readonly Item[]> {
    const items: Item[] = [];
    for (const record of recordsIn(records)) {
      const content = yield* this.#eap.exchange(Instruction.processEap, 0, record);
      // Up to TLS 1.2 the type is in clear. What else may come (HelloRequest) is no host's business.
      const type = record[0] as number;
      if (type === ContentType.application_data || type === ContentType.alert) items.push({ type, content });
    }
    return items;
  }

  // biome-ignore lint/correctness/useYield: nothing has to be asked, all of it has passed by.
  *inform(): Dialogue<{ agreed: AgreedSession | undefined; failure: TrellisError | undefined }> {
    const failure = this.#failure;
    return { agreed: failure === undefined ? this.#server.agreed(undefined) : undefined, failure };
  }

  release(): CardRequest {
    this.#give();
    return cardRequest('Reset-State', reset);
  }
}

function alertErrorOf(description: number | undefined): TrellisError | undefined {
  return description === undefined
    ? undefined
    : errorForAlert(description, 'The card has ended the handshake');
}

function* reset(): Generator<Uint8Array, Uint8Array, Uint8Array> {
  const command = { cla: MODULE_CLASS, ins: Instruction.resetState, p1: 0x10, p2: 0, data: NOTHING, le: 1 };
  const { data, status } = readResponse(yield encodeCommand(command, 'short'));
  if (parseStatus(status).kind !== 'success') throw statusError(status, 'Reset-State');
  return data;
}

function* process(
  ins: number,
  p2: number,
  packet: Uint8Array,
): Generator<Uint8Array, Uint8Array, Uint8Array> {
  const cla = MODULE_CLASS;
  let response: { data: Uint8Array; status: number };
  let at = 0;
  for (;;) {
    const data = packet.subarray(at, at + PIECE);
    at += data.length;
    const more = at < packet.length;
    const command = { cla, ins, p1: more ? 1 : 0, p2, data, le: 0 };
    response = readResponse(yield encodeCommand(command, 'short'));
    if (!more) break;
    if (parseStatus(response.status).kind !== 'success') throw statusError(response.status, 'Process-EAP');
  }
  const pieces: Uint8Array[] = [];
  for (let length = 0; ; ) {
    pieces.push(new Uint8Array(response.data));
    length += response.data.length;
    const word = parseStatus(response.status);
    if (word.kind === 'success') return concat(pieces);
    if (word.kind !== 'more') throw statusError(response.status, 'Process-EAP');
    if (length > MAX_ANSWER) throw endlessAnswer('Process-EAP');
    const fetch = { cla, ins: Instruction.fetch, p1: 0, p2: 0, data: NOTHING, le: word.available };
    response = readResponse(yield encodeCommand(fetch, 'short'));
    if (response.data.length === 0) throw endlessAnswer('Process-EAP');
  }
}

const NOTHING = new Uint8Array(0);

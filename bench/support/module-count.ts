import { CLA_CHAINING, parseCommand, parseResponse } from '../../src/module/apdu/command.ts';
import type { CardTransport } from '../../src/module/bridge/exchange.ts';
import { Instruction } from '../../src/module/protocol.ts';

export interface Dialogue {
  readonly commands: number;
  readonly fetches: number;
  /** Of APDUs and of their answers, headers and status words included. */
  readonly bytesToModule: number;
  readonly bytesFromModule: number;
  /**
   * For each packet to the module ⌈bytes / Lc⌉ commands; for each answer ⌈bytes / Le⌉ − 1 fetches, since its beginning
   * comes with the last of these commands.
   */
  readonly least: number;
  /** With ⌈bytes / Le⌉ fetches, as by T=0, where no answer comes with its command. */
  readonly leastOfT0: number;
}

const IN_P1: ReadonlySet<number> = new Set([
  Instruction.processEap,
  Instruction.encrypt,
  Instruction.decrypt,
]);

/** Counts what goes by. */
export class CountingTransport implements CardTransport {
  readonly maxCommandData: number;
  readonly maxResponseData: number;
  readonly #inner: CardTransport;
  #dialogue = newDialogue();
  #packet = 0;
  #answer = 0;

  constructor(inner: CardTransport) {
    this.#inner = inner;
    this.maxCommandData = inner.maxCommandData;
    this.maxResponseData = inner.maxResponseData;
  }

  transmit(command: Uint8Array): Uint8Array | Promise<Uint8Array> {
    const { cla, ins, p1, data } = parseCommand(command);
    const isFetch = ins === Instruction.fetch;
    const more = (cla & CLA_CHAINING) !== 0 || (IN_P1.has(ins) && (p1 & 1) !== 0);
    const dialogue = this.#dialogue;
    dialogue.bytesToModule += command.length;
    if (isFetch) dialogue.fetches++;
    else {
      this.#endAnswer();
      dialogue.commands++;
      this.#packet += data.length;
      if (!more) this.#endPacket();
    }
    const answer = this.#inner.transmit(command);
    if ('then' in answer) return answer.then((bytes) => this.#see(bytes));
    return this.#see(answer);
  }

  close(): void {
    this.#inner.close();
  }

  /** Since the last call. */
  take(): Dialogue {
    this.#endAnswer();
    const taken = this.#dialogue;
    this.#dialogue = newDialogue();
    return taken;
  }

  #see(answer: Uint8Array): Uint8Array {
    this.#dialogue.bytesFromModule += answer.length;
    this.#answer += parseResponse(answer).data.length;
    return answer;
  }

  #endPacket(): void {
    const commands = Math.max(1, Math.ceil(this.#packet / this.maxCommandData));
    this.#dialogue.least += commands;
    this.#dialogue.leastOfT0 += commands;
    this.#packet = 0;
  }

  #endAnswer(): void {
    const fetches = Math.ceil(this.#answer / this.maxResponseData);
    this.#dialogue.least += Math.max(0, fetches - 1);
    this.#dialogue.leastOfT0 += fetches;
    this.#answer = 0;
  }
}

function newDialogue() {
  return { commands: 0, fetches: 0, bytesToModule: 0, bytesFromModule: 0, least: 0, leastOfT0: 0 };
}

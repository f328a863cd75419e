import { setImmediate as nextTurn } from 'node:timers/promises';
import { ModuleError, type ModuleErrorCode } from '../../errors/module.ts';
import { saysExtendedLengths } from '../../module/apdu/atr.ts';
import {
  encodeCommand,
  MAX_SHORT_DATA,
  MAX_SHORT_RESPONSE,
  parseResponse,
} from '../../module/apdu/command.ts';
import { parseStatus } from '../../module/apdu/status.ts';
import type { CardTransport } from '../../module/bridge/exchange.ts';
import { Instruction, MODULE_AID } from '../../module/protocol.ts';

/** What of the package pcsc-mini is used. It is optional, so its own types may not be there. */
interface PcscMini {
  readonly Client: new () => PcscClient;
  readonly CardMode: { readonly EXCLUSIVE: number };
  readonly CardDisposition: { readonly RESET: number };
}
interface PcscClient {
  on(event: 'reader', listener: (reader: PcscReader) => void): this;
  on(event: 'error', listener: (error: Error) => void): this;
  start(): unknown;
  stop(): void;
}
interface PcscReader {
  name(): string;
  connect(mode: number): Promise<PcscCard>;
  on(event: 'disconnect', listener: () => void): this;
}
interface PcscCard {
  state(): Promise<{ readonly atr: Uint8Array }>;
  transmit(input: Uint8Array, output?: ArrayBuffer): Promise<Uint8Array>;
  disconnect(disposition: number): Promise<void>;
}

const PACKAGE = 'pcsc-mini';
/** Readers are reported as they are found; one that has not been by then is not there. */
const READER_WAIT_MS = 5000;
/** Of one APDU, with the longest answer that there is. */
const OUTPUT_LENGTH = 65_538;

export interface PcscOptions {
  /**
   * Extended APDUs, or short ones, which every card and every reader has. Default: extended ones where the card's answer
   * to reset offers them and one goes through.
   */
  readonly extended?: boolean | undefined;
}

/** A card in a reader of PC/SC. It is held exclusively: a PIN that was verified serves no other program. */
export class PcscTransport implements CardTransport {
  readonly maxCommandData: number;
  readonly maxResponseData: number;
  readonly #pcsc: PcscMini;
  readonly #client: PcscClient;
  readonly #card: PcscCard;
  readonly #output = new ArrayBuffer(OUTPUT_LENGTH);
  #closed: ModuleError | undefined;
  #stopped = false;
  #last: Promise<void> = Promise.resolve();

  private constructor(pcsc: PcscMini, client: PcscClient, card: PcscCard, extended: boolean) {
    this.#pcsc = pcsc;
    this.#client = client;
    this.#card = card;
    // 65,535 with 9 bytes around them is more than drivers take.
    this.maxCommandData = extended ? 65_000 : MAX_SHORT_DATA;
    this.maxResponseData = extended ? 65_000 : MAX_SHORT_RESPONSE;
  }

  /**
   * @param name of the reader, or the beginning of it
   * @throws ModuleError ERR_MODULE_UNSUPPORTED without the package pcsc-mini; ERR_MODULE_GONE without that reader;
   *   ERR_MODULE_REMOVED without a card in it; ERR_MODULE_BUSY while another program holds it
   */
  static async connect(name: string, { extended }: PcscOptions = {}): Promise<PcscTransport> {
    const pcsc = await load();
    const client = new pcsc.Client();
    try {
      const reader = await findReader(client, name);
      const card = await reader.connect(pcsc.CardMode.EXCLUSIVE);
      const long = extended ?? (await takesExtended(card));
      const transport = new PcscTransport(pcsc, client, card, long);
      reader.on('disconnect', () => transport.#fail('ERR_MODULE_GONE', 'the reader was taken away'));
      return transport;
    } catch (error) {
      stop(client);
      throw asModuleError(error);
    }
  }

  async transmit(command: Uint8Array): Promise<Uint8Array> {
    if (this.#closed !== undefined) throw this.#closed;
    try {
      // The next answer comes into the same memory.
      return new Uint8Array(await this.#operate(() => this.#card.transmit(command, this.#output)));
    } catch (error) {
      throw asModuleError(error);
    }
  }

  close(): void {
    if (this.#stopped) return;
    this.#stopped = true;
    // Where the reader is gone already, its client still runs.
    this.#fail('ERR_MODULE_GONE', 'it was closed on this side');
    const end = () => stop(this.#client);
    this.#operate(() => this.#card.disconnect(this.#pcsc.CardDisposition.RESET)).then(end, end);
  }

  /** One at a time; and the package settles its promise a moment before it counts the operation as done. */
  #operate<T>(operation: () => Promise<T>): Promise<T> {
    const done = this.#last.then(() => nextTurn()).then(operation);
    this.#last = done.then(
      () => undefined,
      () => undefined,
    );
    return done;
  }

  #fail(code: ModuleErrorCode, why: string): void {
    this.#closed ??= new ModuleError(code, `The card is not there: ${why}`);
  }
}

/**
 * Where pcscd has ended, the client's handle is gone with it: to stop it throws, and so would its end as garbage, where nobody
 * could catch it.
 */
function stop(client: PcscClient): void {
  try {
    client.stop();
  } catch {
    LOST.add(client);
  }
}

const LOST = new Set<PcscClient>();

async function load(): Promise<PcscMini> {
  try {
    return (await import(PACKAGE)) as PcscMini;
  } catch (cause) {
    throw new ModuleError(
      'ERR_MODULE_UNSUPPORTED',
      `PC/SC readers need the package ${PACKAGE}: npm install ${PACKAGE}`,
      { cause },
    );
  }
}

/** What the card offers, the reader between may refuse: one command that changes nothing shows it. */
async function takesExtended(card: PcscCard): Promise<boolean> {
  await nextTurn();
  const { atr } = await card.state();
  if (!saysExtendedLengths(atr)) return false;
  const select = { cla: 0, ins: Instruction.select, p1: 4, p2: 0, data: MODULE_AID, le: MAX_SHORT_RESPONSE };
  try {
    await nextTurn();
    const answer = await card.transmit(encodeCommand(select, 'extended'));
    return parseStatus(parseResponse(new Uint8Array(answer)).status).kind === 'success';
  } catch {
    return false;
  } finally {
    await nextTurn();
  }
}

function findReader(client: PcscClient, name: string): Promise<PcscReader> {
  const seen: string[] = [];
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      const others = seen.length === 0 ? 'there is none at all' : `there are: ${seen.join('; ')}`;
      reject(new ModuleError('ERR_MODULE_GONE', `No reader is called '${name}'; ${others}`));
    }, READER_WAIT_MS);
    client.on('reader', (reader) => {
      seen.push(reader.name());
      if (!reader.name().startsWith(name)) return;
      clearTimeout(timer);
      resolve(reader);
    });
    client.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    client.start();
  });
}

/** By the names of PC/SC (SCARD_E_…, SCARD_W_…), in whatever spelling. */
const CODES: readonly (readonly [RegExp, ModuleErrorCode])[] = [
  [/removed|nosmartcard|nocard/, 'ERR_MODULE_REMOVED'],
  [/resetcard|cardreset|reset/, 'ERR_MODULE_RESET'],
  [/sharing|violation/, 'ERR_MODULE_BUSY'],
];

function asModuleError(error: unknown): ModuleError {
  if (error instanceof ModuleError) return error;
  const { code = '', message = String(error) } = error as { code?: string; message?: string };
  const plain = `${code} ${message}`.toLowerCase().replaceAll(/[_ ]/g, '');
  const found = CODES.find(([pattern]) => pattern.test(plain))?.[1] ?? 'ERR_MODULE_GONE';
  return new ModuleError(found, `PC/SC: ${message} (${code})`, { cause: error });
}

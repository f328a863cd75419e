import { ModuleError } from '../../errors/module.ts';
import { errorOf, Flag, Rv } from './codes.ts';

/** What is used of the package koffi, a foreign function interface that is installed by who wants it. */
interface Koffi {
  load(path: string): Library;
  proto(result: string, parameters: readonly string[]): unknown;
  decode(pointer: bigint, type: unknown): Native;
  view(pointer: bigint, length: number): ArrayBuffer;
  address(buffer: Uint8Array): bigint;
  sizeof(type: string): number;
}
interface Library {
  func(name: string, result: string, parameters: readonly string[]): Native;
}
type Native = ((...parameters: readonly Parameter[]) => number | bigint) & {
  async(...parameters: readonly (Parameter | Answer)[]): void;
};
type Answer = (error: Error | null, result: number | bigint) => void;
type Parameter = bigint | number | Uint8Array | null;

/**
 * Position in CK_FUNCTION_LIST (PKCS #11 v2.40 §5.2: C_GetFunctionList is the one symbol that every module exports), and
 * parameters: u is a CK_ULONG, b a CK_BBOOL, p a pointer.
 */
const FUNCTIONS = {
  C_Initialize: [0, 'p'],
  C_Finalize: [1, 'p'],
  C_GetInfo: [2, 'p'],
  C_GetSlotList: [4, 'bpp'],
  C_GetSlotInfo: [5, 'up'],
  C_GetTokenInfo: [6, 'up'],
  C_GetMechanismInfo: [8, 'uup'],
  C_OpenSession: [12, 'uuppp'],
  C_CloseSession: [13, 'u'],
  C_Login: [18, 'uupu'],
  C_GetAttributeValue: [24, 'uupu'],
  C_FindObjectsInit: [26, 'upu'],
  C_FindObjects: [27, 'upup'],
  C_FindObjectsFinal: [28, 'u'],
  C_SignInit: [42, 'upu'],
  C_Sign: [43, 'upupp'],
} as const satisfies Record<string, readonly [number, string]>;
type FunctionName = keyof typeof FUNCTIONS;

const TYPES: Readonly<Record<string, string>> = { u: 'ulong', b: 'uchar', p: 'void *' };
/** Up to the last one that is called. */
const FUNCTION_COUNT = 44;
/** What a module may say that an attribute has: a chain of certificates is far smaller. */
const MAX_ATTRIBUTE = 65_536;
/** What a search may find before it is called ambiguous; also certificates of a token that are looked at. */
const MAX_FOUND = 64;
const MAX_SLOTS = 256;

/** `type, pValue, ulValueLen` of a CK_ATTRIBUTE to search for. */
export interface Wanted {
  readonly type: number;
  readonly value: Uint8Array;
}

/** A CK_MECHANISM. */
export interface MechanismUse {
  readonly mechanism: number;
  readonly parameter?: Uint8Array;
}

/**
 * A PKCS #11 module, one for each file in this process, initialised with the first use and finalised with the last.
 * Calls run on threads of their own, so that a slow token does not hold up the event loop.
 *
 * Structures are written byte by byte: they are CK_ULONGs and pointers, which are packed on Windows, and of one size
 * elsewhere, so that there is nothing between them.
 */
export class Cryptoki {
  /**
   * koffi unloads a library whose object was collected, whatever still points into it; and modules with threads or exit
   * handlers of their own must not be unloaded at all.
   */
  static readonly #loaded = new Map<string, Library>();
  static readonly #open = new Map<string, { uses: number; library: Promise<Cryptoki> }>();

  readonly #path: string;
  readonly #koffi: Koffi;
  readonly #functions: Readonly<Record<FunctionName, Native>>;
  /** Bytes of a CK_ULONG, and of a pointer. */
  readonly #long: number;
  readonly #pointer: number;
  #calls = 0;
  #idle: (() => void) | undefined;

  /**
   * @param path of the shared library
   * @throws ModuleError ERR_MODULE_UNSUPPORTED without the package koffi, and for a file that is no PKCS #11 module
   */
  static async open(path: string): Promise<Cryptoki> {
    let entry = Cryptoki.#open.get(path);
    if (entry === undefined) {
      entry = { uses: 0, library: Cryptoki.#load(path) };
      Cryptoki.#open.set(path, entry);
    }
    entry.uses++;
    try {
      return await entry.library;
    } catch (error) {
      Cryptoki.#open.delete(path);
      throw error;
    }
  }

  static async close(path: string): Promise<void> {
    const entry = Cryptoki.#open.get(path);
    if (entry === undefined || --entry.uses > 0) return;
    Cryptoki.#open.delete(path);
    const library = await entry.library;
    await library.#settled();
    // Somebody came back meanwhile: the module is initialised for them as well.
    if (!Cryptoki.#open.has(path)) await library.#invoke('C_Finalize', null);
  }

  static async #load(path: string): Promise<Cryptoki> {
    const library = new Cryptoki(await loadKoffi(), path);
    await library.#initialize();
    return library;
  }

  private constructor(koffi: Koffi, path: string) {
    this.#path = path;
    this.#koffi = koffi;
    this.#long = koffi.sizeof('ulong');
    this.#pointer = koffi.sizeof('void *');
    const list = new Uint8Array(this.#pointer);
    let rv: number;
    try {
      const file = Cryptoki.#loaded.get(path) ?? koffi.load(path);
      Cryptoki.#loaded.set(path, file);
      rv = Number(file.func('C_GetFunctionList', 'ulong', ['void *'])(list));
    } catch (cause) {
      throw new ModuleError('ERR_MODULE_UNSUPPORTED', `${path} cannot be loaded as a PKCS #11 module`, {
        cause,
      });
    }
    if (rv !== Rv.ok) throw errorOf(rv, 'C_GetFunctionList');
    this.#functions = this.#readFunctions(this.#read(list, 0, this.#pointer));
  }

  /**
   * Initialises the module anew, so that it looks at its readers and tokens again: some do so at no other time. Only when
   * nobody else uses it, since every session ends.
   */
  async restart(): Promise<void> {
    if (this.#calls > 0 || Cryptoki.#open.get(this.#path)?.uses !== 1) return;
    await this.#invoke('C_Finalize', null);
    await this.#initialize();
  }

  async #initialize(): Promise<void> {
    // CK_C_INITIALIZE_ARGS: four functions that are not given, flags, and a pointer that is reserved.
    const parameters = new Uint8Array(5 * this.#pointer + this.#long);
    this.#write(parameters, 4 * this.#pointer, BigInt(Flag.osLocking), this.#long);
    const rv = await this.#invoke('C_Initialize', parameters);
    if (rv === Rv.cantLock) {
      throw new ModuleError(
        'ERR_MODULE_UNSUPPORTED',
        `${this.#path} cannot be used from more than one thread`,
        { status: rv },
      );
    }
    if (rv !== Rv.ok && rv !== Rv.alreadyInitialized) throw errorOf(rv, 'C_Initialize');
  }

  /** @returns numbers of the slots with a token in them */
  async slots(): Promise<bigint[]> {
    // PKCS #11 v2.40 §5.5: slots that have come or gone are noticed by the call without a list.
    await this.#must('C_GetSlotList', 1, null, this.#number(0));
    const count = this.#number(MAX_SLOTS);
    const ids = new Uint8Array(MAX_SLOTS * this.#long);
    await this.#must('C_GetSlotList', 1, ids, count);
    return this.#list(ids, count, MAX_SLOTS);
  }

  /** CK_TOKEN_INFO. */
  async tokenInfo(slot: bigint): Promise<TokenInfo> {
    // Four texts, flags, ten numbers, two versions, the time; and room for what a compiler puts between.
    const bytes = new Uint8Array(256);
    await this.#must('C_GetTokenInfo', slot, bytes);
    return {
      label: padded(bytes, 0, 32),
      manufacturer: padded(bytes, 32, 32),
      model: padded(bytes, 64, 16),
      serial: padded(bytes, 80, 16),
      flags: Number(this.#read(bytes, 96, this.#long)),
    };
  }

  /** CK_SLOT_INFO. */
  async slotInfo(slot: bigint): Promise<{ readonly description: string; readonly manufacturer: string }> {
    const bytes = new Uint8Array(256);
    await this.#must('C_GetSlotInfo', slot, bytes);
    return { description: padded(bytes, 0, 64), manufacturer: padded(bytes, 64, 32) };
  }

  /** CK_INFO. */
  async info(): Promise<LibraryInfo> {
    const bytes = new Uint8Array(256);
    await this.#must('C_GetInfo', bytes);
    // cryptokiVersion[2] manufacturerID[32] (padding) flags libraryDescription[32] libraryVersion[2]
    const isPacked = this.#long !== this.#pointer;
    const flags = isPacked ? 34 : Math.ceil(34 / this.#long) * this.#long;
    const description = flags + this.#long;
    return {
      manufacturer: padded(bytes, 2, 32),
      description: padded(bytes, description, 32),
      major: bytes[description + 32] as number,
      minor: bytes[description + 33] as number,
    };
  }

  async canSign(slot: bigint, mechanism: number): Promise<boolean> {
    const bytes = new Uint8Array(3 * this.#long);
    const rv = await this.#invoke('C_GetMechanismInfo', slot, BigInt(mechanism), bytes);
    return rv === Rv.ok && (Number(this.#read(bytes, 2 * this.#long, this.#long)) & Flag.sign) !== 0;
  }

  async openSession(slot: bigint): Promise<bigint> {
    const handle = this.#number(0);
    await this.#must('C_OpenSession', slot, BigInt(Flag.serialSession), null, null, handle);
    return this.#read(handle, 0, this.#long);
  }

  async closeSession(session: bigint): Promise<void> {
    // It may be gone already.
    await this.#invoke('C_CloseSession', session);
  }

  /** @param pin `null` where the token asks for it itself */
  async login(session: bigint, user: bigint, pin: Uint8Array | null): Promise<void> {
    const rv = await this.#invoke('C_Login', session, user, pin, BigInt(pin?.length ?? 0));
    if (rv !== Rv.ok && rv !== Rv.userAlreadyLoggedIn) throw errorOf(rv, 'C_Login');
  }

  async find(session: bigint, wanted: readonly Wanted[]): Promise<bigint[]> {
    const template = this.#template(wanted.map(({ type, value }) => ({ type, buffer: value })));
    await this.#must('C_FindObjectsInit', session, template, BigInt(wanted.length));
    const handles = new Uint8Array(MAX_FOUND * this.#long);
    const count = this.#number(0);
    try {
      await this.#must('C_FindObjects', session, handles, BigInt(MAX_FOUND), count);
    } finally {
      await this.#invoke('C_FindObjectsFinal', session);
    }
    return this.#list(handles, count, MAX_FOUND);
  }

  /** @returns `undefined` for what the object does not have, or does not give away */
  async attribute(session: bigint, object: bigint, type: number): Promise<Uint8Array | undefined> {
    const question = this.#template([{ type, buffer: undefined }]);
    const rv = await this.#invoke('C_GetAttributeValue', session, object, question, 1n);
    if (rv === Rv.attributeInvalid || rv === Rv.attributeSensitive) return undefined;
    if (rv !== Rv.ok) throw errorOf(rv, 'C_GetAttributeValue');
    // CK_UNAVAILABLE_INFORMATION is the greatest number that there is.
    const length = this.#read(question, this.#long + this.#pointer, this.#long);
    if (length > MAX_ATTRIBUTE) return undefined;
    const buffer = new Uint8Array(Number(length));
    await this.#must('C_GetAttributeValue', session, object, this.#template([{ type, buffer }]), 1n);
    return buffer;
  }

  /** @param maxLength bytes of the longest signature that may come */
  async sign(
    session: bigint,
    key: bigint,
    { mechanism, parameter }: MechanismUse,
    data: Uint8Array,
    maxLength: number,
  ): Promise<Uint8Array> {
    const what = this.#template([{ type: mechanism, buffer: parameter }]);
    await this.#must('C_SignInit', session, what, key);
    const signature = new Uint8Array(maxLength);
    const length = this.#number(maxLength);
    await this.#must('C_Sign', session, data, BigInt(data.length), signature, length);
    const made = Number(this.#read(length, 0, this.#long));
    if (made > maxLength) throw new ModuleError('ERR_MODULE_PROTOCOL', `A signature of ${made} bytes`);
    return signature.subarray(0, made);
  }

  /** CK_ULONGs, as attributes have them. */
  number(value: number): Uint8Array {
    return this.#number(value);
  }

  /** Several CK_ULONGs in a row: CK_RSA_PKCS_PSS_PARAMS is three. */
  numbers(...values: readonly number[]): Uint8Array {
    const bytes = new Uint8Array(values.length * this.#long);
    for (const [i, value] of values.entries()) this.#write(bytes, i * this.#long, BigInt(value), this.#long);
    return bytes;
  }

  /** Of an attribute that is a CK_ULONG. */
  readNumber(value: Uint8Array): bigint | undefined {
    return value.length === this.#long ? this.#read(value, 0, this.#long) : undefined;
  }

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────

  #readFunctions(list: bigint): Readonly<Record<FunctionName, Native>> {
    // CK_VERSION, two bytes, comes first.
    const start = this.#long === this.#pointer ? this.#pointer : 2;
    const bytes = new Uint8Array(this.#koffi.view(list, start + FUNCTION_COUNT * this.#pointer));
    const entries = Object.entries(FUNCTIONS).map(([name, [index, parameters]]) => {
      const address = this.#read(bytes, start + index * this.#pointer, this.#pointer);
      if (address === 0n)
        throw new ModuleError('ERR_MODULE_UNSUPPORTED', `The PKCS #11 module has no ${name}`);
      const types = [...parameters].map((letter) => TYPES[letter] as string);
      return [name, this.#koffi.decode(address, this.#koffi.proto('ulong', types))];
    });
    return Object.fromEntries(entries) as Record<FunctionName, Native>;
  }

  /** CK_ATTRIBUTEs; a CK_MECHANISM has the same form. `buffer`s must live as long as what is made of them. */
  #template(entries: readonly { readonly type: number; readonly buffer: Uint8Array | undefined }[]) {
    const size = 2 * this.#long + this.#pointer;
    const bytes = new Uint8Array(entries.length * size);
    for (const [i, { type, buffer }] of entries.entries()) {
      const at = i * size;
      const address = buffer === undefined || buffer.length === 0 ? 0n : this.#koffi.address(buffer);
      this.#write(bytes, at, BigInt(type), this.#long);
      this.#write(bytes, at + this.#long, address, this.#pointer);
      this.#write(bytes, at + this.#long + this.#pointer, BigInt(buffer?.length ?? 0), this.#long);
    }
    this.#kept.set(bytes, entries);
    return bytes;
  }
  readonly #kept = new WeakMap<Uint8Array, unknown>();

  #list(bytes: Uint8Array, count: Uint8Array, max: number): bigint[] {
    const length = Math.min(Number(this.#read(count, 0, this.#long)), max);
    return Array.from({ length }, (_, i) => this.#read(bytes, i * this.#long, this.#long));
  }

  #number(value: number): Uint8Array {
    return this.numbers(value);
  }

  /** Numbers of C are the machine's: little-endian wherever Node runs but on s390x. */
  #read(bytes: Uint8Array, at: number, size: number): bigint {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, size);
    return size === 8 ? view.getBigUint64(0, LITTLE_ENDIAN) : BigInt(view.getUint32(0, LITTLE_ENDIAN));
  }

  #write(bytes: Uint8Array, at: number, value: bigint, size: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset + at, size);
    if (size === 8) view.setBigUint64(0, value, LITTLE_ENDIAN);
    else view.setUint32(0, Number(value), LITTLE_ENDIAN);
  }

  // ── calls ──────────────────────────────────────────────────────────────────────────────────────

  /** @throws ModuleError for every answer but CKR_OK */
  async #must(name: FunctionName, ...parameters: readonly Parameter[]): Promise<void> {
    const rv = await this.#invoke(name, ...parameters);
    if (rv !== Rv.ok) throw errorOf(rv, name);
  }

  #invoke(name: FunctionName, ...parameters: readonly Parameter[]): Promise<number> {
    this.#calls++;
    return new Promise((resolve, reject) => {
      const answer: Answer = (error, result) => {
        this.#returned(parameters);
        if (error !== null) reject(error);
        else resolve(Number(result));
      };
      try {
        this.#functions[name].async(...parameters, answer);
      } catch (error) {
        this.#returned(parameters);
        reject(error);
      }
    });
  }

  /** The parameters are named here so that their memory is held until the call is over. */
  #returned(_parameters: readonly Parameter[]): void {
    if (--this.#calls === 0) this.#idle?.();
  }

  async #settled(): Promise<void> {
    if (this.#calls === 0) return;
    await new Promise<void>((resolve) => {
      this.#idle = resolve;
    });
  }
}

export interface TokenInfo {
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  readonly serial: string;
  readonly flags: number;
}

export interface LibraryInfo {
  readonly manufacturer: string;
  readonly description: string;
  readonly major: number;
  readonly minor: number;
}

const LITTLE_ENDIAN = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Text in a field of fixed length, filled up with blanks. */
function padded(bytes: Uint8Array, at: number, length: number): string {
  return new TextDecoder().decode(bytes.subarray(at, at + length)).trimEnd();
}

async function loadKoffi(): Promise<Koffi> {
  try {
    // Its own types know neither what a pointer is here nor what comes back.
    return (await import('koffi')).default as unknown as Koffi;
  } catch (cause) {
    throw new ModuleError(
      'ERR_MODULE_UNSUPPORTED',
      'PKCS #11 tokens need the package koffi: npm install koffi',
      { cause },
    );
  }
}

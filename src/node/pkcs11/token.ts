import { ConnectionError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { Attribute, Flag, isStale, ObjectClass, USER } from './codes.ts';
import type { Cryptoki, MechanismUse, TokenInfo, Wanted } from './cryptoki.ts';
import type { Pkcs11Uri } from './uri.ts';

/** Signatures at a time; what tokens do at once are a few at most, and HSMs pass the rest on over one connection. */
const MAX_SESSIONS = 4;
/** Signatures that wait for a session; a server has no more handshakes at a time than this. */
const MAX_WAITING = 1024;

/** The PIN, read anew whenever it is needed; wiped after use. `undefined`: there is none. */
export type PinReader = () => Uint8Array | undefined;

/** A private key, as it was found after logging in. */
interface Attached {
  readonly slot: bigint;
  readonly key: bigint;
  readonly idle: bigint[];
  opened: number;
}

/**
 * One private key of a token: found by its URI, logged in to once, used over a few sessions. When the token was taken
 * out or reset, the signature that notices fails with a typed error, and the next one looks for the token again.
 */
export class Token {
  readonly #library: Cryptoki;
  readonly #uri: Pkcs11Uri;
  readonly #pin: PinReader;
  #attached: Promise<Attached> | undefined;
  /** A PIN that was refused is not tried again: that would block the token. */
  #refused: ModuleError | undefined;
  #closed = false;
  /** The token went away, or was reset. */
  #lost = false;
  #waiting: { resolve(session: bigint): void; reject(error: unknown): void; on: Attached }[] = [];

  constructor(library: Cryptoki, uri: Pkcs11Uri, pin: PinReader) {
    this.#library = library;
    this.#uri = uri;
    this.#pin = pin;
  }

  /** @throws ModuleError */
  async sign(use: MechanismUse, data: Uint8Array, maxLength: number): Promise<Uint8Array> {
    return this.#withSession(({ key }, session) => this.#library.sign(session, key, use, data, maxLength));
  }

  async canSign(mechanism: number): Promise<boolean> {
    return this.#library.canSign((await this.#attach()).slot, mechanism);
  }

  /** @returns certificates with the key's id, or without one its label, end entity alone; and all others there are */
  async certificates(): Promise<{
    readonly own: readonly Uint8Array[];
    readonly all: readonly Uint8Array[];
  }> {
    return this.#withSession(async ({ key }, session) => {
      const library = this.#library;
      const id = await library.attribute(session, key, Attribute.id);
      const label = await library.attribute(session, key, Attribute.label);
      const mark =
        id !== undefined && id.length > 0
          ? { type: Attribute.id, value: id }
          : { type: Attribute.label, value: label ?? NOTHING };
      return { own: await this.#values(session, [mark]), all: await this.#values(session, []) };
    });
  }

  /** Nothing is signed any more. */
  async close(): Promise<void> {
    this.#closed = true;
    const attached = await this.#attached?.catch(() => undefined);
    this.#attached = undefined;
    if (attached !== undefined) await this.#release(attached, closedHere());
  }

  async #values(session: bigint, marks: readonly Wanted[]): Promise<Uint8Array[]> {
    const library = this.#library;
    const wanted = [
      { type: Attribute.class, value: library.number(ObjectClass.certificate) },
      // CKC_X_509
      { type: Attribute.certificateType, value: library.number(0) },
      ...marks,
    ];
    const values: Uint8Array[] = [];
    for (const object of await library.find(session, wanted)) {
      const value = await library.attribute(session, object, Attribute.value);
      if (value !== undefined && value.length > 0) values.push(value);
    }
    return values;
  }

  async #withSession<T>(use: (attached: Attached, session: bigint) => Promise<T>): Promise<T> {
    const attached = await this.#attach();
    let session: bigint | undefined;
    try {
      session = await this.#session(attached);
      const result = await use(attached, session);
      this.#giveBack(attached, session);
      return result;
    } catch (error) {
      await this.#failed(attached, session, error);
      throw error;
    }
  }

  async #failed(attached: Attached, session: bigint | undefined, error: unknown): Promise<void> {
    if (isStale(error)) {
      this.#lost = true;
      // Others notice by their own error.
      if ((await this.#attached?.catch(() => undefined)) === attached) this.#attached = undefined;
      if (session !== undefined) attached.idle.push(session);
      await this.#release(attached, error);
    } else if (session !== undefined) {
      // An operation that was begun would stand in the way of the next one.
      await this.#library.closeSession(session);
      attached.opened--;
      this.#serveNext(attached);
    }
  }

  #attach(): Promise<Attached> {
    if (this.#closed) throw closedHere();
    if (this.#refused !== undefined) throw this.#refused;
    if (this.#attached === undefined) {
      const attached = this.#find();
      this.#attached = attached;
      attached.catch(() => {
        if (this.#attached === attached) this.#attached = undefined;
      });
    }
    return this.#attached;
  }

  async #find(): Promise<Attached> {
    if (this.#lost) await this.#library.restart();
    const { slot, info } = await this.#findSlot();
    const session = await this.#library.openSession(slot);
    try {
      await this.#login(session, info);
      const key = await this.#findKey(session);
      this.#lost = false;
      return { slot, key, idle: [session], opened: 1 };
    } catch (error) {
      await this.#library.closeSession(session);
      throw error;
    }
  }

  async #findSlot(): Promise<{ readonly slot: bigint; readonly info: TokenInfo }> {
    const library = this.#library;
    await this.#checkLibrary();
    const { token, manufacturer, model, serial, slotId, slotDescription, slotManufacturer } = this.#uri;
    const found: { readonly slot: bigint; readonly info: TokenInfo }[] = [];
    for (const slot of await library.slots()) {
      if (slotId !== undefined && slot !== slotId) continue;
      const info = await library.tokenInfo(slot);
      if ((info.flags & Flag.tokenInitialized) === 0) continue;
      const place = await library.slotInfo(slot);
      const fits =
        matches(token, info.label) &&
        matches(manufacturer, info.manufacturer) &&
        matches(model, info.model) &&
        matches(serial, info.serial) &&
        matches(slotDescription, place.description) &&
        matches(slotManufacturer, place.manufacturer);
      if (fits) found.push({ slot, info });
    }
    const [first, second] = found;
    if (first === undefined) {
      throw new ModuleError(
        'ERR_MODULE_REMOVED',
        'No token is there that the PKCS #11 URI describes; compare with pkcs11-tool --module FILE -T',
      );
    }
    if (second !== undefined) {
      throw new ModuleError(
        'ERR_MODULE_NOT_FOUND',
        `The PKCS #11 URI describes ${found.length} tokens; add token=, serial= or slot-id= to it`,
      );
    }
    return first;
  }

  async #checkLibrary(): Promise<void> {
    const { libraryManufacturer, libraryDescription, libraryVersion } = this.#uri;
    const info = await this.#library.info();
    const fits =
      matches(libraryManufacturer, info.manufacturer) &&
      matches(libraryDescription, info.description) &&
      (libraryVersion === undefined ||
        (libraryVersion.major === info.major && libraryVersion.minor === info.minor));
    if (fits) return;
    throw new ModuleError(
      'ERR_MODULE_NOT_FOUND',
      `The PKCS #11 module is ${info.manufacturer}, ${info.description}, ${info.major}.${info.minor}, and not the one that the URI describes`,
    );
  }

  async #login(session: bigint, { flags }: TokenInfo): Promise<void> {
    if ((flags & Flag.loginRequired) === 0) return;
    if ((flags & Flag.pinLocked) !== 0) {
      throw new ModuleError('ERR_MODULE_PIN_BLOCKED', 'The PIN of the PKCS #11 token is blocked');
    }
    const asksItself = (flags & Flag.protectedPath) !== 0;
    const pin = asksItself ? undefined : this.#pin();
    if (pin === undefined && !asksItself) {
      throw new ConnectionError(
        'ERR_TLS_OPTION',
        'The PKCS #11 token wants a PIN: add pin-source=FILE to the query of the URI, or give --pin-file FILE (option pin)',
      );
    }
    try {
      await this.#library.login(session, USER, pin ?? null);
    } catch (error) {
      const { code } = error as ModuleError;
      if (code === 'ERR_MODULE_PIN_WRONG' || code === 'ERR_MODULE_PIN_BLOCKED') {
        this.#refused = error as ModuleError;
      }
      throw error;
    } finally {
      pin?.fill(0);
    }
  }

  async #findKey(session: bigint): Promise<bigint> {
    const library = this.#library;
    const { object, id } = this.#uri;
    const wanted: Wanted[] = [{ type: Attribute.class, value: library.number(ObjectClass.privateKey) }];
    if (object !== undefined) wanted.push({ type: Attribute.label, value: Buffer.from(object) });
    if (id !== undefined) wanted.push({ type: Attribute.id, value: id });
    const [key, second] = await library.find(session, wanted);
    if (key === undefined || second !== undefined) {
      throw new ModuleError(
        'ERR_MODULE_NOT_FOUND',
        key === undefined
          ? 'The token has no private key that the PKCS #11 URI describes; compare with pkcs11-tool -O --login'
          : 'The token has several private keys that the PKCS #11 URI describes; add object= or id= to it',
      );
    }
    const always = await library.attribute(session, key, Attribute.alwaysAuthenticate);
    if (always?.[0] === 1) {
      throw new ModuleError(
        'ERR_MODULE_UNSUPPORTED',
        'This key of the token wants the PIN for each signature (CKA_ALWAYS_AUTHENTICATE), which is not supported',
      );
    }
    return key;
  }

  // ── sessions ───────────────────────────────────────────────────────────────────────────────────

  async #session(attached: Attached): Promise<bigint> {
    const idle = attached.idle.pop();
    if (idle !== undefined) return idle;
    if (attached.opened < MAX_SESSIONS) {
      attached.opened++;
      try {
        return await this.#library.openSession(attached.slot);
      } catch (error) {
        attached.opened--;
        // Tokens have fewer sessions than we would take: what there is has to do.
        const isFull = error instanceof ModuleError && error.code === 'ERR_MODULE_NO_ROOM';
        if (!isFull || attached.opened === 0) throw error;
        const returned = attached.idle.pop();
        if (returned !== undefined) return returned;
      }
    }
    if (this.#waiting.length >= MAX_WAITING) {
      throw new ModuleError('ERR_MODULE_BUSY', `More than ${MAX_WAITING} signatures wait for the token`);
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject, on: attached });
    });
  }

  #giveBack(attached: Attached, session: bigint): void {
    const next = this.#waiting.findIndex(({ on }) => on === attached);
    const [waiter] = next < 0 ? [] : this.#waiting.splice(next, 1);
    if (waiter === undefined) attached.idle.push(session);
    else waiter.resolve(session);
  }

  /** A session was lost; who waits for one gets a new one. */
  #serveNext(attached: Attached): void {
    const next = this.#waiting.findIndex(({ on }) => on === attached);
    const [waiter] = next < 0 ? [] : this.#waiting.splice(next, 1);
    if (waiter !== undefined) this.#session(attached).then(waiter.resolve, waiter.reject);
  }

  async #release(attached: Attached, error: unknown): Promise<void> {
    const lost = this.#waiting.filter(({ on }) => on === attached);
    this.#waiting = this.#waiting.filter(({ on }) => on !== attached);
    for (const { reject } of lost) reject(error);
    for (const session of attached.idle.splice(0)) await this.#library.closeSession(session);
  }
}

function matches(wanted: string | undefined, found: string): boolean {
  return wanted === undefined || wanted.trimEnd() === found;
}

function closedHere(): ModuleError {
  return new ModuleError('ERR_MODULE_GONE', 'The PKCS #11 token was closed on this side');
}

const NOTHING = new Uint8Array(0);

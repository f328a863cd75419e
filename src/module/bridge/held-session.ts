import type { CryptoProvider } from '../../crypto/provider.ts';
import { ConnectionError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import type { Identity } from '../../handshake/config.ts';
import { Instruction } from '../protocol.ts';
import type { Card } from './card.ts';
import { type CardSession, releaseRequest } from './card-session.ts';
import type { CardRequest } from './exchange.ts';
import { type AgreedSession, schemesOf } from './information.ts';
import { OwnKey, SignedNumbers } from './own-key.ts';
import { isTls13 } from './settled.ts';

/**
 * The session in the card as the host holds it. Its commands have one turn among those of all sessions; beside carrying
 * records it makes keys and signatures; and it is given back once.
 */
export class HeldSession {
  readonly #card: Card;
  readonly #opening: { readonly session: CardSession | undefined };
  readonly #numbers = new SignedNumbers();
  #released = false;

  /** @param opening has it since Open was answered */
  constructor(card: Card, opening: { readonly session: CardSession | undefined }) {
    this.#card = card;
    this.#opening = opening;
  }

  get isOpen(): boolean {
    return this.#opening.session !== undefined;
  }

  perform(request: CardRequest): Uint8Array | Promise<Uint8Array> {
    const answer = this.#card.run(this, request);
    if (request.ins === Instruction.open && 'then' in answer) {
      // Given up while the module was opening it: nobody else would release it.
      answer.then(
        ([handle]) => {
          if (this.#released && handle !== undefined) this.#card.release(this, releaseRequest(handle));
        },
        () => undefined,
      );
    }
    return answer;
  }

  /** @throws as `ModuleConnection.requestKeyingMaterial` */
  keyingMaterial(
    agreed: AgreedSession | undefined,
    label: string,
    context: Uint8Array | undefined,
    length: number,
  ): Uint8Array | Promise<Uint8Array> {
    const { session } = this.#opening;
    if (agreed === undefined || session === undefined || this.#released) {
      throw new ConnectionError('ERR_TLS_NOT_CONNECTED', 'The session is not open');
    }
    // RFC 8446 §7.5: no context is an empty one; in TLS 1.2 it is not (RFC 5705 §4).
    const meant = context ?? (isTls13(agreed.version) ? new Uint8Array(0) : undefined);
    const request = session.keyingMaterial?.(label, meant, length);
    if (request === undefined) throw new ModuleError('ERR_MODULE_UNSUPPORTED', 'Old cards have no exporter');
    return this.#card.run(this, request);
  }

  /** What was shown in the handshake; its key signs in the module, for this session alone. */
  identity(crypto: CryptoProvider, chain: readonly Uint8Array[]): Identity {
    const schemes = schemesOf(crypto, chain[0] as Uint8Array);
    const compute = (kind: number, data: Uint8Array) => {
      const request = this.#opening.session?.signature?.(kind, data);
      if (request === undefined) throw new ModuleError('ERR_MODULE_UNSUPPORTED', 'Old cards sign no objects');
      return this.#card.run(this, request);
    };
    return { chain, key: new OwnKey(schemes, this.#numbers, compute) };
  }

  release(): void {
    if (this.#released) return;
    this.#released = true;
    const { session } = this.#opening;
    if (session !== undefined) this.#card.release(this, session.release());
  }
}

import type { SignedStatement, SigningKey } from '../../crypto/provider.ts';
import { decodeBinding } from '../../formats/binding.ts';
import { Writer } from '../../wire/writer.ts';
import { SignatureKind } from '../protocol.ts';

/** One Compute signature of a session. @param p2 a SignatureKind */
type Compute = (p2: number, data: Uint8Array) => Uint8Array | Promise<Uint8Array>;

/** The key with which a module has signed a handshake: it signs objects of that session too, and nothing else. */
export class OwnKey implements SigningKey {
  readonly schemes: readonly number[];
  readonly #compute: Compute;
  readonly #numbers: SignedNumbers;

  /** @param numbers of the session */
  constructor(schemes: readonly number[], numbers: SignedNumbers, compute: Compute) {
    this.schemes = schemes;
    this.#numbers = numbers;
    this.#compute = compute;
  }

  sign(scheme: number, data: Uint8Array, statement?: SignedStatement): Uint8Array | Promise<Uint8Array> {
    const skipped = statement === undefined ? undefined : this.#numbers.skipTo(statement);
    const opened = skipped === undefined ? undefined : this.#compute(SignatureKind.leaveOpen, skipped);
    const signature = this.#compute(...signatureRequest(scheme, data, statement));
    return opened === undefined ? signature : inOrder(opened, signature);
  }
}

/** The module signs one number after the other: those that are passed over here it is told of. */
export class SignedNumbers {
  #next = 0;

  /** @returns what the module is told, if there is something */
  skipTo({ binding }: SignedStatement): Uint8Array | undefined {
    const { sequence } = decodeBinding(binding);
    const next = this.#next;
    if (sequence >= next) this.#next = sequence + 1;
    if (sequence <= next) return undefined;
    return new Writer(6)
      .u16(Math.floor(sequence / 2 ** 32))
      .u32(sequence % 2 ** 32)
      .finish();
  }
}

/** SignedInfo is XML, signedAttrs are a SET. */
function signatureRequest(
  scheme: number,
  data: Uint8Array,
  statement: SignedStatement | undefined,
): [p2: number, data: Uint8Array] {
  const writer = new Writer(data.length + 1024).u16(scheme);
  if (data[0] !== LESS_THAN || statement === undefined) {
    return [SignatureKind.attributes, writer.bytes(data).finish()];
  }
  return [SignatureKind.signedInfo, writer.vector(2, statement.binding).bytes(data).finish()];
}

async function inOrder(
  first: Uint8Array | Promise<Uint8Array>,
  second: Uint8Array | Promise<Uint8Array>,
): Promise<Uint8Array> {
  const [, answer] = await Promise.all([first, second]);
  return answer;
}

const LESS_THAN = 0x3c;

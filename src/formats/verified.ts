import type { Binding } from './binding.ts';
import type { ContentFormat, ObjectReference, SignerIdentity } from './facts.ts';

/** What every verified signature has told. */
export interface SignatureFacts {
  readonly format: ContentFormat;
  readonly signer: SignerIdentity;
  /** SHA-256 of the whole object as received. */
  readonly objectDigest: Uint8Array;
}

export interface ObjectFacts extends SignatureFacts {
  /** What the signer says, Unix milliseconds. */
  readonly signingTime: number;
  readonly binding: Binding;
  /** Bytes of content. */
  readonly contentLength: number;
  /** SHA-256 of the content. */
  readonly contentDigest: Uint8Array;
  readonly receiptRequested: boolean;
  /** For `prepareReceipt`. */
  readonly reference: ObjectReference;
}

export interface ReceiptFacts extends SignatureFacts {
  readonly signingTime: number;
  readonly binding: Binding;
  /** What the signer has received. */
  readonly acknowledged: ObjectReference;
}

/** Of objects that other software made: it need not say when it signed. */
export interface ForeignFacts extends Omit<ObjectFacts, 'binding' | 'signingTime'> {
  readonly signingTime: number | undefined;
  readonly content: Uint8Array;
}

export interface ForeignReceiptFacts extends Omit<ReceiptFacts, 'binding' | 'signingTime'> {
  readonly signingTime: number | undefined;
}

/** Not exported: who cannot name it cannot construct a proof. */
const PROVEN = Symbol('proven');

/** What all proofs tell. Each has a `#proof` of its own, which makes its type nominal: no other object has that field, whatever its shape. */
abstract class VerifiedSignature implements SignatureFacts {
  readonly format: ContentFormat;
  readonly signer: SignerIdentity;
  readonly objectDigest: Uint8Array;

  constructor(facts: SignatureFacts) {
    this.format = facts.format;
    this.signer = facts.signer;
    this.objectDigest = facts.objectDigest;
  }
}

/** What proofs of objects tell of the content. */
abstract class VerifiedContent extends VerifiedSignature {
  readonly contentLength: number;
  readonly contentDigest: Uint8Array;
  readonly receiptRequested: boolean;
  readonly reference: ObjectReference;

  constructor(facts: Omit<ObjectFacts, 'binding' | 'signingTime'>) {
    super(facts);
    this.contentLength = facts.contentLength;
    this.contentDigest = facts.contentDigest;
    this.receiptRequested = facts.receiptRequested;
    this.reference = facts.reference;
  }
}

/** Proof that an object is what its signer signed, under a certificate that was accepted. */
export class VerifiedObject extends VerifiedContent implements ObjectFacts {
  readonly signingTime: number;
  readonly binding: Binding;
  /** A view on the object. */
  readonly content: Uint8Array;
  readonly #proof: typeof PROVEN;

  constructor(proof: typeof PROVEN, facts: ObjectFacts, content: Uint8Array) {
    super(facts);
    this.#proof = checkProof(proof);
    this.signingTime = facts.signingTime;
    this.binding = facts.binding;
    this.content = content;
  }

  static is(value: object): value is VerifiedObject {
    return #proof in value && value.#proof === PROVEN;
  }
}

/** As `VerifiedObject`, for one whose content has gone by in pieces: they are verified with this. */
export class VerifiedStream extends VerifiedContent implements ObjectFacts {
  readonly signingTime: number;
  readonly binding: Binding;
  readonly #proof: typeof PROVEN;

  constructor(proof: typeof PROVEN, facts: ObjectFacts) {
    super(facts);
    this.#proof = checkProof(proof);
    this.signingTime = facts.signingTime;
    this.binding = facts.binding;
  }

  static is(value: object): value is VerifiedStream {
    return #proof in value && value.#proof === PROVEN;
  }
}

/** Proof that the signer acknowledges an object. */
export class VerifiedReceipt extends VerifiedSignature implements ReceiptFacts {
  readonly signingTime: number;
  readonly binding: Binding;
  readonly acknowledged: ObjectReference;
  readonly #proof: typeof PROVEN;

  constructor(proof: typeof PROVEN, facts: ReceiptFacts) {
    super(facts);
    this.#proof = checkProof(proof);
    this.signingTime = facts.signingTime;
    this.binding = facts.binding;
    this.acknowledged = facts.acknowledged;
  }

  static is(value: object): value is VerifiedReceipt {
    return #proof in value && value.#proof === PROVEN;
  }
}

/** Proof that someone signed some content with other software. It is bound to no session. */
export class ForeignObject extends VerifiedContent implements ForeignFacts {
  readonly signingTime: number | undefined;
  /** A view on the object. */
  readonly content: Uint8Array;
  readonly #proof: typeof PROVEN;

  constructor(proof: typeof PROVEN, facts: ForeignFacts) {
    super(facts);
    this.#proof = checkProof(proof);
    this.signingTime = facts.signingTime;
    this.content = facts.content;
  }

  static is(value: object): value is ForeignObject {
    return #proof in value && value.#proof === PROVEN;
  }
}

/** Proof that someone acknowledges an object with other software. */
export class ForeignReceipt extends VerifiedSignature implements ForeignReceiptFacts {
  readonly signingTime: number | undefined;
  readonly acknowledged: ObjectReference;
  readonly #proof: typeof PROVEN;

  constructor(proof: typeof PROVEN, facts: ForeignReceiptFacts) {
    super(facts);
    this.#proof = checkProof(proof);
    this.signingTime = facts.signingTime;
    this.acknowledged = facts.acknowledged;
  }

  static is(value: object): value is ForeignReceipt {
    return #proof in value && value.#proof === PROVEN;
  }
}

/** For the verifiers of src/formats alone, each after its last check; nothing else may call these. */
export const prove = {
  object: (facts: ObjectFacts, content: Uint8Array): VerifiedObject =>
    new VerifiedObject(PROVEN, facts, content),
  stream: (facts: ObjectFacts): VerifiedStream => new VerifiedStream(PROVEN, facts),
  receipt: (facts: ReceiptFacts): VerifiedReceipt => new VerifiedReceipt(PROVEN, facts),
  foreign: (facts: ForeignFacts): ForeignObject => new ForeignObject(PROVEN, facts),
  foreignReceipt: (facts: ForeignReceiptFacts): ForeignReceipt => new ForeignReceipt(PROVEN, facts),
} as const;

function checkProof(proof: typeof PROVEN): typeof PROVEN {
  if (proof !== PROVEN) throw new TypeError('Only a verifier makes one of these');
  return proof;
}

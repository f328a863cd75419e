import { equalBytes } from '../der/bytes.ts';
import type { Signer } from '../formats/format.ts';
import type { SessionContext } from './context.ts';
import type { SigningIdentity } from './options.ts';

/** Who signs on this side of a session. */
export interface OwnSigner {
  readonly identity: SigningIdentity;
  readonly signer: Signer;
}

/** @returns `undefined` for whoever cannot sign; `isShown`: the peer knows the signer from the handshake */
export function ownSignerOf({ link, settings, datagrams }: SessionContext): {
  readonly own: OwnSigner | undefined;
  readonly isShown: boolean;
} {
  const { resumed, identities } = link.session;
  const [shown, another] = identities;
  const isShown = shown !== undefined && sameLeaf(shown.chain, (settings.signer ?? shown).chain);
  // What would announce another signer can be lost. Of a resumption nobody knows which of several was shown.
  const isUnknown = datagrams && (!isShown || (resumed && another !== undefined));
  const identity = isUnknown ? undefined : (settings.signer ?? shown);
  return {
    own: identity && { identity, signer: signerOf(identity) },
    isShown: isShown && (datagrams || !resumed),
  };
}

/** One `Signer` for each identity: formats remember what depends on it alone. */
const signers = new WeakMap<SigningIdentity, Signer>();

function signerOf(identity: SigningIdentity): Signer {
  let signer = signers.get(identity);
  if (signer === undefined) {
    signer = { chain: identity.chain, scheme: identity.scheme ?? (identity.key.schemes[0] as number) };
    signers.set(identity, signer);
  }
  return signer;
}

function sameLeaf(a: readonly Uint8Array[], b: readonly Uint8Array[] | undefined): boolean {
  return a[0] !== undefined && b?.[0] !== undefined && equalBytes(a[0], b[0]);
}

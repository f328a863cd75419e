import type { CertificateWishes, Identity, IdentitySource } from './config.ts';
import type { HandshakeIO } from './io.ts';
import type { Choosing, IdentitiesWanted, Step } from './step.ts';

/** Either side: the handshake goes on when what may be shown is known. */
export class ChoosingIdentities implements Choosing {
  readonly kind = 'choosing';
  readonly wanted: IdentitiesWanted;
  readonly #then: (identities: readonly Identity[], io: HandshakeIO) => Step;

  constructor(
    source: IdentitySource,
    serverName: string | undefined,
    wishes: CertificateWishes,
    then: (identities: readonly Identity[], io: HandshakeIO) => Step,
  ) {
    this.wanted = { kind: 'identities', serverName, wishes, source };
    this.#then = then;
  }

  choose(identities: readonly Identity[], io: HandshakeIO): Step {
    return this.#then(identities, io);
  }
}

/** What a peer has said of the certificate that it would like to see, in copies: an application may keep them. */
export function certificateWishes(
  schemes: readonly number[] | undefined,
  authorities: readonly Uint8Array[] | undefined,
  certificateTypes?: readonly number[],
): CertificateWishes {
  return {
    schemes,
    authorities: authorities?.map((name) => new Uint8Array(name)) ?? [],
    certificateTypes,
  };
}

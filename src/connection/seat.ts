import type { HelloContext, HelloExtension } from '../handshake/hello-extension.ts';
import type { SubProtocol } from './sub-protocol.ts';

/** A sub-protocol's place at the handshake: passes the hellos on, and notes whether they agreed. */
export class Seat implements HelloExtension {
  readonly occupant: SubProtocol;
  agreed = false;

  constructor(occupant: SubProtocol) {
    this.occupant = occupant;
  }

  get extensionType(): number {
    return this.occupant.extensionType;
  }

  offer(): Uint8Array | undefined {
    return this.occupant.offer();
  }

  answer(offered: Uint8Array | undefined, hello: HelloContext): Uint8Array | undefined {
    const answer = this.occupant.answer(offered, hello);
    this.agreed = answer !== undefined;
    return answer;
  }

  confirm(answered: Uint8Array | undefined, hello: HelloContext): void {
    this.occupant.confirm(answered, hello);
    this.agreed = answered !== undefined;
  }
}

import type { Applet } from '../../module/applet/applet.ts';
import type { CardTransport } from '../../module/bridge/exchange.ts';

/** A module in this process: for tests, and for libraries that only want its rules. Keys are not isolated. */
export class InProcessTransport implements CardTransport {
  readonly maxCommandData: number;
  readonly maxResponseData: number;
  readonly #applet: Applet;

  /** @param form short APDUs are what every card can */
  constructor(applet: Applet, form: 'short' | 'extended' = 'extended') {
    this.#applet = applet;
    this.maxCommandData = form === 'short' ? 255 : 65_535;
    this.maxResponseData = form === 'short' ? 256 : 65_536;
  }

  transmit(command: Uint8Array): Uint8Array {
    return this.#applet.process(command);
  }

  close(): void {
    this.#applet.reset();
  }
}

import type { Status } from '../apdu/status.ts';

/** A command that is answered by a status word and has changed nothing. */
export class Refused extends Error {
  readonly status: number;
  constructor(status: (typeof Status)[Exclude<keyof typeof Status, 'success'>] | number) {
    super(`refused with ${status.toString(16)}`);
    this.status = status;
  }
}

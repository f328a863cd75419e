import { TrellisError } from './errors.ts';

/** What a security module, or the way to it, has to report; no alert belongs to these. */
export type ModuleErrorCode =
  | 'ERR_MODULE_STATUS' // a status word that says no; `status` has it
  | 'ERR_MODULE_PIN_WRONG' // `triesLeft` says how often it may still be tried
  | 'ERR_MODULE_PIN_BLOCKED'
  | 'ERR_MODULE_NOT_PERMITTED' // no PIN verified, or the identity's policy says no
  | 'ERR_MODULE_NOT_FOUND' // no identity of that name, nothing of that kind in it
  | 'ERR_MODULE_NO_ROOM' // sessions or memory of the module are used up
  | 'ERR_MODULE_PROTOCOL' // the answer makes no sense: not a module of this kind
  | 'ERR_MODULE_UNSUPPORTED' // the module, its transport or the bridge cannot do this
  | 'ERR_MODULE_REMOVED' // the card was taken out
  | 'ERR_MODULE_RESET' // somebody reset the card; its sessions are gone
  | 'ERR_MODULE_GONE' // the reader, the process or the socket is not there (any more)
  | 'ERR_MODULE_BUSY' // another program holds the card
  | 'ERR_MODULE_STORE'; // the store cannot be read: another secret, or damaged

export class ModuleError extends TrellisError {
  declare readonly code: ModuleErrorCode;
  /** The status word, where one was answered. */
  readonly status: number | undefined;
  /** With ERR_MODULE_PIN_WRONG. */
  readonly triesLeft: number | undefined;
  constructor(
    code: ModuleErrorCode,
    message: string,
    options: ErrorOptions & { status?: number | undefined; triesLeft?: number | undefined } = {},
  ) {
    super(code, message, options);
    this.status = options.status;
    this.triesLeft = options.triesLeft;
  }
}

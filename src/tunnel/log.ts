/** Plain values only, so that any logger can write them. `event` is stable; the message is for people. */
export type LogFields = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

/** Where the tunnel reports what happens. A pino logger is one. */
export interface TunnelLog {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

const nothing = (): void => {};

/** For callers who do not want to hear. */
export const silentLog: TunnelLog = { debug: nothing, info: nothing, warn: nothing, error: nothing };

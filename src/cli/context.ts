/** What a command may print. Logs are not printed here: they go to standard error. */
export interface CommandContext {
  /** One JSON object in one line on standard output. */
  printResult(result: object): void;
  /** Text for people on standard output. */
  printText(text: string): void;
}

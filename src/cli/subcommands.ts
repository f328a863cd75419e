import { type Command, CommanderError } from 'commander';
import type { CommandContext } from './context.ts';
import { EXIT_OK } from './lifecycle.ts';

/** Remembers what a command is to do, once its words are understood. */
export type Choose = (run: () => Promise<number>) => void;

/**
 * Does what `words` ask of a program with commands of its own (`trellis evidence`, `trellis module`): runs the one that
 * they name, or prints the help that they ask for.
 * @param fault makes the error for words that are no command, from one line for people
 * @returns the exit code
 */
export async function runSubcommand(
  words: readonly string[],
  context: CommandContext,
  build: (choose: Choose) => Command,
  fault: (message: string) => Error,
): Promise<number> {
  let printed = '';
  let run: (() => Promise<number>) | undefined;
  const program = build((command) => {
    run = command;
  });
  for (const command of everyCommand(program)) {
    command.exitOverride().configureOutput({
      writeOut: (text) => {
        printed += text;
      },
      writeErr: () => {},
      outputError: () => {},
    });
  }
  try {
    program.parse(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw fault(oneLine(error, program.name()));
  }
  if (run !== undefined) return run();
  context.printText(printed);
  return EXIT_OK;
}

/** For an option that may be repeated. */
export function collect(value: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), value];
}

function* everyCommand(command: Command): Generator<Command> {
  yield command;
  for (const child of command.commands) yield* everyCommand(child);
}

function oneLine(error: CommanderError, program: string): string {
  if (error.code === 'commander.help') return `Say what to do; ${program} --help lists what there is.`;
  return `${commanderText(error).replace(/\.$/, '')}; ${program} --help lists what there is.`;
}

/** In one line. */
export function commanderText({ message }: CommanderError): string {
  return message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/^./, (letter) => letter.toUpperCase());
}

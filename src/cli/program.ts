import { readFileSync } from 'node:fs';
import { TrellisError } from '../errors/errors.ts';
import { errorCode, errorMessage, TunnelError } from '../tunnel/errors.ts';
import { parseArguments } from './arguments.ts';
import type { CommandContext } from './context.ts';
import { EXIT_FAILURE, EXIT_OK, EXIT_USAGE } from './lifecycle.ts';
import { type CommandName, commands } from './options.ts';
import type { Found } from './values.ts';

type Runner = (given: ReadonlyMap<string, Found>, context: CommandContext) => Promise<number>;

/** Loaded when asked for: `--help` needs neither the TLS engine nor the logger. */
const runners: Readonly<Record<CommandName, () => Promise<Runner>>> = {
  init: async () => (await import('./commands/init.ts')).init,
  serve: async () => (await import('./commands/serve.ts')).serve,
  connect: async () => (await import('./commands/connect.ts')).connect,
  probe: async () => (await import('./commands/probe.ts')).probe,
};

/**
 * `trellis WORDS`, as far as it is not about a process.
 * @param printError takes the line that says what to do, where there is one to people
 * @returns the exit code; throws nothing
 */
export async function program(
  words: readonly string[],
  context: CommandContext,
  printError: (line: string) => void,
): Promise<number> {
  let json = words.includes('--json');
  try {
    return await run(words, context, (wanted) => {
      json = wanted;
    });
  } catch (error) {
    return report(error, json, context, printError);
  }
}

async function run(
  words: readonly string[],
  context: CommandContext,
  answerInJson: (wanted: boolean) => void,
): Promise<number> {
  if (words[0] === 'module') {
    return (await import('./module/program.ts')).moduleCommand(words.slice(1), context);
  }
  if (words[0] === 'evidence') return (await import('./evidence.ts')).evidence(words.slice(1), context);
  const invocation = parseArguments(words, version());
  if (invocation.kind === 'print') {
    context.printText(invocation.text);
    return EXIT_OK;
  }
  const given = await withConfigFile(invocation.command, invocation.given);
  answerInJson(given.get('json')?.value === true);
  return (await runners[invocation.command]())(given, context);
}

async function withConfigFile(
  command: CommandName,
  given: ReadonlyMap<string, Found>,
): Promise<ReadonlyMap<string, Found>> {
  const config = given.get('config');
  if (config === undefined) return given;
  const { readConfigFile } = await import('./config-file.ts');
  return new Map([...(await readConfigFile(String(config.value), commands[command])), ...given]);
}

/** One line that says what to do. Whatever stops a command before it is ready is a matter of how it was called. */
function report(
  error: unknown,
  json: boolean,
  context: CommandContext,
  printError: (line: string) => void,
): number {
  const message = errorMessage(error).replace(/\s*\n\s*/g, ' ');
  const code = errorCode(error) ?? 'ERR_TLS_INTERNAL';
  if (json) context.printResult({ event: 'error', code, message });
  else printError(`trellis: ${message}\n`);
  return error instanceof TunnelError || error instanceof TrellisError ? EXIT_USAGE : EXIT_FAILURE;
}

function version(): string {
  const description: unknown = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  if (typeof description === 'object' && description !== null && 'version' in description) {
    return String(description.version);
  }
  return 'unknown';
}

#!/usr/bin/env node
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

const words = process.argv.slice(2);
let json = words.includes('--json');

const context: CommandContext = {
  printResult: (result) => void process.stdout.write(`${JSON.stringify(result)}\n`),
  printText: (text) => void process.stdout.write(text),
};

// On POSIX both are written at once and completely, also into a pipe (Node's manual, "A note on process I/O"), so the
// process may end right after. A reader that has gone away is no reason to fail.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});

for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => {
    const stack = error instanceof Error ? error.stack : String(error);
    process.stderr.write(`trellis: internal error, please report it: ${stack}\n`);
    process.exit(EXIT_FAILURE);
  });
}

try {
  // Exits even if something still holds the event loop open: what had to finish has.
  process.exit(await run());
} catch (error) {
  process.exit(report(error));
}

async function run(): Promise<number> {
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
  json = given.get('json')?.value === true;
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
function report(error: unknown): number {
  const message = errorMessage(error).replace(/\s*\n\s*/g, ' ');
  const code = errorCode(error) ?? 'ERR_TLS_INTERNAL';
  if (json) context.printResult({ event: 'error', code, message });
  else process.stderr.write(`trellis: ${message}\n`);
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

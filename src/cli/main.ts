#!/usr/bin/env node
import type { CommandContext } from './context.ts';
import { EXIT_FAILURE } from './lifecycle.ts';
import { program } from './program.ts';

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

// Exits even if something still holds the event loop open: what had to finish has.
process.exit(
  await program(process.argv.slice(2), context, (line) => {
    process.stderr.write(line);
  }),
);

import { Command, CommanderError, Option } from 'commander';
import { TunnelError } from '../tunnel/errors.ts';
import { type CommandName, type CommandSpec, commands, commonOptions, type OptionSpec } from './options.ts';
import { collect, commanderText } from './subcommands.ts';
import type { Found } from './values.ts';

/** What the command line asks for. */
export type Invocation =
  | { readonly kind: 'run'; readonly command: CommandName; readonly given: ReadonlyMap<string, Found> }
  /** Help or version: this text on stdout, exit 0. */
  | { readonly kind: 'print'; readonly text: string };

/**
 * Reads the words after `trellis`. Values stay as they were typed.
 * @throws TunnelError ERR_TUNNEL_OPTION, in one line
 */
export function parseArguments(words: readonly string[], version: string): Invocation {
  let invocation: Invocation | undefined;
  let printed = '';
  const program = new Command('trellis')
    .description('Many applications in one TLS 1.3 session.')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => {
        printed += text;
      },
      writeErr: () => {},
      outputError: () => {},
    })
    .addHelpText(
      'after',
      `\nStart here:\n  trellis init --out ./pki\n\ntrellis COMMAND --help shows a command's options; trellis evidence --help what an archive can be asked, trellis module --help how to keep keys apart.`,
    );
  for (const spec of Object.values(commands)) {
    addCommand(program, spec, (given) => {
      invocation = { kind: 'run', command: spec.name, given };
    });
  }
  try {
    program.parse(words, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode === 0) return { kind: 'print', text: printed };
    throw new TunnelError('ERR_TUNNEL_OPTION', oneLine(error, words));
  }
  if (invocation === undefined) {
    throw new TunnelError(
      'ERR_TUNNEL_OPTION',
      'Say what to do: init, serve, connect or probe. trellis --help shows more.',
    );
  }
  return invocation;
}

function addCommand(program: Command, spec: CommandSpec, run: (given: Map<string, Found>) => void): void {
  const command = program
    .command(spec.name)
    .description(spec.summary)
    .helpOption('-h, --help', 'print this help');
  for (const option of [...spec.options, ...commonOptions] as readonly OptionSpec[]) {
    // Whether one that is required was given is known only when the configuration file has been read.
    if (option.fileOnly) continue;
    if (option.positional) command.argument(`[${option.value}]`, option.help);
    else command.addOption(commanderOption(option));
  }
  command.addHelpText('after', `\nExamples:\n  ${spec.examples.join('\n  ')}`);
  command.action(() => {
    const positional = (spec.options as readonly OptionSpec[]).find((option) => option.positional);
    const given = new Map<string, Found>();
    for (const option of command.options) {
      const value: unknown = command.getOptionValue(option.attributeName());
      if (value !== undefined) given.set(option.name(), { value, where: `--${option.name()}` });
    }
    const [first] = command.args;
    if (positional?.value !== undefined && first !== undefined) {
      given.set(positional.name, { value: first, where: positional.value });
    }
    run(given);
  });
}

function commanderOption(spec: OptionSpec): Option {
  const option = new Option(
    spec.value === undefined ? `--${spec.name}` : `--${spec.name} <${spec.value}>`,
    spec.help,
  );
  if (spec.repeat) option.argParser(collect);
  return option;
}

/** Commander's texts, in one line, with the way to the help. */
function oneLine(error: CommanderError, words: readonly string[]): string {
  const [first = ''] = words;
  const help = Object.hasOwn(commands, first) ? `trellis ${first} --help` : 'trellis --help';
  const text = commanderText(error);
  if (error.code === 'commander.help')
    return `Say what to do: init, serve, connect or probe. ${help} shows more.`;
  return text.includes('Did you mean') ? text : `${text.replace(/\.$/, '')}; ${help} lists what there is.`;
}

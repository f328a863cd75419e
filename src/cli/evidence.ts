import { Command, Option } from 'commander';
import type { CommandContext } from './context.ts';
import * as change from './evidence/change.ts';
import { option } from './evidence/input.ts';
import * as look from './evidence/look.ts';
import { type Choose, collect, runSubcommand } from './subcommands.ts';

/**
 * `trellis evidence …`: what an archive holds, whether it is whole, and what a third party is given.
 * @param words after `evidence`
 * @returns the exit code: 0 good, 1 not good or nothing found
 * @throws EvidenceError for what cannot be done as it was asked for
 */
export function evidence(words: readonly string[], context: CommandContext): Promise<number> {
  return runSubcommand(words, context, (choose) => buildProgram(context, choose), option);
}

function buildProgram(context: CommandContext, choose: Choose): Command {
  const program = new Command('trellis evidence')
    .description('What was said and signed: find it, show it, verify it, hand it over.')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .addHelpText('after', EXAMPLES)
    .hook('preAction', (_, command) => refuseModule(command));
  const add = (name: string, summary: string): Command => {
    return program
      .command(name)
      .description(summary)
      .helpOption('-h, --help', 'print this help')
      .option('--archive <FILE>', 'the archive')
      .option('--json', 'one JSON object on standard output')
      .addOption(new Option('--module <URI>').hideHelp())
      .addOption(new Option('--offload').hideHelp());
  };
  const judged = (command: Command): Command =>
    command
      .option('--ca <FILE>', 'trust anchors for signers, PEM; may be repeated', collect)
      .option(
        '--tsa-ca <FILE>',
        'trust anchors for time authorities; default: as --ca; may be repeated',
        collect,
      );
  const keyed = (command: Command): Command =>
    command.option(
      '--key <FILE|URI>',
      "the archive's key, or pkcs11:… of one in a token (default: ARCHIVE.key)",
    );

  add('find', 'list records')
    .option('--from <TIME>', 'archived at or after: 2026-01-31 or 2026-01-31T12:30:00Z')
    .option('--to <TIME>', 'archived at or before')
    .option(
      '--peer <NAME>',
      "part of a party's name, or the beginning of the SHA-256 of the peer's certificate",
    )
    .option('--session <HEX>', 'beginning of the SHA-256 of a session, or of its binding')
    .option('--application <NAME>', 'said to or by this application')
    .option('--file <FILE>', 'the document itself: finds what was signed and the receipts by SHA-256')
    .option('--sha256 <HEX>', 'SHA-256 of the document, or of a signed object')
    .option('--direction <DIRECTION>', 'sent or received')
    .option('--kind <KIND>', 'data, receipt or erasure')
    .option('--status <STATUS>', 'verified, unverified, rejected or missing')
    .option('--after <ID>', 'go on behind this record')
    .option('--limit <N>', 'at most so many (default: 50)')
    .action((options: look.FindArguments) => choose(() => look.find(options, context)));
  judged(add('show', 'all about one record, on one page'))
    .argument('<ID>', 'number of the record')
    .action((id: string, options) => choose(() => look.show([id], options, context)));
  judged(add('verify', 'verify the signatures of records again, or a bundle'))
    .argument('[ID...]', 'numbers of records: 12, 12-20')
    .option('--bundle <FILE>', 'an exported bundle instead')
    .action((ids: string[], options: look.VerifyArguments) =>
      choose(() => look.verify(ids, options, context)),
    );
  judged(add('audit', 'compute everything again and name what was tampered with'))
    .option('--checkpoint <FILE>', 'a checkpoint that was kept elsewhere; may be repeated', collect)
    .option('--witness <FILE>', "the other party's archive, or a bundle of it; may be repeated", collect)
    .option(
      '--signatures <WHICH>',
      'verify the signatures of all records, of receipts, or none (default: all)',
    )
    .action((options: look.AuditArguments) => choose(() => look.auditCommand(options, context)));
  judged(add('report', 'one record as a page that needs nothing else'))
    .argument('<ID>', 'number of the record')
    .option('--html <FILE>', 'where the page goes')
    .action((id: string, options: look.ReportArguments) => choose(() => look.report([id], options, context)));
  judged(add('export', 'write a bundle that others verify with openssl and xmlsec1 alone'))
    .argument('<ID...>', 'numbers of records; their receipts come along')
    .option('--out <FILE>', 'the bundle: case.asice')
    .option('--timestamp <URL>', 'have the bundle as a whole dated by this time authority')
    .action((ids: string[], options: change.ExportArguments) =>
      choose(() => change.exportCommand(ids, options, context)),
    );
  keyed(judged(add('import', 'take the records of bundles into an archive')))
    .argument('<BUNDLE...>', 'files')
    .action((files: string[], options) => choose(() => change.importCommand(files, options, context)));
  keyed(add('erase', 'erase contents; their evidence stays'))
    .argument('<ID...>', 'numbers of records')
    .option('--content', 'yes, the content: this cannot be undone')
    .option('--reason <TEXT>', 'kept with the record that says that it was erased')
    .action((ids: string[], options: change.EraseArguments) =>
      choose(() => change.erase(ids, options, context)),
    );
  keyed(judged(add('timestamp', 'have a time authority date a checkpoint, and fetch what is outstanding')))
    .option('--authority <URL>', 'of an RFC 3161 time authority')
    .action((options: change.TimestampArguments) => choose(() => change.timestamp(options, context)));
  keyed(add('checkpoint', 'sign the present tree head; keep it elsewhere, or send it to somebody'))
    .option('--out <FILE>', 'where it goes (default: standard output)')
    .action((options: change.CheckpointArguments) => choose(() => change.checkpoint(options, context)));
  return program;
}

const EXAMPLES = `
Examples:
  trellis evidence find --archive a.db --file order.xml
  trellis evidence show 12 --archive a.db --ca ca.pem
  trellis evidence audit --archive a.db --ca ca.pem --witness other-party.db
  trellis evidence export 12 --archive a.db --out case.asice

trellis evidence COMMAND --help shows a command's options.`;

/**
 * Other commands take a module where this one needs a key. A module signs objects of the sessions that run in it (Compute
 * signature, docs/security-module.md), and a checkpoint is of no session.
 * @throws EvidenceError ERR_EVIDENCE_OPTION
 */
function refuseModule(command: Command): void {
  const { module, offload } = command.opts<{ module?: string; offload?: true }>();
  if (module === undefined && offload === undefined) return;
  const name = module === undefined ? '--offload' : '--module';
  const signs = command.options.some(({ long }) => long === '--key');
  throw option(
    signs
      ? `${name}: a security module signs what is said in its own sessions, and no checkpoints; give the archive's key with --key, a file or pkcs11:… of one in a token`
      : `${name}: trellis evidence ${command.name()} signs nothing and needs no key; leave it out`,
  );
}

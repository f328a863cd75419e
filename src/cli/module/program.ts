import { Command } from 'commander';
import { TunnelError } from '../../tunnel/errors.ts';
import type { CommandContext } from '../context.ts';
import { type Choose, collect, runSubcommand } from '../subcommands.ts';
import * as module from './commands.ts';
import { serve } from './serve.ts';
import { trace } from './trace.ts';

/**
 * `trellis module …`: makes, runs and provisions a security module.
 * @param words after `module`
 * @returns the exit code
 * @throws TunnelError, ModuleError for what cannot be done as it was asked for
 */
export function moduleCommand(words: readonly string[], context: CommandContext): Promise<number> {
  const fault = (message: string) => new TunnelError('ERR_TUNNEL_OPTION', message);
  return runSubcommand(words, context, (choose) => buildProgram(context, choose), fault);
}

function buildProgram(context: CommandContext, choose: Choose): Command {
  const program = new Command('trellis module')
    .description('A security module: keys and TLS sessions apart from the programs that use them.')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false)
    .addHelpText('after', EXAMPLES);
  const add = (parent: Command, name: string, summary: string): Command =>
    parent
      .command(name)
      .description(summary)
      .helpOption('-h, --help', 'print this help')
      .option('--json', 'one JSON object on standard output');
  const stored = (command: Command): Command =>
    command
      .requiredOption('--store <FILE>', 'where the module keeps identities and PINs, encrypted')
      .requiredOption('--secret-file <FILE>', 'the secret that the store is encrypted with');
  const at = (command: Command): Command =>
    command.requiredOption('--module <URI>', 'unix:PATH or pcsc:READER');
  const operated = (command: Command): Command =>
    at(command).requiredOption('--operator-pin-file <FILE>', 'the operator PIN');

  stored(add(program, 'init', 'make a new module'))
    .requiredOption('--pin-file <FILE>', 'the user PIN, 4 to 8 digits')
    .requiredOption('--operator-pin-file <FILE>', 'the operator PIN, 4 to 8 digits')
    .action((options: module.InitArguments) => choose(() => module.init(options, context)));
  stored(add(program, 'serve', 'run a module until a signal'))
    .option('--socket <PATH>', 'serve programs of this user at this Unix socket')
    .option(
      '--vpcd <HOST:PORT>',
      "put a card into vpcd's virtual reader (pcscd); 127.0.0.1:35963 is where it waits",
    )
    .option('--sessions <N>', 'sessions of one connection at once (default: 16)')
    .option('--trace <FILE>', 'append every command and answer, secrets left out, as lines of JSON')
    .action((options) => choose(() => serve(options, context)));
  at(add(program, 'status', 'what a module says of itself')).action((options: module.ModuleArguments) =>
    choose(() => module.status(options, context)),
  );
  at(add(program, 'pin', 'change a PIN, or give the user a new one'))
    .option('--pin-file <FILE>', 'the present user PIN; with --operator, the present operator PIN')
    .requiredOption('--new-pin-file <FILE>', 'the new one')
    .option('--operator', "change the operator's instead of the user's")
    .option('--unblock', 'give the user a new PIN; needs --operator-pin-file')
    .option('--operator-pin-file <FILE>', 'the operator PIN')
    .action((options: module.PinArguments) => choose(() => module.changePin(options, context)));

  const identity = program
    .command('identity')
    .description('identities: keys with their certificates')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false);
  at(add(identity, 'list', 'names of the identities')).action((options: module.ModuleArguments) =>
    choose(() => module.listIdentities(options, context)),
  );
  operated(add(identity, 'add', 'make an identity, or change one: what is given is put'))
    .argument('<ALIAS>', 'its name')
    .option('--role <ROLE>', 'client, server or both')
    .option('--key <FILE>', 'a private key from outside, PEM; generate-key makes one that was never outside')
    .option('--cert <FILE>', 'its certificate and chain, PEM')
    .option('--ca <FILE>', 'trust anchors for its peers, PEM')
    .option('--permit <LIST>', 'what may leave: sign, msk, traffic-keys, or none (default: sign)')
    .option('--client-cert <POLICY>', 'as a server: none, request or require (default: none)')
    .option('--nai <TEXT>', 'what EAP-Response/Identity says (default: the alias)')
    .action((alias: string, options) => choose(() => module.addIdentity(alias, options, context)));
  operated(add(identity, 'remove', 'destroy an identity and its key'))
    .argument('<ALIAS>', 'its name')
    .action((alias: string, options) => choose(() => module.removeIdentity(alias, options, context)));
  const psk = program
    .command('psk')
    .description('pre-shared keys of an identity, beside its certificate or in the place of it')
    .helpOption('-h, --help', 'print this help')
    .helpCommand(false);
  operated(add(psk, 'add', 'put keys into the module, behind those that it has'))
    .argument('<ALIAS>', 'the identity')
    .requiredOption('--psk-file <FILE>', 'one IDENTITY:HEX a line, as serve and connect take it')
    .option(
      '--hash <NAME>',
      'of the TLS 1.3 suites that they serve: sha256, or sha384 (default: sha256, as in OpenSSL)',
    )
    .action((alias: string, options) => choose(() => module.addPsks(alias, options, context)));
  operated(add(psk, 'list', 'names of the keys; the keys stay inside'))
    .argument('<ALIAS>', 'the identity')
    .action((alias: string, options) => choose(() => module.listPsks(alias, options, context)));
  operated(add(psk, 'remove', 'destroy a key'))
    .argument('<ALIAS>', 'the identity')
    .requiredOption('--identity <NAME>', 'the name of the key')
    .action((alias: string, options) => choose(() => module.removePsk(alias, options, context)));
  operated(add(program, 'generate-key', 'make a private key in the module'))
    .argument('<ALIAS>', 'the identity that it is for')
    .option('--algorithm <NAME>', 'P-256, P-384, Ed25519, RSA-2048 or RSA-3072 (default: P-256)')
    .action((alias: string, options) => choose(() => module.generateKey(alias, options, context)));
  operated(add(program, 'csr', 'a certificate request (PKCS#10) for a key in the module'))
    .argument('<ALIAS>', 'the identity')
    .requiredOption('--subject <NAME>', 'common name')
    .option('--host <HOST>', 'DNS name or address for subjectAltName; may be repeated', collect)
    .option('--out <FILE>', 'where it goes (default: standard output)')
    .action((alias: string, options) => choose(() => module.csr(alias, options, context)));
  operated(add(program, 'install-cert', 'install the certificate that a CA has made of a request'))
    .argument('<ALIAS>', 'the identity')
    .requiredOption('--cert <FILE>', 'certificate and chain, PEM')
    .option('--ca <FILE>', 'trust anchors for its peers, PEM')
    .action((alias: string, options) => choose(() => module.installCertificate(alias, options, context)));
  add(program, 'trace', 'show what module serve --trace has written')
    .argument('<FILE>', 'the trace')
    .action((file: string, options) => choose(() => trace(file, options, context)));
  return program;
}

const EXAMPLES = `
Examples:
  trellis module init --store m.store --secret-file m.secret --pin-file pin --operator-pin-file opin
  trellis module serve --store m.store --secret-file m.secret --socket m.sock
  trellis module generate-key web --module unix:m.sock --operator-pin-file opin
  trellis module csr web --subject localhost --host localhost --module unix:m.sock --operator-pin-file opin --out web.csr
  trellis module install-cert web --cert web.pem --module unix:m.sock --operator-pin-file opin
  trellis module identity add web --role server --module unix:m.sock --operator-pin-file opin
  trellis module psk add web --psk-file keys --module unix:m.sock --operator-pin-file opin

trellis module COMMAND --help shows a command's options.`;

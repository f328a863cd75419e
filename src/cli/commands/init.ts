import { initPki } from '../../tunnel/init.ts';
import type { CommandContext } from '../context.ts';
import { EXIT_OK } from '../lifecycle.ts';
import { commonOptions, initOptions } from '../options.ts';
import { type Found, readValues } from '../values.ts';

/** `trellis init`: writes the files and says what to type next. @returns the exit code */
export async function init(given: ReadonlyMap<string, Found>, context: CommandContext): Promise<number> {
  const { out, host, force, json } = readValues([...initOptions, ...commonOptions], given);
  const { files, hosts } = await initPki({ directory: out, hosts: host, force });
  const at = (name: string): string => shellWord(`${out.replace(/\/+$/, '')}/${name}`);
  const [serverName = 'localhost'] = hosts;
  const server = `${serverName.includes(':') ? `[${serverName}]` : serverName}:4433`;
  // Without --host the certificate is for this machine, so there is no point in letting others in.
  const listen = host === undefined ? '127.0.0.1:4433' : '0.0.0.0:4433';
  const commands = [
    `trellis serve --listen ${listen} --cert ${at('server.pem')} --key ${at('server.key')} --client-ca ${at('ca.pem')} --app web=127.0.0.1:8080`,
    `trellis connect ${server} --ca ${at('ca.pem')} --cert ${at('client.pem')} --key ${at('client.key')} --forward 9080=web`,
  ];
  if (json) {
    context.printResult({ event: 'created', command: 'init', directory: out, hosts, files, next: commands });
  } else {
    context.printText(
      [
        `A private CA, and certificates for a server (${hosts.join(', ')}) and a client, are in ${out}.`,
        'Keep ca.key where neither runs. Next, with an application of yours in place of web:',
        '',
        ...commands.map((command) => `  ${command}`),
        '',
      ].join('\n'),
    );
  }
  return EXIT_OK;
}

function shellWord(text: string): string {
  return /^[\w./:@%+,=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

import { createReadStream } from 'node:fs';
import { createInterface } from 'node:readline';
import type { TraceEntry } from '../../module/apdu/trace.ts';
import type { CommandContext } from '../context.ts';
import { EXIT_OK } from '../lifecycle.ts';
import { fileError } from './input.ts';

/** `trellis module trace`: what `module serve --trace` has written, for people; with --json as it is. */
export async function trace(
  path: string,
  { json }: { readonly json?: boolean },
  context: CommandContext,
): Promise<number> {
  try {
    for await (const line of createInterface({ input: createReadStream(path) })) {
      if (line === '') continue;
      const entry = JSON.parse(line) as TraceEntry & { readonly time: string };
      if (json === true) context.printResult(entry);
      else context.printText(`${describe(entry)}\n`);
    }
  } catch (cause) {
    throw fileError('trace', path, cause);
  }
  return EXIT_OK;
}

function describe(entry: TraceEntry & { readonly time: string }): string {
  const { time, name, object, header, session, eap, data, answerEap, answer, status, meaning, more } = entry;
  const where = session === undefined ? '' : ` session ${session}`;
  const what = object === undefined ? '' : ` ${object}`;
  const lines = [`${time} ${name}${what}${where} [${header}]${more === true ? ' more follows' : ''}`];
  if (data !== '') lines.push(`  > ${eap ?? data}`);
  lines.push(`  < ${answer === '' ? '' : `${answerEap ?? answer} `}${status} ${meaning}`);
  return lines.join('\n');
}

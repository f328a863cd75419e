import { parseArgs } from 'node:util';
import { type Cost, type DemoResult, mebibytes, runDemo } from './demo.ts';
import { type Claim, type ModuleDemoResult, runModuleDemo } from './module/module-demo.ts';
import { runSignedModuleDemo, type SignedModuleDemoResult } from './module/signed-demo.ts';
import { runSignDemo, type SignDemoResult } from './sign/sign-demo.ts';
import { runUdpDemo, type UdpDemoResult } from './udp/udp-demo.ts';

const USAGE = `npm run demo [-- OPTIONS]       many applications in one TLS session
npm run demo -- --udp           UDP applications in one DTLS session, over a path that loses 5 % of the datagrams
npm run demo -- --sign          a signed order, and the dispute about it
npm run demo -- --module        the session in security modules, and a search of the hosts' memory for keys
npm run demo -- --module --sign an order signed in a module, in one multiplexed session of modules

  --json          the result as one line of JSON
  --help          this

The exit code is 0 when every claim held.`;

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    sign: { type: 'boolean', default: false },
    module: { type: 'boolean', default: false },
    udp: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
    // For tests: less work, or more sessions than the demo claims.
    sessions: { type: 'string' },
    requests: { type: 'string' },
    bytes: { type: 'string' },
  },
});
if (values.help) {
  console.log(USAGE);
  process.exit(0);
}
if (values.udp && (values.sign || values.module)) {
  console.error(
    '--udp does not go with --sign or --module: over DTLS nothing is signed, and modules have TLS only.',
  );
  process.exit(2);
}
const live = process.stdout.isTTY && !values.json;
const started = performance.now();

try {
  const onProgress = (line: string): void => {
    const at = ((performance.now() - started) / 1000).toFixed(1);
    if (live) process.stdout.write(`\r\u001b[K${at.padStart(5)} s  ${line} …`);
  };
  const tls = values.module ? (values.sign ? signedInModules : inModules) : values.sign ? signed : plain;
  const run = values.udp ? overUdp : tls;
  const [result, text] = await run(onProgress);
  if (live) process.stdout.write('\r\u001b[K');
  console.log(values.json ? JSON.stringify(result) : text);
  process.exit(result.ok ? 0 : 1);
} catch (error) {
  if (live) process.stdout.write('\n');
  console.error(`The demo did not finish: ${error instanceof Error ? error.message : error}`);
  process.exit(1);
}

async function plain(onProgress: (line: string) => void): Promise<[DemoResult, string]> {
  const result = await runDemo({ ...numbers(values), onProgress });
  return [result, render(result)];
}

async function overUdp(onProgress: (line: string) => void): Promise<[UdpDemoResult, string]> {
  const result = await runUdpDemo({ ...numbers(values), onProgress });
  return [result, renderUdp(result)];
}

async function signed(onProgress: (line: string) => void): Promise<[SignDemoResult, string]> {
  const result = await runSignDemo({ onProgress });
  return [result, renderSigned(result)];
}

async function inModules(onProgress: (line: string) => void): Promise<[ModuleDemoResult, string]> {
  const { requests, bytes } = numbers(values);
  const result = await runModuleDemo({
    ...(requests !== undefined && { requests }),
    ...(bytes !== undefined && { bytes }),
    onProgress,
  });
  return [result, renderModules(result)];
}

async function signedInModules(
  onProgress: (line: string) => void,
): Promise<[SignedModuleDemoResult, string]> {
  const result = await runSignedModuleDemo(onProgress);
  return [result, renderModules(result)];
}

function numbers(given: typeof values): Partial<Record<'sessions' | 'requests' | 'bytes', number>> {
  const { sessions, requests, bytes } = given;
  return {
    ...(sessions === undefined ? {} : { sessions: Number(sessions) }),
    ...(requests === undefined ? {} : { requests: Number(requests) }),
    ...(bytes === undefined ? {} : { bytes: Number(bytes) }),
  };
}

function render({ claims, trellis, separate, ok }: DemoResult): string {
  const rows: [string, (cost: Cost) => string][] = [
    ['handshakes', ({ handshakes }) => count(handshakes)],
    ['TCP connections', ({ tcpConnections }) => count(tcpConnections)],
    ['server ports an observer sees', ({ ports }) => count(ports)],
    ['TLS records', ({ records }) => count(records)],
    ...Object.keys(trellis.recordsBySize).map((size, i, sizes): [string, (cost: Cost) => string] => [
      `  of ${i === 0 ? 'up to' : `${count(Number(sizes[i - 1]) + 1)} to`} ${count(Number(size))} bytes`,
      (cost) => count(cost.recordsBySize[size] ?? 0),
    ]),
    ['bytes on the wire', ({ bytes }) => mebibytes(bytes)],
    ['time for the HTTP requests', ({ httpSeconds }) => `${httpSeconds.toFixed(2)} s`],
    ['time for everything', ({ seconds }) => `${seconds.toFixed(2)} s`],
  ];
  const table = [
    ['', 'Trellis', 'separate node:tls'],
    ...rows.map(([name, of]) => [name, of(trellis), of(separate)]),
  ];
  const width = (column: number): number => Math.max(...table.map((row) => row[column]?.length ?? 0));
  return [
    ...claims.map(({ claim, held }) => `${held ? '  yes ' : '  NO  '} ${claim}`),
    '',
    ...table.map(([name = '', ours = '', theirs = '']) =>
      `  ${name.padEnd(width(0))}   ${ours.padStart(width(1))}   ${theirs.padStart(width(2))}`.trimEnd(),
    ),
    '',
    ok ? '  Every claim held.' : '  Not every claim held.',
  ].join('\n');
}

function renderSigned({ claims, records, outsider, ok }: SignDemoResult): string {
  return [
    ...detailed(claims),
    '',
    `  ${records.buyer} records in the buyer's archive, ${records.supplier} in the supplier's. What the outsider ran:`,
    '',
    ...outsider.commands.map((command) => `    $ ${command}`),
    '',
    ok ? '  Every claim held.' : '  Not every claim held.',
  ].join('\n');
}

function renderModules(result: ModuleDemoResult | SignedModuleDemoResult): string {
  const { claims, whyNoReader, seconds, ok } = result;
  const whyNoScan = 'whyNoScan' in result ? result.whyNoScan : undefined;
  const commands = 'commands' in result ? result.commands : [];
  return [
    ...detailed(claims),
    '',
    ...(commands.length === 0 ? [] : ['  What the outsider ran:', '']),
    ...commands.map((command) => `    $ ${command}`),
    ...(commands.length === 0 ? [] : ['']),
    ...(whyNoReader === undefined ? [] : [`  Both modules were behind Unix sockets: ${whyNoReader}.`]),
    ...(whyNoScan === undefined ? [] : [`  No memory was searched: ${whyNoScan}.`]),
    ok ? `  Every claim held, in ${seconds.toFixed(1)} s.` : '  Not every claim held.',
  ].join('\n');
}

function renderUdp({ claims, seconds, ok }: UdpDemoResult): string {
  return [
    ...detailed(claims),
    '',
    ok ? `  Every claim held, in ${seconds.toFixed(1)} s.` : '  Not every claim held.',
  ].join('\n');
}

function detailed(claims: readonly Claim[]): string[] {
  return claims.flatMap(({ claim, held, detail }) => [
    `${held ? '  yes ' : '  NO  '} ${claim}`,
    ...(detail === undefined ? [] : [`         ${detail}`]),
  ]);
}

function count(value: number): string {
  return value.toLocaleString('en');
}

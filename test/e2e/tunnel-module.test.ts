import { readFileSync, writeFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { moduleCommand } from '../../src/cli/module/program.ts';
import { Instruction } from '../../src/module/protocol.ts';
import { openModuleFile } from '../../src/node/module/store-file.ts';
import { serveModule } from '../../src/node/module/unix.ts';
import type { ProbeReport } from '../../src/node/probe/report.ts';
import {
  dial,
  echoServer,
  listen,
  outcome,
  type Pki,
  pki,
  portOf,
  readAll,
  scratch,
  startServer,
  startTrellis,
  type Trellis,
  trellis,
} from './tunnel-kit.ts';

/* `trellis connect` and `trellis probe` with the client's key in a module behind a Unix socket. */

/** A module in this process, with the client's identity: `full` may give traffic keys away, `kept` may not. */
interface ModuleUnderTest {
  readonly path: string;
  readonly pinFile: string;
  readonly operatorPinFile: string;
  /** Instructions of the commands that came. */
  readonly commands: number[];
  /** Takes all connections down and listens anew, as a process that has ended and was started again. */
  restart(): Promise<void>;
}

async function startModule(files: Pki): Promise<ModuleUnderTest> {
  const folder = scratch();
  const at = (name: string): string => join(folder, name);
  writeFileSync(at('pin'), '1234\n');
  writeFileSync(at('opin'), '12345678\n');
  const run = (...words: string[]) => moduleCommand(words, { printText: () => {}, printResult: () => {} });
  const path = at('m.sock');
  const secret = ['--store', at('store'), '--secret-file', at('secret')];
  await run('init', ...secret, '--pin-file', at('pin'), '--operator-pin-file', at('opin'));
  const file = openModuleFile(
    at('store'),
    Buffer.from(readFileSync(at('secret'), 'latin1').trim(), 'latin1'),
  );
  const commands: number[] = [];
  const sockets = new Set<Socket>();
  const open = async () => {
    const server = await serveModule({
      state: file.state,
      path,
      onExchange: (command) => void commands.push(command[1] ?? 0),
    });
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.once('close', () => sockets.delete(socket));
    });
    return server;
  };
  let server = await open();
  const stop = async (): Promise<void> => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  onTestFinished(async () => {
    await stop();
    file.close();
  });
  for (const [alias, permissions] of [
    ['full', 'sign,traffic-keys'],
    ['kept', 'sign'],
  ] as const) {
    await run(
      ...['identity', 'add', alias, '--key', files.clientKey, '--cert', files.client, '--ca', files.ca],
      ...['--role', 'client', '--permit', permissions],
      ...['--module', `unix:${path}`, '--operator-pin-file', at('opin')],
    );
  }
  const restart = async (): Promise<void> => {
    await stop();
    server = await open();
  };
  return { path, pinFile: at('pin'), operatorPinFile: at('opin'), commands, restart };
}

async function connectWith(
  { path, pinFile }: ModuleUnderTest,
  alias: string,
  address: string,
  files: Pki,
  more: readonly string[],
): Promise<{ client: Trellis; port: number }> {
  const client = startTrellis([
    ...['connect', address, '--json', '--log-level', 'debug', '--servername', 'localhost', '--ca', files.ca],
    ...['--module', `unix:${path}#${alias}`, '--pin-file', pinFile, '--forward', '0=app', ...more],
  ]);
  const { forwards } = await client.result<{ forwards: { listen: string }[] }>();
  return { client, port: portOf(forwards[0]?.listen ?? '') };
}

async function echoed(port: number, text: string): Promise<string> {
  const socket = dial(port);
  socket.end(text);
  return String(await readAll(socket));
}

describe('a client whose key is in a module', () => {
  it('takes its session out of the module with --offload, where the identity permits it', async () => {
    const files = await pki();
    const module = await startModule(files);
    const { address } = await startServer(files, { app: await listen(echoServer()) });
    const { client, port } = await connectWith(module, 'full', address, files, ['--offload']);
    expect(await echoed(port, 'x'.repeat(200_000))).toBe('x'.repeat(200_000));
    const count = (ins: number) => module.commands.filter((one) => one === ins).length;
    expect(count(Instruction.exportTrafficKeys)).toBe(1);
    expect(count(Instruction.encrypt) + count(Instruction.decrypt)).toBe(0);
    expect(await client.stop()).toMatchObject({ code: 0 });

    const refused = await connectWith(module, 'kept', address, files, ['--offload', '--eager']);
    expect(await refused.client.event('session.retry')).toMatchObject({ code: 'ERR_MODULE_NOT_PERMITTED' });
  });

  it('goes by a pre-shared key that is in the module, offloaded too, and probe says so', async () => {
    const files = await pki();
    const module = await startModule(files);
    const keys = join(scratch(), 'keys');
    writeFileSync(keys, 'sensor-7:3f9c0b7d5a214e8896d1c2b3a4f5e607\n');
    const at = ['--module', `unix:${module.path}`, '--operator-pin-file', module.operatorPinFile];
    for (const words of [
      ['identity', 'add', 'sensor', '--role', 'client', '--permit', 'sign,traffic-keys', ...at],
      ['psk', 'add', 'sensor', '--psk-file', keys, ...at],
    ]) {
      await moduleCommand(words, { printText: () => {}, printResult: () => {} });
    }
    const target = await listen(echoServer());
    const server = startTrellis([
      ...['serve', '--json', '--log-level', 'debug', '--listen', '127.0.0.1:0', '--psk-file', keys],
      ...['--app', `app=127.0.0.1:${target}`],
    ]);
    const { listen: address } = await server.result<{ listen: string }>();
    for (const more of [[], ['--offload']]) {
      const { client, port } = await connectWith(module, 'sensor', address, files, more);
      expect(await echoed(port, 'by key')).toBe('by key');
      expect(await client.event('session.open')).toMatchObject({ psk: 'sensor-7' });
      expect(await client.stop()).toMatchObject({ code: 0 });
    }
    const probed = await trellis(
      ...['probe', address, '--json', '--timeout', '8'],
      ...['--module', `unix:${module.path}#sensor`, '--pin-file', module.pinFile],
    );
    const report = JSON.parse(probed.stdout) as ProbeReport;
    expect(report.module).toMatchObject({ connected: true, pskIdentity: 'sensor-7' });
    expect(report.module).not.toHaveProperty('shown');
    expect(probed.code).toBe(0);
  });

  it('connects anew to a module that was lost with --reconnect, and not without', async () => {
    const files = await pki();
    const module = await startModule(files);
    const { address } = await startServer(files, { app: await listen(echoServer()) });
    const again = await connectWith(module, 'full', address, files, ['--reconnect']);
    const once = await connectWith(module, 'full', address, files, ['--wait-timeout', '1s']);
    for (const { port } of [again, once]) expect(await echoed(port, 'before')).toBe('before');
    await module.restart();
    // The session hears of it when it has something to say.
    for (const { port, client } of [again, once]) {
      const socket = dial(port);
      socket.end('lost');
      await outcome(socket);
      await client.event('session.close');
    }
    await again.client.event('session.open', 2);
    expect(await echoed(again.port, 'after')).toBe('after');
    expect(await once.client.event('session.retry')).toMatchObject({ code: 'ERR_MODULE_GONE' });
    expect(once.client.events('session.open')).toHaveLength(1);
  });
});

describe('trellis probe --module', () => {
  it('shows the certificate that is in the module, in one handshake that runs there', async () => {
    const files = await pki();
    const module = await startModule(files);
    const { address } = await startServer(files, { app: await listen(echoServer()) });
    const probe = async (alias: string) => {
      const { code, stdout } = await trellis(
        ...['probe', address, '--json', '--servername', 'localhost', '--ca', files.ca, '--offload'],
        ...['--module', `unix:${module.path}#${alias}`, '--pin-file', module.pinFile],
      );
      return { code, report: JSON.parse(stdout) as ProbeReport };
    };
    const before = module.commands.length;
    const { code, report } = await probe('full');
    expect(report).toMatchObject({
      trust: { trusted: true },
      clientCertificate: 'required',
      mux: { channels: true },
      module: { connected: true, version: 'TLSv1.3', offloaded: true },
    });
    expect(report.module?.shown).toMatch(/^CN=/);
    expect(code).toBe(0);
    const asked = module.commands.slice(before);
    expect(asked.filter((ins) => ins === Instruction.open)).toHaveLength(1);
    const kept = await probe('kept');
    expect(kept.report.module).toMatchObject({
      connected: false,
      failure: { code: 'ERR_MODULE_NOT_PERMITTED' },
    });
    expect(kept.report.trust?.trusted).toBe(true);
    expect(kept.code).toBe(1);
  });

  it('says which options make no sense together', async () => {
    const { client, clientKey } = await pki();
    const module = ['--module', 'unix:/nowhere/m.sock#me'];
    const wrong: [string[], string][] = [
      [['--offload'], '--offload is for --module'],
      [[...module, '--cert', client, '--key', clientKey], 'leave --cert and --key out'],
      [[...module, '--psk', 'me:00112233445566778899aabbccddeeff'], 'leave --psk and --psk-file out'],
      [module, '--pin-file FILE is missing'],
    ];
    const ends = await Promise.all(wrong.map(([words]) => trellis('probe', '127.0.0.1:1', ...words)));
    ends.forEach(({ code, stderr }, index) => {
      expect(code).toBe(2);
      expect(stderr).toContain(wrong[index]?.[1]);
    });
  });
});

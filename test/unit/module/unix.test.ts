import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect as netConnect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { Card as Queue } from '../../../src/module/bridge/card.ts';
import { ModuleClient } from '../../../src/module/bridge/client.ts';
import { KeyAlgorithmCode } from '../../../src/module/protocol.ts';
import { FrameSplitter, frame } from '../../../src/node/module/framing.ts';
import { openModule, parseModuleAddress } from '../../../src/node/module/open.ts';
import { createModuleFile, openModuleFile, StoreFile } from '../../../src/node/module/store-file.ts';
import { serveModule, UnixTransport } from '../../../src/node/module/unix.ts';
import { cardWith, openState, utf8 } from './kit.ts';

const folder = mkdtempSync(join(tmpdir(), 'trellis-module-'));
afterAll(() => rmSync(folder, { recursive: true }));

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

let number = 0;
async function served(): Promise<string> {
  const path = join(folder, `${++number}.sock`);
  servers.push(await serveModule({ state: openState(cardWith().storage), path }));
  return path;
}

describe('frames', () => {
  it('come out as they went in, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 40 })),
        fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
        (frames, cuts) => {
          const bytes = Buffer.concat(frames.map(frame));
          const splitter = new FrameSplitter();
          const out: Uint8Array[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const end = at + (cuts[i % cuts.length] as number);
            out.push(...splitter.push(bytes.subarray(at, end)));
            at = end;
          }
          expect(out).toEqual(frames);
        },
      ),
    );
  });
});

describe('a module behind a Unix socket', () => {
  it('can be used by the owner of the socket alone', async () => {
    expect(statSync(await served()).mode & 0o777).toBe(0o600);
  });

  it('is refused where somebody else could have made the socket, on both ends', async () => {
    const path = await served();
    chmodSync(path, 0o660);
    const connected = () => UnixTransport.connect(path);
    await expect(connected()).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_PERMITTED' });
    chmodSync(path, 0o600);
    chmodSync(folder, 0o777);
    try {
      await expect(connected()).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_PERMITTED' });
      await expect(served()).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_PERMITTED' });
      // As in /tmp: who may write may not delete what is not theirs.
      chmodSync(folder, 0o1777);
      (await connected()).close();
    } finally {
      chmodSync(folder, 0o700);
    }
    const file = join(folder, 'file');
    writeFileSync(file, '', { mode: 0o600 });
    await expect(UnixTransport.connect(file)).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_PERMITTED' });
    const link = join(folder, 'link.sock');
    symlinkSync(path, link);
    await expect(UnixTransport.connect(link)).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_PERMITTED' });
    await expect(UnixTransport.connect(join(folder, 'none'))).rejects.toMatchObject({
      code: 'ERR_MODULE_GONE',
    });
  });

  it.runIf(process.getuid?.() === 0)('is refused when the socket belongs to another user', async () => {
    const path = await served();
    chownSync(path, 65_534, 65_534);
    await expect(UnixTransport.connect(path)).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_PERMITTED' });
    chownSync(folder, 65_534, 65_534);
    try {
      await expect(served()).rejects.toMatchObject({ code: 'ERR_MODULE_NOT_PERMITTED' });
    } finally {
      chownSync(folder, 0, 0);
    }
  });

  it('gives each connection PINs and sessions of its own', async () => {
    const path = await served();
    const [a, b] = [await UnixTransport.connect(path), await UnixTransport.connect(path)].map(
      (transport) => new ModuleClient(new Queue(transport)),
    ) as [ModuleClient, ModuleClient];
    await a.verifyPin('user', utf8('1234'));
    expect(await a.pinState('user')).toBe('verified');
    expect(await b.pinState('user')).toBe(3);
    await expect(b.verifyPin('user', utf8('9999'))).rejects.toMatchObject({ code: 'ERR_MODULE_PIN_WRONG' });
    expect(await b.pinState('user')).toBe(2);
    expect(await b.identities()).toEqual(['main']);
    a.card.close();
    await expect(a.pinState('user')).rejects.toMatchObject({ code: 'ERR_MODULE_GONE' });
    b.card.close();
  });

  it('tells who waits that its process has gone', async () => {
    const path = join(folder, 'goes.sock');
    const { createServer } = await import('node:net');
    const server = createServer((socket) => socket.once('data', () => socket.destroy()));
    server.listen(path);
    await once(server, 'listening');
    chmodSync(path, 0o600);
    const client = new ModuleClient(new Queue(await UnixTransport.connect(path)));
    await expect(client.select()).rejects.toMatchObject({ code: 'ERR_MODULE_GONE' });
    await expect(client.select()).rejects.toMatchObject({ code: 'ERR_MODULE_GONE' });
    server.close();
  });

  it('says so when nobody listens, and when somebody does already', async () => {
    await expect(UnixTransport.connect(join(folder, 'nobody'))).rejects.toMatchObject({
      code: 'ERR_MODULE_GONE',
    });
    const path = await served();
    const again = serveModule({ state: openState(cardWith().storage), path });
    await expect(again).rejects.toMatchObject({ code: 'ERR_MODULE_GONE' });
    const module = await openModule(`unix:${path}#main`, { pin: '1234' });
    module.close();
  });

  it('survives whatever is written to its socket', async () => {
    const path = await served();
    const socket = netConnect(path);
    socket.write(Buffer.concat([frame(new Uint8Array(0)), frame(new Uint8Array(3)), frame(utf8('GET /'))]));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(answer.subarray(0, 4).toString('hex')).toBe('00026700');
    socket.end(Buffer.from('ffff00', 'hex'));
    const module = await openModule(`unix:${path}`, { pin: '1234' });
    module.close();
  });
});

describe('the file of a module', () => {
  const pins = { user: utf8('1234'), operator: utf8('12345678') };

  it('keeps identities, and is for its owner alone', async () => {
    const path = join(folder, 'store');
    createModuleFile(path, utf8('secret'), pins);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const file = openModuleFile(path, utf8('secret'));
    const socket = join(folder, 'store.sock');
    const server = await serveModule({ state: file.state, path: socket });
    const client = new ModuleClient(new Queue(await UnixTransport.connect(socket)));
    await client.verifyPin('operator', utf8('12345678'));
    await client.generateKey('first', 'P-256');
    expect(Object.keys(KeyAlgorithmCode)).toContain('P-256');
    client.card.close();
    server.close();
    file.close();
    const again = openModuleFile(path, utf8('secret'));
    expect(again.state.identities.map(({ alias }) => alias)).toEqual(['first']);
    again.close();
    expect(readFileSync(path).includes('first')).toBe(false);
  });

  it('is opened with its secret, and made once', () => {
    const path = join(folder, 'once');
    createModuleFile(path, utf8('secret'), pins);
    expect(() => openModuleFile(path, utf8('other'))).toThrow(
      expect.objectContaining({ code: 'ERR_MODULE_STORE' }),
    );
    expect(() => createModuleFile(path, utf8('secret'), pins)).toThrow(
      expect.objectContaining({ code: 'ERR_MODULE_STORE' }),
    );
    expect(() => openModuleFile(join(folder, 'none'), utf8('secret'))).toThrow(
      expect.objectContaining({ code: 'ERR_MODULE_STORE' }),
    );
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });

  it('is refused when it is something else, and asks no unbounded work then', () => {
    const path = join(folder, 'else');
    writeFileSync(path, Buffer.from('54524c4d01ff', 'hex'));
    expect(() => openModuleFile(path, utf8('secret'))).toThrow(
      expect.objectContaining({ code: 'ERR_MODULE_STORE' }),
    );
    // scrypt parameters that would take hours.
    const hostile = Buffer.concat([Buffer.from('54524c4d01133fff40', 'hex'), Buffer.alloc(300, 1)]);
    writeFileSync(path, hostile);
    expect(() => openModuleFile(path, utf8('secret'))).toThrow(
      expect.objectContaining({ code: 'ERR_MODULE_STORE' }),
    );
    const file = StoreFile.open(path);
    expect(file.read(1)).toBeUndefined();
    file.close();
  });
});

describe('the address of a module', () => {
  it('names a socket or a reader, and an identity', () => {
    expect(parseModuleAddress('unix:/run/m.sock#web')).toEqual({
      kind: 'unix',
      place: '/run/m.sock',
      alias: 'web',
    });
    expect(parseModuleAddress('pcsc:Virtual PCD 00 00')).toEqual({
      kind: 'pcsc',
      place: 'Virtual PCD 00 00',
      alias: undefined,
    });
    for (const wrong of ['', 'unix:', 'tcp:host', '/run/m.sock', 'unix:x#']) {
      expect(() => parseModuleAddress(wrong), wrong).toThrow(
        expect.objectContaining({ code: 'ERR_TLS_OPTION' }),
      );
    }
  });
});

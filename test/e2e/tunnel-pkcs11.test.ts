import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect } from 'vitest';
import { decodePemBlocks } from '../../src/der/pem.ts';
import { PIN, SoftHsm, softhsm } from '../peers/support/softhsm.ts';
import { describeWith, itWith } from '../setup/need.ts';
import { dial, echoServer, listen, pki, readAll, startClient, startTrellis, trellis } from './tunnel-kit.ts';

/* `trellis serve` and `trellis connect` with their keys in a token. */

let hsm: SoftHsm;

beforeAll(() => {
  if (softhsm.every(({ available }) => available)) hsm = new SoftHsm();
});

describeWith(softhsm, 'a tunnel with keys in a token', () => {
  itWith(softhsm, 'carries connections, and signs them', async () => {
    const files = await pki();
    hsm.addToken('tunnel');
    for (const [name, id, key, cert] of [
      ['server', '01', files.serverKey, files.server],
      ['client', '02', files.clientKey, files.client],
    ] as const) {
      hsm.importKey('tunnel', name, id, key);
      const [der] = decodePemBlocks(readFileSync(cert, 'utf8'), 'CERTIFICATE');
      hsm.importCertificate('tunnel', name, id, der as Uint8Array);
    }
    const sign = (name: string) => ['--sign', 'app=pkcs7:receipt', '--archive', join(hsm.folder, name)];
    const port = await listen(echoServer());
    const server = startTrellis([
      ...['serve', '--json', '--listen', '127.0.0.1:0', '--app', `app=127.0.0.1:${port}`],
      ...['--key', hsm.uri('token=tunnel;object=server;type=private'), '--client-ca', files.ca],
      ...sign('server.db'),
      ...['--archive-key', hsm.uri('token=tunnel;object=server')],
    ]);
    const { listen: address } = await server.result<{ listen: string }>();
    const clientKey = hsm.uri('token=tunnel;object=client', `pin-value=${PIN}`);
    const { client, ports } = await startClient({ ...files, clientKey }, address, ['app'], sign('client.db'));
    const socket = dial(ports.app as number);
    socket.end('signed in the token');
    expect(String(await readAll(socket))).toBe('signed in the token');
    const probed = await trellis(
      ...['probe', address, '--ca', files.ca, '--servername', 'localhost', '--json', '--key', clientKey],
    );
    expect(JSON.parse(probed.stdout)).toMatchObject({ trust: { trusted: true } });
    expect(await client.stop()).toMatchObject({ code: 0 });
    expect(await server.stop()).toMatchObject({ code: 0 });
    const audit = await trellis(
      'evidence',
      'audit',
      '--archive',
      join(hsm.folder, 'client.db'),
      '--ca',
      files.ca,
    );
    expect(audit).toMatchObject({ code: 0 });
  });

  itWith(softhsm, 'signs the checkpoints of an archive', async () => {
    const archive = join(hsm.folder, 'server.db');
    const key = hsm.uri('token=tunnel;object=server');
    expect(await trellis('evidence', 'checkpoint', '--archive', archive, '--key', key)).toMatchObject({
      code: 0,
    });
    // That is the archive's key, and no other.
    const other = hsm.uri('token=tunnel;object=client');
    const refused = await trellis('evidence', 'checkpoint', '--archive', archive, '--key', other);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('not the one that this archive was made with');
  });

  itWith(softhsm, 'says what is wrong with a PIN and with a URI', async () => {
    const wrong = join(hsm.folder, 'wrong-pin');
    writeFileSync(wrong, '0000\n');
    const serve = ['serve', '--listen', '127.0.0.1:0', '--app', 'app=127.0.0.1:1'];
    const uri = hsm.uri('token=tunnel;object=server', '').replace(/&$/, '');
    const refused = await trellis(...serve, '--key', uri, '--pin-file', wrong);
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain('PIN is wrong');
    const malformed = await trellis(...serve, '--key', 'pkcs11:tokens=a');
    expect(malformed.code).not.toBe(0);
    expect(malformed.stderr).toContain('tokens is not known');
  });
});

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { openArchive } from '../../src/evidence/archive/open.ts';
import { audit, openSqliteReader } from '../../src/evidence/index.ts';
import type { DtlsSocket } from '../../src/node/dtls/index.ts';
import { signClient, signServer } from '../../src/sign/index.ts';
import { dialed, dtlsServer, relay } from './dtls-kit.ts';
import { CA, CLIENT } from './node-kit.ts';

it.each(['TLSv1.2', 'TLSv1.3'] as const)(
  'signs datagrams over a path that loses some, and both archives tell what was lost: %s',
  async (version) => {
    const folder = mkdtempSync(join(tmpdir(), 'trellis-dtls-sign-'));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const paths = { near: join(folder, 'near.db'), far: join(folder, 'far.db') };
    const [near, far] = await Promise.all([openArchive(paths.near), openArchive(paths.far)]);
    const only = { minVersion: version, maxVersion: version } as const;
    const accepted: DtlsSocket[] = [];
    // Room for the tree heads of archives, which are signed as well.
    const mtu = 1400;
    const { server, port } = await dtlsServer(
      { ...only, mtu, requestCert: true, ca: CA, subProtocols: [signServer({ archive: far })] },
      (socket) => accepted.push(socket),
    );
    const secured = once(server, 'secureConnection');
    let loses = false;
    const through = await relay(port, (_datagram, towards) => (loses && towards === 'server' ? [] : [0]));
    const subProtocols = [signClient({ archive: near })];
    const client = await dialed(through, { ...only, mtu, ...CLIENT, subProtocols });
    await secured;
    const peer = accepted[0] as DtlsSocket;

    const first = await client.signWrite('three chairs');
    expect(first?.acknowledges).toHaveLength(32);
    loses = true;
    await expect(client.signWrite('lost on the way', { receiptTimeout: 200 })).rejects.toMatchObject({
      code: 'ERR_SIGN_NO_RECEIPT',
    });
    loses = false;
    await client.signWrite('four chairs');
    await expect(client.signWrite(Buffer.alloc(mtu))).rejects.toMatchObject({ code: 'ERR_SIGN_TOO_LARGE' });
    expect(() => client.signing?.off()).toThrow(expect.objectContaining({ code: 'ERR_SIGN_UNAVAILABLE' }));
    const ended = once(peer, 'close');
    client.close();
    await ended;
    const heard: string[] = [];
    for await (const { content, signer } of peer.signed) {
      expect(signer?.leaf.subject.toString()).toContain('alice');
      heard.push(Buffer.from(content).toString());
    }
    expect(heard).toEqual(['three chairs', 'four chairs']);
    await Promise.all([near.close(), far.close()]);

    const rows = [];
    for (const path of Object.values(paths)) {
      const reader = openSqliteReader(path);
      const records = await reader.records(0, 10);
      rows.push(records.map(({ record: { direction, kind, status } }) => `${direction} ${kind} ${status}`));
      // Objects without certificates verify by those of the session.
      const report = await audit(nodeCrypto, reader);
      expect(report.findings).toEqual([]);
      expect(report.signatures).toMatchObject({ valid: path === paths.near ? 5 : 4, invalid: 0 });
      await reader.close();
    }
    expect(rows[0]).toHaveLength(5);
    expect(rows[1]?.filter((row) => row.endsWith('missing'))).toEqual(['received data missing']);
  },
);

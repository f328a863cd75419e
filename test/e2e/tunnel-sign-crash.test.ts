import { createHash } from 'node:crypto';
import net from 'node:net';
import { describe, expect, it } from 'vitest';
import { evidenceOf, signedTunnel } from './sign-kit.ts';
import { dial, listen, outcome } from './tunnel-kit.ts';

describe('kill -9 in the middle', () => {
  it.each(['server', 'client'] as const)('of the %s loses nothing that was acknowledged', async (victim) => {
    const seen: string[] = [];
    const application = net.createServer({ allowHalfOpen: true }, (socket) => {
      socket.setEncoding('utf8');
      socket.on('data', (text: string) => {
        seen.push(text);
        socket.write(text);
      });
    });
    const tunnel = await signedTunnel(await listen(application), 'pkcs7:receipt', 'line');
    const socket = dial(tunnel.port);
    let [sent, echoed] = [0, ''];
    socket.setEncoding('utf8');
    const more = (): void => {
      for (let i = 0; i < 20; i++) socket.write(`line ${sent++}\n`);
    };
    const killed = new Promise<void>((resolve) => {
      socket.on('data', (text: string) => {
        echoed += text;
        const lines = echoed.split('\n').length - 1;
        if (lines >= 400) resolve();
        else if (sent - lines < 100) more();
      });
      socket.on('close', () => resolve());
    });
    more();
    await killed;
    const ended = outcome(socket);
    await tunnel[victim].stop('SIGKILL');
    await ended;
    const survivor = victim === 'server' ? tunnel.client : tunnel.server;
    await survivor.stop();
    const { client, server } = await evidenceOf(tunnel.folder, tunnel.pki.ca);
    // Both open, nothing in them is torn.
    for (const { audit } of [client, server]) {
      expect(audit).toMatchObject({ ok: true, findings: [], signatures: { invalid: 0 } });
    }
    // What the program got back is archived on both sides.
    const lines = echoed.split('\n').slice(0, -1);
    expect(lines.length).toBeGreaterThanOrEqual(400);
    const contents = (records: typeof client.records) =>
      new Set(
        records
          .filter(({ kind, direction }) => kind === 'data' && direction === 'received')
          .map(({ contentDigest }) => hex(contentDigest)),
      );
    const [answers, questions] = [contents(client.records), contents(server.records)];
    for (const line of lines) {
      const digest = createHash('sha256').update(`${line}\n`).digest('hex');
      expect([answers.has(digest), questions.has(digest)], line).toEqual([true, true]);
    }
    // And whoever holds a receipt can be sure that its giver holds it, and what it is for.
    for (const [holder, giver] of [
      [client, server],
      [server, client],
    ] as const) {
      const given = new Map(giver.records.map((record) => [hex(record.objectDigest), record]));
      const receipts = holder.records.filter(
        ({ kind, direction, status }) =>
          kind === 'receipt' && direction === 'received' && status === 'verified',
      );
      expect(receipts.length).toBeGreaterThan(100);
      for (const { objectDigest, target } of receipts) {
        expect(given.get(hex(objectDigest))).toMatchObject({ kind: 'receipt', direction: 'sent' });
        const acknowledged = holder.records[target as number];
        expect(given.get(hex(acknowledged?.objectDigest ?? NOTHING))).toMatchObject({
          kind: 'data',
          direction: 'received',
        });
      }
    }
  });

  it.each(['server', 'client'] as const)(
    'of the %s leaves nothing of a message that was not at its end',
    async (victim) => {
      const application = net.createServer((socket) => socket.on('error', () => {}).resume());
      const tunnel = await signedTunnel(await listen(application), 'pkcs7:receipt', 'connection');
      const first = dial(tunnel.port);
      first.end('a whole document');
      // It has its receipt when its connection has closed.
      await tunnel.client.event('connection.close');
      const arrived = new Promise<void>((resolve) => {
        let bytes = 0;
        application.on('connection', (socket) =>
          socket.on('data', (part) => {
            bytes += part.length;
            if (bytes > 4_000_000) resolve();
          }),
        );
      });
      const second = dial(tunnel.port);
      const more = (): void => {
        while (second.writable && second.write(Buffer.alloc(65_536)));
      };
      second.on('drain', more);
      more();
      await arrived;
      const ended = outcome(second);
      await tunnel[victim].stop('SIGKILL');
      await ended;
      await (victim === 'server' ? tunnel.client : tunnel.server).stop();
      const { client, server } = await evidenceOf(tunnel.folder, tunnel.pki.ca);
      for (const { audit, records } of [client, server]) {
        expect(audit).toMatchObject({ ok: true, signatures: { invalid: 0 } });
        // The half that came is kept as rejected, which proves nothing and is not held against anybody.
        expect(audit.findings.filter(({ kind }: { kind: string }) => kind !== 'unproven')).toEqual([]);
        expect(records.slice(0, 2)).toMatchObject([
          { kind: 'data', contentLength: 16 },
          { kind: 'receipt', target: 0 },
        ]);
        expect(records.slice(2).filter(({ status }) => status === 'verified')).toEqual([]);
      }
    },
  );
});

const NOTHING = new Uint8Array(0);

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

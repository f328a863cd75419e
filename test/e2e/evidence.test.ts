import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodePem } from '../../src/der/pem.ts';
import { TimeAuthority } from '../peers/support/time-authority.ts';
import { describeWith, need } from '../setup/need.ts';
import { closePair, exchange, openPair } from '../unit/evidence/parties.ts';
import { openAt, plainRecord, sessionInfo, tamper } from '../unit/evidence/support.ts';
import { root } from '../unit/formats/kit.ts';
import { trellisHere, trellis as trellisProcess } from './tunnel-kit.ts';

/** `trellis evidence …` as a user runs it. */

const here = process.cwd();
const folder = mkdtempSync(join(tmpdir(), 'trellis-evidence-cli-'));
const at = (name: string): string => join(folder, name);
const openssl = need('openssl');

interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

async function trellis(...words: readonly string[]): Promise<Ran> {
  const { code, stdout, stderr } = await trellisHere('evidence', ...words);
  return { code, out: stdout, err: stderr };
}

/** In a process of its own. */
async function trellisBeside(...words: readonly string[]): Promise<Ran> {
  const { code, stdout, stderr } = await trellisProcess('evidence', ...words);
  return { code, out: stdout, err: stderr };
}

function json(ran: Ran): Record<string, unknown> {
  expect(ran.out.trim().split('\n'), ran.err).toHaveLength(1);
  return JSON.parse(ran.out) as Record<string, unknown>;
}

beforeAll(async () => {
  process.chdir(folder);
  const pair = await openPair(folder);
  for (let i = 0; i < 8; i++) await exchange(pair.client, pair.server, `order ${i}`);
  await closePair(pair);
  writeFileSync(at('ca.pem'), encodePem('CERTIFICATE', root.der));
  writeFileSync(at('order.txt'), 'order 3');
});
afterAll(() => {
  process.chdir(here);
  rmSync(folder, { recursive: true, force: true });
});

describe('find', () => {
  it('prints a table, and finds a document with its receipt', async () => {
    const all = await trellisBeside('find', '--archive', 'server.db');
    expect(all).toMatchObject({ code: 0, err: '' });
    expect(all.out.split('\n')).toHaveLength(18);
    expect(all.out).toContain('receipt for 0');
    // What this side has made itself needs no verdict.
    expect(all.out).toMatch(/→ {2}receipt for 0 +made here/);
    const byFile = json(await trellis('find', '--archive', 'server.db', '--file', 'order.txt', '--json'));
    expect(byFile.records).toMatchObject([
      { index: 6, kind: 'data', application: 'orders', direction: 'received' },
      { index: 7, kind: 'receipt', target: 6, direction: 'sent' },
    ]);
    expect(await trellis('find', '--archive', 'server.db', '--file', 'ca.pem')).toMatchObject({
      code: 1,
      out: 'nothing found\n',
    });
  });

  it('takes every filter', async () => {
    const indexes = async (...words: readonly string[]): Promise<unknown> =>
      (
        json(await trellis('find', '--archive', 'server.db', '--json', ...words)).records as {
          index: number;
        }[]
      ).map(({ index }) => index);
    expect(await indexes('--kind', 'receipt', '--limit', '2')).toEqual([1, 3]);
    expect(await indexes('--direction', 'received', '--after', '11')).toEqual([12, 14]);
    expect(await indexes('--peer', 'ecdsa_secp256r1', '--limit', '1')).toEqual([0]);
    expect(await indexes('--peer', 'nobody')).toEqual([]);
    expect(await indexes('--application', 'bills')).toEqual([]);
    expect(await indexes('--from', '2025-06-01', '--to', '2025-06-01', '--limit', '1')).toEqual([0]);
    expect(await indexes('--to', '2025-05-31T23:59:59Z')).toEqual([]);
    expect(await indexes('--status', 'verified', '--limit', '1')).toEqual([0]);
  });
});

describe('show, verify and report', () => {
  it('give a page about a record', async () => {
    const shown = await trellis('show', '6', '--archive', 'server.db', '--ca', 'ca.pem');
    expect(shown.code).toBe(0);
    for (const word of [
      'WHO',
      'WHAT',
      'WHEN',
      'VERIFIED',
      'RECEIPT',
      'MISSING',
      'valid, signed by',
      'TLS 1.3',
    ]) {
      expect(shown.out).toContain(word);
    }
    const account = json(await trellis('show', '6', '--archive', 'server.db', '--json'));
    expect(account).toMatchObject({
      record: { index: 6 },
      verification: { verdict: 'valid', certificate: 'not judged' },
      receipts: [{ record: { index: 7 }, verification: { verdict: 'valid' } }],
    });
    expect(account.missing).toContainEqual(expect.stringContaining('--ca'));
  });

  it('verify again', async () => {
    const good = await trellis('verify', '0-15', '--archive', 'client.db', '--ca', 'ca.pem');
    expect(good.code).toBe(0);
    expect(good.out.match(/: valid/g)).toHaveLength(16);
  });

  it('write a page in which nothing is alive', async () => {
    const archive = await openAt(folder, {}, 'hostile.db');
    const evil = '<script>alert(1)</script>"\'`&';
    const session = archive.addSession(sessionInfo({ peerName: evil, ownName: `${evil}\u202e` }));
    await archive.append(plainRecord(session, 0, { application: evil, status: 'rejected', reason: evil }));
    await archive.close();
    expect((await trellis('report', '0', '--archive', 'hostile.db', '--html', 'page.html')).code).toBe(0);
    const page = readFileSync(at('page.html'), 'utf8');
    expect(page).toContain('&#60;script&#62;');
    expect(page).not.toMatch(/<script|\u202e|<img|<a |href=|src=/);
    expect(page).toContain("default-src 'none'");
    // A terminal gets nothing that it would obey.
    expect((await trellis('find', '--archive', 'hostile.db')).out).not.toMatch(/\p{Cf}/u);
  });
});

describe('audit', () => {
  it('finds an archive good, with the other party as witness', async () => {
    const ran = await trellis('audit', '--archive', 'server.db', '--ca', 'ca.pem', '--witness', 'client.db');
    expect(ran.code, ran.out).toBe(0);
    expect(ran.out).toContain('GOOD');
    expect(ran.out).toContain('16 records the same');
    const report = json(await trellis('audit', '--archive', 'server.db', '--json', '--signatures', 'none'));
    expect(report).toMatchObject({ ok: true, records: 16, signatures: { mode: 'none' }, findingCount: 0 });
  });

  it('names what was tampered with, and says so in its exit code', async () => {
    const bytes = readFileSync(at('server.db'));
    writeFileSync(at('tampered.db'), bytes);
    tamper(at('tampered.db'), (database) => database.exec('DELETE FROM record WHERE idx = 9'));
    const ran = await trellisBeside('audit', '--archive', 'tampered.db');
    expect(ran.code).toBe(1);
    expect(ran.out).toContain('NOT GOOD, first at record 9');
    expect(ran.out).toContain('Record 9 was removed');
    writeFileSync(at('torn.db'), bytes.subarray(0, bytes.length / 2));
    const torn = await trellis('audit', '--archive', 'torn.db');
    expect(torn.code).toBe(1);
    expect(torn.out).toContain('.recover');
  });

  it('compares with a checkpoint that was kept', async () => {
    const taken = await trellis('checkpoint', '--archive', 'server.db', '--out', 'kept.pem');
    expect(taken, taken.err).toMatchObject({ code: 0 });
    expect(readFileSync(at('kept.pem'), 'utf8')).toContain('BEGIN TRELLIS CHECKPOINT');
    expect((await trellis('audit', '--archive', 'server.db', '--checkpoint', 'kept.pem')).out).toContain(
      'unwitnessed  nothing',
    );
    const other = await trellisBeside('audit', '--archive', 'client.db', '--checkpoint', 'kept.pem');
    expect(other).toMatchObject({ code: 2, out: '' });
    expect(other.err).toContain('checkpoint of archive');
  });
});

describe('export, verify --bundle, import', () => {
  it('hand records over', async () => {
    const exported = await trellis(
      'export',
      '6',
      '--archive',
      'server.db',
      '--out',
      'case.asice',
      '--ca',
      'ca.pem',
    );
    expect(exported, exported.err).toMatchObject({ code: 0 });
    expect(exported.out).toContain('records 6, 7');
    const verified = await trellis('verify', '--bundle', 'case.asice', '--ca', 'ca.pem');
    expect(verified.code).toBe(0);
    expect(verified.out).toContain('GOOD');
    expect((await trellis('audit', '--archive', 'client.db', '--witness', 'case.asice')).code).toBe(0);
    const imported = json(await trellis('import', 'case.asice', '--archive', 'own.db', '--json'));
    expect(imported).toMatchObject({
      imported: [
        {
          records: [
            { from: 6, to: 0 },
            { from: 7, to: 1 },
          ],
        },
      ],
    });
    expect((await trellis('audit', '--archive', 'own.db', '--ca', 'ca.pem')).code).toBe(0);
  });
});

describe('erase', () => {
  it('takes contents away, and the archive stays good', async () => {
    for (const name of ['server.db', 'server.db.key']) {
      const copy = readFileSync(at(name));
      writeFileSync(at(name.replace('server', 'erased')), copy, { mode: 0o600 });
    }
    expect((await trellis('erase', '2', '--archive', 'erased.db')).err).toContain('--content');
    const erased = await trellis(
      'erase',
      '2',
      '4',
      '--content',
      '--reason',
      'asked to',
      '--archive',
      'erased.db',
    );
    expect(erased, erased.err).toMatchObject({ code: 0 });
    expect(readFileSync(at('erased.db')).includes('order 1')).toBe(false);
    const ran = await trellis('audit', '--archive', 'erased.db', '--ca', 'ca.pem');
    expect(ran.code, ran.out).toBe(0);
    expect(ran.out).toContain('2 erased on purpose');
    expect((await trellis('show', '2', '--archive', 'erased.db')).out).toContain('asked to');
  });
});

describeWith(openssl, 'timestamp', () => {
  it('dates a checkpoint, now or when the authority is there again', async () => {
    const authority = new TimeAuthority(at('tsa'));
    let isUp = false;
    const server = createServer((request, response) => {
      const parts: Buffer[] = [];
      request.on('data', (part: Buffer) => parts.push(part));
      request.on('end', () => {
        if (!isUp) response.writeHead(503).end();
        else response.end(authority.answer(Buffer.concat(parts)));
      });
    });
    await new Promise<void>((resolve) => {
      server.listen(0, '127.0.0.1', resolve);
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/tsa`;
    try {
      const words = ['timestamp', '--archive', 'client.db', '--authority', url, '--tsa-ca', 'tsa/root.pem'];
      const down = await trellisBeside(...words);
      expect(down.code).toBe(1);
      expect(down.out).toContain('503');
      isUp = true;
      const up = await trellisBeside(...words);
      expect(up, up.err).toMatchObject({ code: 0 });
      expect(up.out).toContain('1 fetched, 0 to be fetched later');
      const trust = ['--ca', 'ca.pem', '--tsa-ca', 'tsa/root.pem'];
      const ran = json(await trellis('audit', '--archive', 'client.db', '--json', ...trust));
      // The CA of the tests signs for a time that is not ours, so records cannot be judged at the authority's.
      expect(ran).toMatchObject({
        timestamps: { valid: 1, pending: 0, invalid: 0 },
        covered: { byTimestamp: 16 },
      });
      expect((await trellis('show', '0', '--archive', 'client.db', ...trust)).out).toContain(
        'dated by CN=Time authority',
      );
      const dated = await trellisBeside(
        ...['export', '0', '--archive', 'client.db', '--out', 'dated.asice', '--timestamp', url, ...trust],
      );
      expect(dated, dated.err).toMatchObject({ code: 0 });
    } finally {
      server.close();
    }
  });
});

describe('a mistake', () => {
  it.each([
    [['find'], '--archive FILE is missing'],
    [['find', '--archive', 'nothing.db'], 'no such file'],
    [['find', '--archive', 'server.db', '--from', 'yesterday'], 'write 2026-01-31'],
    [['find', '--archive', 'server.db', '--kind', 'letter'], 'use data, receipt'],
    [['find', '--archive', 'ca.pem'], 'no evidence archive'],
    [['show', 'x', '--archive', 'server.db'], 'is no record'],
    [['show', '99', '--archive', 'server.db'], 'no record 99'],
    [['verify', '--archive', 'server.db'], 'Say which records'],
    [['verify', '--bundle', 'ca.pem'], 'no zip file'],
    [['audit', '--archive', 'server.db', '--ca', 'order.txt'], '--ca order.txt'],
    [['audit', '--archive', 'server.db', '--signatures', 'some'], 'use all, receipts, none'],
    [['audit', '--archive', 'server.db', '--checkpoint', 'order.txt'], 'no checkpoint'],
    [['export', '1', '--archive', 'server.db'], '--out FILE is missing'],
    [['export', '1', '--archive', 'server.db', '--out', 'ca.pem'], 'cannot be made'],
    [['checkpoint', '--archive', 'nothing.db'], 'no such file'],
    [['timestamp', '--archive', 'server.db'], '--authority URL is missing'],
    [['dance'], 'trellis evidence --help'],
    [['find', '--dance'], 'trellis evidence --help'],
  ])('is one line that says what to do: %j', async (words, says) => {
    const ran = await trellis(...words);
    expect(ran.code).toBe(2);
    expect(ran.out).toBe('');
    expect(ran.err).toContain(says);
    expect(ran.err.trimEnd().split('\n')).toHaveLength(1);
    expect(existsSync(at('nothing.db'))).toBe(false);
  });

  it('is a JSON object for programs', async () => {
    expect(json(await trellisBeside('show', '99', '--archive', 'server.db', '--json'))).toMatchObject({
      event: 'error',
      code: 'ERR_EVIDENCE_NOT_FOUND',
    });
  });

  it('is answered with help where that is asked for', async () => {
    expect((await trellis('--help')).out).toContain('checkpoint');
    expect(await trellis()).toMatchObject({ code: 2, err: expect.stringContaining('Say what to do') });
    expect((await trellisBeside('audit', '--help')).out).toContain('--witness');
  });
});

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { openSqliteReader } from '../../src/evidence/archive/sqlite/store.ts';
import { fetchTimestamp, Timestamping } from '../../src/evidence/archive/timestamping.ts';
import { exportBundle } from '../../src/evidence/bundle/export.ts';
import { ZipReader } from '../../src/evidence/bundle/zip-reader.ts';
import { describeWith, need } from '../setup/need.ts';
import { exchange, type Pair, pairOf, trust } from '../unit/evidence/parties.ts';
import { openAt } from '../unit/evidence/support.ts';
import { type KeyType, NOW, root } from '../unit/formats/kit.ts';
import { openssl } from './support/openssl.ts';
import { TimeAuthority } from './support/time-authority.ts';

/** The commands that a bundle's README.txt gives, run by a shell with stock openssl and xmlsec1 in an unpacked bundle. */

const xmlsec = need('xmlsec1');
const folder = mkdtempSync(join(tmpdir(), 'trellis-bundle-'));
const unpacked = join(folder, 'unpacked');
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Step {
  readonly command: string;
  readonly code: number | null;
  readonly output: string;
}

/** Runs all commands of the account, in order, in one folder. */
function followReadme(at: string): Step[] {
  const commands = readFileSync(join(at, 'README.txt'), 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('  $ '))
    .map((line) => line.slice(4));
  return commands.map((command) => {
    const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', command], { cwd: at, encoding: 'latin1' });
    return { command, code: status, output: stdout + stderr };
  });
}

interface FailedStep extends Step {
  /** The last folder of a record that was named before it or in it: a proof is a row of commands. */
  readonly record: string | undefined;
}

function failedOf(steps: readonly Step[]): FailedStep[] {
  let record: string | undefined;
  return steps
    .map((step) => {
      record = /records\/\d{6}/.exec(step.command)?.[0] ?? record;
      return { ...step, record };
    })
    .filter(({ code }) => code !== 0);
}

async function unpack(path: string, to: string): Promise<void> {
  const zip = await ZipReader.open(path);
  for (const { name } of zip.entries) {
    mkdirSync(dirname(join(to, name)), { recursive: true });
    writeFileSync(join(to, name), await zip.read(name, 16 * 1024 * 1024));
  }
  await zip.close();
}

describeWith([openssl, xmlsec], 'an exported bundle', () => {
  let steps: Step[];
  let authority: TimeAuthority;

  beforeAll(async () => {
    authority = new TimeAuthority(join(folder, 'tsa'));
    const [client, server] = [await openAt(folder, {}, 'client.db'), await openAt(folder, {}, 'server.db')];
    const wanted: number[] = [];
    const types: readonly KeyType[] = ['P-256', 'P-384', 'Ed25519', 'RSA-PSS', 'RSA PKCS#1'];
    for (const type of types) {
      const pair: Pair = pairOf(client, server, type, `session ${type}`);
      wanted.push((await exchange(pair.client, pair.server, `order ${type}`, 'pkcs7')).received);
      if (type === 'Ed25519') continue;
      wanted.push((await exchange(pair.client, pair.server, `mail ${type}`, 'smime')).received);
      if (type !== 'RSA-PSS') {
        wanted.push((await exchange(pair.client, pair.server, `xml ${type}`, 'xmldsig')).received);
      }
    }
    const erased = await exchange(
      ...(Object.values(pairOf(client, server, 'P-256', 'erased')) as [Pair['client'], Pair['server']]),
      'gone',
    );
    await server.erase(erased.received, 'asked to');
    wanted.push(erased.received);
    const fetch = async (_url: string, { body }: { body: Uint8Array }) => {
      const answer = authority.answer(body);
      return {
        status: 200,
        body: (async function* () {
          yield answer;
        })(),
      };
    };
    const { head } = await server.checkpoint();
    const dating = new Timestamping(nodeCrypto, server.store, server.id, Date.now, {
      authority: 'http://tsa.test/',
      trust: authority.trust,
      fetch,
    });
    await dating.want(head.size);
    expect(await dating.run()).toMatchObject({ fetched: 1, failed: 0 });
    await client.close();
    await server.close();
    const reader = openSqliteReader(join(folder, 'server.db'));
    await exportBundle(nodeCrypto, reader, {
      path: join(folder, 'case.asice'),
      records: wanted,
      now: NOW,
      trust,
      timeTrust: authority.trust,
      timestamp: (digest) =>
        fetchTimestamp(nodeCrypto, 'http://tsa.test/', digest, { fetch, trust: authority.trust }),
    });
    await reader.close();
    await unpack(join(folder, 'case.asice'), unpacked);
    writeFileSync(join(unpacked, 'CA.pem'), encodePem('CERTIFICATE', root.der));
    writeFileSync(join(unpacked, 'DOCUMENT'), 'gone');
    cpSync(authority.rootFile, join(unpacked, 'TSA-CA.pem'));
    steps = followReadme(unpacked);
  }, 60_000);

  it('is verified step by step as its account says', () => {
    const failed = steps.filter(({ code }) => code !== 0);
    expect(failed).toEqual([]);
    // Signatures and receipts of 12 exchanges, with their places in the tree.
    expect(steps.filter(({ command }) => command.includes('openssl cms -verify ')).length).toBeGreaterThan(8);
    expect(steps.filter(({ command }) => command.includes('-verify_receipt')).length).toBeGreaterThan(5);
    expect(steps.filter(({ command }) => command.includes('xmlsec1 --verify')).length).toBe(6);
    expect(steps.filter(({ command }) => command.includes('pkeyutl -verify')).length).toBe(1);
    expect(steps.filter(({ command }) => command.startsWith('cmp node.bin')).length).toBeGreaterThan(20);
    expect(steps.filter(({ command }) => command.includes('openssl ts -verify'))).toHaveLength(2);
    expect(steps.filter(({ command }) => command.includes('-content DOCUMENT'))).toHaveLength(1);
    expect(
      steps.some(({ command, output }) => command.includes('sha256sum') && output.includes('leaf.der: OK')),
    ).toBe(true);
  });

  it('names the archive in its key', () => {
    const readme = readFileSync(join(unpacked, 'README.txt'), 'utf8');
    const [, archive] = /From archive ([0-9a-f]{32})/.exec(readme) ?? [];
    const key = steps.find(({ command }) => command.startsWith('openssl pkey -pubin'));
    expect(key?.output).toContain(archive);
  });

  /** Where a bundle was changed, and the command that must notice: of this record, where it is one of many. */
  const CHANGES: Readonly<Record<string, readonly [file: string, command: string, record?: string]>> = {
    'an object': ['records/000000/object.p7m', 'openssl cms -verify', 'records/000000'],
    'a receipt': ['records/000001/object.p7m', '-verify_receipt', 'records/000001'],
    'what the archive says of it': ['records/000002/leaf.der', 'cmp node.bin', 'records/000002'],
    'a hash of a proof': ['records/000004/proof/01.right', 'cmp node.bin', 'records/000004'],
    'the timestamp': ['checkpoint/timestamp.tst', 'openssl ts -verify -in checkpoint/timestamp.tst'],
    // Apart from the timestamp, which is over it.
    'the checkpoint': ['checkpoint/body.der', '-signature checkpoint/signature.bin'],
  };
  /** What failed in a copy with these changes. The account is long, so changes that have nothing to do with each other share one. */
  const failures = (changes: readonly string[]): readonly FailedStep[] => {
    const changed = mkdtempSync(join(folder, 'changed-'));
    cpSync(unpacked, changed, { recursive: true });
    for (const change of changes) {
      const [name] = CHANGES[change] as readonly [string, string, string?];
      const bytes = readFileSync(join(changed, name));
      const at = bytes.length - 5;
      bytes[at] = (bytes[at] as number) ^ 1;
      writeFileSync(join(changed, name), bytes);
    }
    return failedOf(followReadme(changed));
  };
  const together = Object.keys(CHANGES).filter((change) => change !== 'the checkpoint');
  const apart = ['the checkpoint'];
  const failed = new Map<readonly string[], readonly FailedStep[]>();

  it.each(Object.keys(CHANGES))('fails where %s was changed', (change) => {
    const changes = together.includes(change) ? together : apart;
    const steps = failed.get(changes) ?? failures(changes);
    failed.set(changes, steps);
    const [name, command, record] = CHANGES[change] as readonly [string, string, string?];
    const sums = steps.find((step) => step.command.includes('sha256sum'));
    expect(sums?.output).toContain(`${name}: FAILED`);
    const noticed = steps.filter((step) => step.command.includes(command));
    expect(noticed.length).toBeGreaterThan(0);
    if (record !== undefined) expect(noticed.map((step) => step.record)).toContain(record);
  });

  it('fails nowhere else', () => {
    const steps = failed.get(together) ?? [];
    const proofs = steps.filter(({ command }) => command.startsWith('cmp node.bin'));
    expect(proofs.map(({ record }) => record)).toEqual(['records/000002', 'records/000004']);
  });

  it('is a zip that others unpack', () => {
    const { status, stdout, error } = spawnSync('unzip', ['-t', join(folder, 'case.asice')], {
      encoding: 'utf8',
    });
    if (error !== undefined) return;
    expect(status, stdout).toBe(0);
  });
});

import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { RecordFlag } from '../../../src/evidence/archive/record.ts';
import { openSqliteReader } from '../../../src/evidence/archive/sqlite/store.ts';
import { encodeTreeHead } from '../../../src/evidence/merkle/tree-head.ts';
import { type AuditOptions, type AuditReport, audit } from '../../../src/evidence/verify/audit.ts';
import { RecordVerifier, type RecordVerifierOptions } from '../../../src/evidence/verify/record.ts';
import { startObject } from '../../../src/formats/cms/make-stream.ts';
import { encodeUnsignedObject } from '../../../src/formats/unsigned.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import { NOW, signatureOf, signerOf } from '../formats/kit.ts';
import { ca, DAY } from '../x509/pki.ts';
import {
  closePair,
  exchange,
  keep,
  makeObject,
  makeReceipt,
  openPair,
  type Pair,
  pairOf,
  trust,
  verifyMade,
} from './parties.ts';
import { openAt, sha256, tamper, temporaryFolder, utf8 } from './support.ts';

async function auditOf(path: string, options: AuditOptions = {}): Promise<AuditReport> {
  const reader = openSqliteReader(path);
  try {
    return await audit(nodeCrypto, reader, { trust, ...options });
  } finally {
    await reader.close();
  }
}

async function verdictOf(path: string, index: number, options: RecordVerifierOptions = { trust }) {
  const reader = openSqliteReader(path);
  try {
    const record = (await reader.record(index)) ?? expect.fail();
    return await new RecordVerifier(nodeCrypto, reader, options).verify(record);
  } finally {
    await reader.close();
  }
}

describe('records', () => {
  it.each(['pkcs7', 'smime', 'xmldsig'] as const)('are verified again on both sides: %s', async (format) => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    for (let i = 0; i < 5; i++) await exchange(pair.client, pair.server, `order ${i}`, format);
    await exchange(pair.server, pair.client, 'an answer', format);
    await closePair(pair);
    for (const name of ['client.db', 'server.db']) {
      const report = await auditOf(join(folder, name));
      expect(report.findings).toEqual([]);
      expect(report).toMatchObject({
        ok: true,
        judged: true,
        signatures: { mode: 'all', valid: 12, invalid: 0 },
      });
    }
    const verdict = await verdictOf(join(folder, 'client.db'), 1);
    expect(verdict).toMatchObject({
      verdict: 'valid',
      certificate: 'trusted',
      signingTime: NOW,
      at: { time: NOW, clock: 'archive' },
      binding: { kind: 'receipt', role: 'server', sequence: 0 },
    });
    expect(`${verdict.signer}`).toBe(`${pair.server.signer.identity.certificate}`);
  });

  it('are judged at the time that is proven, with the trust that is given', async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    const made = makeObject(pair.client, utf8('x'));
    await keep(pair.server, 'received', made);
    await keep(pair.server, 'received', made, { time: NOW + 40 * 365 * DAY });
    await closePair(pair);
    const path = join(folder, 'server.db');
    expect(await verdictOf(path, 0)).toMatchObject({ verdict: 'valid' });
    expect(await verdictOf(path, 1)).toMatchObject({ verdict: 'invalid', code: 'ERR_SIGN_CERTIFICATE' });
    const stranger = new TrustStore([ca('Somebody else').certificate]);
    expect(await verdictOf(path, 0, { trust: stranger })).toMatchObject({
      verdict: 'invalid',
      code: 'ERR_SIGN_CERTIFICATE',
    });
    expect(await verdictOf(path, 0, {})).toMatchObject({ verdict: 'valid', certificate: 'not judged' });
  });

  it('of streamed objects are verified in pieces', async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    const stream = startObject(nodeCrypto, pair.client.signer);
    const binding = pair.client.binding();
    const piece = Buffer.alloc(300_000, 'streamed ');
    const parts = [stream.header];
    for (let i = 0; i < 10; i++) parts.push(...stream.write(piece));
    const end = stream.end({ binding, signingTime: NOW, receiptRequest: false, includeCertificates: true });
    parts.push(end.finish(signatureOf(pair.client.signer, end.toBeSigned)).trailer);
    const content = await pair.server.archive.newContent();
    for (const part of parts) await content.write(part);
    const stored = await content.finish();
    await pair.server.archive.append({
      direction: 'received',
      kind: 'data',
      status: 'verified',
      time: NOW,
      session: pair.server.session,
      sequence: 0,
      application: 'orders',
      contentType: 23,
      format: 'pkcs7',
      object: stored,
      content: { length: 3_000_000, digest: sha256(Buffer.concat(Array(10).fill(piece))) },
      treeHead: binding.treeHead,
      flags: RecordFlag.streamed,
    });
    await closePair(pair);
    expect(await auditOf(join(folder, 'server.db'))).toMatchObject({ ok: true, signatures: { valid: 1 } });
  });

  it('of data that travelled unsigned are compared', async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    const [binding, content] = [pair.client.binding(), utf8('unsigned')];
    const made = { object: encodeUnsignedObject({ binding, content }), binding, content };
    const flags = RecordFlag.unsigned;
    await keep(pair.server, 'received', made, { flags });
    await keep(pair.server, 'received', { ...made, binding: { ...binding, sequence: 5 } }, { flags });
    await keep(pair.server, 'received', { ...made, content: utf8('other') }, { flags });
    await closePair(pair);
    const path = join(folder, 'server.db');
    expect(await verdictOf(path, 0)).toMatchObject({ verdict: 'unsigned' });
    expect(await verdictOf(path, 1)).toMatchObject({ verdict: 'invalid', code: 'ERR_SIGN_BINDING_MISMATCH' });
    expect(await verdictOf(path, 2)).toMatchObject({ verdict: 'invalid', code: 'ERR_EVIDENCE_DAMAGED' });
  });

  it('that have nothing to verify say why', async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    const { received } = await exchange(pair.client, pair.server, 'private');
    const { server } = pair;
    await server.archive.erase(received, 'asked to');
    const made = makeObject(pair.client, utf8('refused'));
    const { session } = server;
    const base = {
      direction: 'received',
      kind: 'data',
      time: NOW,
      session,
      contentType: 23,
      format: 'pkcs7',
    } as const;
    const treeHead = new Uint8Array(0);
    await server.archive.append({
      ...base,
      status: 'rejected',
      reason: 'ERR_SIGN_WRONG_SIGNER',
      sequence: 9,
      application: '',
      object: made.object,
      treeHead,
    });
    await server.archive.append({
      ...base,
      status: 'missing',
      reason: 'gap',
      sequence: 8,
      application: '',
      treeHead,
    });
    await closePair(pair);
    const path = join(folder, 'server.db');
    const reasons = [];
    for (const index of [received, 2, 3, 4]) {
      const { verdict, reason } = await verdictOf(path, index);
      expect(verdict).toBe('absent');
      reasons.push(reason);
    }
    expect(reasons[0]).toContain('erased');
    expect(reasons[2]).toContain('ERR_SIGN_WRONG_SIGNER');
    expect(reasons[3]).toContain('gap');
    // The receipt for what was erased is still a receipt.
    expect(await verdictOf(path, 1)).toMatchObject({ verdict: 'valid' });
    expect(await auditOf(path)).toMatchObject({ ok: true, contents: { erased: 1 } });
  });
});

describe('forgeries, archived as if they were right', () => {
  async function forged(change: (pair: Pair) => Promise<unknown>, name = 'server.db'): Promise<AuditReport> {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    await exchange(pair.client, pair.server, 'good');
    await change(pair);
    await closePair(pair);
    return auditOf(join(folder, name));
  }
  const first = ({ findings }: AuditReport) => [findings[0]?.kind, findings[0]?.record, findings.length];

  it('are named: signed by another key', async () => {
    const report = await forged(async ({ client, server }) =>
      keep(server, 'received', makeObject(client, utf8('x'), { signer: signerOf('Ed25519') })),
    );
    expect(first(report)).toEqual(['forged', 2, 1]);
    expect(report.findings[0]?.text).toContain('ERR_SIGN_WRONG_SIGNER');
  });

  it.each([
    ['from another session', { sessionBinding: sha256('another session') }],
    ['from another place in the session', { sequence: 77 }],
    ['for another application', { application: 'bills' }],
    ['with another tree head', { treeHead: utf8('another') }],
    ['of the other side', { role: 'server' as const }],
  ])('are named: %s', async (_what, fields) => {
    const report = await forged(async ({ client, server }) => {
      const made = makeObject(client, utf8('x'), { binding: fields });
      await keep(server, 'received', { ...made, binding: client.binding({ treeHead: new Uint8Array(0) }) });
    });
    expect(first(report)).toEqual(['forged', 2, 1]);
    expect(report.findings[0]?.text).toContain('ERR_SIGN_BINDING_MISMATCH');
  });

  it('are named: a changed object with its digest', async () => {
    const report = await forged(async ({ client, server }) => {
      const made = makeObject(client, utf8('pay 100'));
      const object = Uint8Array.from(made.object);
      object.set(utf8('900'), Buffer.from(object).indexOf('100'));
      await keep(server, 'received', { ...made, object });
    });
    expect(first(report)).toEqual(['forged', 2, 1]);
    expect(report.findings[0]?.text).toContain('ERR_SIGN_MESSAGE_DIGEST');
  });

  it('are named: a receipt that somebody else signed', async () => {
    const report = await forged(async ({ client, server }) => {
      const made = makeObject(client, utf8('x'));
      const sent = await keep(client, 'sent', made);
      const receipt = makeReceipt(server, verifyMade(made), { signer: signerOf('Ed25519') });
      await keep(client, 'received', receipt, { target: sent });
    }, 'client.db');
    expect(first(report)).toEqual(['forged-receipt', 3, 1]);
  });

  it('are named: a receipt for something else', async () => {
    const report = await forged(async ({ client, server }) => {
      const [made, other] = [makeObject(client, utf8('x')), makeObject(client, utf8('y'))];
      await keep(client, 'sent', made);
      const sentOther = await keep(client, 'sent', other);
      const receipt = makeReceipt(server, verifyMade(made));
      await keep(client, 'received', receipt, { target: sentOther });
    }, 'client.db');
    expect(first(report)).toEqual(['forged-receipt', 4, 1]);
    expect(report.findings[0]?.text).toContain('ERR_SIGN_RECEIPT_MISMATCH');
  });

  it('are named: a receipt for what is not there', async () => {
    const report = await forged(async ({ client, server }) => {
      const receipt = makeReceipt(server, verifyMade(makeObject(client, utf8('x'))));
      await keep(client, 'received', receipt, { target: 500 });
    }, 'client.db');
    expect(first(report)).toEqual(['forged-receipt', 2, 1]);
  });

  it('of receipts are named when only receipts are verified', async () => {
    const folder = temporaryFolder();
    const { client, server } = await openPair(folder);
    const made = makeObject(client, utf8('x'), { signer: signerOf('Ed25519') });
    const sent = await keep(client, 'sent', made);
    const receipt = makeReceipt(server, verifyMade(made), { signer: signerOf('Ed25519') });
    await keep(client, 'received', receipt, { target: sent });
    await closePair({ client, server });
    const path = join(folder, 'client.db');
    expect((await auditOf(path, { signatures: 'receipts' })).findings.map(({ kind }) => kind)).toEqual([
      'forged-receipt',
    ]);
    expect((await auditOf(path, { signatures: 'all' })).findingCount).toBe(2);
    expect((await auditOf(path, { signatures: 'none' })).findingCount).toBe(0);
  });
});

describe('the other party as witness', () => {
  it('finds nothing where nothing is wrong, and says how far it reaches', async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    for (let i = 0; i < 10; i++) await exchange(pair.client, pair.server, `order ${i}`);
    await closePair(pair);
    const witness = openSqliteReader(join(folder, 'client.db'));
    const report = await auditOf(join(folder, 'server.db'), {
      witnesses: [{ name: 'client.db', reader: witness }],
    });
    await witness.close();
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({
      ok: true,
      records: 20,
      // The head in the last receipt is of what was durable before it.
      covered: { byWitness: 19 },
      unwitnessed: 1,
      witnesses: [{ name: 'client.db', sessions: 1, same: 20, differing: 0, lacking: 0 }],
      witnessHeads: { count: 10, fitting: 10 },
    });
  });

  it('names what its own receipts prove without any file of the other party', async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    for (let i = 0; i < 5; i++) await exchange(pair.client, pair.server, `order ${i}`);
    await closePair(pair);
    // Sent object 8 carried the head of 8 records, and its receipt came.
    expect(await auditOf(join(folder, 'client.db'))).toMatchObject({
      covered: { byReceipt: 8 },
      unwitnessed: 2,
    });
  });

  it('finds a tail that the owner has rewritten and signed again, and names the record', async () => {
    const folder = temporaryFolder();
    let pair = await openPair(folder);
    for (let i = 0; i < 5; i++) await exchange(pair.client, pair.server, `order ${i}`);
    await closePair(pair);
    const before = temporaryFolder();
    cpSync(folder, before, { recursive: true });

    // What really happened: five more orders.
    const [client, server] = [await openAt(folder, {}, 'client.db'), await openAt(folder, {}, 'server.db')];
    pair = pairOf(client, server, 'P-256', 'second session');
    for (let i = 5; i < 10; i++) await exchange(pair.client, pair.server, `order ${i}`);
    await closePair(pair);

    // What the server's owner would like to have happened: order 7 never came.
    const rewritten = await openAt(before, {}, 'server.db');
    const false_ = await openAt(before, {}, 'client.db');
    pair = pairOf(false_, rewritten, 'P-256', 'second session');
    for (const i of [5, 6, 8, 9]) await exchange(pair.client, pair.server, `order ${i}`);
    await closePair(pair);

    const path = join(before, 'server.db');
    expect(await auditOf(path)).toMatchObject({ ok: true });
    const witness = openSqliteReader(join(folder, 'client.db'));
    const report = await auditOf(path, { witnesses: [{ name: 'client.db', reader: witness }] });
    await witness.close();
    expect(report.ok).toBe(false);
    const rewriting = report.findings.find(({ kind }) => kind === 'rewritten');
    expect(rewriting?.text).toContain('client.db');
    // Orders 5 and 6 are the same in both, but their tree heads carry the time and the key of another run.
    expect(rewriting?.record).toBeGreaterThanOrEqual(9);
    expect(report.findings.some(({ kind, record }) => kind === 'changed' && record !== undefined)).toBe(true);
    expect(report.covered.byWitness).toBeGreaterThanOrEqual(9);
  });

  it('accuses nobody of what it cannot prove', async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    await exchange(pair.client, pair.server, 'one');
    // The client makes up heads of the server: with a key of its own, and without any signature.
    const forgedHead = encodeTreeHead({ archive: pair.server.archive.id, size: 1, root: sha256('made up') });
    const binding = { treeHead: forgedHead, role: 'server' as const };
    await keep(
      pair.client,
      'received',
      makeObject(pair.server, utf8('x'), { binding, signer: signerOf('Ed25519') }),
    );
    const later = encodeTreeHead({ archive: pair.server.archive.id, size: 900, root: sha256('made up') });
    const made = makeObject(pair.server, utf8('y'));
    await keep(pair.client, 'received', { ...made, binding: { ...made.binding, treeHead: later } });
    await closePair(pair);
    const witness = openSqliteReader(join(folder, 'client.db'));
    const report = await auditOf(join(folder, 'server.db'), {
      witnesses: [{ name: 'client.db', reader: witness }],
    });
    await witness.close();
    const unproven = report.findings.filter(({ kind }) => kind === 'unproven');
    // Two heads, and the two objects that they are in.
    expect(unproven).toHaveLength(4);
    expect(report.findings).toHaveLength(4);
    expect(report.ok).toBe(true);
  });

  it('shows when the other party itself has told two stories', async () => {
    const folder = temporaryFolder();
    const pair = await openPair(folder);
    await exchange(pair.client, pair.server, 'one');
    const { archive } = pair.server;
    const head = archive.treeHead();
    const lie = Uint8Array.from(head);
    lie[lie.length - 1] = (lie.at(-1) as number) ^ 1;
    for (const treeHead of [head, lie]) {
      await keep(pair.client, 'received', makeObject(pair.server, utf8('x'), { binding: { treeHead } }));
    }
    await closePair(pair);
    const report = await auditOf(join(folder, 'client.db'));
    expect(report.findings).toMatchObject([{ kind: 'equivocation', record: 2 }]);
    // It is not the fault of the archive that is audited.
    expect(report.ok).toBe(true);
  });
});

it('does not verify what was tampered with, and names it once', async () => {
  const folder = temporaryFolder();
  const pair = await openPair(folder);
  await exchange(pair.client, pair.server, 'pay 100');
  await closePair(pair);
  const path = join(folder, 'server.db');
  tamper(path, (database) =>
    database.exec('UPDATE record SET object = zeroblob(object_length) WHERE idx = 0'),
  );
  const report = await auditOf(path);
  // The receipt is for an object that is not there any more.
  expect(report.findings.map(({ kind, record }) => [kind, record])).toEqual([
    ['content-changed', 0],
    ['forged-receipt', 1],
  ]);
});

import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { accountOf, iso } from '../../../src/evidence/report/account.ts';
import { accountHtml, escapeHtml } from '../../../src/evidence/report/html.ts';
import { cipherSuiteName, protocolName } from '../../../src/evidence/report/names.ts';
import { accountText, plain, table } from '../../../src/evidence/report/text.ts';
import { NOW } from '../formats/kit.ts';
import { closePair, exchange, keep, makeObject, openPair, trust } from './parties.ts';
import { openAt, plainRecord, sessionInfo, temporaryFolder, utf8 } from './support.ts';

const now = new Date(NOW).toISOString();

describe('an account', () => {
  it('says who, what, when, how it was verified and what is missing', async () => {
    const pair = await openPair(temporaryFolder());
    const { sent, receipt } = await exchange(pair.client, pair.server, 'an order');
    const lonely = await keep(pair.client, 'sent', makeObject(pair.client, utf8('not received')));
    const { store } = pair.client.archive;
    const missing = async (index: number, options = {}) =>
      (await accountOf(nodeCrypto, store, index, options)).missing;

    expect(await missing(sent)).toEqual([
      expect.stringContaining('--ca'),
      expect.stringContaining('No checkpoint'),
      expect.stringContaining('No time authority'),
      expect.stringContaining('No revocation data'),
    ]);
    await pair.client.archive.checkpoint();
    expect(await missing(sent, { trust })).toHaveLength(2);
    expect(await missing(lonely, { trust })).toContainEqual(
      expect.stringContaining('nothing proves that it arrived'),
    );
    const account = await accountOf(nodeCrypto, store, receipt, { trust });
    expect(account).toMatchObject({
      record: { kind: 'receipt', target: sent },
      from: { side: 'server', own: false },
      to: { side: 'client', own: true },
      acknowledges: { index: sent },
      verification: {
        verdict: 'valid',
        certificate: 'trusted',
        signedAt: now,
        clock: "the archive's own clock",
      },
      checkpoint: { size: 3 },
      receipts: [],
    });
    expect(account.from.certificate?.subject).toBe('CN=ecdsa_secp384r1_sha384');
    const page = accountText(account);
    expect(page).toContain('WHO        from CN=ecdsa_secp384r1_sha384 (server)');
    expect(page.split('\n').length).toBeLessThan(50);
    await closePair(pair);
  });

  it('of what was refused, is missing or was erased says so', async () => {
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo());
    await archive.append(plainRecord(session, 0, { status: 'rejected', reason: 'ERR_SIGN_WRONG_SIGNER' }));
    await archive.append(plainRecord(session, 1, { status: 'missing', object: undefined, reason: 'a gap' }));
    await archive.append(plainRecord(session, 2));
    await archive.erase(2, 'asked to');
    const textOf = async (index: number) => accountText(await accountOf(nodeCrypto, archive.store, index));
    expect(await textOf(0)).toContain('It was refused when it came: ERR_SIGN_WRONG_SIGNER');
    expect(await textOf(1)).toContain('never came');
    expect(await textOf(2)).toContain('The content was erased');
    expect(await textOf(3)).toContain('an erasure');
    await expect(accountOf(nodeCrypto, archive.store, 9)).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_NOT_FOUND',
    });
    await archive.close();
  });
});

describe('what is printed', () => {
  const evil = '<img src=x onerror=alert(1)>"\'`&\u001b[31m\u202e\u0000\n';

  it('has nothing that a terminal obeys, and tables stay tables', () => {
    expect(plain(evil)).not.toMatch(/[\p{Cc}\p{Cf}]/u);
    expect(
      table(
        ['a', 'number'],
        [
          [evil, '1'],
          ['b', '22'],
        ],
        [1],
      ).split('\n'),
    ).toHaveLength(4);
  });

  it('has nothing alive in HTML, whatever the archive holds', async () => {
    expect(escapeHtml(evil)).not.toMatch(/[<>"'`]|&(?!#\d+;)/);
    const archive = await openAt(temporaryFolder());
    const session = archive.addSession(sessionInfo({ peerName: evil, ownName: evil }));
    await archive.append(plainRecord(session, 0, { application: evil, status: 'rejected', reason: evil }));
    const page = accountHtml(await accountOf(nodeCrypto, archive.store, 0), evil);
    expect(page).not.toMatch(/<img|onerror=alert\(1\)>|<script|javascript:/);
    expect(page.match(/</g)?.length).toBe(page.match(/>/g)?.length);
    await archive.close();
  });

  it('names versions and suites, known or not, and any time', () => {
    expect(protocolName(0x0304)).toBe('TLS 1.3');
    expect(protocolName(0x0777)).toBe('version 0x0777');
    expect(cipherSuiteName(0x1301)).toBe('TLS_AES_128_GCM_SHA256');
    expect(cipherSuiteName(1)).toBe('cipher suite 0x0001');
    expect(iso(NOW)).toBe(now);
    expect(iso(Number.MAX_SAFE_INTEGER)).toContain('ms since 1970');
  });
});

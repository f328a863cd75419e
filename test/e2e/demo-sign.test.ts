import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runSignDemo, type SignDemoResult } from '../../demo/sign/sign-demo.ts';
import { ROOT } from '../../scripts/root.mjs';
import { describeWith, need } from '../setup/need.ts';
import { run } from './tunnel-kit.ts';

const openssl = need('openssl');

describeWith(openssl, 'the demo of a dispute', () => {
  it('npm run demo -- --sign --json exits 0, and every tampering is named', {
    timeout: 180_000,
  }, async () => {
    const words = [join(ROOT, 'scripts', 'run-ts.mjs'), 'demo/main.ts', '--sign', '--json'];
    const demo = await run(process.execPath, words, { limit: 280_000 });
    expect(demo.code, demo.stderr).toBe(0);
    const result: SignDemoResult = JSON.parse(demo.stdout);
    expect(result).toMatchObject({ ok: true, orders: 12, records: { buyer: 48, supplier: 48 } });
    expect(result.tampering.map(({ kind, named, exitCode }) => [kind, named, exitCode])).toEqual([
      ['changed-byte', true, 1],
      ['removed', true, 1],
      ['reordered', true, 1],
      ['inserted', true, 1],
      ['forged-receipt', true, 1],
      ['rewritten-tail', true, 1],
    ]);
    expect(result.outsider).toMatchObject({
      signer: 'CN=Trellis client',
      receiptVerifies: true,
      receiptSigner: 'CN=localhost',
      noticesChange: true,
    });
    expect(result.claims.filter(({ held }) => !held)).toEqual([]);
  });

  it('does not claim what is not so', { timeout: 300_000 }, async () => {
    const result = await runSignDemo({ orders: 3, leaveAlone: ['removed', 'rewritten-tail'] });
    expect(result.ok).toBe(false);
    expect(result.claims.filter(({ held }) => !held).map(({ claim }) => claim.split(':')[0])).toEqual([
      'a removed record, with the others moved up',
      "a tail rewritten without the order, with new checkpoints by the archive's own key",
    ]);
    expect(result.tampering.filter(({ named }) => named)).toHaveLength(4);
  });
});

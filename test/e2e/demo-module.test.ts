import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { whyNoScan } from '../../demo/module/memory.ts';
import { type ModuleDemoResult, runModuleDemo } from '../../demo/module/module-demo.ts';
import type { SignedModuleDemoResult } from '../../demo/module/signed-demo.ts';
import { ROOT } from '../../scripts/root.mjs';
import { describeWith, need, needThat } from '../setup/need.ts';
import { run } from './tunnel-kit.ts';

const memory = needThat(whyNoScan() === undefined, whyNoScan() ?? '');
/** A busy machine takes seconds for each of the processes that are started. */
const LIMIT = 280_000;

describe('the demo with security modules', () => {
  it('npm run demo -- --module --json exits 0: sessions in modules', { timeout: LIMIT }, async () => {
    const words = [join(ROOT, 'scripts', 'run-ts.mjs'), 'demo/main.ts', '--module', '--json'];
    const demo = await run(process.execPath, words, { limit: LIMIT });
    expect(demo.code, demo.stderr + demo.stdout).toBe(0);
    const result: ModuleDemoResult = JSON.parse(demo.stdout);
    expect(result.claims.filter(({ held }) => !held)).toEqual([]);
    expect(result.ok).toBe(true);
    expect(result.transports.gateway).toBe('unix');
    expect(result.transports.client === 'pcsc' || result.whyNoReader !== undefined).toBe(true);
    if (!memory.available) return;
    // Both hosts twice, and the one with copies planted in it.
    expect(result.scans.map(({ process, found }) => [process, found.length > 0])).toEqual([
      ['gateway', false],
      ['client', false],
      ['gateway', false],
      ['client', false],
      ['control', true],
    ]);
    for (const { bytes } of result.scans) expect(bytes).toBeGreaterThan(50_000_000);
  });
});

describeWith(need('openssl'), 'the demo of all three', () => {
  it('npm run demo -- --module --sign --json exits 0', { timeout: LIMIT }, async () => {
    const words = [join(ROOT, 'scripts', 'run-ts.mjs'), 'demo/main.ts', '--module', '--sign', '--json'];
    const demo = await run(process.execPath, words, { limit: LIMIT });
    expect(demo.code, demo.stderr + demo.stdout).toBe(0);
    const result: SignedModuleDemoResult = JSON.parse(demo.stdout);
    expect(result.claims.filter(({ held }) => !held)).toEqual([]);
    expect(result.claims).toHaveLength(10);
    expect(result.commands.join('\n')).toMatch(/openssl cms -verify .*openssl cms -verify_receipt/s);
  });
});

describeWith(memory, 'the search of the hosts’ memory', () => {
  it('does not claim what is not so', { timeout: LIMIT }, async () => {
    const result = await runModuleDemo({ plant: true, requests: 3, bytes: 10_000 });
    expect(result.ok).toBe(false);
    expect(result.claims.filter(({ held }) => !held).map(({ claim }) => claim)).toEqual([
      "the gateway's process has no part of a private key and no PIN in its memory, during the work and after it",
    ]);
    const [gateway] = result.scans;
    // An RSA key and one on P-256: the parts, both byte orders, DER, PEM; and four PINs.
    for (const what of [
      'gateway web: scalar or private exponent',
      'gateway web: prime p',
      'gateway web: prime q',
      'gateway web: CRT coefficient',
      'gateway web: DER',
      'gateway web: PEM body',
      'client buyer: scalar or private exponent',
      'client buyer: scalar or private exponent, lowest byte first',
      'client buyer: DER',
      'client buyer: PEM body',
      'gateway: user PIN',
      'client: operator PIN, two bytes a digit',
    ]) {
      expect(gateway?.found).toContain(what);
    }
  });
});

import { describe, expect, it } from 'vitest';
import { evidence } from '../../../src/cli/evidence.ts';

async function run(...words: string[]): Promise<string> {
  let printed = '';
  await evidence(words, {
    printText: (text) => {
      printed += text;
    },
    printResult: () => {},
  });
  return printed;
}

describe('trellis evidence with a security module', () => {
  it.each([
    [['checkpoint'], "no checkpoints; give the archive's key with --key"],
    [['timestamp', '--authority', 'http://tsa.test/'], 'no checkpoints'],
    [['import', 'case.asice'], 'no checkpoints'],
    [['erase', '12', '--content'], 'no checkpoints'],
    [['find'], 'trellis evidence find signs nothing'],
    [['export', '12', '--out', 'case.asice'], 'trellis evidence export signs nothing'],
    [['verify', '--bundle', 'case.asice'], 'signs nothing'],
  ])('%j says what to do in place of --module', async (words, text) => {
    const refused = run(...words, '--archive', 'none.db', '--module', 'unix:m.sock#me');
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_OPTION',
      message: expect.stringContaining(text),
    });
  });

  it('refuses --offload as well', async () => {
    await expect(run('checkpoint', '--archive', 'none.db', '--offload')).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_OPTION',
      message: expect.stringMatching(/^--offload: .*--key, a file or pkcs11:/),
    });
  });

  it('does not offer them in its help, and takes what comes without them', async () => {
    expect(await run('checkpoint', '--help')).not.toMatch(/--module|--offload/);
    await expect(run('checkpoint', '--archive', 'none.db')).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_FILE',
    });
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { parseProtocols, parsePsk, readPskFile } from '../../../src/tunnel/psk.ts';

const folder = mkdtempSync(join(tmpdir(), 'trellis-psk-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const KEY = '00112233445566778899AABBCCDDEEFF';

function file(text: string): string {
  const path = join(folder, 'keys.txt');
  writeFileSync(path, text);
  return path;
}

describe('a pre-shared key', () => {
  it('is an identity and hexadecimal digits', () => {
    const key = Buffer.from(KEY, 'hex');
    expect(parsePsk(`device 7:${KEY}`)).toEqual({ identity: 'device 7', key });
    expect(parsePsk(`urn:dev:7:${KEY.toLowerCase()}`)).toEqual({ identity: 'urn:dev:7', key });
  });

  it.each([KEY, `:${KEY}`, 'a:', `a:${KEY}0`, `a:${KEY.replace('0', 'g')}`, 'a:00112233'])(
    'is refused without showing it: %s',
    (text) => {
      let message = '';
      try {
        parsePsk(text);
      } catch (error) {
        message = String(error);
        expect(error).toMatchObject({ code: 'ERR_TUNNEL_OPTION' });
      }
      expect(message).toContain('does not work: ');
      expect(message).not.toContain(KEY.slice(0, 8));
    },
  );

  it('is read from a file, one a line', async () => {
    const psks = await readPskFile('--psk-file', file(`a:${KEY}\r\n\n  b:${KEY}\n`));
    expect(psks.map(({ identity }) => identity)).toEqual(['a', 'b']);
  });

  it('of a file is refused with its line', async () => {
    const code = 'ERR_TUNNEL_CREDENTIALS';
    await expect(readPskFile('--psk-file', file(`a:${KEY}\nb\n`))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(/line 2: /),
    });
    await expect(readPskFile('--psk-file', file('\n'))).rejects.toMatchObject({ code });
    await expect(readPskFile('--psk-file', join(folder, 'none'))).rejects.toMatchObject({
      code: 'ERR_TUNNEL_FILE',
    });
  });
});

describe('ALPN', () => {
  it("takes OpenSSL's spelling", () => {
    expect(parseProtocols('h2,http/1.1')).toEqual(['h2', 'http/1.1']);
    expect(parseProtocols('h2')).toEqual(['h2']);
  });

  it.each(['', 'h2,', 'h2, ,a', 'h\u00fc', 'a'.repeat(256)])('refuses %j', (text) => {
    expect(() => parseProtocols(text)).toThrow(expect.objectContaining({ code: 'ERR_TUNNEL_OPTION' }));
  });
});

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect } from 'vitest';
import { encodePem } from '../../src/der/pem.ts';
import { itWith, need } from '../setup/need.ts';
import { MemoryArchive, root, SignPair, START } from '../unit/sign/kit.ts';

/** XML objects and receipts that have travelled through a session, as either side has archived them, against xmlsec1. */

const xmlsec = need('xmlsec1');
/** It takes milliseconds; the machine may be busy. */
const TOOL_MS = 20_000;
const folder = mkdtempSync(join(tmpdir(), 'trellis-xml-session-'));
const ca = join(folder, 'ca.crt');
writeFileSync(ca, encodePem('CERTIFICATE', root.certificate.raw));

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function xmlsecVerifies(object: Uint8Array): boolean {
  const file = join(folder, 'object.xml');
  writeFileSync(file, object);
  const time = new Date(START).toISOString().slice(0, 19).replace('T', ' ');
  const { status, stderr, error } = spawnSync(
    xmlsec.path,
    [
      '--verify',
      ...['--trusted-pem', ca, '--enabled-reference-uris', 'same-doc', '--verification-gmt-time', time],
      file,
    ],
    { timeout: TOOL_MS, encoding: 'utf8' },
  );
  if (error !== undefined) throw error;
  expect(stderr).toMatch(status === 0 ? /^OK$/m : /FAIL|Error/i);
  return status === 0;
}

itWith(xmlsec, 'xmlsec1 verifies what was said and acknowledged in a session', () => {
  const archives = { client: new MemoryArchive(), server: new MemoryArchive() };
  const pair = new SignPair({
    client: { archive: archives.client, formats: ['xmldsig'] },
    server: { archive: archives.server },
  });
  pair.say('client', 'three chairs');
  pair.say('server', 'confirmed');
  pair.run();
  pair.expectUnharmed();
  for (const { entries } of [archives.client, archives.server]) {
    expect(entries.map(({ direction, kind }) => `${direction} ${kind}`).sort()).toEqual([
      'received data',
      'received receipt',
      'sent data',
      'sent receipt',
    ]);
    for (const { object = new Uint8Array() } of entries) {
      expect(xmlsecVerifies(object)).toBe(true);
      const content = Buffer.from(object).toString('latin1');
      const changed = content.replace(
        /(Id="data">)(.)/,
        (_, start, first) => start + (first === 'A' ? 'B' : 'A'),
      );
      expect(changed).not.toBe(content);
      expect(xmlsecVerifies(Buffer.from(changed, 'latin1'))).toBe(false);
    }
  }
});

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { locate } from '../../../scripts/peers.mjs';
import { needThat, type ProgramNeed } from '../../setup/need.ts';

/**
 * An `openssl` and a `curl` with OpenSSL 3.5 or later, which has ML-KEM: those in the folder that TRELLIS_OPENSSL35 names,
 * else those of the machine where they are as new.
 */
export const openssl35 = needVersion('openssl', ['version'], /\(Library: OpenSSL (\d+)\.(\d+)/);
export const curl35 = needVersion('curl', ['--version'], / OpenSSL\/(\d+)\.(\d+)/);

function needVersion(program: 'openssl' | 'curl', args: readonly string[], version: RegExp): ProgramNeed {
  const folder = process.env.TRELLIS_OPENSSL35;
  const path = folder === undefined ? locate(program) : join(folder, program);
  const { stdout } = spawnSync(path ?? program, args, { encoding: 'utf8' });
  const [, major, minor] = (version.exec(stdout ?? '') ?? []).map(Number);
  const isNewEnough = major !== undefined && minor !== undefined && major * 100 + minor >= 305;
  const reason = `no ${program} with OpenSSL 3.5 here (TRELLIS_OPENSSL35 names the folder of one, see docs/interop.md)`;
  return { ...needThat(path !== undefined && isNewEnough, reason), path: path ?? program };
}

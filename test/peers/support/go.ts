import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { locate } from '../../../scripts/peers.mjs';
import { ROOT } from '../../../scripts/root.mjs';
import { type Need, needThat } from '../../setup/need.ts';

const path = locate('go') ?? '/usr/local/go/bin/go';
const version = spawnSync(path, ['env', 'GOVERSION'], { encoding: 'utf8' }).stdout ?? '';
const [, minor] = /^go1\.(\d+)/.exec(version) ?? [];

/** crypto/tls has X25519MLKEM768 since Go 1.24. */
export const go: Need = needThat(Number(minor ?? 0) >= 24, 'no Go 1.24 or newer here');

/** Compiles the program in `go-peer/`. @returns its path; it goes with `folder` */
export function buildGoPeer(folder: string): string {
  const out = join(folder, 'go-peer');
  const { status, stderr } = spawnSync(path, ['build', '-o', out, '.'], {
    cwd: join(ROOT, 'test', 'peers', 'support', 'go-peer'),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-mod=mod', GOTOOLCHAIN: 'local' },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`go build: ${stderr}`);
  return out;
}

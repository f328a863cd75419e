import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { locate } from '../../../scripts/peers.mjs';
import { ROOT } from '../../../scripts/root.mjs';
import { type Need, needThat } from '../../setup/need.ts';

const path = locate('go') ?? '/usr/local/go/bin/go';
const version = spawnSync(path, ['env', 'GOVERSION'], { encoding: 'utf8' }).stdout ?? '';
const [, minor] = /^go1\.(\d+)/.exec(version) ?? [];

/** crypto/tls has X25519MLKEM768 since Go 1.24. */
export const go: Need = needThat(Number(minor ?? 0) >= 24, 'no Go 1.24 or newer here');

/** Tests fetch nothing: the modules are there, as go.sum has them, or they are not. */
export const pion: Need = needThat(
  go.available && runGo('pion-peer', ['list', '-deps', '.']).status === 0,
  'no pion/dtls here (cd test/peers/support/pion-peer && go mod download)',
);

/** Compiles the program in `name`, `go-peer` or `pion-peer`. @returns its path; it goes with `folder` */
export function buildGoPeer(folder: string, name: 'go-peer' | 'pion-peer' = 'go-peer'): string {
  const out = join(folder, name);
  const { status, stderr } = runGo(name, ['build', '-o', out, '.']);
  if (status !== 0) throw new Error(`go build: ${stderr}`);
  return out;
}

function runGo(name: string, args: readonly string[]): SpawnSyncReturns<string> {
  return spawnSync(path, args, {
    cwd: join(ROOT, 'test', 'peers', 'support', name),
    env: {
      ...process.env,
      CGO_ENABLED: '0',
      GOFLAGS: '-mod=readonly',
      GOPROXY: 'off',
      GOTOOLCHAIN: 'local',
    },
    encoding: 'utf8',
  });
}

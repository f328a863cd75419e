import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../../scripts/root.mjs';
import { type Need, needThat } from '../../setup/need.ts';

/** Built by hand: tests have no crates to fetch, and its cryptography takes minutes to compile. */
export const rustlsPeer =
  process.env.TRELLIS_RUSTLS_PEER ?? join(ROOT, '.tmp', 'rustls-peer', 'debug', 'rustls-peer');

export const rustls: Need = needThat(
  existsSync(rustlsPeer),
  'no rustls-peer here (cargo build --manifest-path test/peers/support/rustls-peer/Cargo.toml --target-dir .tmp/rustls-peer)',
);

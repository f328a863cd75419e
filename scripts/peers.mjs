// Programs that no one here wrote and that tests talk to: where they are, and how to get them.
//   node scripts/peers.mjs      installs what is missing, where that is possible (root on Debian)
import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Program -> Debian package that brings it. A test names the program that it starts. */
export const PEERS = /** @type {const} */ ({
  openssl: 'openssl',
  'gnutls-cli': 'gnutls-bin',
  'gnutls-serv': 'gnutls-bin',
  certtool: 'gnutls-bin',
  curl: 'curl',
  git: 'git',
  xmlsec1: 'xmlsec1',
  iperf3: 'iperf3',
  dig: 'bind9-dnsutils',
  'coap-client-openssl': 'libcoap3-bin',
  'coap-server-openssl': 'libcoap3-bin',
  tshark: 'tshark',
  stunnel4: 'stunnel4',
  chromium: 'chromium',
  psql: 'postgresql',
  initdb: 'postgresql',
  pg_ctl: 'postgresql',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  sshd: 'openssh-server',
  rsync: 'rsync',
  pcscd: 'pcscd',
  'vpcd-config': 'vsmartcard-vpcd',
  'opensc-tool': 'opensc',
  eapol_test: 'eapoltest',
  hostapd: 'hostapd',
  'softhsm2-util': 'softhsm2',
  'pkcs11-tool': 'opensc',
});

/** @typedef {keyof typeof PEERS} Program */

/** Debian keeps servers out of a user's PATH. */
const MORE_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
const POSTGRES = '/usr/lib/postgresql';

/** A mirror that does not answer must not hold up the tests: what is late is skipped by name. */
const UPDATE_MS = 120_000;
const DOWNLOAD_MS = 180_000;
/** Unpacking is local. Long, since ending dpkg half-way leaves a machine to repair. */
const UNPACK_MS = 300_000;

/**
 * @param {string} program
 * @returns {string | undefined} its path
 */
export function locate(program) {
  const postgres = existsSync(POSTGRES)
    ? readdirSync(POSTGRES)
        .sort((a, b) => Number(b) - Number(a))
        .map((version) => join(POSTGRES, version, 'bin'))
    : [];
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  return [...folders, ...MORE_FOLDERS, ...postgres]
    .map((folder) => join(folder, program))
    .find((path) => isExecutable(path));
}

/**
 * Installs the missing programs' packages with apt-get. A package that cannot be had is not an error: the tests that
 * need it are skipped and say so.
 */
export function installPeers() {
  const programs = /** @type {Program[]} */ (Object.keys(PEERS));
  const missing = programs.filter((program) => locate(program) === undefined);
  const packages = [...new Set(missing.map((program) => PEERS[program]))];
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0 || locate('apt-get') === undefined) {
    console.log(`peers: not here, and only root on Debian installs them: ${packages.join(' ')}`);
    return;
  }
  withoutStartingServices(() => {
    apt('package lists', ['update'], UPDATE_MS);
    for (const name of packages) install(name);
  });
}

/** @param {string} name */
function install(name) {
  const command = ['install', '--no-install-recommends', '--yes', name];
  // Fetched apart from unpacked: ending a download harms nothing.
  if (apt(`${name}: fetching`, [...command, '--download-only'], DOWNLOAD_MS)) {
    apt(`${name}: installing`, [...command, '--no-download'], UNPACK_MS);
  }
}

/**
 * @param {string} what
 * @param {string[]} args
 * @param {number} milliseconds
 */
function apt(what, args, milliseconds) {
  const start = Date.now();
  const { status, error } = spawnSync('apt-get', ['-qq', '-o', 'DPkg::Lock::Timeout=60', ...args], {
    stdio: 'ignore',
    timeout: milliseconds,
    env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', NEEDRESTART_MODE: 'l' },
  });
  const took = `${((Date.now() - start) / 1000).toFixed(0)} s`;
  const failure = error === undefined ? `apt-get ended with ${status}` : `stopped: ${error.message}`;
  console.log(`peers: ${what}: ${status === 0 ? 'ok' : failure} (${took})`);
  return status === 0;
}

/**
 * Debian starts a server's daemon when it installs it. The tests start their own, on their own ports, so for this time
 * Debian's switch against that is set, where the machine does not have it set already.
 *
 * @param {() => void} action
 */
function withoutStartingServices(action) {
  const policy = '/usr/sbin/policy-rc.d';
  const ours = !existsSync(policy);
  // With a listener the signal waits until apt-get, which got it too, has ended and the switch is gone again.
  const interrupted = () => process.exit(130);
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  if (ours) writeFileSync(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    action();
  } finally {
    if (ours) rmSync(policy, { force: true });
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) installPeers();

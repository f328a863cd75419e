import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it, onTestFinished } from 'vitest';
import { encodePem } from '../../src/der/pem.ts';
import {
  type AttachedDtlsSocket,
  accept,
  connect,
  isDtls,
  SrtpProfile,
  type SrtpProfileName,
} from '../../src/node/dtls/index.ts';
import { describeWith, need } from '../setup/need.ts';
import { client, DAY } from '../unit/x509/pki.ts';
import { IceLite } from './support/ice-lite.ts';
import { Program } from './support/program.ts';
import { SctpEcho } from './support/sctp.ts';
import { isRtp, openSrtp } from './support/srtp.ts';
import { type PageReport, servePeers } from './support/webrtc.ts';

/*
 * WebRTC: Chromium on the other side of a DTLS session that our API carries over a socket which it shares with STUN and SRTP.
 */

const chromium = need('chromium');
/** A browser takes seconds to start where others use the processor too. */
const TEST_MS = 60_000;

const now = Date.now();
const own = client('trellis', { input: { notBefore: now - DAY, notAfter: now + 30 * DAY } });
const identity = {
  cert: encodePem('CERTIFICATE', own.der),
  key: own.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
};
const OWN_FINGERPRINT = fingerprintOf(own.der);
const STRANGE_FINGERPRINT = fingerprintOf(Buffer.from('somebody else'));
const PROFILES: readonly SrtpProfileName[] = ['SRTP_AEAD_AES_128_GCM'];

const rows: string[] = [];
afterAll(() => console.log(`WebRTC with Chromium\n${rows.map((row) => `  ${row}`).join('\n')}`));

const VERSIONS = [
  ['DTLSv1.2', 'TLSv1.2', 'FEFD'],
  ['DTLSv1.3', 'TLSv1.3', 'FEFC'],
] as const;

/** Our end of one peer connection. */
interface OurEnd {
  readonly session: AttachedDtlsSocket;
  readonly sctp: SctpEcho;
  /** What the session ended with, if with anything. */
  readonly error: Promise<NodeJS.ErrnoException>;
  /** The first packet of sound. */
  readonly rtp: Promise<Buffer>;
}

describeWith(chromium, 'Chromium, WebRTC', () => {
  it.each(VERSIONS)(
    '%s, as server and as client, with data, sound, and strangers refused',
    async (protocol, version, tlsVersion) => {
      const ends = new Map<string, OurEnd>();
      const names = ['server', 'client', 'their-stranger', 'our-stranger'];
      const page = await servePeers(names, async (name, offer) => {
        const setup = name === 'client' ? 'active' : 'passive';
        const expected = name === 'their-stranger' ? STRANGE_FINGERPRINT : offer.fingerprint;
        const { ice, end } = await ourEnd(setup, version, expected);
        ends.set(name, end);
        const fingerprint = name === 'our-stranger' ? STRANGE_FINGERPRINT : OWN_FINGERPRINT;
        return { setup, fingerprint, ice };
      });
      const browser = browse(page.url);
      try {
        for (const name of ['server', 'client'] as const) {
          const report = await page.reports[name];
          const end = ends.get(name) as OurEnd;
          await expectSame(report as PageReport, end, name);
          expect([end.session.getProtocol(), report?.tlsVersion]).toEqual([protocol, tlsVersion]);
          rows.push(
            `${protocol}  our ${name}  ${end.session.getCipher()?.standardName}  ${report?.srtpCipher}`,
          );
        }
        const strangers = await Promise.all([page.reports['their-stranger'], page.reports['our-stranger']]);
        for (const report of strangers) expect(['failed', 'closed']).toContain(report?.state);
        expect(strangers.map((report) => report?.echo)).toEqual([undefined, undefined]);
        expect(await ends.get('their-stranger')?.error).toMatchObject({ code: 'ERR_TLS_BAD_CERTIFICATE' });
      } finally {
        await browser.stop();
      }
    },
    TEST_MS,
  );
});

/** Both sides say the same of the session; data come back over it, and sound opens with its keys. */
async function expectSame(report: PageReport, { session, sctp, rtp }: OurEnd, ours: string): Promise<void> {
  expect(report).toMatchObject({
    state: 'connected',
    echo: `hello from ${ours}`,
    dtlsRole: ours === 'server' ? 'client' : 'server',
    certificate: Buffer.from(own.der).toString('hex'),
    dtlsCipher: session.getCipher()?.standardName,
  });
  expect(sctp.messages).toEqual([`hello from ${ours}`]);
  expect(session.authorized).toBe(true);
  const keys = session.srtp;
  expect(keys?.profile).toBe(report.srtpCipher && SrtpProfile[report.srtpCipher as SrtpProfileName]);
  // RFC 5764 §4.2: client key, server key, client salt, server salt.
  const material = session.exportKeyingMaterial(56, 'EXTRACTOR-dtls_srtp');
  expect(material.subarray(0, 16).equals(keys?.client.key ?? material)).toBe(true);
  const theirs = ours === 'server' ? keys?.client : keys?.server;
  const packet = await rtp;
  expect(theirs && openSrtp(packet, theirs.key, theirs.salt)).toBeInstanceOf(Buffer);
  packet[packet.length - 1] = (packet[packet.length - 1] as number) ^ 1;
  expect(theirs && openSrtp(packet, theirs.key, theirs.salt)).toBeUndefined();
}

async function ourEnd(
  setup: 'active' | 'passive',
  version: string,
  fingerprints: string,
): Promise<{ readonly ice: IceLite; readonly end: OurEnd }> {
  let session: AttachedDtlsSocket | undefined;
  let heard: (packet: Buffer) => void = () => {};
  const rtp = new Promise<Buffer>((resolve) => {
    heard = resolve;
  });
  const ice = await IceLite.open((datagram) => {
    if (isDtls(datagram)) session?.receive(datagram);
    else if (isRtp(datagram)) heard(datagram);
  });
  onTestFinished(() => ice.close());
  const options = {
    transport: { send: (datagram: Uint8Array) => ice.send(datagram) },
    ...identity,
    fingerprints,
    minVersion: version,
    maxVersion: version,
    srtp: PROFILES,
    mtu: 1200,
  };
  const made = setup === 'passive' ? accept(options) : connect(options);
  session = made;
  onTestFinished(() => void made.destroy());
  const sctp = new SctpEcho((packet) => made.send(packet));
  made.on('message', (packet) => sctp.receive(packet));
  const error = once(made, 'error').then(([reason]) => reason as NodeJS.ErrnoException);
  error.catch(() => {});
  return { ice, end: { session: made, sctp, error, rtp } };
}

function browse(url: string): Program {
  const folder = mkdtempSync(join(tmpdir(), 'trellis-webrtc-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return new Program(chromium.path, [
    ...['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run'],
    ...['--disable-background-networking', '--disable-component-update', '--disable-sync'],
    ...['--disable-dev-shm-usage', '--no-proxy-server', `--user-data-dir=${folder}`],
    ...['--allow-loopback-in-peer-connection', '--mute-audio'],
    ...['--use-fake-device-for-media-stream', '--use-fake-ui-for-media-stream'],
    '--disable-features=WebRtcHideLocalIpsWithMdns',
    // DTLS 1.3 where it is not the default yet, and no DTLS within STUN.
    '--force-fieldtrials=WebRTC-ForceDtls13/Enabled/WebRTC-IceHandshakeDtls/Disabled/',
    url,
  ]);
}

function fingerprintOf(der: Uint8Array): string {
  const digest = createHash('sha256').update(der).digest('hex').toUpperCase();
  return `sha-256 ${digest.match(/../g)?.join(':')}`;
}

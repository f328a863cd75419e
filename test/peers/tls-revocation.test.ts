import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { probe } from '../../src/node/probe/probe.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import { describeWith } from '../setup/need.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import { connectFailure, connectOurs, serve } from './support/ours.ts';
import { type Credential, makePki, type Pki } from './support/pki.ts';

/* OCSP responses and CRLs made by OpenSSL, stapled by it and by us, judged by us and by it. */

let pki: Pki;
let folder: string;

const run = (...args: string[]) =>
  execFileSync(openssl.path, args, { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });

const serialOf = ({ cert }: Credential) => {
  const der = Buffer.from(cert.replace(/-----.*-----|\s/g, ''), 'base64');
  const hex = Buffer.from(Certificate.parse(der).serialNumber).toString('hex').toUpperCase();
  return hex.replace(/^(00)+(?=..)/, '');
};

/** A line of OpenSSL's CA database. */
const entry = (credential: Credential, state: 'V' | 'R') =>
  `${state}\t350101000000Z\t${state === 'R' ? '250101000000Z' : ''}\t${serialOf(credential)}\tunknown\t/CN=x\n`;

/** An OCSP response about a server of ours, signed by the CA. */
function ocsp(credential: Credential, state: 'V' | 'R', name: string): string {
  writeFileSync(join(folder, `${name}.index`), entry(credential, state));
  const { certFile: issuer, keyFile } = pki.ca;
  run('ocsp', '-issuer', issuer, '-cert', credential.certFile, '-reqout', `${name}.req`, '-no_nonce');
  const signer = ['-CA', issuer, '-rsigner', issuer, '-rkey', keyFile];
  run(
    ...['ocsp', '-index', `${name}.index`, ...signer],
    ...['-reqin', `${name}.req`, '-respout', `${name}.ocsp`, '-ndays', '2'],
  );
  return join(folder, `${name}.ocsp`);
}

describeWith(openssl, 'OCSP with OpenSSL', () => {
  let good: string;
  let revoked: string;

  beforeAll(() => {
    pki = makePki();
    ({ folder } = pki);
    good = ocsp(pki.servers.p256, 'V', 'good');
    revoked = ocsp(pki.servers.p256, 'R', 'revoked');
  });

  const theirs = (...args: string[]) => new OpensslServer(pki.servers.p256, args).port;

  it.each(['-tls1_3', '-tls1_2'])('our client believes what s_server staples, %s', async (version) => {
    const port = await theirs(version, '-status_file', good);
    const socket = await connectOurs({ port, ca: pki.ca.cert, ocsp: 'hard' });
    expect(socket.ocspResponse).toEqual(readFileSync(good));
    expect(socket.authorized).toBe(true);
    socket.destroy();
    const refused = await theirs(version, '-status_file', revoked);
    expect((await connectFailure({ port: refused, ca: pki.ca.cert })).code).toBe('CERT_REVOKED');
    const off = await connectOurs({ port: refused, ca: pki.ca.cert, ocsp: 'off' });
    expect(off.ocspResponse).toBeUndefined();
    off.destroy();
  });

  it.each(['-tls1_3', '-tls1_2'])('our client demands a response where it is hard, %s', async (version) => {
    const port = await theirs(version);
    const failure = await connectFailure({ port, ca: pki.ca.cert, ocsp: 'hard' });
    expect(failure.code).toBe('ERR_TLS_BAD_CERTIFICATE_STATUS');
    (await connectOurs({ port, ca: pki.ca.cert })).destroy();
  });

  it('a probe tells what is stapled', async () => {
    const look = (port: number) =>
      probe({
        ...{ host: '127.0.0.1', port, label: 'the server', servername: 'localhost', ca: pki.ca.cert },
        ...{ timeout: 30_000, timeLimit: 80_000 },
      });
    const fine = await look(await theirs('-tls1_3', '-status_file', good));
    expect(fine.ocsp).toMatchObject({ stapled: true, status: 'good', mustStaple: false, problem: undefined });
    expect(fine.trust?.trusted).toBe(true);
    const bad = await look(await theirs('-tls1_3', '-status_file', revoked));
    expect(bad.ocsp).toMatchObject({ stapled: true, status: 'revoked' });
    expect(bad.trust).toMatchObject({ trusted: false, code: 'CERT_REVOKED' });
  });

  it('our server staples, and s_client verifies', async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, staple: { ocsp: readFileSync(good) } });
    const client = new OpensslClient(ours.port, ['-status', '-CAfile', pki.ca.certFile, '-tls1_3']);
    await client.connected();
    expect(client.output).toContain('OCSP Response Status: successful');
    expect(client.output).toContain('Cert Status: good');
    await client.quit();
    const without = new OpensslClient(ours.port, ['-CAfile', pki.ca.certFile, '-tls1_3']);
    await without.connected();
    expect(without.output).not.toContain('OCSP');
    await without.quit();
  });

  it("emits node:tls's event", async () => {
    const { cert, key } = pki.servers.p256;
    const ours = await serve({ cert, key, staple: { ocsp: readFileSync(good) } });
    const seen: unknown[] = [];
    const socket = await connectOurs({ port: ours.port, ca: pki.ca.cert, requestOCSP: true });
    socket.destroy();
    const { connect } = await import('../../src/index.ts');
    await new Promise<void>((resolve, reject) => {
      const second = connect({
        port: ours.port,
        host: '127.0.0.1',
        servername: 'localhost',
        ca: pki.ca.cert,
        requestOCSP: true,
      });
      second.on('OCSPResponse', (response) => seen.push(response));
      second.once('error', reject);
      second.once('secureConnect', () => {
        second.destroy();
        resolve();
      });
    });
    expect(seen).toEqual([readFileSync(good)]);
  });
});

describeWith(openssl, 'CRLs of OpenSSL', () => {
  const crl = (name: string, ...revoked: Credential[]): string => {
    writeFileSync(
      join(folder, `${name}.index`),
      revoked.map((credential) => entry(credential, 'R')).join(''),
    );
    writeFileSync(
      join(folder, `${name}.cnf`),
      `[ca]\ndefault_ca=d\n[d]\ndatabase=${name}.index\ndefault_md=sha256\ndefault_crl_days=2\n`,
    );
    const { certFile, keyFile } = pki.ca;
    run(
      'ca',
      '-gencrl',
      '-config',
      `${name}.cnf`,
      '-cert',
      certFile,
      '-keyfile',
      keyFile,
      '-out',
      `${name}.crl`,
    );
    return readFileSync(join(folder, `${name}.crl`), 'utf8');
  };

  beforeAll(() => {
    pki = makePki();
    ({ folder } = pki);
  });

  it('refuse revoked servers, and let the others pass', async () => {
    const list = crl('servers', pki.servers.rsa2048);
    const [good, revoked] = [new OpensslServer(pki.servers.p256), new OpensslServer(pki.servers.rsa2048)];
    const socket = await connectOurs({ port: await good.port, ca: pki.ca.cert, crl: list });
    socket.destroy();
    const failure = await connectFailure({ port: await revoked.port, ca: pki.ca.cert, crl: list });
    expect(failure.code).toBe('CERT_REVOKED');
    await revoked.until('alert certificate revoked');
  });

  it('refuse revoked clients, and let the others pass', async () => {
    const { cert, key } = pki.servers.p256;
    const list = crl('clients', pki.clients.rsa2048);
    const ours = await serve({ cert, key, ca: pki.ca.cert, requestCert: true, crl: list });
    const shows = ({ certFile, keyFile }: Credential) =>
      new OpensslClient(ours.port, ['-cert', certFile, '-key', keyFile, '-CAfile', pki.ca.certFile]);
    const good = shows(pki.clients.p256);
    expect((await ours.session()).authorized).toBe(true);
    await good.quit();
    const revoked = shows(pki.clients.rsa2048);
    expect((await ours.failure()).code).toBe('CERT_REVOKED');
    await revoked.until('alert certificate revoked');
  });
});

import type { AddressInfo } from 'node:net';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import { CertificateError } from '../../src/errors/errors.ts';
import { basicConstraints } from '../../src/x509/issue.ts';
import { referenceName } from '../../src/x509/names.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { verifyPeer } from '../../src/x509/verify.ts';
import { ca, client, DAY, type Identity, type IdentityOptions, replacing, server } from '../unit/x509/pki.ts';

/** Programs test `error.code` of node:tls: the same chain over a real handshake there gives the code that we give. */

const HOST = 'www.example.com';
/** node:tls knows no other time than the machine's. */
const now = Date.now();
const valid = { input: { notBefore: now - DAY, notAfter: now + DAY } };
const expired = { input: { notBefore: now - 2 * DAY, notAfter: now - DAY } };
const early = { input: { notBefore: now + DAY, notAfter: now + 2 * DAY } };
const with_ = (options: IdentityOptions): IdentityOptions => ({ ...valid, ...options });

const root = ca('Root', valid);
const other = ca('Other Root', valid);
const issuer = ca('Issuer', with_({ issuer: root }));
const leaf = server(HOST, with_({ issuer }));
const self = server(HOST, valid);
const notCa = ca('Not CA', with_({ issuer: root, extensions: replacing(basicConstraints(false)) }));
const short = ca('Short', with_({ issuer: root, pathLength: 0 }));
const below = ca('Below', with_({ issuer: short }));
const forged: Identity = { ...leaf, der: Uint8Array.from(leaf.der) };
forged.der[forged.der.length - 1] = (forged.der[forged.der.length - 1] as number) ^ 1;

const CASES: readonly [
  code: string,
  chain: readonly Identity[],
  trust: readonly Identity[],
  host?: string,
][] = [
  ['ok', [leaf, issuer], [root]],
  ['ok', [leaf, issuer, root], [root]],
  ['ok', [self], [self]],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', [leaf], [root]],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', [leaf, issuer], [other]],
  ['SELF_SIGNED_CERT_IN_CHAIN', [leaf, issuer, root], [other]],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', [self], [root]],
  ['CERT_SIGNATURE_FAILURE', [forged, issuer], [root]],
  ['CERT_HAS_EXPIRED', [server(HOST, { issuer, ...expired }), issuer], [root]],
  ['CERT_NOT_YET_VALID', [server(HOST, { issuer, ...early }), issuer], [root]],
  ['PATH_LENGTH_EXCEEDED', [server(HOST, with_({ issuer: below })), below, short], [root]],
  ['INVALID_PURPOSE', [client(HOST, with_({ issuer })), issuer], [root]],
  ['ERR_TLS_CERT_ALTNAME_INVALID', [leaf, issuer], [root], 'other.example.com'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', [leaf, issuer], [root], '127.0.0.1'],
];

describe('certificate errors have the codes of node:tls', () => {
  it.each(CASES)('%s (case %#)', async (code, chain, trust, host = HOST) => {
    expect(ours(chain, trust, host)).toBe(code);
    expect(await nodes(chain, trust, host)).toBe(code);
  });

  it('but for an issuer that is no CA: node:tls may go on after INVALID_CA and report what it finds last', async () => {
    const chain = [server(HOST, with_({ issuer: notCa })), notCa];
    expect(ours(chain, [root], HOST)).toBe('INVALID_CA');
    expect(['INVALID_CA', 'INVALID_PURPOSE']).toContain(await nodes(chain, [root], HOST));
  });
});

function ours(chain: readonly Identity[], trust: readonly Identity[], host: string): string {
  const store = new TrustStore(trust.map(({ certificate }) => certificate));
  const sent = chain.map(({ der }) => der);
  try {
    verifyPeer(nodeCrypto, sent, { purpose: 'server', trust: store, now, name: referenceName(host) });
    return 'ok';
  } catch (error) {
    if (error instanceof CertificateError) return error.code;
    throw error;
  }
}

async function nodes(chain: readonly Identity[], trust: readonly Identity[], host: string): Promise<string> {
  const pem = (identities: readonly Identity[]) =>
    identities.map(({ der }) => encodePem('CERTIFICATE', der)).join('');
  const key = chain[0]?.privateKey.export({ type: 'pkcs8', format: 'pem' }) ?? '';
  const listener = tls.createServer({ key, cert: pem(chain), minVersion: 'TLSv1.3' });
  // The client goes away in the middle of the handshake where it refuses the certificate.
  listener.on('tlsClientError', () => {});
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  try {
    return await new Promise<string>((resolve) => {
      const socket = tls.connect({
        host: '127.0.0.1',
        port: (listener.address() as AddressInfo).port,
        ca: pem(trust),
        ...(host === '127.0.0.1' ? {} : { servername: host }),
      });
      socket.on('secureConnect', () => {
        socket.destroy();
        resolve('ok');
      });
      socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });
  } finally {
    await new Promise((resolve) => listener.close(resolve));
  }
}

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { type Scheme, schemeById } from '../../src/crypto/schemes.ts';
import { decodePemBlocks, encodePem } from '../../src/der/pem.ts';
import { cmsMaker } from '../../src/formats/cms/make.ts';
import { ModuleError, Pkcs11Key } from '../../src/index.ts';
import { SignatureScheme } from '../../src/wire/codepoints.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import type { KeyKind } from '../setup/keys.ts';
import { describeWith } from '../setup/need.ts';
import { binding } from '../unit/formats/kit.ts';
import { caught } from '../unit/pkcs11/kit.ts';
import { ca, client, DAY, newKey, server as serverIdentity } from '../unit/x509/pki.ts';
import { OpensslClient, OpensslServer, openssl } from './support/openssl.ts';
import { connectOurs, serve } from './support/ours.ts';
import { PIN, SoftHsm, softhsm } from './support/softhsm.ts';

/*
 * Keys in SoftHSM, over PKCS #11: handshakes with OpenSSL, objects that OpenSSL verifies, and what goes wrong with tokens.
 */

const KINDS = ['p256', 'p384', 'p521', 'ed25519', 'rsa2048'] as const satisfies readonly KeyKind[];
const WIRE_NAMES: Readonly<Record<(typeof KINDS)[number], RegExp>> = {
  p256: /Peer signature type: (?:ECDSA|ecdsa_secp256r1_sha256)$/m,
  p384: /Peer signature type: (?:ECDSA|ecdsa_secp384r1_sha384)$/m,
  p521: /Peer signature type: (?:ECDSA|ecdsa_secp521r1_sha512)$/m,
  ed25519: /Peer signature type: ed25519/i,
  rsa2048: /Peer signature type: (?:RSA-PSS|rsa_pss_rsae_sha256)$/m,
};

const now = Date.now();
const valid = { notBefore: now - DAY, notAfter: now + 30 * DAY };
const keys: Pkcs11Key[] = [];
let hsm: SoftHsm;
let root: ReturnType<typeof ca>;
let caFile: string;

beforeAll(() => {
  if (softhsm.some(({ available }) => !available)) return;
  hsm = new SoftHsm();
  root = ca('Token tests CA', { input: valid });
  caFile = join(hsm.folder, 'ca.pem');
  writeFileSync(caFile, encodePem('CERTIFICATE', root.der));
  hsm.addToken('first');
  for (const [i, kind] of KINDS.entries()) {
    const id = `0${i + 1}`;
    const key = newKey(kind);
    const { der } = serverIdentity('localhost', {
      issuer: root,
      key,
      hosts: ['localhost', '127.0.0.1'],
      input: valid,
    });
    const file = join(hsm.folder, `${kind}.key`);
    writeFileSync(file, key.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    writeFileSync(join(hsm.folder, `${kind}.pem`), encodePem('CERTIFICATE', der));
    const shown = client(kind, { issuer: root, key, input: valid });
    writeFileSync(join(hsm.folder, `${kind}-client.pem`), encodePem('CERTIFICATE', shown.der));
    hsm.importKey('first', kind, id, file);
    hsm.importCertificate('first', kind, id, der);
  }
});

// Who has logged in to a token has done so for the whole process.
afterEach(async () => {
  for (const key of keys.splice(0)) await key.close();
});

async function open(uri: string, options?: Parameters<typeof Pkcs11Key.open>[1]): Promise<Pkcs11Key> {
  const key = await Pkcs11Key.open(uri, options);
  keys.push(key);
  return key;
}

const keyOf = (kind: string) => open(hsm.uri(`token=first;object=${kind};type=private`));

describeWith([...softhsm, openssl], 'keys in SoftHSM: handshakes with OpenSSL', () => {
  for (const kind of KINDS) {
    it(`as server with a ${kind} key, in TLS 1.3 and 1.2`, async () => {
      const key = await keyOf(kind);
      const ours = await serve({ cert: key.cert, key });
      for (const version of ['-tls1_3', '-tls1_2']) {
        const trust = ['-CAfile', caFile, '-verify_return_error', '-servername', 'localhost', version];
        const peer = new OpensslClient(ours.port, trust);
        peer.say('ping');
        await peer.until('ping\n');
        expect(peer.output).toMatch(WIRE_NAMES[kind]);
        expect(peer.output).toContain('Verify return code: 0 (ok)');
        await peer.quit();
      }
    });

    it(`as client with a ${kind} key`, async () => {
      const cert = readFileSync(join(hsm.folder, `${kind}-client.pem`), 'utf8');
      const key = await open(hsm.uri(`token=first;object=${kind}`), { cert });
      const files = { certFile: join(hsm.folder, 'p256.pem'), keyFile: join(hsm.folder, 'p256.key') };
      const server = new OpensslServer({ cert: '', key: '', spkiPin: '', ...files }, [
        '-Verify',
        '2',
        '-verify_return_error',
        '-CAfile',
        caFile,
      ]);
      const ca = readFileSync(caFile, 'utf8');
      const socket = await connectOurs({ port: await server.port, ca, cert: key.cert, key });
      socket.write('from the token\n');
      await server.until('from the token');
      socket.end();
    });
  }

  it('signs several handshakes at a time', async () => {
    const key = await keyOf('p384');
    const ours = await serve({ cert: key.cert, key });
    const ca = readFileSync(caFile, 'utf8');
    const sockets = await Promise.all(Array.from({ length: 20 }, () => connectOurs({ port: ours.port, ca })));
    for (const socket of sockets) socket.end();
    expect(sockets).toHaveLength(20);
  });
});

describeWith(softhsm, 'keys in SoftHSM: signatures', () => {
  it('makes every scheme of every key', async () => {
    const made: string[] = [];
    for (const kind of KINDS) {
      const key = await keyOf(kind);
      for (const id of key.schemes) {
        const scheme = schemeById(id);
        if (scheme === undefined) throw new Error('unknown scheme');
        const data = new TextEncoder().encode(`signed as ${scheme.name}`);
        const signature = await key.sign(id, data);
        expect(nodeCrypto.verify(scheme.algorithm, key.publicKey, data, signature)).toBe(true);
        data[0] = 0;
        expect(nodeCrypto.verify(scheme.algorithm, key.publicKey, data, signature)).toBe(false);
        made.push(scheme.name);
      }
    }
    expect(made.sort()).toEqual(
      Object.keys(SignatureScheme)
        .filter((name) => !name.startsWith('rsa_pss_pss'))
        .sort(),
    );
  });

  it('takes a key that was born in the token, and the certificate from elsewhere', async () => {
    const spki = hsm.generate('first', 'born', '77', 'EC:prime256v1');
    const issued = serverIdentity('localhost', { issuer: root, input: { ...valid, publicKeySpki: spki } });
    const cert = encodePem('CERTIFICATE', issued.der);
    const key = await open(hsm.uri('object=born'), { cert });
    expect(key.publicKey.spki).toEqual(Certificate.parse(issued.der).spki);
    expect(decodePemBlocks(key.cert, 'CERTIFICATE')).toHaveLength(1);
  });
});

describeWith([...softhsm, openssl], 'keys in SoftHSM: TLS Sign', () => {
  // OpenSSL 3.0 verifies no CMS with Ed25519.
  for (const kind of KINDS.filter((name) => name !== 'ed25519')) {
    it(`has an object signed by a ${kind} key that openssl verifies`, async () => {
      const key = await keyOf(kind);
      const chain = decodePemBlocks(key.cert, 'CERTIFICATE');
      const content = new TextEncoder().encode('Twelve chairs.\n');
      const unsigned = cmsMaker.prepareObject(nodeCrypto, content, {
        signer: { chain, scheme: key.schemes[0] as number },
        binding: binding(),
        signingTime: now,
        receiptRequest: false,
        includeCertificates: true,
      });
      const object = unsigned.finish(await key.sign(unsigned.scheme, unsigned.toBeSigned));
      const file = join(hsm.folder, 'object.der');
      writeFileSync(file, object);
      const args = [
        'cms',
        '-verify',
        '-inform',
        'DER',
        '-in',
        file,
        '-CAfile',
        caFile,
        '-purpose',
        'any',
        '-binary',
      ];
      const { status, stdout, stderr } = spawnSync(openssl.path, args, {
        encoding: 'latin1',
        timeout: 20_000,
      });
      expect({ status, stderr, stdout }).toMatchObject({ status: 0, stdout: 'Twelve chairs.\n' });
    });
  }
});

describeWith(softhsm, 'keys in SoftHSM: what goes wrong', () => {
  it('a PIN that is wrong is tried once', async () => {
    const uri = hsm.uri('token=first;object=p256', 'pin-value=0000');
    expect(await caught(Pkcs11Key.open(uri))).toMatchObject({ code: 'ERR_MODULE_PIN_WRONG', status: 0xa0 });
    // And the right one goes on.
    await open(hsm.uri('token=first;object=p256', `pin-value=${PIN}`));
  });

  it.each([
    ['no PIN', 'token=first;object=p256', '', 'ERR_TLS_OPTION'],
    ['a file of the PIN that is missing', 'token=first;object=p256', 'pin-source=/none', 'ERR_TLS_OPTION'],
    ['a token that is not there', 'token=none', undefined, 'ERR_MODULE_REMOVED'],
    ['a slot that is not there', 'slot-id=1', undefined, 'ERR_MODULE_REMOVED'],
    ['a key that is not there', 'token=first;object=none', undefined, 'ERR_MODULE_NOT_FOUND'],
    ['several keys', 'token=first', undefined, 'ERR_MODULE_NOT_FOUND'],
    ['another library', 'token=first;library-manufacturer=x', undefined, 'ERR_MODULE_NOT_FOUND'],
  ])('refuses %s', async (_, path, query, code) => {
    const uri = hsm.uri(path, query).replace(/&$/, '');
    expect(await caught(Pkcs11Key.open(uri))).toMatchObject({ code });
  });

  it('refuses a certificate of another key', async () => {
    const cert = readFileSync(join(hsm.folder, 'p384.pem'), 'utf8');
    const other = caught(Pkcs11Key.open(hsm.uri('token=first;object=p256'), { cert }));
    expect(await other).toMatchObject({ code: 'ERR_MODULE_PROTOCOL' });
    const { der } = serverIdentity('localhost', { issuer: root, input: valid });
    const same = caught(
      Pkcs11Key.open(hsm.uri('token=first;object=p256'), { cert: encodePem('CERTIFICATE', der) }),
    );
    expect(await same).toMatchObject({ code: 'ERR_TLS_OPTION' });
  });

  it('says that the token went, and finds it when it is back', async () => {
    const add = () => {
      hsm.addToken('second');
      hsm.importKey('second', 'k', '01', join(hsm.folder, 'p256.key'));
    };
    add();
    const cert = readFileSync(join(hsm.folder, 'p256.pem'), 'utf8');
    const key = await open(hsm.uri('token=second;object=k'), { cert });
    const sign = () => key.sign(SignatureScheme.ecdsa_secp256r1_sha256, Uint8Array.of(1));
    await sign();
    hsm.removeToken('second');
    expect(await caught(sign())).toBeInstanceOf(ModuleError);
    expect(await caught(sign())).toMatchObject({ code: 'ERR_MODULE_REMOVED' });
    add();
    const signature = await sign();
    const { algorithm } = schemeById(SignatureScheme.ecdsa_secp256r1_sha256) as Scheme;
    expect(nodeCrypto.verify(algorithm, key.publicKey, Uint8Array.of(1), signature)).toBe(true);
  });

  it('signs nothing when it was closed', async () => {
    const key = await keyOf('p256');
    await key.close();
    const error = await caught(key.sign(SignatureScheme.ecdsa_secp256r1_sha256, new Uint8Array(1)));
    expect(error).toMatchObject({ code: 'ERR_MODULE_GONE' });
  });
});

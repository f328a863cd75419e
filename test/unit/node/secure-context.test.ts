import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { encodePem } from '../../../src/der/pem.ts';
import { createSecureContext } from '../../../src/node/secure-context.ts';
import { ca, type Identity, newKey, server } from '../x509/pki.ts';

const root = ca('root');
const intermediate = ca('intermediate', { issuer: root });
const leaf = server('one.test', { issuer: intermediate });
const rsa = server('rsa.test', { issuer: root, kind: 'rsa2048' });

const cert = (...chain: Identity[]) => chain.map(({ der }) => encodePem('CERTIFICATE', der)).join('');
const key = ({ privateKey }: { privateKey: KeyObject }) =>
  privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

const optionError = (text: RegExp) =>
  expect.objectContaining({ code: 'ERR_TLS_OPTION', message: expect.stringMatching(text) });

describe('certificates and keys', () => {
  it('takes a chain and its key', () => {
    const { identities } = createSecureContext({ cert: cert(leaf, intermediate), key: key(leaf) });
    expect(identities.map(({ chain }) => chain.map((der) => Buffer.from(der)))).toEqual([
      [Buffer.from(leaf.der), Buffer.from(intermediate.der)],
    ]);
  });

  it('takes PEM and DER bytes, and KeyObjects', () => {
    const der = leaf.privateKey.export({ type: 'pkcs8', format: 'der' });
    const sec1 = leaf.privateKey.export({ type: 'sec1', format: 'der' });
    for (const form of [Buffer.from(key(leaf)), der, sec1, leaf.privateKey]) {
      expect(createSecureContext({ cert: leaf.der, key: form }).identities.length).toBe(1);
    }
    expect(createSecureContext({ cert: Buffer.from(cert(leaf)), key: key(leaf) }).identities.length).toBe(1);
  });

  it('finds the key of each certificate, in whatever order they come', () => {
    const { identities } = createSecureContext({
      cert: [cert(leaf), cert(rsa)],
      key: [key(rsa), { pem: key(leaf) }],
    });
    const kinds = identities.map(({ key: { schemes } }) => schemes.length > 1);
    expect(kinds).toEqual([false, true]);
  });

  it('decrypts a key', () => {
    const encrypted = leaf.privateKey
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-128-cbc', passphrase: 'secret' })
      .toString();
    expect(
      createSecureContext({ cert: cert(leaf), key: encrypted, passphrase: 'secret' }).identities.length,
    ).toBe(1);
    const own = { pem: encrypted, passphrase: 'secret' };
    expect(createSecureContext({ cert: cert(leaf), key: own, passphrase: 'other' }).identities.length).toBe(
      1,
    );
    expect(() => createSecureContext({ cert: cert(leaf), key: encrypted })).toThrow(
      optionError(/key.*passphrase/),
    );
    expect(() => createSecureContext({ cert: cert(leaf), key: encrypted, passphrase: 'wrong' })).toThrow(
      optionError(/key.*passphrase must be/),
    );
  });

  it('takes a SigningKey, by its place', () => {
    const elsewhere = { schemes: [0x0403], sign: async () => new Uint8Array(0) };
    const { identities } = createSecureContext({ cert: [cert(leaf), cert(rsa)], key: [elsewhere, key(rsa)] });
    expect(identities[0]?.key).toBe(elsewhere);
  });

  it.each<[string, () => object, RegExp]>([
    [
      'a key of another certificate',
      () => ({ cert: cert(leaf), key: key(newKey()) }),
      /key.*does not belong.*one\.test/,
    ],
    [
      'a chain that begins with the issuer',
      () => ({ cert: cert(intermediate, leaf), key: key(leaf) }),
      /end entity/,
    ],
    ['a certificate without key', () => ({ cert: cert(leaf) }), /key.*give the private key/],
    ['a key without certificate', () => ({ key: key(leaf) }), /cert.*give the certificate/],
    [
      'a key in place of a certificate',
      () => ({ cert: key(leaf), key: key(leaf) }),
      /cert.*found only PRIVATE KEY/,
    ],
    ['a certificate in place of a key', () => ({ cert: cert(leaf), key: cert(leaf) }), /key.*cannot be read/],
    ['a public key', () => ({ cert: cert(leaf), key: publicKey() }), /this is a public key/],
    ['a kind of key that TLS 1.3 does not sign with', () => ({ cert: cert(leaf), key: x25519() }), /key/],
    ['something else', () => ({ cert: cert(leaf), key: {} }), /key.*PEM text/],
    [
      'a certificate that is cut off',
      () => ({ cert: cert(leaf).slice(0, 200), key: key(leaf) }),
      /cert.*cut off/,
    ],
    ['trust anchors that are none', () => ({ ca: 'hello' }), /ca.*no CERTIFICATE block/],
    [
      'trust anchors that are broken',
      () => ({ ca: encodePem('CERTIFICATE', leaf.der.subarray(0, 100)) }),
      /ca/,
    ],
    ['ticket keys of the wrong length', () => ({ ticketKeys: new Uint8Array(47) }), /ticketKeys.*48/],
  ])('refuses %s', (_what, options, message) => {
    expect(() => createSecureContext(options())).toThrow(optionError(message));
  });

  const publicKey = () => generateKeyPairSync('ed25519').publicKey;
  const x25519 = () =>
    createPrivateKey(generateKeyPairSync('x25519').privateKey.export({ type: 'pkcs8', format: 'pem' }));
});

describe('trust anchors', () => {
  it('are those of the option, from one or more inputs', () => {
    const { trust, hasOwnTrust } = createSecureContext({ ca: [cert(root), intermediate.der] });
    expect(trust.anchors.map(({ subject }) => subject.toString())).toEqual(['CN=root', 'CN=intermediate']);
    expect(hasOwnTrust).toBe(true);
  });

  it('are shared by contexts with the same ones', () => {
    const text = cert(root);
    const first = createSecureContext({ ca: text }).trust;
    expect(createSecureContext({ ca: Buffer.from(text) }).trust).toBe(first);
    expect(createSecureContext({ ca: [text, cert(intermediate)] }).trust).not.toBe(first);
  });

  it("are Node's when none are given: every one of them can be read", () => {
    const context = createSecureContext();
    expect(context.hasOwnTrust).toBe(false);
    expect(context.trust.anchors.length).toBe(new Set(rootCertificates).size);
    expect(createSecureContext().trust).toBe(context.trust);
  });
});

describe('ticket keys', () => {
  it('are those that were given, else random', () => {
    const ticketKeys = new Uint8Array(48).fill(7);
    expect(createSecureContext({ ticketKeys }).ticketKeys.bytes).toEqual(ticketKeys);
    expect(createSecureContext().ticketKeys.bytes).not.toEqual(createSecureContext().ticketKeys.bytes);
  });
});

describe('several certificates', () => {
  const many = (...identities: Identity[]) =>
    createSecureContext({ cert: identities.map((i) => cert(i)), key: identities.map((i) => key(i)) });
  const [a, b] = [server('a.test', { issuer: root }), server('b.test', { issuer: root })];
  const wild = server('w.test', { issuer: root, hosts: ['*.a.test', 'b.test'], kind: 'rsa2048' });
  const namesFor = (context: ReturnType<typeof many>, name: string) =>
    context.identitiesFor(name).map(({ chain }) => context.identities.findIndex((i) => i.chain === chain));

  it('are chosen by the name that they are for', () => {
    const context = many(a, b, wild);
    expect(namesFor(context, 'a.test')).toEqual([0]);
    expect(namesFor(context, 'B.test')).toEqual([1, 2]);
    expect(namesFor(context, 'x.a.test')).toEqual([2]);
    expect(namesFor(context, 'y.x.a.test')).toEqual([0, 1, 2]);
  });

  it('are all candidates where none is for the name', () => {
    expect(namesFor(many(a, b), 'c.test')).toEqual([0, 1]);
    expect(namesFor(many(a), 'c.test')).toEqual([0]);
  });

  it('an exact name comes before a wildcard, in whatever order they are given', () => {
    const exact = server('x.a.test', { issuer: root });
    expect(namesFor(many(exact, wild), 'x.a.test')).toEqual([0]);
    expect(namesFor(many(wild, exact), 'x.a.test')).toEqual([1]);
  });
});

describe('timestamps to staple (RFC 6962 §3.3)', () => {
  const withScts = (scts: readonly Uint8Array[]) =>
    createSecureContext({ cert: cert(leaf), key: key(leaf), staple: { scts } });

  it('are passed on as they are', () => {
    const scts = [Uint8Array.of(1), new Uint8Array(0xffff - 2 - 2 - 3)];
    expect(withScts(scts).identities[0]?.scts).toBe(scts);
  });

  it.each<[string, readonly unknown[], RegExp]>([
    ['none', [], /at least one/],
    ['an empty one', [Uint8Array.of(1), new Uint8Array(0)], /none of them empty/],
    ['one that is not bytes', ['AQ=='], /none of them empty/],
    [
      'one byte more than an extension holds',
      [Uint8Array.of(1), new Uint8Array(0xffff - 2 - 2 - 2)],
      /65533/,
    ],
  ])('%s: ERR_TLS_OPTION', (_what, scts, text) => {
    expect(() => withScts(scts as Uint8Array[])).toThrow(optionError(text));
  });
});

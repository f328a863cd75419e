import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { CryptoProvider } from '../../../src/crypto/provider.ts';
import { CertificateError } from '../../../src/errors/errors.ts';
import { dnsName, nameConstraints, subjectAltName } from '../../../src/x509/issue.ts';
import { MAX_PATH_CERTIFICATES, MAX_SIGNATURE_CHECKS } from '../../../src/x509/path.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import { verifyPeer } from '../../../src/x509/verify.ts';
import { expectPath, expectRefused, verify } from './expect.ts';
import { ca, DAY, type Identity, NOW, newKey, replacing, server } from './pki.ts';

const expired = { notBefore: NOW - 60 * DAY, notAfter: NOW - 30 * DAY };

/** Counts what a verification asks of the provider. */
function counting(): { crypto: CryptoProvider; counts: { verify: number; import: number } } {
  const counts = { verify: 0, import: 0 };
  const crypto: CryptoProvider = {
    ...nodeCrypto,
    verify(...args) {
      counts.verify++;
      return nodeCrypto.verify(...args);
    },
    importPublicKey(spki) {
      counts.import++;
      return nodeCrypto.importPublicKey(spki);
    },
  };
  return { crypto, counts };
}

function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof CertificateError) return error.code;
    throw error;
  }
  return 'accepted';
}

describe('candidates in any order', () => {
  const root = ca('Root');
  const a = ca('A', { issuer: root });
  const b = ca('B', { issuer: a });
  const leaf = server('leaf.example', { issuer: b });
  const stranger = ca('Stranger');

  it.each<[string, Identity[]]>([
    ['right order', [leaf, b, a]],
    ['wrong order', [leaf, a, b]],
    ['root first', [leaf, root, a, b]],
    ['duplicates', [leaf, b, b, a, leaf, a]],
    ['strangers between', [leaf, stranger, b, stranger, a]],
  ])('%s', (_, chain) => {
    expectPath({ chain, trust: [root] }, [leaf, b, a, root]);
  });

  it('issuers that are anchors end the path', () => {
    expectPath({ chain: [leaf, b, a], trust: [root, a] }, [leaf, b, a]);
  });
});

describe('several paths', () => {
  it('an expired cross-certificate does no harm ("chain of pain")', () => {
    const oldRoot = ca('Old Root', { input: expired });
    const key = newKey();
    const newRoot = ca('New Root', { key });
    const cross = ca('New Root', { key, issuer: oldRoot, input: expired });
    const issuer = ca('Issuer', { issuer: newRoot });
    const leaf = server('leaf.example', { issuer });
    expectPath({ chain: [leaf, issuer, cross], trust: [oldRoot, newRoot] }, [leaf, issuer, newRoot]);
    expectRefused({ chain: [leaf, issuer, cross], trust: [oldRoot] }, 'CERT_HAS_EXPIRED', 3);
  });

  it('the second certificate of an issuer is tried when the first fails', () => {
    const rootA = ca('Root A');
    const rootB = ca('Root B');
    const key = newKey();
    const viaA = ca('Issuer', { key, issuer: rootA, input: expired });
    const viaB = ca('Issuer', { key, issuer: rootB });
    const leaf = server('leaf.example', { issuer: viaA });
    for (const chain of [
      [leaf, viaA, viaB],
      [leaf, viaB, viaA],
    ]) {
      expectPath({ chain, trust: [rootA, rootB] }, [leaf, viaB, rootB]);
    }
    expectRefused({ chain: [leaf, viaA, viaB], trust: [rootA] }, 'CERT_HAS_EXPIRED', 1);
  });

  it('two anchors with one name: the key decides', () => {
    const [first, second] = [ca('Root'), ca('Root')];
    const leaf = server('leaf.example', { issuer: second });
    expectPath({ chain: [leaf], trust: [first, second] }, [leaf, second]);
    expectPath({ chain: [leaf], trust: [second, first] }, [leaf, second]);
  });

  it('key identifiers order the candidates and exclude none', () => {
    const root = ca('Root');
    const leaf = server('leaf.example', { issuer: { ...root, keyId: new Uint8Array(20) } });
    expectPath({ chain: [leaf], trust: [root] }, [leaf, root]);
    const { crypto, counts } = counting();
    const others = Array.from({ length: 8 }, () => ca('Root'));
    const right = server('leaf.example', { issuer: root });
    const trust = new TrustStore([...others, root].map((identity) => identity.certificate));
    verifyPeer(crypto, [right.der], { purpose: 'server', trust, now: NOW });
    expect(counts.verify).toBe(1);
  });

  it('a path around name constraints', () => {
    const rootA = ca('Root A', {
      extensions: (right) => [...right, nameConstraints([dnsName('a.example')], [])],
    });
    const rootB = ca('Root B');
    const key = newKey();
    const viaA = ca('Issuer', { key, issuer: rootA });
    const viaB = ca('Issuer', { key, issuer: rootB });
    const leaf = server('b.example', { issuer: viaA });
    expectPath({ chain: [leaf, viaA, viaB], trust: [rootA, rootB] }, [leaf, viaB, rootB]);
    expectRefused({ chain: [leaf, viaA], trust: [rootA, rootB] }, 'PERMITTED_VIOLATION');
  });

  it('reports the path that came closest', () => {
    const root = ca('Root');
    const key = newKey();
    const unknown = ca('Issuer', { key, issuer: ca('Unknown') });
    const late = ca('Issuer', { key, issuer: root, input: expired });
    const forged = ca('Issuer', { key, issuer: root, signature: (s) => s.fill(0, 10) });
    const leaf = server('leaf.example', { issuer: unknown });
    expectRefused({ chain: [leaf, unknown, forged, late], trust: [root] }, 'CERT_HAS_EXPIRED', 1);
    expectRefused({ chain: [leaf, unknown, forged], trust: [root] }, 'CERT_SIGNATURE_FAILURE', 1);
    expectRefused({ chain: [leaf, unknown], trust: [root] }, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 1);
  });
});

describe('loops', () => {
  it('two CAs that certify each other', () => {
    const [keyA, keyB] = [newKey(), newKey()];
    const selfA = ca('A', { key: keyA });
    const selfB = ca('B', { key: keyB });
    const aByB = ca('A', { key: keyA, issuer: selfB });
    const bByA = ca('B', { key: keyB, issuer: selfA });
    const leaf = server('leaf.example', { issuer: aByB });
    const chain = [leaf, aByB, bByA];
    expectRefused({ chain, trust: [ca('Root')] }, 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 2);
    expectPath({ chain, trust: [selfB] }, [leaf, aByB, selfB]);
  });

  it('three CAs that certify each other, one of them trusted (CVE-2024-0567)', () => {
    const names = ['A', 'B', 'C'];
    const self = names.map((name) => ca(name));
    const cross = self.flatMap((subject, i) =>
      self
        .filter((issuer) => issuer !== subject)
        .map((issuer) => ca(names[i] as string, { key: subject, issuer })),
    );
    const issuers = self.map((issuer, i) => ca(`${names[i]}1`, { issuer }));
    const leaf = server('leaf.example', { issuer: issuers[0] as Identity });
    expectPath({ chain: [leaf, ...issuers, ...cross], trust: [self[0] as Identity] }, [
      leaf,
      issuers[0] as Identity,
      self[0] as Identity,
    ]);
    const viaCross = verify({ chain: [leaf, ...issuers, ...cross], trust: [self[2] as Identity] });
    expect(viaCross.path.length).toBeLessThanOrEqual(5);
  });

  it('a certificate that is its own issuer by name only', () => {
    const [first, second] = [newKey(), newKey()];
    const one = ca('CA', { key: first });
    const two = ca('CA', { key: second, issuer: one });
    const three = ca('CA', { key: first, issuer: two });
    const leaf = server('leaf.example', { issuer: two });
    expectRefused({ chain: [leaf, two, three], trust: [ca('Root')] }, 'SELF_SIGNED_CERT_IN_CHAIN', 2);
  });
});

describe('bounded work', () => {
  const root = ca('Root');

  const deep = (length: number): Identity[] => {
    const cas = [ca('CA 0', { issuer: root })];
    while (cas.length < length - 2) cas.unshift(ca(`CA ${cas.length}`, { issuer: cas[0] as Identity }));
    return [server('leaf.example', { issuer: cas[0] as Identity }), ...cas];
  };

  it('the longest path', () => {
    const chain = deep(MAX_PATH_CERTIFICATES);
    expectPath({ chain, trust: [root] }, [...chain, root]);
    expectRefused({ chain: deep(MAX_PATH_CERTIFICATES + 1), trust: [root] }, 'CERT_CHAIN_TOO_LONG', 9);
  });

  it.each<[string, boolean, boolean]>([
    ['distinct names, distinct keys', false, false],
    ['one name, distinct keys', true, false],
    ['distinct names, one key', false, true],
    ['one name, one key', true, true],
  ])('many intermediates that lead nowhere: %s', (_, sameName, sameKey) => {
    const key = newKey();
    const name = (i: number) => (sameName ? 'CA' : `CA ${i}`);
    const cas = [ca(name(0), { key })];
    for (let i = 1; i < 31; i++) {
      cas.unshift(ca(name(i), { issuer: cas[0] as Identity, ...(sameKey && { key }) }));
    }
    const leaf = server('leaf.example', { issuer: cas[0] as Identity });
    const { crypto, counts } = counting();
    for (const anchors of [[root], [ca('CA'), ca('CA')]]) {
      const trust = new TrustStore(anchors.map((identity) => identity.certificate));
      const code = codeOf(() =>
        verifyPeer(
          crypto,
          [leaf, ...cas].map((c) => c.der),
          { purpose: 'server', trust, now: NOW },
        ),
      );
      expect([
        'CERT_CHAIN_TOO_LONG',
        'SELF_SIGNED_CERT_IN_CHAIN',
        'CERT_SIGNATURE_FAILURE',
        'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      ]).toContain(code);
      expect(counts.verify).toBeLessThanOrEqual(MAX_SIGNATURE_CHECKS);
      counts.verify = 0;
    }
  });

  it('signature checks', () => {
    // Every one of these could have been signed by each of those.
    const anchors = Array.from({ length: 40 }, () => ca('Same').certificate);
    const leaf = server('leaf.example', { issuer: ca('Same') });
    const { crypto, counts } = counting();
    const options = { purpose: 'server', trust: new TrustStore(anchors), now: NOW } as const;
    expect(codeOf(() => verifyPeer(crypto, [leaf.der], options))).toBe('CERT_SIGNATURE_FAILURE');
    expect(counts.verify).toBe(MAX_SIGNATURE_CHECKS);
  });

  it('no signature is checked on a path that reaches no anchor', () => {
    const leaf = server('leaf.example', { issuer: ca('A') });
    const { crypto, counts } = counting();
    const options = { purpose: 'server', trust: new TrustStore([root.certificate]), now: NOW } as const;
    expect(codeOf(() => verifyPeer(crypto, [leaf.der], options))).toBe('UNABLE_TO_VERIFY_LEAF_SIGNATURE');
    expect(counts).toEqual({ verify: 0, import: 0 });
  });

  it('name comparisons', () => {
    const subtrees = Array.from({ length: 1500 }, (_, i) => dnsName(`n${i}.example`));
    const names = Array.from({ length: 1500 }, (_, i) => dnsName(`a.n${i}.example`));
    const constrained = ca('Constrained', {
      extensions: (right) => [...right, nameConstraints(subtrees, [])],
    });
    const leaf = (count: number) =>
      server('a.n0.example', {
        issuer: constrained,
        extensions: replacing(subjectAltName(names.slice(0, count))),
      });
    verify({ chain: [leaf(100)], trust: [constrained] });
    expectRefused({ chain: [leaf(1500)], trust: [constrained] }, 'NAME_CONSTRAINTS_WITHOUT_PROOF');
  });
});

describe('what is remembered', () => {
  const root = ca('Root');
  const issuer = ca('Issuer', { issuer: root });
  const leaf = server('leaf.example', { issuer });
  const store = () => new TrustStore([root.certificate]);
  const options = (trust: TrustStore, now = NOW) => ({ purpose: 'server', trust, now }) as const;

  it('a second handshake asks for no public-key operation', () => {
    const { crypto, counts } = counting();
    const trust = store();
    const first = verifyPeer(crypto, [leaf.der, issuer.der], options(trust));
    expect(counts).toEqual({ verify: 2, import: 3 });
    const second = verifyPeer(crypto, [leaf.der, issuer.der], options(trust));
    expect(counts).toEqual({ verify: 2, import: 3 });
    expect(second.leaf).toBe(first.leaf);
    expect(second.publicKey).toBe(first.publicKey);
  });

  it('also of a peer that is an anchor, and of a root that is sent', () => {
    const { crypto, counts } = counting();
    const self = server('self.example');
    const trust = new TrustStore([self.certificate, root.certificate]);
    for (let i = 0; i < 3; i++) {
      expect(verifyPeer(crypto, [self.der], options(trust)).path).toEqual([self.certificate]);
      expect(verifyPeer(crypto, [leaf.der, issuer.der, root.der], options(trust)).path[2]).toBe(
        root.certificate,
      );
    }
    expect(counts).toEqual({ verify: 2, import: 4 });
  });

  it('and judges everything else again', () => {
    const trust = store();
    const chain = [leaf.der, issuer.der];
    verifyPeer(nodeCrypto, chain, options(trust));
    expect(codeOf(() => verifyPeer(nodeCrypto, chain, options(trust, NOW + 60 * DAY)))).toBe(
      'CERT_HAS_EXPIRED',
    );
    expect(codeOf(() => verifyPeer(nodeCrypto, chain, { ...options(trust), purpose: 'client' }))).toBe(
      'INVALID_PURPOSE',
    );
    expect(codeOf(() => verifyPeer(nodeCrypto, chain, { ...options(trust), allowedSchemes: [] }))).toBe(
      'UNSUPPORTED_SIGNATURE_ALGORITHM',
    );
    const name = { kind: 'dns', name: 'other.example' } as const;
    expect(codeOf(() => verifyPeer(nodeCrypto, chain, { ...options(trust), name }))).toBe(
      'ERR_TLS_CERT_ALTNAME_INVALID',
    );
    expect(codeOf(() => verifyPeer(nodeCrypto, [leaf.der], options(trust)))).toBe(
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    );
  });

  it('belongs to one store and one provider', () => {
    const { crypto, counts } = counting();
    const trust = store();
    verifyPeer(nodeCrypto, [leaf.der, issuer.der], options(trust));
    verifyPeer(crypto, [leaf.der, issuer.der], options(trust));
    verifyPeer(crypto, [leaf.der, issuer.der], options(store()));
    expect(counts.verify).toBe(4);
    const unrelated = new TrustStore([ca('Root').certificate]);
    expect(codeOf(() => verifyPeer(nodeCrypto, [leaf.der, issuer.der], options(unrelated)))).toBe(
      'CERT_SIGNATURE_FAILURE',
    );
  });

  it('never a failure, nor a certificate of a path that failed', () => {
    const { crypto, counts } = counting();
    const trust = store();
    const forged = Uint8Array.from(leaf.der);
    forged[forged.length - 1] = (forged[forged.length - 1] as number) ^ 1;
    for (let i = 1; i <= 3; i++) {
      expect(codeOf(() => verifyPeer(crypto, [forged, issuer.der], options(trust)))).toBe(
        'CERT_SIGNATURE_FAILURE',
      );
      expect(counts.verify).toBe(2 * i);
    }
    const late = server('late.example', { issuer, input: expired });
    expect(codeOf(() => verifyPeer(crypto, [late.der, issuer.der], options(trust)))).toBe('CERT_HAS_EXPIRED');
    const name = { kind: 'dns', name: 'other.example' } as const;
    expect(codeOf(() => verifyPeer(crypto, [leaf.der, issuer.der], { ...options(trust), name }))).toBe(
      'ERR_TLS_CERT_ALTNAME_INVALID',
    );
    expect(trust.cacheFor(crypto).size).toBe(0);
  });

  it('a certificate that differs in one bit is another one', () => {
    const trust = store();
    verifyPeer(nodeCrypto, [leaf.der, issuer.der], options(trust));
    for (let at = 0; at < leaf.der.length; at++) {
      const other = Uint8Array.from(leaf.der);
      other[at] = (other[at] as number) ^ 0x01;
      expect(
        codeOf(() => verifyPeer(nodeCrypto, [other, issuer.der], options(trust))),
        `byte ${at}`,
      ).not.toBe('accepted');
    }
  });

  it('is bounded', () => {
    const trust = store();
    let verified = 0;
    const key = nodeCrypto.importPublicKey(leaf.spki);
    const crypto: CryptoProvider = {
      ...nodeCrypto,
      verify: () => ++verified > 0,
      importPublicKey: () => key,
    };
    const ders = Array.from({ length: 1100 }, (_, i) => server(`n${i}.example`, { issuer, key: leaf }).der);
    for (const der of ders) verifyPeer(crypto, [der, issuer.der], options(trust));
    expect(trust.cacheFor(crypto).size).toBe(1024);
    expect(verified).toBe(1101);
    // The first ones went, the last ones and what is always in use are there.
    for (const at of [0, 1, 1098, 1099])
      verifyPeer(crypto, [ders[at] as Uint8Array, issuer.der], options(trust));
    expect(verified).toBe(1103);
  });

  it('large certificates are not kept', () => {
    const trust = store();
    const names = Array.from({ length: 700 }, (_, i) => dnsName(`name-${i}.example`));
    const large = server('large.example', { issuer: root, extensions: replacing(subjectAltName(names)) });
    expect(large.der.length).toBeGreaterThan(8192);
    verifyPeer(nodeCrypto, [large.der], options(trust));
    expect(trust.cacheFor(nodeCrypto).size).toBe(0);
  });
});

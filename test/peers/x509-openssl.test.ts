import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodeName } from '../../src/der/name.ts';
import { Oid } from '../../src/der/oids.ts';
import { encodePem } from '../../src/der/pem.ts';
import {
  bitString,
  boolean,
  encodeDer,
  explicit,
  integer,
  nullValue,
  oid,
  sequence,
} from '../../src/der/writer.ts';
import { CertificateError } from '../../src/errors/errors.ts';
import { KeyUsage } from '../../src/x509/extensions.ts';
import {
  basicConstraints,
  directoryName,
  dnsName,
  type ExtensionInput,
  emailAddress,
  extKeyUsage,
  ipAddress,
  keyUsage,
  nameConstraints,
  subjectAltName,
} from '../../src/x509/issue.ts';
import { referenceName } from '../../src/x509/names.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { verifyPeer } from '../../src/x509/verify.ts';
import { describeWith, itWith, need } from '../setup/need.ts';
import { ca, client, DAY, type Identity, NOW, newKey, replacing, server, without } from '../unit/x509/pki.ts';

/**
 * The same chains, judged by us and by `openssl verify -x509_strict`. Where the two differ, the row says why; with the
 * OpenSSL that the table was made with, a row whose difference goes away fails as well.
 */
interface Row {
  readonly name: string;
  readonly chain: readonly Identity[];
  readonly trust: readonly Identity[];
  readonly purpose?: 'server' | 'client';
  readonly host?: string;
  /** The code that we give; `ok` for a chain that we accept. */
  readonly ours: string;
  /** Only where OpenSSL decides otherwise: why. */
  readonly differs?: string;
}

const HOST = 'www.example.com';
const expired = { notBefore: NOW - 60 * DAY, notAfter: NOW - 30 * DAY };
const unknown: ExtensionInput = { oid: '1.3.6.1.4.1.55738.666.1', critical: true, value: nullValue() };

const STRICT =
  'with -x509_strict OpenSSL also judges what a CA should have written, where it endangers nobody';

function rows(): Row[] {
  const root = ca('Root');
  const other = ca('Other Root');
  const issuer = ca('Issuer', { issuer: root, pathLength: 0 });
  const leaf = server(HOST, { issuer });
  const right = { chain: [leaf, issuer], trust: [root] };
  const leafWith = (...extensions: ExtensionInput[]) => ({
    chain: [server(HOST, { issuer, extensions: replacing(...extensions) }), issuer],
    trust: [root],
  });
  const issuerWith = (
    extensions: (all: ExtensionInput[]) => readonly ExtensionInput[],
    pathLength?: number,
  ) => {
    const changed = ca('Issuer', {
      issuer: root,
      extensions,
      ...(pathLength !== undefined && { pathLength }),
    });
    return { chain: [server(HOST, { issuer: changed }), changed], trust: [root] };
  };
  const constrained = (permitted: readonly Uint8Array[], excluded: readonly Uint8Array[], options = {}) => {
    const changed = ca('Issuer', {
      issuer: root,
      extensions: (all) => [...all, nameConstraints(permitted, excluded)],
    });
    return { chain: [server(HOST, { issuer: changed, ...options }), changed], trust: [root] };
  };
  const dns = (name: string) => encodeDer(dnsName(name));
  const subnet = (...bytes: number[]) => encodeDer(ipAddress(Uint8Array.from(bytes)));
  const kinds = (['p384', 'p521', 'ed25519', 'rsa2048', 'rsa-pss'] as const).map((kind): Row => {
    const anchor = ca('Root', { kind });
    return { name: `a ${kind} root`, chain: [server(HOST, { issuer: anchor })], trust: [anchor], ours: 'ok' };
  });
  const deep = (lengths: readonly (number | undefined)[]) => {
    const cas: Identity[] = [];
    for (const [i, pathLength] of lengths.entries()) {
      cas.unshift(ca(`CA ${i}`, { issuer: cas[0] ?? root, ...(pathLength !== undefined && { pathLength }) }));
    }
    return { chain: [server(HOST, { issuer: cas[0] ?? root }), ...cas], trust: [root] };
  };
  const expiredCross = () => {
    const key = newKey();
    const cross = ca('Issuer', { key, issuer: other, input: expired });
    const good = ca('Issuer', { key, issuer: root });
    return { chain: [server(HOST, { issuer: good }), cross, good], trust: [root, other] };
  };
  const self = server(HOST);
  const selfWithSign = server(HOST, {
    extensions: replacing(keyUsage(KeyUsage.digitalSignature | KeyUsage.keyCertSign), basicConstraints(true)),
  });
  const twoRoots = () => {
    const second = ca('Root');
    return { chain: [server(HOST, { issuer: second })], trust: [root, second] };
  };
  const fresh = (from: Identity, change: (der: Uint8Array) => void): Identity => {
    const der = Uint8Array.from(from.der);
    change(der);
    return { ...from, der };
  };
  const flipLast = (der: Uint8Array) => {
    der[der.length - 1] = (der[der.length - 1] as number) ^ 1;
  };
  const sha1 = encodeDer(sequence(oid(Oid.ecdsaWithSHA1)));

  return [
    // Right paths
    { name: 'leaf, issuer, root', ...right, ours: 'ok' },
    { name: 'the root sent too', chain: [leaf, issuer, root], trust: [root], ours: 'ok' },
    { name: 'strangers and wrong order', chain: [leaf, other, root, issuer], trust: [root], ours: 'ok' },
    {
      name: 'a client',
      chain: [client('me', { issuer }), issuer],
      trust: [root],
      purpose: 'client',
      ours: 'ok',
    },
    ...kinds,
    { name: 'two anchors with one name', ...twoRoots(), ours: 'ok' },
    {
      name: 'a wildcard',
      chain: [server(HOST, { issuer, hosts: ['*.example.com'] }), issuer],
      trust: [root],
      ours: 'ok',
    },
    {
      name: 'an address',
      chain: [server(HOST, { issuer, hosts: ['192.0.2.1'] }), issuer],
      trust: [root],
      host: '192.0.2.1',
      ours: 'ok',
    },
    {
      name: 'IPv6',
      chain: [server(HOST, { issuer, hosts: ['2001:db8::1'] }), issuer],
      trust: [root],
      host: '2001:db8::1',
      ours: 'ok',
    },
    {
      name: 'a self-signed server that is trusted',
      chain: [selfWithSign],
      trust: [selfWithSign],
      ours: 'ok',
    },
    { name: 'a self-signed server that is trusted and no CA', chain: [self], trust: [self], ours: 'ok' },

    // No trust anchor
    { name: 'issuer unknown', chain: [leaf], trust: [root], ours: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' },
    { name: 'root unknown', ...right, trust: [other], ours: 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY' },
    {
      name: 'root sent, not trusted',
      chain: [leaf, issuer, root],
      trust: [other],
      ours: 'SELF_SIGNED_CERT_IN_CHAIN',
    },
    { name: 'self-signed, not trusted', chain: [self], trust: [root], ours: 'DEPTH_ZERO_SELF_SIGNED_CERT' },
    {
      name: 'an intermediate as anchor',
      chain: [leaf],
      trust: [issuer],
      ours: 'ok',
      differs:
        'OpenSSL wants a self-signed anchor unless -partial_chain is given; RFC 5280 §6.1.1 (d) does not',
    },

    // Signatures
    {
      name: 'signature of the leaf',
      chain: [fresh(leaf, flipLast), issuer],
      trust: [root],
      ours: 'CERT_SIGNATURE_FAILURE',
    },
    {
      name: 'signature of the issuer',
      chain: [leaf, fresh(issuer, flipLast)],
      trust: [root],
      ours: 'CERT_SIGNATURE_FAILURE',
    },
    {
      name: 'the name of the root, another key',
      ...right,
      trust: [ca('Root')],
      ours: 'CERT_SIGNATURE_FAILURE',
    },
    {
      name: 'ECDSA with SHA-1',
      chain: [server(HOST, { issuer, algorithm: sha1 }), issuer],
      trust: [root],
      ours: 'UNSUPPORTED_SIGNATURE_ALGORITHM',
    },
    {
      name: 'RSA of 1024 bits',
      chain: [server(HOST, { issuer, kind: 'rsa1024' }), issuer],
      trust: [root],
      ours: 'WEAK_KEY',
    },

    // Validity
    {
      name: 'leaf expired',
      chain: [server(HOST, { issuer, input: expired }), issuer],
      trust: [root],
      ours: 'CERT_HAS_EXPIRED',
    },
    {
      name: 'leaf not yet valid',
      chain: [server(HOST, { issuer, input: { notBefore: NOW + DAY } }), issuer],
      trust: [root],
      ours: 'CERT_NOT_YET_VALID',
    },
    {
      name: 'root expired',
      ...(() => {
        const late = ca('Root', { input: expired });
        return { chain: [server(HOST, { issuer: late })], trust: [late] };
      })(),
      ours: 'CERT_HAS_EXPIRED',
    },
    {
      name: 'first second of validity',
      chain: [server(HOST, { issuer, input: { notBefore: NOW } }), issuer],
      trust: [root],
      ours: 'ok',
    },
    {
      name: 'last second of validity',
      chain: [server(HOST, { issuer, input: { notAfter: NOW } }), issuer],
      trust: [root],
      ours: 'ok',
      differs:
        'notAfter is inclusive (RFC 5280 §4.1.2.5); for OpenSSL it is the first second that is too late',
    },
    {
      name: 'an expired cross-certificate beside a good one',
      ...expiredCross(),
      ours: 'ok',
    },

    // CA or not
    { name: 'issuer with cA FALSE', ...issuerWith(replacing(basicConstraints(false))), ours: 'INVALID_CA' },
    {
      name: 'issuer without basicConstraints',
      ...issuerWith(without(Oid.basicConstraints)),
      ours: 'INVALID_CA',
    },
    {
      name: 'a server that issues',
      chain: [server(HOST, { issuer: leaf }), leaf, issuer],
      trust: [root],
      ours: 'INVALID_CA',
    },
    {
      name: 'issuer without keyCertSign',
      ...issuerWith(replacing(keyUsage(KeyUsage.cRLSign))),
      ours: 'INVALID_CA',
    },
    {
      name: 'a version 1 root',
      ...(() => {
        const old = ca('Root', { extensions: () => [], input: { version: 1 } });
        return { chain: [server(HOST, { issuer: old })], trust: [old] };
      })(),
      ours: 'ok',
      differs:
        'a user who trusts a version 1 root says that it is a CA (RFC 5280 §6.1.4 (k)); -x509_strict wants version 3',
    },
    {
      name: 'basicConstraints not critical',
      ...issuerWith(replacing(basicConstraints(true, 0, false))),
      ours: 'ok',
      differs: STRICT,
    },
    { name: 'issuer without keyUsage', ...issuerWith(without(Oid.keyUsage)), ours: 'ok', differs: STRICT },
    {
      name: 'issuer without key identifiers',
      ...issuerWith((all) => all.filter((e) => e.oid !== Oid.subjectKeyIdentifier)),
      ours: 'ok',
      differs: STRICT,
    },
    {
      name: 'leaf with keyCertSign',
      ...leafWith(keyUsage(KeyUsage.digitalSignature | KeyUsage.keyCertSign)),
      ours: 'ok',
      differs: STRICT,
    },
    {
      name: 'an explicit cA FALSE',
      ...leafWith({ oid: Oid.basicConstraints, value: sequence(boolean(false)) }),
      ours: 'ok',
    },

    // Lengths of paths
    { name: 'pathlen 1, 0', ...deep([1, 0]), ours: 'ok' },
    { name: 'pathlen 0, none', ...deep([0, undefined]), ours: 'PATH_LENGTH_EXCEEDED' },
    { name: 'pathlen 1, none, none', ...deep([1, undefined, undefined]), ours: 'PATH_LENGTH_EXCEEDED' },
    { name: 'pathlen 1, 5', ...deep([1, 5]), ours: 'ok' },
    {
      name: 'pathlen and a self-issued certificate',
      ...(() => {
        const first = ca('CA', { issuer: root, pathLength: 0 });
        const second = ca('CA', { issuer: first, pathLength: 0 });
        return { chain: [server(HOST, { issuer: second }), second, first], trust: [root] };
      })(),
      ours: 'ok',
    },

    // Purposes
    {
      name: 'a client as server',
      chain: [client(HOST, { issuer }), issuer],
      trust: [root],
      ours: 'INVALID_PURPOSE',
    },
    { name: 'a server as client', ...right, purpose: 'client', ours: 'INVALID_PURPOSE' },
    {
      name: 'no extKeyUsage',
      chain: [server(HOST, { issuer, extensions: without(Oid.extKeyUsage) }), issuer],
      trust: [root],
      ours: 'ok',
    },
    {
      name: 'anyExtendedKeyUsage alone',
      ...leafWith(extKeyUsage([Oid.anyExtendedKeyUsage])),
      ours: 'INVALID_PURPOSE',
    },
    {
      name: 'issuer for clients only',
      ...issuerWith((all) => [...all, extKeyUsage([Oid.clientAuth])]),
      ours: 'INVALID_PURPOSE',
    },
    {
      name: 'issuer with anyExtendedKeyUsage',
      ...issuerWith((all) => [...all, extKeyUsage([Oid.anyExtendedKeyUsage])]),
      ours: 'ok',
      differs:
        'OpenSSL wants serverAuth itself; RFC 5280 §4.2.1.12 makes anyExtendedKeyUsage the absence of a limit',
    },
    {
      name: 'keyEncipherment only',
      ...leafWith(keyUsage(KeyUsage.keyEncipherment)),
      ours: 'INVALID_PURPOSE',
      differs: 'enough for RSA key exchange in TLS 1.2; TLS 1.3 needs digitalSignature (RFC 8446 §4.4.2.2)',
    },
    {
      name: 'keyUsage nonRepudiation only',
      ...leafWith(keyUsage(KeyUsage.nonRepudiation)),
      ours: 'INVALID_PURPOSE',
    },

    // Extensions
    {
      name: 'unknown critical extension in the leaf',
      ...leafWith(unknown),
      ours: 'UNHANDLED_CRITICAL_EXTENSION',
    },
    {
      name: 'unknown critical extension in the issuer',
      ...issuerWith((all) => [...all, unknown]),
      ours: 'UNHANDLED_CRITICAL_EXTENSION',
    },
    { name: 'unknown extension, not critical', ...leafWith({ ...unknown, critical: false }), ours: 'ok' },
    {
      name: 'critical certificatePolicies',
      ...leafWith({
        oid: Oid.certificatePolicies,
        critical: true,
        value: sequence(sequence(oid('1.2.3.4'))),
      }),
      ours: 'ok',
    },
    {
      name: 'critical policyConstraints that ask for no policy',
      ...issuerWith((all) => [
        ...all,
        { oid: '2.5.29.36', critical: true, value: sequence(explicit(1, integer(0))) },
      ]),
      ours: 'UNHANDLED_CRITICAL_EXTENSION',
      differs: 'policies are not processed here, so an extension about them is not understood',
    },
    {
      name: 'an extension twice',
      chain: [server(HOST, { issuer, extensions: (all) => [...all, keyUsage(1)] }), issuer],
      trust: [root],
      ours: 'CERT_MALFORMED',
    },
    {
      name: 'subjectAltName that is no DER',
      ...leafWith({ oid: Oid.subjectAltName, value: Buffer.from('www.example.com') }),
      ours: 'CERT_MALFORMED',
    },
    { name: 'empty extKeyUsage', ...leafWith(extKeyUsage([])), ours: 'CERT_MALFORMED' },
    {
      name: 'negative serial number',
      chain: [server(HOST, { issuer, input: { serial: -1 } }), issuer],
      trust: [root],
      ours: 'CERT_MALFORMED',
      differs: 'RFC 5280 §4.1.2.2 forbids it; OpenSSL takes it',
    },

    // Name constraints
    { name: 'DNS permitted', ...constrained([dns('example.com')], []), ours: 'ok' },
    { name: 'DNS not permitted', ...constrained([dns('example.org')], []), ours: 'PERMITTED_VIOLATION' },
    { name: 'DNS excluded', ...constrained([], [dns('example.com')]), ours: 'EXCLUDED_VIOLATION' },
    { name: 'DNS permitted with a leading period', ...constrained([dns('.example.com')], []), ours: 'ok' },
    {
      name: 'DNS permitted, label boundary',
      ...constrained([dns('ample.com')], []),
      ours: 'PERMITTED_VIOLATION',
    },
    {
      name: 'a wildcard that covers an excluded name',
      ...constrained([], [dns(HOST)], { hosts: ['*.example.com'] }),
      ours: 'EXCLUDED_VIOLATION',
      differs:
        'OpenSSL compares the wildcard as if it were a label; it would then be accepted for the excluded name (CVE-2025-61727)',
    },
    {
      name: 'address permitted',
      ...constrained([subnet(192, 0, 2, 0, 255, 255, 255, 0)], [], { hosts: [HOST, '192.0.2.9'] }),
      ours: 'ok',
    },
    {
      name: 'address not permitted',
      ...constrained([subnet(192, 0, 2, 0, 255, 255, 255, 0)], [], { hosts: [HOST, '192.0.3.9'] }),
      ours: 'PERMITTED_VIOLATION',
    },
    {
      name: 'IPv6 address under IPv4 constraints',
      ...constrained([subnet(192, 0, 2, 0, 255, 255, 255, 0)], [], { hosts: [HOST, '::1'] }),
      ours: 'PERMITTED_VIOLATION',
    },
    {
      name: 'directory name permitted',
      ...constrained([encodeDer(directoryName([{ O: 'Example' }]))], [], {
        subject: [{ O: 'EXAMPLE' }, { CN: HOST }],
      }),
      ours: 'ok',
    },
    {
      name: 'directory name not permitted',
      ...constrained([encodeDer(directoryName([{ O: 'Example' }]))], [], {
        subject: [{ O: 'Other' }, { CN: HOST }],
      }),
      ours: 'PERMITTED_VIOLATION',
    },
    {
      name: 'mailbox permitted',
      ...constrained([encodeDer(emailAddress('example.com'))], [], {
        extensions: replacing(subjectAltName([dnsName(HOST), emailAddress('a@example.com')])),
      }),
      ours: 'NAME_CONSTRAINTS_WITHOUT_PROOF',
      differs:
        'mailboxes are not compared here: a certificate that has one under such a constraint is refused',
    },

    // Names
    { name: 'another host', ...right, host: 'other.example.com', ours: 'ERR_TLS_CERT_ALTNAME_INVALID' },
    {
      name: 'a wildcard, two labels',
      chain: [server(HOST, { issuer, hosts: ['*.com'] }), issuer],
      trust: [root],
      host: 'example.com',
      ours: 'ERR_TLS_CERT_ALTNAME_INVALID',
    },
    {
      name: 'a wildcard over two labels',
      chain: [server(HOST, { issuer, hosts: ['*.example.com'] }), issuer],
      trust: [root],
      host: 'a.b.example.com',
      ours: 'ERR_TLS_CERT_ALTNAME_INVALID',
    },
    {
      name: 'a wildcard inside a label',
      chain: [
        server(HOST, { issuer, extensions: replacing(subjectAltName([dnsName('w*.example.com')])) }),
        issuer,
      ],
      trust: [root],
      ours: 'ERR_TLS_CERT_ALTNAME_INVALID',
      differs: 'RFC 9525 §6.3 has wildcards for whole labels only; OpenSSL takes parts unless told otherwise',
    },
    {
      name: 'another address',
      chain: [server(HOST, { issuer, hosts: ['192.0.2.1'] }), issuer],
      trust: [root],
      host: '192.0.2.2',
      ours: 'ERR_TLS_CERT_ALTNAME_INVALID',
    },
    {
      name: 'the common name only',
      chain: [server(HOST, { issuer, extensions: without(Oid.subjectAltName) }), issuer],
      trust: [root],
      ours: 'ERR_TLS_CERT_ALTNAME_INVALID',
      differs: 'RFC 9525 §2 has no common name; OpenSSL falls back to it',
    },
    {
      name: 'an empty issuer',
      ...(() => {
        const nameless = ca('', { subject: encodeName([]) });
        return { chain: [server(HOST, { issuer: nameless })], trust: [nameless] };
      })(),
      ours: 'CERT_MALFORMED',
    },
    {
      name: 'a signature that is not whole bytes',
      chain: [
        {
          ...leaf,
          der: encodeDer(sequence(leaf.certificate.tbs, oid('1.2.3'), bitString(Uint8Array.of(0), 0))),
        },
        issuer,
      ],
      trust: [root],
      ours: 'CERT_MALFORMED',
    },
  ];
}

const openssl = need('openssl');

describeWith(openssl, 'certificate paths against openssl verify', () => {
  let directory = '';
  let sameOpenssl = false;
  beforeAll(() => {
    const version = execFileSync(openssl.path, ['version'], { encoding: 'utf8', timeout: 10_000 });
    sameOpenssl = version.startsWith('OpenSSL 3.0.');
    directory = mkdtempSync(join(tmpdir(), 'trellis-x509-'));
  });
  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
  });

  for (const row of openssl.available ? rows() : []) {
    itWith(openssl, row.name, () => {
      expect(judge(row)).toBe(row.ours);
      const theirs = opensslAccepts(row, directory);
      const agree = theirs.accepted === (row.ours === 'ok');
      if (row.differs === undefined || sameOpenssl) {
        expect(agree, `OpenSSL: ${theirs.output}`).toBe(row.differs === undefined);
      }
    });
  }
});

function judge(row: Row): string {
  const purpose = row.purpose ?? 'server';
  try {
    verifyPeer(
      nodeCrypto,
      row.chain.map(({ der }) => der),
      {
        purpose,
        now: NOW,
        trust: new TrustStore(row.trust.map(({ certificate }) => certificate)),
        name: purpose === 'server' ? referenceName(row.host ?? HOST) : undefined,
      },
    );
    return 'ok';
  } catch (error) {
    if (error instanceof CertificateError) return error.code;
    throw error;
  }
}

function opensslAccepts(row: Row, directory: string): { accepted: boolean; output: string } {
  const file = (name: string, identities: readonly Identity[]): string => {
    const path = join(directory, name);
    writeFileSync(path, identities.map(({ der }) => encodePem('CERTIFICATE', der)).join(''));
    return path;
  };
  const [leaf, ...others] = row.chain;
  const host = row.host ?? HOST;
  const purpose = row.purpose ?? 'server';
  const name =
    purpose === 'client' ? [] : /^[\d.]+$|:/.test(host) ? ['-verify_ip', host] : ['-verify_hostname', host];
  const args = [
    'verify',
    '-x509_strict',
    ...['-purpose', purpose === 'server' ? 'sslserver' : 'sslclient'],
    ...['-auth_level', '2'],
    ...['-attime', String(NOW / 1000)],
    ...['-CAfile', file('roots.pem', row.trust), '-no-CApath', '-no-CAstore'],
    ...(others.length === 0 ? [] : ['-untrusted', file('others.pem', others)]),
    ...name,
    file('leaf.pem', leaf === undefined ? [] : [leaf]),
  ];
  try {
    const output = execFileSync(openssl.path, args, { encoding: 'utf8', stdio: 'pipe', timeout: 10_000 });
    return { accepted: /: OK\s*$/.test(output), output };
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    return { accepted: false, output: `${stdout}${stderr}`.trim() };
  }
}

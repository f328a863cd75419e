import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { encodePem } from '../../src/der/pem.ts';
import type { SignatureErrorCode } from '../../src/errors/errors.ts';
import type { ObjectReference, Unsigned } from '../../src/formats/format.ts';
import { xmlMaker } from '../../src/formats/xml/make.ts';
import { xmlVerifier } from '../../src/formats/xml/verify.ts';
import { itWith, need } from '../setup/need.ts';
import {
  binding,
  contextFor,
  expectRefused,
  KEY_TYPES,
  type KeyType,
  NOW,
  optionsFor,
  root,
  signatureOf,
  signerOf,
  type TestSigner,
} from '../unit/formats/kit.ts';
import {
  ASKING,
  certificateId,
  commitmentTo,
  DS,
  type Parts,
  partsOf,
  RECEIPT_TYPE,
} from '../unit/formats/xml/forge.ts';

/** XML objects against xmlsec1 both ways, for every type of key; prints what was tried and what it cannot. */

const xmlsec = need('xmlsec1');
const openssl = need('openssl');
/** Each takes milliseconds; the machine may be busy. */
const TOOL_MS = 20_000;

const types = Object.keys(KEY_TYPES) as KeyType[];
const content = new TextEncoder().encode('Twelve chairs.\nBy Monday.\r\n\0é');
const sent: ObjectReference = {
  kind: 'signed',
  objectDigest: nodeCrypto.digest('sha256', content),
  receiptRequested: true,
};

// --- Files and programs

const folder = mkdtempSync(join(tmpdir(), 'trellis-xml-'));
const file = (name: string): string => join(folder, name.replace(/[^\w.-]/g, '_'));
const caFile = file('ca.crt');

function save(name: string, bytes: Uint8Array | string): string {
  writeFileSync(file(name), bytes);
  return file(name);
}

function run(program: string, ...args: readonly string[]): { ok: boolean; stdout: string; stderr: string } {
  const { status, stdout, stderr, error } = spawnSync(program, args, { timeout: TOOL_MS, encoding: 'utf8' });
  if (error !== undefined) throw error;
  return { ok: status === 0, stdout, stderr };
}

const HOW = [
  '--enabled-reference-uris',
  'same-doc',
  '--verification-gmt-time',
  new Date(NOW).toISOString().slice(0, 19).replace('T', ' '),
];

function xmlsecVerifies(
  object: Uint8Array | string,
  keys: readonly string[] = ['--trusted-pem', caFile],
): boolean {
  const { ok, stdout, stderr } = run(xmlsec.path, '--verify', ...keys, ...HOW, save('object.xml', object));
  expect(stderr).toMatch(ok ? /^OK$/m : /FAIL|Error/i);
  expect(stdout).toBe('');
  return ok;
}

/** @returns the signed document; undefined where it cannot */
function xmlsecSigns(type: KeyType, template: string): Uint8Array | undefined {
  const output = file('signed.xml');
  rmSync(output, { force: true });
  const key = `${file(`${type}.key`)},${file(`${type}.crt`)}`;
  const { ok } = run(
    xmlsec.path,
    '--sign',
    '--privkey-pem',
    key,
    '--output',
    output,
    save('template.xml', template),
  );
  return ok ? new Uint8Array(readFileSync(output)) : undefined;
}

/** Later versions may have learned them: asked, not told from a version. */
const xmlsecKnows = new Map<KeyType, boolean>();

beforeAll(() => {
  if (!openssl.available) return;
  save('ca.crt', encodePem('CERTIFICATE', root.der));
  for (const type of types) {
    const { identity } = signerOf(type);
    save(`${type}.crt`, encodePem('CERTIFICATE', identity.der));
    save(`${type}.key`, identity.privateKey.export({ type: 'pkcs8', format: 'pem' }));
    save(`${type}.pub`, run(openssl.path, 'x509', '-in', file(`${type}.crt`), '-noout', '-pubkey').stdout);
    if (xmlsec.available) xmlsecKnows.set(type, xmlsecSigns(type, templateFor(signerOf(type))) !== undefined);
  }
});

// --- The table

const matrix = new Map<string, Map<KeyType, string>>();

function note(row: string, type: KeyType, cell: string): void {
  matrix.set(row, (matrix.get(row) ?? new Map<KeyType, string>()).set(type, cell));
}

const CELLS = {
  a: 'xmlsec1 1.2 knows neither RSA-PSS nor EdDSA ("xmlSecTransformIdListFindByHref"): openssl is there for them',
  b: 'openssl wants ECDSA signatures in DER, XML has r and s side by side: xmlsec1 is there for it',
} as const;

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
  const width = Math.max(0, ...[...matrix.keys()].map(({ length }) => length));
  const line = (name: string, cells: readonly string[]) =>
    `${name.padEnd(width)}  ${cells.map((cell) => cell.padEnd(10)).join(' ')}`;
  const rows = [...matrix].map(([row, cells]) =>
    line(
      row,
      types.map((type) => cells.get(type) ?? '-'),
    ),
  );
  const legend = Object.entries(CELLS).map(([cell, text]) => `(${cell}) ${text}`);
  const version = xmlsec.available ? run(xmlsec.path, '--version').stdout.trim() : 'no xmlsec1';
  console.log(`\n${[version, '', line('', types), ...rows, '', ...legend].join('\n')}\n`);
});

/** One row for every type of key that the tool knows; the others are named. */
function row(name: string, check: (type: KeyType, signer: TestSigner) => void): void {
  describe(name, () => {
    for (const type of types) {
      itWith([xmlsec, openssl], type, () => {
        if (xmlsecKnows.get(type) !== true) {
          expect(['Ed25519', 'RSA-PSS']).toContain(type);
          note(name, type, '(a)');
          return;
        }
        note(name, type, 'FAILED');
        check(type, signerOf(type));
        note(name, type, 'ok');
      });
    }
  });
}

// --- Ours

function finish(unsigned: Unsigned, signer: TestSigner): Uint8Array {
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

function ours(signer: TestSigner, includeCertificates = true): Uint8Array {
  return finish(
    xmlMaker.prepareObject(nodeCrypto, content, optionsFor(signer, { includeCertificates })),
    signer,
  );
}

function ourReceipt(signer: TestSigner): Uint8Array {
  const options = optionsFor(signer, { binding: binding({ kind: 'receipt' }) });
  return finish(xmlMaker.prepareReceipt(nodeCrypto, sent, options), signer);
}

/** What xmlsec1 fills in: digests, signature, certificates. In another spelling than ours, with space everywhere. */
function templateFor(signer: TestSigner, kind: Parts['kind'] = 'data'): string {
  const commitment = kind === 'data' ? { commitment: commitmentTo('ProofOfOrigin', ASKING) } : {};
  const parts = partsOf(signer, {
    kind,
    content: kind === 'data' ? content : sent.objectDigest,
    ...commitment,
  });
  const empty = parts.signedInfo.replace(/(<DigestValue>)[^<]*/g, '$1');
  return parts.document
    .replace(parts.signedInfo, () => empty)
    .replace(/(<SignatureValue>)[^<]*/, '$1')
    .replace(/<X509Data>.*<\/X509Data>/, '<X509Data/>')
    .replace(/></g, '>\n  <');
}

row('xmlsec1 --verify --trusted-pem, our object', (_, signer) => {
  expect(xmlsecVerifies(ours(signer))).toBe(true);
});

row('xmlsec1 --verify --trusted-pem, our receipt', (_, signer) => {
  expect(xmlsecVerifies(ourReceipt(signer))).toBe(true);
});

row('xmlsec1 --verify --pubkey-cert-pem, our object without certificates', (type, signer) => {
  expect(xmlsecVerifies(ours(signer, false), ['--pubkey-cert-pem', file(`${type}.crt`)])).toBe(true);
});

row('xmlsec1 refuses what we refuse', (_, signer) => {
  const right = Buffer.from(ours(signer)).toString();
  const wrong: [RegExp, string][] = [
    [/(Id="data">)..../, '$1AAAA'],
    [/(Id="binding">MF......)../, '$1gQ'],
    [/(<xades:SigningTime>)..../, '$11999'],
    [/(<ds:SignatureValue>)..../, '$1AAAA'],
    [/(<ds:DigestValue>)..../, '$1AAAA'],
    [/ProofOfOrigin/, 'ProofOfReceipt'],
    [/<\/ds:SignedInfo>/, ' $&'],
    [/(<ds:Reference Id="data-reference" URI="#)data/, '$1binding'],
  ];
  for (const [what, by] of wrong) {
    const changed = right.replace(what, by);
    expect(changed).not.toBe(right);
    expect(xmlsecVerifies(changed), String(what)).toBe(false);
    expect(() => xmlVerifier.verifyObject(nodeCrypto, Buffer.from(changed), contextFor())).toThrow();
  }
});

row('xmlsec1 reads other spellings of an object as we do', (_, signer) => {
  const right = partsOf(signer).document;
  const spellings: string[] = [
    right,
    `<?xml version="1.0" encoding="UTF-8"?>\n${right}`,
    right.replace(/(Algorithm)="([^"]*)"/g, "$1 = '$2'"),
    right.replace(/(<(?:Transform|DigestMethod)[^>]*)><\/[^>]*>/g, '$1\t/>'),
    right.replace(/(<Reference) (Id="[^"]*") ([^>]*)/g, '$1 $3\n$2'),
    right.replace('Id="rd"', 'Id="&#x72;&#100;"').replace('>AQID<', '>&#65;&#x51;&#13;\nI D<'),
    right.replace(/\n/g, '\r\n'),
    right.replace('<SignedInfo', '<SignedInfo xmlns:q="urn:q"'),
    right.replace(
      '<x:SigningTime>',
      `<x:SigningTime xmlns:x="http://uri.etsi.org/01903/v1.3.2#" xmlns="urn:q">`,
    ),
  ];
  for (const spelling of spellings) {
    expect(xmlsecVerifies(spelling), spelling).toBe(true);
    xmlVerifier.verifyObject(nodeCrypto, Buffer.from(spelling), contextFor());
  }
  const others = [
    right.replace('<SignedInfo>', '<SignedInfo> '),
    right.replace('<x:SigningTime>', '<x:SigningTime>&#32;'),
    right.replaceAll('x:', 'y:').replace('xmlns:x', 'xmlns:y'),
  ];
  for (const other of others) {
    expect(xmlsecVerifies(other), other).toBe(false);
    expect(() => xmlVerifier.verifyObject(nodeCrypto, Buffer.from(other), contextFor())).toThrow();
  }
});

row('what xmlsec1 does not look at, and we do', (type, signer) => {
  const other = types.find((each) => each !== type) as KeyType;
  const hash = nodeCrypto.digest('sha256', signerOf(other).identity.der);
  const wrong: [Parameters<typeof partsOf>[1], SignatureErrorCode][] = [
    [{ cert: certificateId('sha256', hash) }, 'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE'],
    [{ signingTime: '2024-01-01T00:00:00Z' }, 'ERR_SIGN_SIGNING_TIME'],
    [{ binding: binding({ kind: 'receipt' }) }, 'ERR_SIGN_WRONG_KIND'],
    [{ commitment: commitmentTo('ProofOfReceipt') }, 'ERR_SIGN_WRONG_KIND'],
  ];
  for (const [changes, code] of wrong) {
    const { document } = partsOf(signer, changes);
    expect(xmlsecVerifies(document)).toBe(true);
    expectRefused(() => xmlVerifier.verifyObject(nodeCrypto, Buffer.from(document), contextFor()), code);
  }
});

// --- Theirs

row('xmlsec1 --sign, object with binding and properties', (type, signer) => {
  const object = xmlsecSigns(type, templateFor(signer)) as Uint8Array;
  const verified = xmlVerifier.verifyObject(nodeCrypto, object, contextFor({ expect: binding() }));
  expect(verified.content).toEqual(content);
  expect(verified.receiptRequested).toBe(true);
  expect(verified.signer.leaf.raw).toEqual(signer.identity.der);
  const changed = Buffer.from(Buffer.from(object).toString().replace('VHdlbHZl', 'VGhpcnR5'));
  expectRefused(
    () => xmlVerifier.verifyObject(nodeCrypto, changed, contextFor()),
    'ERR_SIGN_MESSAGE_DIGEST',
    'data',
  );
});

row('xmlsec1 --sign, receipt', (type, signer) => {
  const receipt = xmlsecSigns(type, templateFor(signer, 'receipt')) as Uint8Array;
  expect(Buffer.from(receipt).toString()).toContain(RECEIPT_TYPE);
  const verified = xmlVerifier.verifyReceipt(nodeCrypto, receipt, sent, contextFor());
  expect(verified.acknowledged).toBe(sent);
});

row('xmlsec1 --sign, signature of an Object and nothing else', (type, signer) => {
  const parts = partsOf(signer, {
    content,
    references: (right) =>
      right.references.slice(0, 1).map((each) => each.replace(/(<DigestValue>)[^<]*/, '$1')),
    objects: (right) => right.objects.slice(0, 1),
    signature: new Uint8Array(0),
    keyInfo: `<ds:KeyInfo xmlns:ds="${DS}"><ds:KeyName>key</ds:KeyName><ds:X509Data/></ds:KeyInfo>`,
  });
  const object = xmlsecSigns(type, parts.document) as Uint8Array;
  const verified = xmlVerifier.verifyForeignObject(nodeCrypto, object, contextFor());
  expect(verified.content).toEqual(content);
  expect(verified.signingTime).toBeUndefined();
  expectRefused(() => xmlVerifier.verifyObject(nodeCrypto, object, contextFor()), 'ERR_SIGN_MALFORMED');
});

// --- openssl, on SignedInfo, which is in canonical form as it stands

function opensslRow(name: string, check: (type: KeyType, signer: TestSigner) => void): void {
  describe(name, () => {
    for (const type of types) {
      itWith(openssl, type, () => {
        const isEcdsa = type === 'P-256' || type === 'P-384';
        note(name, type, 'FAILED');
        if (!isEcdsa) check(type, signerOf(type));
        note(name, type, isEcdsa ? '(b)' : 'ok');
      });
    }
  });
}

/** `openssl pkeyutl`, with what RSA needs to be told. */
function pkeyutl(type: KeyType, ...args: readonly string[]): boolean {
  const pss = ['-pkeyopt', 'rsa_padding_mode:pss', '-pkeyopt', 'rsa_pss_saltlen:digest'];
  const digest = type === 'Ed25519' ? [] : ['-digest', 'sha256'];
  return run(openssl.path, 'pkeyutl', '-rawin', ...digest, ...(type === 'RSA-PSS' ? pss : []), ...args).ok;
}

opensslRow('openssl pkeyutl -verify, SignedInfo of our object', (type, signer) => {
  const object = Buffer.from(ours(signer)).toString();
  const [signedInfo] = /<ds:SignedInfo.*<\/ds:SignedInfo>/s.exec(object) as RegExpExecArray;
  const [, value] = /<ds:SignatureValue>(.*)<\/ds:SignatureValue>/s.exec(object) as RegExpExecArray;
  const signature = save('signature', Buffer.from(value as string, 'base64'));
  const verify = ['-verify', '-pubin', '-inkey', file(`${type}.pub`), '-sigfile', signature, '-in'];
  expect(pkeyutl(type, ...verify, save('signed-info', signedInfo))).toBe(true);
  expect(pkeyutl(type, ...verify, save('signed-info', `${signedInfo} `))).toBe(false);
  const digests = [...signedInfo.matchAll(/<ds:DigestValue>([^<]*)/g)].map(([, digest]) => digest);
  const [properties] = /<xades:SignedProperties.*<\/xades:SignedProperties>/s.exec(object) as RegExpExecArray;
  for (const [index, part] of [content, Buffer.from(properties)].entries()) {
    const { stdout } = run(openssl.path, 'dgst', '-sha256', '-r', save('part', part));
    expect(Buffer.from(digests[index * 2] as string, 'base64').toString('hex')).toBe(stdout.slice(0, 64));
  }
});

opensslRow('openssl pkeyutl -sign, SignedInfo', (type, signer) => {
  const made = ({ canonicalInfo }: Parts): Uint8Array => {
    const output = file('signature');
    const key = file(`${type}.key`);
    const input = save('signed-info', canonicalInfo);
    expect(pkeyutl(type, '-sign', '-inkey', key, '-in', input, '-out', output)).toBe(true);
    return new Uint8Array(readFileSync(output));
  };
  const object = new TextEncoder().encode(partsOf(signer, { content, made }).document);
  expect(xmlVerifier.verifyObject(nodeCrypto, object, contextFor()).content).toEqual(content);
});

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { Oid } from '../../src/der/oids.ts';
import { encodePem } from '../../src/der/pem.ts';
import { encodeDer, octetString, oid, sequence } from '../../src/der/writer.ts';
import { cmsMaker } from '../../src/formats/cms/make.ts';
import { startObject } from '../../src/formats/cms/make-stream.ts';
import { cmsVerifier } from '../../src/formats/cms/verify.ts';
import { startReading } from '../../src/formats/cms/verify-stream.ts';
import type { ObjectMaker, ObjectReference, Unsigned } from '../../src/formats/format.ts';
import { smimeMaker } from '../../src/formats/smime/make.ts';
import { decodeSmime } from '../../src/formats/smime/mime.ts';
import { smimeVerifier } from '../../src/formats/smime/verify.ts';
import { encodeUnsignedObject, referenceToUnsigned } from '../../src/formats/unsigned.ts';
import { itWith, need } from '../setup/need.ts';
import { attribute, attributesWith, forge, signingCertificate } from '../unit/formats/cms/forge.ts';
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

/** CMS and S/MIME against stock tools, both ways, for every type of key; prints what was tried and what no tool can. */

const openssl = need('openssl');
const certtool = need('certtool');
/** Each takes milliseconds; the machine may be busy. */
const TOOL_MS = 20_000;

const types = Object.keys(KEY_TYPES) as KeyType[];
/** With line ends of both kinds, which a tool in text mode would change. */
const content = new TextEncoder().encode('Twelve chairs.\nBy Monday.\r\n');
const entity = new Uint8Array(
  Buffer.concat([
    Buffer.from('Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n'),
    content,
  ]),
);

// --- Files and programs

const folder = mkdtempSync(join(tmpdir(), 'trellis-cms-'));
const file = (name: string): string => join(folder, name.replace(/[^\w.-]/g, '_'));
const output = file('output');
const input = file('content');
const caFile = file('ca.crt');

function save(name: string, bytes: Uint8Array | string): string {
  writeFileSync(file(name), bytes);
  return file(name);
}

/** Words of a command, with files where they are named `{0}`, `{1}`… */
function words(command: string, ...files: readonly string[]): string[] {
  return command.split(' ').map((word) => word.replace(/^\{(\d)\}$/, (_, n) => files[Number(n)] ?? word));
}

function run(program: string, args: readonly string[]): { ok: boolean; stderr: string } {
  const { status, stderr, error } = spawnSync(program, args, { timeout: TOOL_MS, encoding: 'utf8' });
  if (error !== undefined) throw error;
  return { ok: status === 0, stderr };
}

const TRUST = ['-CAfile', caFile, '-purpose', 'any', '-attime', String(NOW / 1000)];

const keyOf = (type: KeyType): string[] =>
  words('-signer {0} -inkey {1}', file(`${type}.crt`), file(`${type}.key`));

/** What openssl is told to sign as `type` does. PSS's default salt is not as long as the hash. */
function howOf(type: KeyType): string[] {
  const hash = type === 'P-384' ? 'sha384' : type === 'Ed25519' ? 'sha512' : 'sha256';
  const pss = words('-keyopt rsa_padding_mode:pss -keyopt rsa_pss_saltlen:digest');
  return [...keyOf(type), '-md', hash, ...(type === 'RSA-PSS' ? pss : [])];
}

/** Later versions may have learned it: asked, not told from a version. */
let opensslDoesEd25519 = false;

beforeAll(() => {
  save('ca.crt', encodePem('CERTIFICATE', root.der));
  save('content', content);
  for (const type of types) {
    const { identity } = signerOf(type);
    save(`${type}.crt`, encodePem('CERTIFICATE', identity.der));
    save(`${type}.key`, identity.privateKey.export({ type: 'pkcs8', format: 'pem' }));
  }
  if (!openssl.available) return;
  const probe = words('cms -sign -outform DER -in {0} -out {1}', input, output);
  opensslDoesEd25519 = run(openssl.path, [...probe, ...howOf('Ed25519')]).ok;
});

// --- The table

const matrix = new Map<string, Map<KeyType, string>>();

function note(row: string, type: KeyType, cell: string): void {
  matrix.set(row, (matrix.get(row) ?? new Map<KeyType, string>()).set(type, cell));
}

const CELLS = {
  a: 'OpenSSL 3.0 can neither make nor verify Ed25519 in CMS ("invalid digest"): certtool is there for it',
  b: 'ok, read with a shorter OID for the binding: libtasn1 takes no arc above 64 bits, and UUIDs have 128',
  c: '"openssl smime" and certtool know RSA-PSS in certificates, but not in PKCS #7',
  d: '"openssl cms -stream" with RSA-PSS ends in an error of its own ("illegal zero content")',
  e: 'OpenSSL 3.5 does Ed25519 in CMS, but not by "openssl smime" nor in receipts that it signs ("no default digest")',
} as const;

/** Named cells: the tool cannot. */
function cannot(row: string, type: KeyType): boolean {
  const cell =
    type === 'Ed25519' && row.includes('openssl') && !opensslDoesEd25519
      ? 'a'
      : type === 'Ed25519' && /openssl smime|-sign_receipt/.test(row)
        ? 'e'
        : type === 'RSA-PSS' && /openssl smime|certtool --p7-sign/.test(row)
          ? 'c'
          : type === 'RSA-PSS' && row.includes('openssl cms -sign -stream')
            ? 'd'
            : undefined;
  if (cell !== undefined) note(row, type, `(${cell})`);
  return cell !== undefined;
}

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
  const notes = Object.entries(CELLS).map(([cell, why]) => `  (${cell}) ${why}`);
  if (rows.length > 0) console.log([line('CMS and S/MIME', types), ...rows, ...notes].join('\n'));
});

/** A tool accepts what was made here, and gives back `expected`. */
function accepts(row: string, type: KeyType, args: readonly string[], expected?: Uint8Array): void {
  if (cannot(row, type)) return;
  note(row, type, 'FAILED');
  const { ok, stderr } = run(openssl.path, args);
  expect(ok, `${row}: openssl ${args.join(' ')}\n${stderr}`).toBe(true);
  if (expected !== undefined) expect(new Uint8Array(readFileSync(output))).toEqual(expected);
  note(row, type, 'ok');
}

/** What a tool has made is accepted here. */
function accepted<T>(
  row: string,
  type: KeyType,
  program: string,
  args: readonly string[],
  verify: () => T,
): T | undefined {
  if (cannot(row, type)) return undefined;
  note(row, type, 'FAILED');
  const made = run(program, args);
  expect(made.ok, `${row}: ${program} ${args.join(' ')}\n${made.stderr}`).toBe(true);
  const verified = verify();
  note(row, type, 'ok');
  return verified;
}

// --- Making

function make(maker: ObjectMaker, signer: TestSigner, data = content): Uint8Array {
  const unsigned = maker.prepareObject(nodeCrypto, data, optionsFor(signer));
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

function makeReceipt(
  signer: TestSigner,
  received: ObjectReference,
  maker: ObjectMaker = cmsMaker,
): Uint8Array {
  const options = optionsFor(signer, { binding: binding({ kind: 'receipt', role: 'server' }) });
  const unsigned = maker.prepareReceipt(nodeCrypto, received, options);
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

function makeStream(signer: TestSigner, pieces: readonly Uint8Array[]): Uint8Array {
  const stream = startObject(nodeCrypto, signer);
  const content = pieces.flatMap((piece) => stream.write(piece));
  const unsigned = stream.end(optionsFor(signer));
  const { trailer } = unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
  return Buffer.concat([stream.header, ...content, trailer]);
}

/** Stock tools sign with today's date. */
const context = contextFor({ clockSkew: undefined });

describe('made here', () => {
  for (const type of types) {
    const signer = signerOf(type);

    itWith(openssl, `is verified by openssl: ${type}`, () => {
      const object = save(`${type}.p7`, make(cmsMaker, signer));
      const mail = save(`${type}.eml`, make(smimeMaker, signer));
      const stream = makeStream(signer, [new Uint8Array(100_000), content]);
      const streamed = save(`${type}.ber`, stream);
      const der = words('-verify -inform DER -in {0} -out {1}', object, output);
      accepts('ours -> openssl cms -verify', type, ['cms', ...der, ...TRUST], content);
      accepts('ours -> openssl cms -verify -cades', type, ['cms', ...der, ...TRUST, '-cades'], content);
      accepts('ours -> openssl smime -verify', type, ['smime', ...der, ...TRUST], content);
      const smime = words('-verify -in {0} -out {1}', mail, output);
      accepts('ours S/MIME -> openssl cms -verify', type, ['cms', ...smime, ...TRUST], entity);
      accepts('ours S/MIME -> openssl smime -verify', type, ['smime', ...smime, ...TRUST], entity);
      const ber = words('cms -verify -inform DER -in {0} -out {1}', streamed, output);
      const all = new Uint8Array(Buffer.concat([new Uint8Array(100_000), content]));
      accepts('ours streamed -> openssl cms -verify', type, [...ber, ...TRUST], all);
      // What an archive keeps of it when its content is erased.
      const reading = startReading(nodeCrypto);
      reading.write(stream);
      const { detached, reference } = reading.end();
      const files = [save(`${type}.sig`, detached), save(`${type}.txt`, all), output];
      const erased = words('cms -verify -binary -inform DER -in {0} -content {1} -out {2}', ...files);
      accepts('ours streamed, content apart -> openssl cms -verify', type, [...erased, ...TRUST], all);
      const receipt = save('receipt', makeReceipt(signer, reference));
      const acknowledged = words(
        'cms -verify_receipt {0} -rctform DER -inform DER -in {1}',
        receipt,
        streamed,
      );
      accepts('ours receipt for streamed -> openssl', type, [...acknowledged, ...TRUST]);
    });

    itWith(openssl, `has receipts that openssl verifies: ${type}`, () => {
      const object = make(cmsMaker, signer);
      const receipt = save('receipt', makeReceipt(signer, cmsVerifier.referenceTo(nodeCrypto, object)));
      const verify = (sent: string) =>
        words('cms -verify_receipt {0} -rctform DER -inform DER -in {1}', receipt, sent).concat(TRUST);
      accepts('ours receipt -> openssl cms -verify_receipt', type, verify(save('sent', object)));
      const other = save('other', make(cmsMaker, signer, Uint8Array.of(1)));
      expect(run(openssl.path, verify(other)).ok).toBe(false);

      const mail = make(smimeMaker, signer);
      const answer = makeReceipt(signer, smimeVerifier.referenceTo(nodeCrypto, mail), smimeMaker);
      // OpenSSL reads no receipt out of MIME (-rctform takes PEM and DER).
      const files = [save('answer', decodeSmime(answer, false).signedData), save('mail', mail)];
      const smime = words('cms -verify_receipt {0} -rctform DER -inform SMIME -in {1}', ...files);
      accepts('ours S/MIME receipt -> openssl cms -verify_receipt', type, [...smime, ...TRUST]);

      const sent = encodeUnsignedObject({ binding: binding(), content });
      const unsigned = save('unsigned', makeReceipt(signer, referenceToUnsigned(nodeCrypto, sent)));
      const digest = new Uint8Array(nodeCrypto.digest('sha256', sent));
      const der = words('cms -verify -inform DER -in {0} -out {1}', unsigned, output);
      accepts('ours {0,2} receipt -> openssl cms -verify', type, [...der, ...TRUST], digest);
    });

    itWith(certtool, `is verified by certtool: ${type}`, () => {
      const shorter = (bytes: Uint8Array) => withShorterOid(bytes);
      const made = (change: (bytes: Uint8Array) => Uint8Array) => {
        const signed = (unsigned: Unsigned) =>
          change(unsigned.finish(signatureOf(signer, change(unsigned.toBeSigned))));
        const options = optionsFor(signer, { binding: binding({ kind: 'receipt' }) });
        const object = signed(cmsMaker.prepareObject(nodeCrypto, content, optionsFor(signer)));
        const asks = cmsVerifier.referenceTo(nodeCrypto, make(cmsMaker, signer));
        const unsigned: ObjectReference = {
          kind: 'unsigned',
          objectDigest: new Uint8Array(32),
          receiptRequested: true,
        };
        return {
          'ours -> certtool --p7-verify': object,
          'ours receipt -> certtool --p7-verify': signed(cmsMaker.prepareReceipt(nodeCrypto, asks, options)),
          'ours {0,2} receipt -> certtool --p7-verify': signed(
            cmsMaker.prepareReceipt(nodeCrypto, unsigned, options),
          ),
        };
      };
      const verify = (bytes: Uint8Array) =>
        run(
          certtool.path,
          words('--p7-verify --inder --load-ca-certificate {0} --infile {1}', caFile, save('ct', bytes)),
        );
      const changed = made(shorter);
      for (const [row, object] of Object.entries(made((bytes) => bytes))) {
        note(row, type, 'FAILED');
        if (verify(object).ok) {
          note(row, type, 'ok');
          continue;
        }
        const { ok, stderr } = verify(changed[row as keyof typeof changed]);
        expect(ok, `${row}: ${stderr}`).toBe(true);
        note(row, type, '(b)');
      }
    });
  }
});

describe('made by stock tools', () => {
  const made = file('made');
  const bytes = () => readFileSync(made);

  for (const type of types) {
    const { identity } = signerOf(type);

    itWith(openssl, `is verified here: openssl, ${type}`, () => {
      for (const [form, verifier] of [
        ['cms -sign -cades -outform DER', cmsVerifier],
        ['cms -sign -stream -outform DER', cmsVerifier],
        ['cms -sign -keyid -outform DER', cmsVerifier],
        ['cms -sign -cades -outform SMIME', smimeVerifier],
        ['smime -sign -outform SMIME', smimeVerifier],
      ] as const) {
        const args = [...words(`${form} -binary -nodetach -in {0} -out {1}`, input, made), ...howOf(type)];
        const verify = () => verifier.verifyForeignObject(nodeCrypto, bytes(), context);
        const verified = accepted(`openssl ${form} -> ours`, type, openssl.path, args, verify);
        if (verified === undefined) continue;
        expect(new Uint8Array(verified.content)).toEqual(content);
        expect(verified.signer.leaf.raw).toEqual(identity.der);
        if (form.includes('-cades -outform DER'))
          expectRefused(
            () => verifier.verifyObject(nodeCrypto, bytes(), context),
            'ERR_SIGN_MISSING_ATTRIBUTE',
            'binding',
          );
      }
    });

    itWith(openssl, `has receipts that are verified here: openssl, ${type}`, () => {
      const object = make(cmsMaker, signerOf(type));
      const reference = cmsVerifier.referenceTo(nodeCrypto, object);
      const args = words(
        'cms -sign_receipt -inform DER -outform DER -in {0} -out {1}',
        save('asks', object),
        made,
      );
      const verify = () => cmsVerifier.verifyForeignReceipt(nodeCrypto, bytes(), reference, context);
      const row = 'openssl cms -sign_receipt -> ours';
      const receipt = accepted(row, type, openssl.path, [...args, ...howOf(type)], verify);
      if (receipt === undefined) return;
      expect(receipt.acknowledged).toBe(reference);
      const other = cmsVerifier.referenceTo(nodeCrypto, make(cmsMaker, signerOf(type), Uint8Array.of(1)));
      expectRefused(
        () => cmsVerifier.verifyForeignReceipt(nodeCrypto, bytes(), other, context),
        'ERR_SIGN_RECEIPT_MISMATCH',
      );
    });

    itWith(openssl, `gets receipts from here: openssl, ${type}`, () => {
      const row = 'openssl cms -sign -receipt_request_all, our receipt -> openssl';
      const asks = words('-receipt_request_all -receipt_request_to someone@example.com');
      const args = words('cms -sign -cades -outform DER -binary -nodetach -in {0} -out {1}', input, made);
      const verify = () => cmsVerifier.verifyForeignObject(nodeCrypto, bytes(), context);
      const object = accepted(row, type, openssl.path, [...args, ...howOf(type), ...asks], verify);
      if (object === undefined) return;
      expect(object.receiptRequested).toBe(true);
      const receipt = save('receipt', makeReceipt(signerOf(type), object.reference));
      const check = words('cms -verify_receipt {0} -rctform DER -inform DER -in {1}', receipt, made);
      accepts(row, type, [...check, ...TRUST]);
    });

    itWith(certtool, `is verified here: certtool, ${type}`, () => {
      const options =
        '--p7-sign --p7-time --outder --load-privkey {0} --load-certificate {1} --infile {2} --outfile {3}';
      const args = words(options, file(`${type}.key`), file(`${type}.crt`), input, made);
      const more = type === 'P-384' ? ['--hash', 'sha384'] : [];
      const verify = () => cmsVerifier.verifyForeignObject(nodeCrypto, bytes(), context);
      const object = accepted('certtool --p7-sign -> ours', type, certtool.path, [...args, ...more], verify);
      if (object !== undefined) expect(new Uint8Array(object.content)).toEqual(content);
    });
  }
});

describe('what openssl does not look at', () => {
  const signer = signerOf('P-256');
  const otherType = attribute(Oid.contentType, oid(Oid.receipt));
  const otherHash = signingCertificate(sequence(octetString(new Uint8Array(32))));
  const time = attribute(Oid.signingTime, Uint8Array.of(0x17, 13, ...Buffer.from('200101000000Z')));

  for (const [name, code, forged] of [
    [
      'the hash in signing-certificate-v2',
      'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE',
      attributesWith([Oid.signingCertificateV2], otherHash),
    ],
    [
      'the content-type attribute',
      'ERR_SIGN_CONTENT_TYPE_ATTRIBUTE',
      attributesWith([Oid.contentType], otherType),
    ],
    ['the signing time', 'ERR_SIGN_SIGNING_TIME', attributesWith([Oid.signingTime], time)],
  ] as const) {
    itWith(openssl, `is looked at here: ${name}`, () => {
      const object = forge(signer, { attributes: forged });
      const args = words('cms -verify -inform DER -in {0} -out {1}', save('forged', object), output);
      expect(run(openssl.path, [...args, ...TRUST]).ok).toBe(true);
      expectRefused(() => cmsVerifier.verifyObject(nodeCrypto, object, contextFor()), code);
    });
  }
});

/** Everything as it would be with other OIDs for what is ours: of as many bytes, and of small arcs. */
function withShorterOid(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes);
  for (const long of [Oid.acknowledgedObject, Oid.binding]) {
    const encoded = Buffer.from(encodeDer(oid(long)));
    const at = copy.indexOf(encoded);
    if (at >= 0) copy.fill(long === Oid.binding ? 1 : 2, at + 2, at + encoded.length);
  }
  return copy;
}

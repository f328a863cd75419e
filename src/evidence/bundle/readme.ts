import type { SignatureAlgorithm } from '../../crypto/provider.ts';
import { schemeById } from '../../crypto/schemes.ts';
import { toHex } from '../../der/bytes.ts';
import type { Checkpoint } from '../merkle/tree-head.ts';
import type { Account } from '../report/account.ts';
import { accountText } from '../report/text.ts';
import {
  ARCHIVE_KEY_FILE,
  ASIC_MANIFEST_FILE,
  ASIC_TIMESTAMP_FILE,
  ATTRIBUTES_FILE,
  type BundleIndexRecord,
  CHECKPOINT_BODY_FILE,
  CHECKPOINT_ROOT_FILE,
  CHECKPOINT_SIGNATURE_FILE,
  DETACHED_FILE,
  SIGNATURE_FILE,
  SUMS_FILE,
  TIMESTAMP_FILE,
} from './layout.ts';

/** Records whose accounts are printed in full; the commands are given for all. */
const MAX_ACCOUNTS = 20;

export interface ReadmeRecord {
  readonly account: Account;
  readonly entry: BundleIndexRecord;
  /** The data are beside the object. */
  readonly content: boolean;
  /** What was kept of the signature when the content was erased is there. */
  readonly detached: boolean;
  /** The parts of the signature are there, for a tool that does not know the algorithm in CMS. */
  readonly bare: boolean;
}

/**
 * What is in the bundle and how to verify it with openssl and xmlsec1 alone. Lines that begin with `$ ` are commands
 * for a POSIX shell in the unpacked bundle; the tests run them.
 */
export function readmeText(
  records: readonly ReadmeRecord[],
  checkpoint: Checkpoint,
  hasTimestamp: boolean,
  isDated: boolean,
): string {
  const accounts = records.slice(0, MAX_ACCOUNTS).map(({ account }) => `${RULE}\n${accountText(account)}`);
  return [
    ...intro(checkpoint),
    ...step('1. Nothing was lost on the way', [`$ sha256sum -c ${SUMS_FILE}`]),
    ...step('2. The signatures', [
      'CA.pem stands for the certificate of the authority that you trust for the signers: get it from there, not',
      'from this bundle. -attime is the time at which the certificate is judged, in seconds since 1970: here the',
      'time at which the record was archived; take the time of the timestamp, where there is one.',
      ...records.flatMap((record) => signatureCommands(record, records)),
    ]),
    ...step('3. The records are in the tree that the checkpoint signs', [
      'Hashes as in RFC 9162: a leaf is SHA-256 of 00 and leaf.der, a node SHA-256 of 01, left and right. What',
      'leaf.der says is shown by: openssl asn1parse -inform DER -in records/NNNNNN/leaf.der',
      ...records.flatMap(inclusionCommands),
      'The root is in what the checkpoint signs (the last OCTET STRING of the inner SEQUENCE):',
      `$ openssl asn1parse -inform DER -in ${CHECKPOINT_BODY_FILE}`,
    ]),
    ...step('4. The checkpoint', [
      "Signed with the archive's key. Its SHA-256 begins with the name of the archive, which is in the tree heads",
      'inside of everything that this side has sent: ask the other party for those, or for its archive.',
      ...checkpointCommands(checkpoint),
    ]),
    ...step('5. The time', timeCommands(hasTimestamp, isDated)),
    ...(records.length > MAX_ACCOUNTS
      ? [`Accounts of the first ${MAX_ACCOUNTS} of ${records.length} records:`]
      : []),
    ...accounts,
  ].join('\n');
}

const RULE = '-'.repeat(100);

function intro({ head, time }: Checkpoint): string[] {
  return [
    'Evidence: what was said in TLS sessions, signed by who said it',
    '',
    `From archive ${toHex(head.archive)}, under its checkpoint at ${head.size} records of ${new Date(time).toISOString()}.`,
    '',
    'records/NNNNNN/   object.*      what was signed, byte for byte as it travelled',
    '                  content.bin   the data inside',
    '                  signer.pem    certificates of the signer as they were announced',
    '                  revocation-*  OCSP responses and CRLs that were at hand',
    '                  leaf.der      what the archive says of it; proof/ shows that it is in the tree',
    'sessions/N/       the session that it was said in, with the certificates of both sides',
    'checkpoint/       the signed head of the tree, and its timestamp',
    '',
    'Nothing here has to be believed. Verify it with openssl (3.0 or newer) and xmlsec1 in a POSIX shell, in the',
    'folder that the bundle was unpacked to. Lines that begin with "$ " are commands.',
    '',
  ];
}

function step(title: string, lines: readonly string[]): string[] {
  return [title, '', ...lines.map((line) => `  ${line}`), ''];
}

function signatureCommands(
  { account, entry, content, detached, bare }: ReadmeRecord,
  all: readonly ReadmeRecord[],
): string[] {
  const { record } = account;
  const { folder, object } = entry;
  const title = ['', `Record ${record.index}, ${record.kind} from ${account.from.name}:`];
  const atTime = Math.floor(Date.parse(record.time) / 1000);
  const trust = `-CAfile CA.pem -purpose any -attime ${atTime}`;
  if (object === undefined && detached) {
    return [
      ...title,
      'its content was erased. Whoever has the document (here DOCUMENT) can show that this is what was signed:',
      `$ openssl cms -verify -binary -inform DER -in ${folder}/${DETACHED_FILE} -content DOCUMENT -certfile ${folder}/signer.pem ${trust} -out content.out`,
    ];
  }
  if (object === undefined) return [...title, 'no object: it was erased, or never came.'];
  if (record.flags.includes('unsigned')) {
    return [
      ...title,
      'it travelled unsigned; a receipt for it covers its SHA-256:',
      `$ openssl dgst -sha256 ${folder}/${object}`,
    ];
  }
  const compare = content ? [`$ cmp content.out ${folder}/content.bin`] : [];
  if (bare) return [...title, ...bareCommands(folder, object, content)];
  if (record.format === 'xmldsig') {
    return [
      ...title,
      `$ xmlsec1 --verify --trusted-pem CA.pem --enabled-reference-uris same-doc --verification-gmt-time "${gmt(record.time)}" ${folder}/${object}`,
    ];
  }
  const isReceipt = record.kind === 'receipt' && account.acknowledges?.flags.includes('unsigned') === false;
  if (isReceipt) return [...title, ...receiptCommands(account, { folder, object }, trust, all)];
  const form = record.format === 'smime' ? 'SMIME' : 'DER';
  return [
    ...title,
    `$ openssl cms -verify -binary -inform ${form} -in ${folder}/${object} -certfile ${folder}/signer.pem ${trust} -out content.out`,
    ...(record.format === 'pkcs7'
      ? compare
      : ['content.out has the data behind the header of a MIME entity.']),
  ];
}

/** Openssl 3.0 does not know Ed25519 in CMS, and certtool not the identifier of the binding. */
function bareCommands(folder: string, object: string, content: boolean): string[] {
  return [
    'a key of type Ed25519, which openssl 3.0 does not know in CMS. The signature by hand:',
    `$ openssl verify -partial_chain -purpose any -no_check_time -CAfile CA.pem ${folder}/signer.pem`,
    `$ openssl x509 -in ${folder}/signer.pem -noout -pubkey > signer-key.pem`,
    `$ openssl pkeyutl -verify -pubin -inkey signer-key.pem -rawin -in ${folder}/${ATTRIBUTES_FILE} -sigfile ${folder}/${SIGNATURE_FILE}`,
    'Both files are parts of the object, and what is signed names the SHA-512 of the content:',
    `$ openssl asn1parse -inform DER -in ${folder}/${object}`,
    `$ openssl asn1parse -inform DER -in ${folder}/${ATTRIBUTES_FILE}`,
    ...(content ? [`$ openssl dgst -sha512 ${folder}/content.bin`] : []),
  ];
}

/** @param all to find the record that the receipt is for */
function receiptCommands(
  { record, acknowledges }: Account,
  { folder, object }: { readonly folder: string; readonly object: string },
  trust: string,
  all: readonly ReadmeRecord[],
): string[] {
  const target = all.find(({ entry }) => entry.index === acknowledges?.index);
  if (acknowledges === undefined || target === undefined) return [];
  const file = target.entry.object ?? (target.detached ? DETACHED_FILE : undefined);
  if (file === undefined) return ['It is for an object of which nothing is left.'];
  const original = `${target.entry.folder}/${file}`;
  const form = file.endsWith('.eml') ? 'SMIME' : 'DER';
  const isMime = record.format === 'smime';
  const receipt = isMime ? 'receipt.der' : `${folder}/${object}`;
  const isWhole = target.entry.object !== undefined;
  return [
    `It is a signed receipt (RFC 2634) for record ${acknowledges.index}:`,
    ...(isMime
      ? [`$ tr -d '\\r' < ${folder}/${object} | sed '1,/^$/d' | openssl base64 -d -out ${receipt}`]
      : []),
    `$ openssl cms -verify_receipt ${receipt} -rctform DER -inform ${form} -in ${original} -certfile ${folder}/signer.pem ${trust}`,
    ...(isWhole
      ? [
          'and covers the SHA-256 of that whole object as it arrived, which is in its signed attributes:',
          `$ openssl dgst -sha256 ${original}`,
        ]
      : []),
  ];
}

function inclusionCommands({ entry }: ReadmeRecord): string[] {
  const { folder, proof } = entry;
  const climb = proof.map((name) => {
    const sibling = `${folder}/${name}`;
    const order = name.endsWith('.left') ? `"${sibling}" node.bin` : `node.bin "${sibling}"`;
    return `$ (printf '\\001'; cat ${order}) | openssl dgst -sha256 -binary > next.bin && mv next.bin node.bin`;
  });
  return [
    '',
    `$ (printf '\\000'; cat ${folder}/leaf.der) | openssl dgst -sha256 -binary > node.bin`,
    ...climb,
    `$ cmp node.bin ${CHECKPOINT_ROOT_FILE}`,
  ];
}

function checkpointCommands({ scheme }: Checkpoint): string[] {
  return [
    signatureCommand(schemeById(scheme)?.algorithm),
    `$ openssl pkey -pubin -in ${ARCHIVE_KEY_FILE} -outform DER | openssl dgst -sha256`,
  ];
}

function signatureCommand(algorithm: SignatureAlgorithm | undefined): string {
  const files = `-signature ${CHECKPOINT_SIGNATURE_FILE} ${CHECKPOINT_BODY_FILE}`;
  switch (algorithm?.kind) {
    case 'ecdsa':
    case 'rsa-pkcs1':
      return `$ openssl dgst -${algorithm.hash} -verify ${ARCHIVE_KEY_FILE} ${files}`;
    case 'rsa-pss':
      return `$ openssl dgst -${algorithm.hash} -sigopt rsa_padding_mode:pss -verify ${ARCHIVE_KEY_FILE} ${files}`;
    default:
      return `$ openssl pkeyutl -verify -pubin -inkey ${ARCHIVE_KEY_FILE} -rawin -in ${CHECKPOINT_BODY_FILE} -sigfile ${CHECKPOINT_SIGNATURE_FILE}`;
  }
}

function timeCommands(hasTimestamp: boolean, isDated: boolean): string[] {
  const lines = hasTimestamp
    ? [
        'TSA-CA.pem stands for the certificate of the authority that you trust for times: get it from there.',
        `$ openssl ts -verify -in ${TIMESTAMP_FILE} -token_in -data ${CHECKPOINT_BODY_FILE} -CAfile TSA-CA.pem`,
        'What it says, and when:',
        `$ openssl ts -reply -in ${TIMESTAMP_FILE} -token_in -text`,
      ]
    : ['No time authority has dated the checkpoint: all times rest on the clocks of the two parties.'];
  if (isDated) {
    lines.push(
      'The bundle as a whole was dated when it was made:',
      `$ openssl ts -verify -in ${ASIC_TIMESTAMP_FILE} -token_in -data ${ASIC_MANIFEST_FILE} -CAfile TSA-CA.pem`,
    );
  }
  return lines;
}

/** As xmlsec1 takes it: "2026-01-02 03:04:05". */
function gmt(time: string): string {
  return time.slice(0, 19).replace('T', ' ');
}

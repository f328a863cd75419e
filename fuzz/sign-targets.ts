import { createHash, generateKeyPairSync } from 'node:crypto';
import { nodeCrypto } from '../src/crypto/node/provider.ts';
import { encodeDer, enumerated, octetString, sequence } from '../src/der/writer.ts';
import {
  decodeChain,
  decodeLeaf,
  decodeRevocation,
  decodeSession,
  encodeChain,
  encodeLeaf,
  encodeRevocation,
  encodeSession,
} from '../src/evidence/archive/leaf.ts';
import { decodeResidue } from '../src/evidence/archive/residue.ts';
import { MerkleHash } from '../src/evidence/merkle/hash.ts';
import { verifyConsistency, verifyInclusion } from '../src/evidence/merkle/proof.ts';
import {
  checkpointsFromFile,
  decodeCheckpoint,
  decodeTreeHead,
  encodeCheckpoint,
  encodeTreeHead,
  verifyCheckpoint,
} from '../src/evidence/merkle/tree-head.ts';
import { decodeBinding, encodeBinding } from '../src/formats/binding.ts';
import { cmsMaker } from '../src/formats/cms/make.ts';
import { startObject } from '../src/formats/cms/make-stream.ts';
import { cmsVerifier } from '../src/formats/cms/verify.ts';
import { startReading } from '../src/formats/cms/verify-stream.ts';
import type { ContentFormat, ObjectMaker, ObjectVerifier } from '../src/formats/format.ts';
import { smimeMaker } from '../src/formats/smime/make.ts';
import { smimeVerifier } from '../src/formats/smime/verify.ts';
import { readTimeStampResponse } from '../src/formats/tsp/response.ts';
import { certificatesOfToken, timeOfToken, verifyTimeStampToken } from '../src/formats/tsp/verify.ts';
import { decodeUnsignedObject, encodeUnsignedObject } from '../src/formats/unsigned.ts';
import { xmlMaker } from '../src/formats/xml/make.ts';
import { xmlVerifier } from '../src/formats/xml/verify.ts';
import { decodeCertificateSign, encodeCertificateSign } from '../src/sign/certificate-sign.ts';
import { decodeSignatureRequests, encodeSignatureRequests } from '../src/sign/extension.ts';
import { encodeSigntext, Flag, SignReader } from '../src/sign/frame.ts';
import { Certificate } from '../src/x509/certificate.ts';
import { TrustStore } from '../src/x509/trust-store.ts';
import { binding, contextFor, optionsFor, signatureOf, signerOf } from '../test/unit/formats/kit.ts';
import { bytes, MemoryArchive, SignPair } from '../test/unit/sign/kit.ts';
import { mutate, Random } from './mutate.ts';
import { isVerdict, type Target, tryAll } from './target.ts';
import { TIME_STAMP_RESPONSE, TIME_STAMP_ROOT } from './time-stamp-seed.ts';

/** What TLS Sign reads: objects and receipts of each format, its framing, sessions, and the archive's encodings. */

const FORMATS: Readonly<Record<ContentFormat, { maker: ObjectMaker; verifier: ObjectVerifier }>> = {
  pkcs7: { maker: cmsMaker, verifier: cmsVerifier },
  smime: { maker: smimeMaker, verifier: smimeVerifier },
  xmldsig: { maker: xmlMaker, verifier: xmlVerifier },
};
const CONTENT = bytes('Three chairs, oak, to be delivered on Friday.');
const TLS_SIGN = 29;

function objectOf({ maker }: { maker: ObjectMaker }): Uint8Array {
  const signer = signerOf('P-256');
  const unsigned = maker.prepareObject(nodeCrypto, CONTENT, optionsFor(signer));
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

function receiptOf(format: { maker: ObjectMaker; verifier: ObjectVerifier }): Uint8Array {
  const signer = signerOf('P-256');
  const reference = format.verifier.referenceTo(nodeCrypto, objectOf(format));
  const options = optionsFor(signer, { binding: binding({ kind: 'receipt' }) });
  const unsigned = format.maker.prepareReceipt(nodeCrypto, reference, options);
  return unsigned.finish(signatureOf(signer, unsigned.toBeSigned));
}

function formatTargets(name: ContentFormat): Target[] {
  const format = FORMATS[name];
  const { verifier } = format;
  return [
    {
      name: `${name}-object`,
      seeds: () => [objectOf(format), receiptOf(format)],
      run(input) {
        // What the lenient reading refuses, the strict one has to survive as well.
        try {
          verifier.verifyForeignObject(nodeCrypto, input, contextFor());
        } catch (error) {
          if (!isVerdict(error)) throw error;
        }
        verifier.verifyObject(nodeCrypto, input, contextFor());
      },
    },
    {
      name: `${name}-receipt`,
      seeds: () => [receiptOf(format)],
      run(input) {
        const sent = verifier.referenceTo(nodeCrypto, objectOf(format));
        verifier.acknowledgedDigest(input);
        verifier.verifyReceipt(nodeCrypto, input, sent, contextFor());
      },
    },
  ];
}

function streamedObject(): Uint8Array {
  const signer = signerOf('P-256');
  const stream = startObject(nodeCrypto, signer);
  const pieces = [stream.header, ...stream.write(CONTENT), ...stream.write(CONTENT)];
  const unsigned = stream.end(optionsFor(signer));
  return Buffer.concat([...pieces, unsigned.finish(signatureOf(signer, unsigned.toBeSigned)).trailer]);
}

const streamTarget: Target = {
  name: 'pkcs7-stream',
  seeds: () => [streamedObject(), objectOf(FORMATS.pkcs7)],
  run(input) {
    const reader = startReading(nodeCrypto);
    for (let at = 0; at < input.length; at += 13) reader.write(input.subarray(at, at + 13));
    reader.end();
  },
};

/** A peer that agreed to sign, and whose signing goes wrong under the right protection. */
const sessionTarget: Target = {
  name: 'sign-session',
  seeds: () => [Uint8Array.of(1, 2, 3, 4), Uint8Array.of(0, 0, 0, 0)],
  run(input) {
    const random = new Random(input.reduce((sum, byte) => (Math.imul(sum, 31) + byte) | 0, 11));
    let left = 1 + random.below(4);
    const archives = { client: new MemoryArchive(), server: new MemoryArchive() };
    const pair = new SignPair({
      client: { archive: archives.client },
      server: { archive: archives.server },
      pair: {
        tamper: ({ type, content }) =>
          type === TLS_SIGN && content.length > 0 && --left === 0
            ? [{ type, content: mutate([content], random) }]
            : undefined,
      },
    });
    pair.run();
    for (const word of ['one', 'two', 'three']) pair.say('client', word);
    pair.run();
    const { client, server } = pair.pair;
    for (const { error } of [client, server])
      if (error?.code === 'ERR_TLS_INTERNAL') throw error.cause ?? error;
    const delivered = archives.server.entries.filter(
      ({ kind, status }) => kind === 'data' && status === 'verified',
    );
    if (delivered.length < pair.server.messages.length)
      throw new Error('Something was delivered that is not in the archive');
  },
};

const request = (spelling: 'enum' | 'two-byte') =>
  ({ spelling, format: 'xmldsig', method: 'certificate', types: ['origin', 'delivery'] }) as const;

/** What an archive, a bundle or a checkpoint file of somebody else holds. */
function evidenceSeeds(): Uint8Array[] {
  const { chain } = signerOf('P-256');
  const digest = new Uint8Array(32).fill(3);
  return [
    encodeLeaf({
      direction: 'received',
      kind: 'receipt',
      status: 'rejected',
      reason: 'ERR_SIGN_BAD_SIGNATURE',
      time: 1_700_000_000_000,
      session: digest,
      sequence: 9,
      application: 'orders',
      contentType: 28,
      format: 'xmldsig',
      objectLength: 2000,
      objectDigest: digest,
      contentLength: 1024,
      contentDigest: digest,
      flags: 1,
      treeHead: encodeTreeHead({ archive: new Uint8Array(16), size: 7, root: digest }),
      target: 8,
      signerChain: digest,
      revocation: undefined,
      provenance: undefined,
    }),
    encodeSession({
      role: 'server',
      protocol: 0x0304,
      cipherSuite: 0x1301,
      sessionBinding: digest,
      started: 1_700_000_000_000,
      ownName: 'CN=us',
      peerName: 'CN=them',
      ownChain: digest,
      peerChain: digest,
    }),
    encodeChain(chain),
    encodeRevocation([{ kind: 'ocsp', der: digest }]),
    encodeTreeHead({ archive: new Uint8Array(16), size: 7, root: digest }),
    bytes('-----BEGIN TRELLIS CHECKPOINT-----\nMAA=\n-----END TRELLIS CHECKPOINT-----\n'),
  ];
}

function checkpoint(): Uint8Array {
  const { publicKey } = generateKeyPairSync('ed25519');
  return encodeCheckpoint({
    head: { archive: new Uint8Array(16), size: 7, root: new Uint8Array(32) },
    time: 1_700_000_000_000,
    scheme: 0x0807,
    signature: new Uint8Array(64),
    publicKey: publicKey.export({ type: 'spki', format: 'der' }),
  });
}

/** Every proof is noise: what matters is that none is believed, and that each is done with soon. */
function checkProofs(input: Uint8Array): void {
  const hash = new MerkleHash(nodeCrypto);
  const [index = 0, size = 0, ...rest] = input;
  const [large, root, leaf] = [index * 2 ** 45, new Uint8Array(32), new Uint8Array(32).fill(1)];
  const proof = Array.from({ length: rest.length % 70 }, (_, i) => new Uint8Array(32).fill(i));
  for (const [at, of] of [
    [index, size],
    [large, large + size],
  ] as const) {
    if (
      verifyInclusion(hash, leaf, at, of, proof, root) ||
      verifyConsistency(hash, at, leaf, of, root, proof)
    )
      if (at !== of) throw new Error('A proof without meaning was believed');
  }
}

const TOKEN_DIGEST = createHash('sha256').update('Trellis').digest();
const tokenTrust = new TrustStore([Certificate.parse(Buffer.from(TIME_STAMP_ROOT, 'base64'))]);

const tokenTarget: Target = {
  name: 'time-stamp-token',
  seeds: () => {
    const { token } = readTimeStampResponse(Buffer.from(TIME_STAMP_RESPONSE, 'base64'));
    if (token === undefined) throw new Error('The seed has no token');
    verifyTimeStampToken(nodeCrypto, token, { digest: TOKEN_DIGEST, trust: tokenTrust });
    return [token];
  },
  run(input) {
    tryAll(input, [timeOfToken, certificatesOfToken]);
    verifyTimeStampToken(nodeCrypto, input, { digest: TOKEN_DIGEST, trust: tokenTrust });
  },
};

/** What travels in a signing session beside signed objects, and what is kept of them once they are erased. */
const objectsTarget: Target = {
  name: 'sign-objects',
  seeds: () => [
    encodeCertificateSign(signerOf('P-256').chain),
    encodeUnsignedObject({ binding: binding(), content: CONTENT }),
    encodeBinding(binding()),
    encodeDer(sequence(enumerated(1), octetString(new Uint8Array(32)))),
  ],
  run(input) {
    const residue = (der: Uint8Array) => decodeResidue(der, true);
    tryAll(input, [decodeCertificateSign, decodeUnsignedObject, decodeBinding, residue]);
  },
};

const decoders: readonly Target[] = [
  objectsTarget,
  tokenTarget,
  {
    name: 'evidence-proof',
    seeds: () => [checkpoint(), Uint8Array.of(3, 7, 0, 0, 0), Uint8Array.of(200, 255, ...new Uint8Array(68))],
    run(input) {
      checkProofs(input);
      verifyCheckpoint(nodeCrypto, decodeCheckpoint(input));
    },
  },
  {
    name: 'evidence',
    seeds: evidenceSeeds,
    run(input) {
      const readers = [decodeLeaf, decodeSession, decodeChain, decodeRevocation, decodeTreeHead];
      tryAll(input, [...readers, checkpointsFromFile]);
    },
  },
  {
    name: 'sign-frames',
    seeds: () => [
      Uint8Array.of(1, ...encodeSigntext(23, Flag.receipt, 0x0304, CONTENT), 0),
      encodeSigntext(28, Flag.more | Flag.acknowledgement, 0x0304, CONTENT),
    ],
    run(input) {
      const reader = new SignReader([23, 28], 0x0304);
      for (let at = 0; at < input.length; at += 5) {
        reader.push(input.subarray(at, at + 5));
        while (reader.next());
      }
    },
  },
  {
    name: 'signature-extension',
    seeds: () => [
      encodeSignatureRequests([request('enum'), request('enum')]),
      encodeSignatureRequests([request('two-byte')]),
    ],
    run: (input) => void decodeSignatureRequests(input),
  },
  {
    name: 'time-stamp',
    seeds: () => [
      Uint8Array.of(0x30, 5, 0x30, 3, 2, 1, 2),
      Uint8Array.of(0x30, 3, 2, 1, 0),
      objectOf(FORMATS.pkcs7),
    ],
    run(input) {
      tryAll(input, [timeOfToken, certificatesOfToken]);
      readTimeStampResponse(input);
    },
  },
];

export const SIGN_TARGETS: readonly Target[] = [
  ...(['pkcs7', 'smime', 'xmldsig'] as const).flatMap(formatTargets),
  streamTarget,
  sessionTarget,
  ...decoders,
];

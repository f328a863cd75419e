import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { Archive } from '../../../src/evidence/archive/archive.ts';
import type { OpenOptions } from '../../../src/evidence/archive/open.ts';
import { RecordFlag, type SessionRef } from '../../../src/evidence/archive/record.ts';
import type { Binding } from '../../../src/formats/binding.ts';
import { cmsMaker } from '../../../src/formats/cms/make.ts';
import { cmsVerifier } from '../../../src/formats/cms/verify.ts';
import type { ContentFormat, ObjectMaker, ObjectVerifier } from '../../../src/formats/format.ts';
import { smimeMaker } from '../../../src/formats/smime/make.ts';
import { smimeVerifier } from '../../../src/formats/smime/verify.ts';
import type { VerifiedObject } from '../../../src/formats/verified.ts';
import { xmlMaker } from '../../../src/formats/xml/make.ts';
import { xmlVerifier } from '../../../src/formats/xml/verify.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import {
  contextFor,
  type KeyType,
  NOW,
  root,
  signatureOf,
  signerOf,
  type TestSigner,
} from '../formats/kit.ts';
import { openAt, sessionInfo, sha256, utf8 } from './support.ts';

export const trust = new TrustStore([root.certificate]);

/** One side of a session that signs, with its archive: what src/sign does, without the session. */
export class Party {
  readonly archive: Archive;
  readonly signer: TestSigner;
  readonly role: 'client' | 'server';
  readonly session: SessionRef;
  readonly #peer: TestSigner;
  readonly #sessionBinding: Uint8Array;
  #sequence = 0;

  constructor(
    archive: Archive,
    role: 'client' | 'server',
    signer: TestSigner,
    peer: TestSigner,
    sessionBinding: Uint8Array,
  ) {
    this.archive = archive;
    this.role = role;
    this.signer = signer;
    this.#peer = peer;
    this.#sessionBinding = sessionBinding;
    this.session = archive.addSession(
      sessionInfo({
        role,
        sessionBinding,
        started: NOW,
        ownName: `${signer.identity.certificate.subject}`,
        peerName: `${peer.identity.certificate.subject}`,
        ownChain: signer.chain,
        peerChain: peer.chain,
      }),
    );
  }

  binding(fields: Partial<Binding> = {}): Binding {
    return {
      version: 1,
      role: this.role,
      kind: 'data',
      sequence: this.#sequence++,
      contentType: 23,
      application: 'orders',
      peer: sha256(this.#peer.chain[0] ?? utf8('')),
      sessionBinding: this.#sessionBinding,
      treeHead: this.archive.treeHead(),
      ...fields,
    };
  }
}

export interface Made {
  readonly object: Uint8Array;
  readonly binding: Binding;
  readonly content: Uint8Array;
}

const FORMATS: Readonly<Record<ContentFormat, { maker: ObjectMaker; verifier: ObjectVerifier }>> = {
  pkcs7: { maker: cmsMaker, verifier: cmsVerifier },
  smime: { maker: smimeMaker, verifier: smimeVerifier },
  xmldsig: { maker: xmlMaker, verifier: xmlVerifier },
};

export function makeObject(
  from: Party,
  content: Uint8Array,
  options: {
    format?: ContentFormat;
    binding?: Partial<Binding>;
    receipt?: boolean;
    signer?: TestSigner;
  } = {},
): Made {
  const { signer = from.signer } = options;
  const binding = from.binding(options.binding);
  const unsigned = FORMATS[options.format ?? 'pkcs7'].maker.prepareObject(nodeCrypto, content, {
    signer,
    binding,
    signingTime: NOW,
    receiptRequest: options.receipt ?? true,
    includeCertificates: true,
  });
  return { object: unsigned.finish(signatureOf(signer, unsigned.toBeSigned)), binding, content };
}

export function makeReceipt(
  from: Party,
  received: VerifiedObject,
  options: { format?: ContentFormat; binding?: Partial<Binding>; signer?: TestSigner } = {},
): Made {
  const { signer = from.signer } = options;
  const binding = from.binding({ kind: 'receipt', ...options.binding });
  const unsigned = FORMATS[options.format ?? 'pkcs7'].maker.prepareReceipt(nodeCrypto, received.reference, {
    signer,
    binding,
    signingTime: NOW,
    includeCertificates: true,
  });
  return {
    object: unsigned.finish(signatureOf(signer, unsigned.toBeSigned)),
    binding,
    content: new Uint8Array(0),
  };
}

export function verifyMade({ object }: Made, format: ContentFormat = 'pkcs7'): VerifiedObject {
  return FORMATS[format].verifier.verifyObject(nodeCrypto, object, contextFor());
}

/** Archives what one side has sent or received. @returns the index */
export function keep(
  party: Party,
  direction: 'sent' | 'received',
  { object, binding, content }: Made,
  change: { format?: ContentFormat; target?: number; flags?: number; time?: number } = {},
): Promise<number> {
  const isData = binding.kind === 'data';
  return party.archive.append({
    direction,
    kind: binding.kind,
    status: direction === 'sent' ? 'unverified' : 'verified',
    time: change.time ?? NOW,
    session: party.session,
    sequence: binding.sequence,
    application: binding.application,
    contentType: binding.contentType,
    format: change.format ?? 'pkcs7',
    object,
    content: isData ? { length: content.length, digest: sha256(content) } : undefined,
    treeHead: binding.treeHead,
    target: change.target,
    flags: change.flags ?? (isData ? RecordFlag.receiptRequested : 0),
  });
}

/** Data that goes from one to the other, with its receipt. @returns the indexes that it has got on both sides */
export async function exchange(
  from: Party,
  to: Party,
  text: string,
  format: ContentFormat = 'pkcs7',
): Promise<{ sent: number; received: number; receipt: number; receiptSent: number }> {
  const made = makeObject(from, utf8(text), { format });
  const sent = await keep(from, 'sent', made, { format });
  const received = await keep(to, 'received', made, { format });
  const receiptMade = makeReceipt(to, verifyMade(made, format), { format });
  const receiptSent = await keep(to, 'sent', receiptMade, { format, target: received });
  const receipt = await keep(from, 'received', receiptMade, { format, target: sent });
  return { sent, received, receipt, receiptSent };
}

export interface Pair {
  readonly client: Party;
  readonly server: Party;
}

/** Two archives in one folder, `client.db` and `server.db`, and a session between them. */
export async function openPair(
  folder: string,
  options: OpenOptions & { keys?: KeyType; session?: string } = {},
): Promise<Pair> {
  const { keys = 'P-256', session = 'a session', ...open } = options;
  const [client, server] = [await openAt(folder, open, 'client.db'), await openAt(folder, open, 'server.db')];
  return pairOf(client, server, keys, session);
}

/** Another session between the same two. */
export function pairOf(client: Archive, server: Archive, keys: KeyType = 'P-256', session = 'another'): Pair {
  const binding = sha256(session);
  const [one, other] = [signerOf(keys), signerOf(keys === 'P-384' ? 'P-256' : 'P-384')];
  return {
    client: new Party(client, 'client', one, other, binding),
    server: new Party(server, 'server', other, one, binding),
  };
}

export async function closePair({ client, server }: Pair): Promise<void> {
  await client.archive.close();
  await server.archive.close();
}

import { expect } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { TlsErrorCode } from '../../../src/errors/errors.ts';
import type { Binding } from '../../../src/formats/binding.ts';
import { cmsMaker } from '../../../src/formats/cms/make.ts';
import type { ObjectReference } from '../../../src/formats/format.ts';
import type { Identity } from '../../../src/handshake/config.ts';
import { handshakeMessage } from '../../../src/messages/handshake.ts';
import { encodeCertificateSign } from '../../../src/sign/certificate-sign.ts';
import { encodeSigntext } from '../../../src/sign/frame.ts';
import { ContentType } from '../../../src/wire/codepoints.ts';
import { concat } from '../../../src/wire/writer.ts';
import { bytes, CLIENT, MemoryArchive, SERVER, SignPair, type SignPairSetup, START, sha256 } from './kit.ts';

/* A client that holds every key of its session and does wrong with them; the server must find exactly that. */

export const TLS_SIGN = 29;
export const CERTIFICATE_SIGN = 240;
export const ON = Uint8Array.of(1);
export const NOTHING = new Uint8Array(0);

export interface Forgery {
  readonly content?: Uint8Array;
  readonly signer?: Identity;
  readonly binding?: Partial<Binding>;
  readonly signingTime?: number;
  readonly receiptRequest?: boolean;
  readonly certificates?: boolean;
}

export class Hostile {
  readonly archive = new MemoryArchive();
  readonly pair: SignPair;

  constructor(setup: SignPairSetup = {}) {
    this.pair = new SignPair({ ...setup, server: { archive: this.archive, ...setup.server } });
  }

  binding(changes: Partial<Binding> = {}): Binding {
    return {
      version: 1,
      role: 'client',
      kind: 'data',
      sequence: 0,
      contentType: 23,
      application: '',
      peer: sha256(SERVER.chain[0] as Uint8Array),
      sessionBinding: this.pair.client.session.sessionBinding,
      treeHead: NOTHING,
      ...changes,
    };
  }

  object(forgery: Forgery = {}): Uint8Array {
    const {
      content = bytes('order'),
      signer = CLIENT,
      signingTime = START,
      receiptRequest = false,
    } = forgery;
    const prepared = cmsMaker.prepareObject(nodeCrypto, content, {
      signer: { chain: signer.chain, scheme: signer.key.schemes[0] as number },
      binding: this.binding(forgery.binding),
      signingTime,
      receiptRequest,
      includeCertificates: forgery.certificates ?? true,
    });
    return prepared.finish(signer.key.sign(prepared.scheme, prepared.toBeSigned) as Uint8Array);
  }

  receipt(reference: ObjectReference, forgery: Forgery = {}): Uint8Array {
    const { signer = CLIENT } = forgery;
    const prepared = cmsMaker.prepareReceipt(nodeCrypto, reference, {
      signer: { chain: signer.chain, scheme: signer.key.schemes[0] as number },
      binding: this.binding({ kind: 'receipt', ...forgery.binding }),
      signingTime: START,
      includeCertificates: true,
    });
    return prepared.finish(signer.key.sign(prepared.scheme, prepared.toBeSigned) as Uint8Array);
  }

  /** As if the client had sent it. */
  send(...parts: Uint8Array[]): this {
    const content = concat(parts);
    for (let at = 0; at < content.length; at += 16_000) {
      const record = { type: TLS_SIGN, content: content.subarray(at, at + 16_000) };
      this.pair.pair.inject('client', record);
    }
    this.pair.run();
    return this;
  }

  data(object: Uint8Array, flags = 0): this {
    return this.send(encodeSigntext(23, flags, 0x0304, object));
  }

  announce(identity: Identity): this {
    const content = handshakeMessage(CERTIFICATE_SIGN, (w) => w.bytes(encodeCertificateSign(identity.chain)));
    this.pair.pair.inject('client', { type: ContentType.handshake, content });
    this.pair.run();
    return this;
  }

  /** The server has ended the session with this code and `bad_sign`, kept why, delivered and acknowledged nothing. */
  expectBadSign(code: TlsErrorCode, rejected = true): void {
    this.pair.expectFound('server', code, 'bad_sign');
    const kept = this.archive.entries.filter(({ status }) => status === 'rejected');
    expect(kept.map(({ reason }) => reason)).toEqual(rejected ? [code] : []);
  }
}

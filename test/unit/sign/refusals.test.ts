import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { TlsErrorCode } from '../../../src/errors/errors.ts';
import type { Binding } from '../../../src/formats/binding.ts';
import { cmsVerifier } from '../../../src/formats/cms/verify.ts';
import type { ObjectReference } from '../../../src/formats/format.ts';
import { encodeUnsignedObject } from '../../../src/formats/unsigned.ts';
import { encodeSigntext, Flag } from '../../../src/sign/frame.ts';
import { MAX_SWITCHES } from '../../../src/sign/limits.ts';
import { flipBit } from '../../setup/pair.ts';
import { client as clientCertificate, DAY } from '../x509/pki.ts';
import { type Forgery, Hostile, NOTHING, ON, TLS_SIGN } from './hostile.ts';
import {
  bytes,
  CLIENT,
  identityOf,
  MemoryArchive,
  otherRoot,
  owner,
  SignPair,
  type SignPairSetup,
  START,
  signerOf,
  TRUST,
} from './kit.ts';

const sent = (forgery: Forgery, setup?: SignPairSetup): Hostile => {
  const hostile = new Hostile(setup);
  return hostile.send(ON).data(hostile.object(forgery));
};

test('what it sends is right when nothing is changed', () => {
  const { pair } = sent({});
  pair.expectUnharmed();
  expect(pair.server.texts).toEqual(['order']);
});

describe('bad_sign, and the object is kept as rejected', () => {
  const stranger = owner('mallory');
  const untrusted = identityOf(
    clientCertificate('alice', {
      issuer: otherRoot,
      input: { notBefore: START - DAY, notAfter: START + DAY },
    }),
  );
  test.each<[string, Forgery, TlsErrorCode]>([
    ['by another certificate', { signer: stranger }, 'ERR_SIGN_WRONG_SIGNER'],
    [
      'by another key under the certificate',
      { signer: { ...CLIENT, key: stranger.key } },
      'ERR_SIGN_BAD_SIGNATURE',
    ],
    ['by one who is not trusted', { signer: untrusted }, 'ERR_SIGN_WRONG_SIGNER'],
    [
      'from another session',
      { binding: { sessionBinding: new Uint8Array(32) } },
      'ERR_SIGN_BINDING_MISMATCH',
    ],
    ['with a number that was left out', { binding: { sequence: 1 } }, 'ERR_SIGN_BINDING_MISMATCH'],
    ['in the role of the other side', { binding: { role: 'server' } }, 'ERR_SIGN_BINDING_MISMATCH'],
    ['for another application', { binding: { application: 'chat' } }, 'ERR_SIGN_BINDING_MISMATCH'],
    ['of another content type', { binding: { contentType: 28 } }, 'ERR_SIGN_BINDING_MISMATCH'],
    ['to another addressee', { binding: { peer: new Uint8Array(32) } }, 'ERR_SIGN_BINDING_MISMATCH'],
    ['to nobody', { binding: { peer: NOTHING } }, 'ERR_SIGN_BINDING_MISMATCH'],
    ['as a receipt', { binding: { kind: 'receipt' } }, 'ERR_SIGN_WRONG_KIND'],
    ['six minutes ago', { signingTime: START - 6 * 60_000 }, 'ERR_SIGN_SIGNING_TIME'],
    ['in six minutes', { signingTime: START + 6 * 60_000 }, 'ERR_SIGN_SIGNING_TIME'],
    ['with a receipt request that no flag shows', { receiptRequest: true }, 'ERR_SIGN_RECEIPT_MISMATCH'],
  ])('signed %s', (_what, forgery, code) => {
    sent(forgery).expectBadSign(code);
  });

  test('over other data', () => {
    const hostile = new Hostile();
    const object = hostile.object();
    const at = Buffer.from(object).indexOf('order');
    hostile.send(ON).data(flipBit(object, at)).expectBadSign('ERR_SIGN_MESSAGE_DIGEST');
  });

  test('with a changed signature', () => {
    const hostile = new Hostile();
    hostile.send(ON).data(flipBit(hostile.object())).expectBadSign('ERR_SIGN_BAD_SIGNATURE');
  });

  test('replayed', () => {
    const hostile = new Hostile();
    const object = hostile.object();
    hostile.send(ON).data(object).data(object).expectBadSign('ERR_SIGN_BINDING_MISMATCH');
    expect(hostile.pair.server.texts).toEqual(['order']);
  });

  test('reordered', () => {
    const hostile = new Hostile();
    const [first, second] = [hostile.object(), hostile.object({ binding: { sequence: 1 } })];
    hostile.send(ON).data(second).data(first).expectBadSign('ERR_SIGN_BINDING_MISMATCH');
    expect(hostile.pair.server.texts).toEqual([]);
  });

  test('truncated, whole or in its stream', () => {
    const whole = new Hostile();
    whole.send(ON).data(whole.object().subarray(0, -1)).expectBadSign('ERR_SIGN_MALFORMED');
    const stream = new Hostile();
    const text = encodeSigntext(23, 0, 0x0304, stream.object());
    stream.send(ON, text.subarray(0, -1));
    stream.pair.pair.client.connection.close();
    stream.pair.run();
    stream.expectBadSign('ERR_SIGN_INCOMPLETE');
  });

  test.each([
    ['nothing that is an object', bytes('order')],
    ['an object of another format', Buffer.from('Content-Type: application/pkcs7-mime\r\n\r\n')],
  ])('of %s', (_what, object) => {
    const hostile = new Hostile();
    hostile.send(ON).data(object);
    const { error } = hostile.pair.pair.server;
    expect(['ERR_SIGN_MALFORMED', 'ERR_SIGN_NOT_DER']).toContain(error?.code);
  });

  test('with more bytes than are taken', () => {
    const hostile = new Hostile({ server: { maxObject: 2048 } });
    hostile
      .send(ON)
      .data(hostile.object({ content: new Uint8Array(4096) }))
      .expectBadSign('ERR_SIGN_TOO_LARGE');
  });

  test('under a certificate that has expired since the handshake', () => {
    const signer = owner('alice', { input: { notBefore: START - DAY, notAfter: START + 1000 } });
    const hostile = new Hostile({ clientIdentity: signer });
    hostile.pair.pair.now += 2500;
    hostile.send(ON).data(hostile.object({ signer })).expectBadSign('ERR_SIGN_CERTIFICATE');
  });

  test('nothing is delivered that came after it', () => {
    const hostile = new Hostile();
    const good = hostile.object({ binding: { sequence: 1 } });
    hostile.send(
      ON,
      encodeSigntext(23, 0, 0x0304, flipBit(hostile.object())),
      encodeSigntext(23, 0, 0x0304, good),
    );
    hostile.expectBadSign('ERR_SIGN_BAD_SIGNATURE');
    expect(hostile.pair.server.texts).toEqual([]);
    expect(hostile.pair.client.receipts).toEqual([]);
  });
});

describe('receipts', () => {
  const said = (): { hostile: Hostile; reference: ObjectReference } => {
    const archive = new MemoryArchive();
    const hostile = new Hostile({
      // The client's own receipt is held back.
      hold: (wanted, role) => role === 'client' && wanted.kind === 'signature',
      client: { archive },
    });
    hostile.pair.say('server', 'confirmed');
    hostile.pair.run();
    const object = archive.entries[0]?.object as Uint8Array;
    return { hostile, reference: cmsVerifier.referenceTo(nodeCrypto, object) };
  };
  const receiving = ({ hostile, reference }: ReturnType<typeof said>, forgery: Forgery = {}): Hostile =>
    hostile.data(hostile.receipt(reference, forgery), Flag.acknowledgement);

  test('are taken when they are right', () => {
    const { pair } = receiving(said());
    pair.expectUnharmed();
    expect(pair.server.receipts).toHaveLength(1);
  });

  test('for what was never sent', () => {
    const hostile = new Hostile();
    const reference = cmsVerifier.referenceTo(nodeCrypto, hostile.object({ receiptRequest: true }));
    receiving({ hostile, reference }).expectBadSign('ERR_SIGN_RECEIPT_MISMATCH');
  });

  test('for what was acknowledged already', () => {
    const { hostile, reference } = said();
    receiving({ hostile, reference });
    receiving({ hostile, reference }, { binding: { sequence: 1 } }).expectBadSign(
      'ERR_SIGN_RECEIPT_MISMATCH',
    );
    expect(hostile.pair.server.receipts).toHaveLength(1);
  });

  test.each<[string, Forgery, TlsErrorCode]>([
    ['by another signer', { signer: owner('mallory') }, 'ERR_SIGN_WRONG_SIGNER'],
    ['for another application', { binding: { application: 'chat' } }, 'ERR_SIGN_BINDING_MISMATCH'],
    [
      'from another session',
      { binding: { sessionBinding: new Uint8Array(32) } },
      'ERR_SIGN_BINDING_MISMATCH',
    ],
    ['as data', { binding: { kind: 'data' } }, 'ERR_SIGN_WRONG_KIND'],
  ])('%s', (_what, forgery, code) => {
    receiving(said(), forgery).expectBadSign(code);
  });
});

describe('what is not signed', () => {
  const demanding = { types: ['origin'], policy: 'require', demand: true } as const;

  test('ends the session where signatures are demanded', () => {
    const hostile = new Hostile({ client: { types: ['origin'] }, server: demanding });
    hostile.send(ON).data(hostile.object());
    expect(hostile.pair.server.texts).toEqual(['order']);
    hostile.pair.pair.client.connection.send(bytes('plain'));
    hostile.pair.run();
    hostile.expectBadSign('ERR_SIGN_UNSIGNED');
    expect(hostile.pair.pair.server.data).toHaveLength(0);
  });

  test('and a client that does not agree gets no session there', () => {
    const pair = new SignPair({ client: { types: ['delivery'], policy: 'allow' }, server: demanding });
    pair.expectFound('server', 'ERR_SIGN_REQUIRED', 'handshake_failure');
  });

  const unsigned = (hostile: Hostile, changes: Partial<Binding> = {}) =>
    encodeUnsignedObject({ binding: hostile.binding(changes), content: bytes('order') });

  test('is bound to its place all the same', () => {
    const right = new Hostile();
    right.send(ON).data(unsigned(right), Flag.unsigned);
    expect(right.pair.server.texts).toEqual(['order']);
    const wrong = new Hostile();
    wrong.send(ON).data(unsigned(wrong, { sequence: 1 }), Flag.unsigned | Flag.receipt);
    wrong.expectBadSign('ERR_SIGN_BINDING_MISMATCH');
  });

  test.each([
    ['unsigned data', ['origin'], Flag.unsigned],
    ['signed data', ['delivery'], 0],
  ] as const)('%s that was not agreed on is illegal_parameter', (_what, types, flags) => {
    const hostile = new Hostile({ client: { types } });
    hostile.send(ON).data(bytes('x'), flags);
    hostile.pair.expectFound('server', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });
});

describe('the order of things', () => {
  const refused = (
    act: (hostile: Hostile) => unknown,
    setup: SignPairSetup,
    code: TlsErrorCode,
    alert: 'unexpected_message',
  ) => {
    const hostile = new Hostile(setup);
    act(hostile);
    hostile.pair.expectFound('server', code, alert);
  };
  test.each<[string, (hostile: Hostile) => unknown]>([
    ['data while signing is off', (h) => h.data(h.object())],
    ['certificate_sign without tls_sign_on', (h) => h.announce(CLIENT)],
    ['certificate_sign after tls_sign_off', (h) => h.send(ON, Uint8Array.of(0)).announce(CLIENT)],
    ['certificate_sign twice', (h) => h.send(ON).announce(CLIENT).announce(CLIENT)],
    ['certificate_sign after an object', (h) => h.send(ON).data(h.object()).announce(CLIENT)],
    ['tls_sign_off in an object', (h) => h.send(ON).data(bytes('x'), Flag.more).send(Uint8Array.of(0))],
    ['switches without end', (h) => h.send(new Uint8Array(MAX_SWITCHES + 1))],
  ])('%s is unexpected_message', (_what, act) => {
    refused(act, { server: { trust: TRUST } }, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });

  test('an illegal header ends the session at once', () => {
    const hostile = new Hostile();
    hostile.send(ON, Uint8Array.of(23, 1));
    hostile.pair.expectFound('server', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });

  test('nothing of it is expected where it was not agreed on', () => {
    const pair = new SignPair({ client: { policy: 'allow' }, server: null });
    pair.pair.inject('client', { type: TLS_SIGN, content: ON });
    pair.expectFound('server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });
});

describe('certificate_sign', () => {
  const anonymous = (server: SignPairSetup['server'] = { trust: TRUST }): Hostile =>
    new Hostile({ clientIdentity: null, client: { signer: signerOf(CLIENT) }, server });

  test('is needed from a client without certificate', () => {
    const hostile = anonymous();
    hostile.send(ON).data(hostile.object());
    hostile.pair.expectFound('server', 'ERR_SIGN_NO_CERTIFICATE', 'certificate_required');
    const right = anonymous();
    right.send(ON).announce(CLIENT).data(right.object());
    expect(right.pair.server.texts).toEqual(['order']);
  });

  test('of one who is not trusted has the alert of a handshake', () => {
    const hostile = anonymous({});
    hostile.send(ON).announce(CLIENT);
    hostile.pair.expectFound('server', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'unknown_ca');
  });

  test('of another subject is bad_sign', () => {
    const hostile = new Hostile({ server: { trust: TRUST } });
    hostile.send(ON).announce(owner('mallory')).expectBadSign('ERR_SIGN_WRONG_SIGNER');
  });

  test('where none is taken is bad_sign', () => {
    const hostile = anonymous({ trust: TRUST, otherSigners: 'never' });
    hostile.send(ON).announce(CLIENT).expectBadSign('ERR_SIGN_WRONG_SIGNER');
  });

  test('holds until the next tls_sign_on', () => {
    const other = owner('alice');
    const hostile = new Hostile({ server: { trust: TRUST } });
    hostile
      .send(ON)
      .announce(other)
      .data(hostile.object({ signer: other }));
    hostile.send(ON).data(hostile.object({ signer: other, binding: { sequence: 1 } }));
    hostile.expectBadSign('ERR_SIGN_WRONG_SIGNER');
    expect(hostile.pair.server.texts).toEqual(['order']);
  });
});

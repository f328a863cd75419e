import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { KeyObjectSigningKey } from '../../../src/crypto/node/signing-key.ts';
import { Oid } from '../../../src/der/oids.ts';
import { constructed, encodeDer, octetString, oid, sequence, time } from '../../../src/der/writer.ts';
import type { AlertName } from '../../../src/errors/alerts.ts';
import type { TlsErrorCode } from '../../../src/errors/errors.ts';
import { startObject } from '../../../src/formats/cms/make-stream.ts';
import type { ContentFormat, Signer } from '../../../src/formats/format.ts';
import { xmlMaker } from '../../../src/formats/xml/make.ts';
import type { Identity as Party } from '../../../src/handshake/config.ts';
import { muxClient, muxServer } from '../../../src/mux/index.ts';
import { encodeSigntext, Flag } from '../../../src/sign/frame.ts';
import { SignatureScheme } from '../../../src/wire/codepoints.ts';
import { concat } from '../../../src/wire/writer.ts';
import { KeyUsage } from '../../../src/x509/extensions.ts';
import { keyUsage } from '../../../src/x509/issue.ts';
import {
  attribute,
  attributesWith,
  type Parts as CmsParts,
  forge as forgeCms,
  signingCertificate,
} from '../formats/cms/forge.ts';
import type { TestSigner } from '../formats/kit.ts';
import { type Changes, certificateId, forge as forgeXml, partsOf } from '../formats/xml/forge.ts';
import { client, DAY, type Identity, replacing } from '../x509/pki.ts';
import { Hostile, ON } from './hostile.ts';
import {
  bytes,
  CLIENT,
  MemoryArchive,
  root,
  SignPair,
  type SignPairSetup,
  START,
  signerOf,
  TRUST,
} from './kit.ts';

/*
 * The list "Bad input" of what TLS Sign must withstand, over whole sessions: each ends with exactly this code, the peer is
 * told this alert, and what has come is in the archive as rejected, with that reason. What is done to the session, rather
 * than to an object, is in refusals.test.ts.
 */

const TODAY = { notBefore: START - DAY, notAfter: START + DAY };
const alice: Identity = client('alice', { issuer: root, input: TODAY });
const ALICE: Party = { chain: [alice.der], key: new KeyObjectSigningKey(alice.privateKey) };
const signer: TestSigner = {
  identity: alice,
  chain: [alice.der],
  scheme: SignatureScheme.ecdsa_secp256r1_sha256,
};

function hostile(format: ContentFormat = 'pkcs7', setup: SignPairSetup = {}): Hostile {
  return new Hostile({ clientIdentity: ALICE, ...setup, client: { formats: [format], ...setup.client } });
}

/** Kept as it came, and nothing delivered. */
function expectKept(
  session: Hostile,
  object: Uint8Array,
  code: TlsErrorCode,
  alert: AlertName = 'bad_sign',
): void {
  session.pair.expectFound('server', code, alert);
  const kept = session.archive.entries.filter(({ direction }) => direction === 'received');
  expect(kept.map(({ status, reason }) => [status, reason])).toEqual([['rejected', code]]);
  expect(Buffer.compare(kept[0]?.object as Uint8Array, object)).toBe(0);
  expect(session.pair.server.messages).toEqual([]);
  expect(session.pair.client.receipts).toEqual([]);
}

describe('CMS', () => {
  type CmsChanges = Parameters<typeof forgeCms>[1];
  const right = (session: Hostile): CmsChanges => ({
    binding: session.binding(),
    attributes: attributesWith([Oid.signingTime], attribute(Oid.signingTime, time(START))),
  });
  const attributes =
    (remove: readonly string[], ...add: readonly Uint8Array[]) =>
    (parts: CmsParts) =>
      attributesWith([...remove, Oid.signingTime], attribute(Oid.signingTime, time(START)), ...add)(parts);
  const nested = (depth: number): Uint8Array => {
    let der = encodeDer(octetString(new Uint8Array(1)));
    for (let i = 0; i < depth; i++) der = encodeDer(sequence(der));
    return der;
  };

  test('is taken when nothing is wrong with it', () => {
    const session = hostile();
    session.send(ON).data(forgeCms(signer, right(session)));
    session.pair.expectUnharmed();
    expect(session.pair.server.messages).toHaveLength(1);
  });

  test.each<[string, CmsChanges, TlsErrorCode]>([
    [
      'a content-type attribute of something else',
      { attributes: attributes([Oid.contentType], attribute(Oid.contentType, oid(Oid.signedData))) },
      'ERR_SIGN_CONTENT_TYPE_ATTRIBUTE',
    ],
    [
      'the hash of another certificate in signing-certificate-v2',
      {
        attributes: attributes(
          [Oid.signingCertificateV2],
          signingCertificate(sequence(octetString(new Uint8Array(32)))),
        ),
      },
      'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE',
    ],
    [
      'no signing-certificate-v2',
      { attributes: attributes([Oid.signingCertificateV2]) },
      'ERR_SIGN_MISSING_ATTRIBUTE',
    ],
    ['no binding', { attributes: attributes([Oid.binding]) }, 'ERR_SIGN_MISSING_ATTRIBUTE'],
    [
      'an attribute twice',
      { attributes: attributes([], attribute(Oid.contentType, oid(Oid.data))) },
      'ERR_SIGN_DUPLICATE_ATTRIBUTE',
    ],
    [
      'a message digest of other content',
      {
        attributes: attributes(
          [Oid.messageDigest],
          attribute(Oid.messageDigest, octetString(new Uint8Array(32))),
        ),
      },
      'ERR_SIGN_MESSAGE_DIGEST',
    ],
    [
      'attributes nested without end',
      { attributes: attributes([], attribute('1.2.3.4', nested(500))) },
      'ERR_SIGN_TOO_DEEP',
    ],
    [
      'more certificates than anybody has',
      { certificates: constructed(0xa0, Array(40).fill(alice.der)) },
      'ERR_SIGN_TOO_LARGE',
    ],
    [
      'an attribute of half a megabyte',
      { attributes: attributes([], attribute('1.2.3.4', octetString(new Uint8Array(500_000)))) },
      'ERR_SIGN_TOO_LARGE',
    ],
  ])('with %s', (_what, changes, code) => {
    const session = hostile();
    const object = forgeCms(signer, { ...right(session), ...changes });
    session.send(ON);
    for (let at = 0; at < object.length; at += 60_000) {
      const more = at + 60_000 < object.length ? Flag.more : 0;
      session.data(object.subarray(at, at + 60_000), more);
    }
    expectKept(session, object, code);
  });

  test.each<[string, (object: Uint8Array) => Uint8Array, TlsErrorCode]>([
    [
      'a length that is longer than it has to be',
      (object) => Uint8Array.of(0x30, 0x83, 0, object[2] as number, ...object.subarray(3)),
      'ERR_SIGN_NOT_DER',
    ],
    ['bytes after its end', (object) => Uint8Array.of(...object, 0), 'ERR_SIGN_MALFORMED'],
    [
      'an indefinite length around definite ones',
      (object) => Uint8Array.of(0x30, 0x80, ...object.subarray(4), 0, 0),
      'ERR_SIGN_NOT_DER',
    ],
  ])('in BER where DER is due: %s', (_what, change, code) => {
    const session = hostile();
    const object = forgeCms(signer, right(session));
    expect([...object.subarray(0, 2)]).toEqual([0x30, 0x82]);
    session.send(ON).data(change(object));
    session.pair.expectFound('server', code, 'bad_sign');
    expect(session.archive.entries.map(({ status, reason }) => [status, reason])).toEqual([
      ['rejected', code],
    ]);
  });

  test.each([
    ['has expired', { input: { notBefore: START - 2 * DAY, notAfter: START - DAY } }],
    ['may not sign', { input: TODAY, extensions: replacing(keyUsage(KeyUsage.keyEncipherment)) }],
  ])('by a certificate that %s', (_what, options) => {
    const other = client('alice', { issuer: root, ...options });
    const party = { chain: [other.der], key: new KeyObjectSigningKey(other.privateKey) };
    // Its path is judged when it is announced.
    const session = hostile('pkcs7', { server: { trust: TRUST } });
    session.send(ON).announce(party);
    const { error } = session.pair.pair.server;
    expect(['CERT_HAS_EXPIRED', 'INVALID_PURPOSE']).toContain(error?.code);
    expect(session.archive.entries).toMatchObject([{ status: 'rejected', reason: error?.code }]);
    expect(
      Buffer.from(session.archive.entries[0]?.object as Uint8Array).includes(Buffer.from(other.der)),
    ).toBe(true);
  });
});

describe('a streamed object', () => {
  const MORE = 2 ** 16 - 1;
  const stream = (
    session: Hostile,
    options: { by?: Signer; sequence?: number; sessionBinding?: Uint8Array } = {},
  ) => {
    const by = options.by ?? signer;
    const object = startObject(nodeCrypto, by);
    const { by: _, ...fields } = options;
    const parts = [object.header, ...object.write(bytes('streamed '.repeat(2000)))];
    const end = object.end({
      binding: session.binding(fields),
      signingTime: START,
      receiptRequest: false,
      includeCertificates: true,
    });
    const signature = ALICE.key.sign(end.scheme, end.toBeSigned) as Uint8Array;
    return concat([...parts, end.finish(signature).trailer]);
  };
  const send = (session: Hostile, object: Uint8Array, last = 0): Hostile => {
    for (let at = 0; at < object.length; at += 5000) {
      const more = at + 5000 < object.length ? Flag.more : last;
      session.data(object.subarray(at, at + 5000), more);
    }
    return session;
  };

  test('is taken when nothing is wrong with it', () => {
    const session = hostile();
    send(session.send(ON), stream(session));
    session.pair.expectUnharmed();
    expect(session.pair.server.verdicts).toHaveLength(1);
    expect(MORE).toBeGreaterThan(5000);
  });

  test.each<[string, (session: Hostile) => Uint8Array, TlsErrorCode]>([
    ['over other data', (s) => flipAt(stream(s), 500), 'ERR_SIGN_MESSAGE_DIGEST'],
    ['with another signature', (s) => flipAt(stream(s), -10), 'ERR_SIGN_BAD_SIGNATURE'],
    [
      'from another session',
      (s) => stream(s, { sessionBinding: new Uint8Array(32) }),
      'ERR_SIGN_BINDING_MISMATCH',
    ],
    ['out of order', (s) => stream(s, { sequence: 1 }), 'ERR_SIGN_BINDING_MISMATCH'],
    ['cut off before its signature', (s) => stream(s).subarray(0, 10_000), 'ERR_SIGN_INCOMPLETE'],
    ['with its end missing', (s) => stream(s).subarray(0, -4), 'ERR_SIGN_MALFORMED'],
    ['with more after its end', (s) => Uint8Array.of(...stream(s), 0), 'ERR_SIGN_MALFORMED'],
    [
      'that is none after its first bytes',
      () => Uint8Array.of(0x30, 0x80, ...bytes('something else')),
      'ERR_SIGN_MALFORMED',
    ],
  ])('%s', (_what, make, code) => {
    const session = hostile();
    const object = make(session);
    send(session.send(ON), object);
    session.pair.expectFound('server', code, 'bad_sign');
    expect(session.pair.server.verdicts).toEqual([]);
    const [kept, ...others] = session.archive.entries;
    expect(others).toEqual([]);
    expect(kept).toMatchObject({ status: 'rejected', reason: code, flags: 4 });
    expect(Buffer.compare(kept?.object as Uint8Array, object)).toBe(0);
  });

  test('larger than is taken is kept as far as that', () => {
    const session = hostile('pkcs7', { server: { maxStream: 10_000 } });
    const object = stream(session);
    send(session.send(ON), object);
    expectKept(session, object.subarray(0, 10_000), 'ERR_SIGN_TOO_LARGE');
    expect(session.pair.server.broken).toEqual(['ERR_SIGN_TOO_LARGE']);
  });

  test('in a session of another format is none', () => {
    const session = hostile('xmldsig');
    const object = stream(session);
    session.send(ON).data(object);
    expectKept(session, object, 'ERR_SIGN_MALFORMED');
  });

  test('with something else between its pieces is kept with that reason', () => {
    const between: [string, Uint8Array, TlsErrorCode, AlertName][] = [
      ['a switch', Uint8Array.of(0), 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message'],
      [
        'unsigned data',
        encodeSigntext(23, Flag.unsigned, 0x0304, bytes('x')),
        'ERR_TLS_ILLEGAL_PARAMETER',
        'illegal_parameter',
      ],
      [
        'another flag',
        encodeSigntext(23, Flag.more | Flag.receipt, 0x0304, bytes('x')),
        'ERR_TLS_ILLEGAL_PARAMETER',
        'illegal_parameter',
      ],
      ['a header that is none', Uint8Array.of(23, 1), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
    ];
    for (const [, what, code, alert] of between) {
      const session = hostile();
      const start = stream(session).subarray(0, 6000);
      send(session.send(ON), start, Flag.more).send(what);
      expectKept(session, start, code, alert);
    }
  });
});

describe('XML', () => {
  const right = (session: Hostile): Changes => ({
    binding: session.binding(),
    signingTime: `${new Date(START).toISOString().slice(0, 19)}Z`,
  });
  const replaced =
    (what: string | RegExp, by: string) =>
    (document: string): string => {
      const changed = document.replace(what, by);
      if (changed === document) throw new Error(`no ${what}`);
      return changed;
    };

  test('is taken when nothing is wrong with it', () => {
    const session = hostile('xmldsig');
    session.send(ON).data(forgeXml(signer, right(session)));
    session.pair.expectUnharmed();
    expect(session.pair.server.messages).toHaveLength(1);
  });

  const deep = `${'<a>'.repeat(2000)}${'</a>'.repeat(2000)}`;
  test.each<[string, (document: string) => string, TlsErrorCode]>([
    [
      'signature wrapping: another Object first, the signed one behind',
      replaced('<Object Id="d">', '<Object Id="x">RVZJTA==</Object><Object Id="d">'),
      'ERR_SIGN_MALFORMED',
    ],
    [
      'signature wrapping: an Object more, with the same Id',
      replaced('</Signature>', '<Object Id="d">RVZJTA==</Object></Signature>'),
      'ERR_SIGN_DUPLICATE_ATTRIBUTE',
    ],
    [
      'signature wrapping: the Signature inside of another document',
      (document) => `<order><item>EVIL</item>${document}</order>`,
      'ERR_SIGN_MALFORMED',
    ],
    [
      'an external entity',
      (document) =>
        `<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]>${replaced('>AQID<', '>&e;<')(document)}`,
      'ERR_SIGN_MALFORMED',
    ],
    [
      'a reference to somewhere else',
      replaced('URI="#d"', 'URI="http://example.org/order"'),
      'ERR_SIGN_MALFORMED',
    ],
    ['other data', replaced('>AQID<', '>AQIE<'), 'ERR_SIGN_MESSAGE_DIGEST'],
    ['elements nested without end', replaced('<KeyInfo>', `<KeyInfo>${deep}`), 'ERR_SIGN_TOO_DEEP'],
    ['a million elements', replaced('<KeyInfo>', `<KeyInfo>${'<a/>'.repeat(14_000)}`), 'ERR_SIGN_TOO_LARGE'],
  ])('with %s', (_what, change, code) => {
    const session = hostile('xmldsig');
    const object = bytes(change(partsOf(signer, right(session)).document));
    session.send(ON).data(object);
    expectKept(session, object, code);
  });

  test.each<[string, Changes, TlsErrorCode]>([
    [
      'the hash of another certificate',
      { cert: certificateId('sha256', new Uint8Array(32)) },
      'ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE',
    ],
    ['a property twice', { commitment: (p) => p.commitment + p.commitment }, 'ERR_SIGN_DUPLICATE_ATTRIBUTE'],
    ['another binding', { binding: (p) => ({ ...p.binding, sequence: 5 }) }, 'ERR_SIGN_BINDING_MISMATCH'],
    ['a signature of zeros', { signature: new Uint8Array(64) }, 'ERR_SIGN_BAD_SIGNATURE'],
    ['a time that is long gone', { signingTime: '2020-01-01T00:00:00Z' }, 'ERR_SIGN_SIGNING_TIME'],
  ])('with %s', (_what, changes, code) => {
    const session = hostile('xmldsig');
    const base = right(session);
    const binding = session.binding();
    const settled =
      typeof changes.binding === 'function' ? { binding: { ...binding, sequence: 5 } } : changes;
    const object = forgeXml(signer, { ...base, ...settled });
    session.send(ON).data(object);
    expectKept(session, object, code);
  });

  test('receipts for what asks for none', () => {
    const archive = new MemoryArchive();
    const session = hostile('xmldsig', { client: { archive } });
    session.pair.say('server', 'no receipt, please', false);
    session.pair.run();
    const { object } = session.pair.client.messages[0] ?? {};
    const objectDigest = nodeCrypto.digest('sha256', object as Uint8Array);
    const made = xmlMaker.prepareReceipt(
      nodeCrypto,
      { kind: 'signed', objectDigest, receiptRequested: true },
      {
        signer,
        binding: session.binding({ kind: 'receipt' }),
        signingTime: START,
        includeCertificates: true,
      },
    );
    const receipt = made.finish(ALICE.key.sign(made.scheme, made.toBeSigned) as Uint8Array);
    session.data(receipt, Flag.acknowledgement);
    expectKept(session, receipt, 'ERR_SIGN_RECEIPT_MISMATCH');
  });
});

describe('what is refused before it is an object', () => {
  const rows = (session: Hostile) =>
    session.archive.entries.map(({ status, reason, object, kind }) => [
      status,
      reason,
      kind,
      Buffer.from(object ?? []).toString('hex'),
    ]);

  test.each<[string, Uint8Array, TlsErrorCode, AlertName]>([
    [
      'a content type that is not signed',
      Uint8Array.of(22),
      'ERR_TLS_ILLEGAL_PARAMETER',
      'illegal_parameter',
    ],
    ['a flag without meaning', Uint8Array.of(23, 1), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
    [
      'flags that contradict each other',
      Uint8Array.of(23, 0xa0),
      'ERR_TLS_ILLEGAL_PARAMETER',
      'illegal_parameter',
    ],
    ['another version', Uint8Array.of(23, 0, 3, 3), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
    ['no data', Uint8Array.of(23, 0, 3, 4, 0, 0), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
  ])('a header with %s', (_what, header, code, alert) => {
    const session = hostile();
    session.send(ON, header);
    session.pair.expectFound('server', code, alert);
    expect(rows(session)).toEqual([
      [
        'rejected',
        code,
        (header[1] ?? 0) & Flag.acknowledgement ? 'receipt' : 'data',
        Buffer.from(header).toString('hex'),
      ],
    ]);
  });

  test('data while signing is off, of a type that was not agreed on, without a certificate', () => {
    const cases: [Hostile, Uint8Array, number, TlsErrorCode, AlertName][] = [
      [hostile(), new Uint8Array(0), 0, 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message'],
      [
        hostile('pkcs7', { client: { types: ['origin'] } }),
        ON,
        Flag.unsigned,
        'ERR_TLS_ILLEGAL_PARAMETER',
        'illegal_parameter',
      ],
      [
        hostile('pkcs7', { clientIdentity: null, client: { signer: signerOf(CLIENT) } }),
        ON,
        0,
        'ERR_SIGN_NO_CERTIFICATE',
        'certificate_required',
      ],
    ];
    for (const [session, before, flags, code, alert] of cases) {
      if (before.length > 0) session.send(before);
      session.data(bytes('order'), flags);
      session.pair.expectFound('server', code, alert);
      expect(rows(session)).toEqual([['rejected', code, 'data', Buffer.from('order').toString('hex')]]);
    }
  });

  test('an object and a receipt that are cut off together are both kept', () => {
    const session = hostile();
    session.send(ON).data(bytes('half an object'), Flag.more);
    session.data(bytes('half a receipt'), Flag.acknowledgement | Flag.more);
    session.pair.pair.client.connection.close();
    session.pair.run();
    session.pair.expectFound('server', 'ERR_SIGN_INCOMPLETE', 'bad_sign');
    expect(session.archive.entries).toMatchObject([
      {
        status: 'rejected',
        reason: 'ERR_SIGN_INCOMPLETE',
        kind: 'data',
        sequence: 0,
        object: Buffer.from('half an object'),
      },
      {
        status: 'rejected',
        reason: 'ERR_SIGN_INCOMPLETE',
        kind: 'receipt',
        sequence: 1,
        object: Buffer.from('half a receipt'),
      },
    ]);
  });

  test('an object whose network is gone is kept, although nobody can be told', () => {
    const session = hostile();
    session.send(ON).data(bytes('half an object'), Flag.more);
    session.pair.pair.server.connection.receiveEnd();
    session.pair.run();
    expect(rows(session)).toEqual([
      ['rejected', 'ERR_SIGN_INCOMPLETE', 'data', Buffer.from('half an object').toString('hex')],
    ]);
  });

  test.each(['ports', 'channels'] as const)(
    'plain data of an application that must sign, in mode %s',
    (mode) => {
      const applications = [
        { name: 'orders', port: 7 },
        { name: 'chat', port: 9 },
      ];
      const archive = new MemoryArchive();
      const pair = new SignPair({
        client: { types: ['origin'] },
        server: { archive, types: ['origin'], demand: ['orders'] },
        mux: { client: muxClient({ mode }), server: muxServer({ mode, applications }) },
      });
      const session = pair.client.mux()?.session;
      const [chat, orders] = ['chat', 'orders'].map((name) => session?.open(name));
      pair.run();
      const served = pair.server.mux()?.session;
      for (let event = served?.nextEvent(); event !== undefined; event = served?.nextEvent())
        if (event.type === 'connection') event.connection.accept();
      pair.run();
      chat?.write(bytes('plain is fine here'));
      pair.run();
      pair.expectUnharmed();
      orders?.write(bytes('plain'));
      pair.run();
      pair.expectFound('server', 'ERR_SIGN_UNSIGNED', 'bad_sign');
      expect(archive.entries).toMatchObject([
        {
          status: 'rejected',
          reason: 'ERR_SIGN_UNSIGNED',
          application: 'orders',
          contentType: 28,
          flags: 2,
          object: Buffer.from('plain'),
        },
      ]);
    },
  );
});

function flipAt(object: Uint8Array, at: number): Uint8Array {
  const changed = object.slice();
  const index = at < 0 ? changed.length + at : at;
  changed[index] = (changed[index] as number) ^ 1;
  return changed;
}

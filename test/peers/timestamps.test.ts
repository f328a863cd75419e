import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { Oid } from '../../src/der/oids.ts';
import { SignatureError } from '../../src/errors/errors.ts';
import { encodeTimeStampRequest, NONCE_BYTES } from '../../src/formats/tsp/request.ts';
import { readTimeStampResponse } from '../../src/formats/tsp/response.ts';
import { timeOfToken, VerifiedTimeStamp, verifyTimeStampToken } from '../../src/formats/tsp/verify.ts';
import { describeWith } from '../setup/need.ts';
import { openssl } from './support/openssl.ts';
import { TimeAuthority } from './support/time-authority.ts';

const folder = mkdtempSync(join(tmpdir(), 'trellis-time-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const data = new TextEncoder().encode('what is to be dated');
const digest = nodeCrypto.digest('sha256', data);
const nonce = new Uint8Array(NONCE_BYTES).fill(0x80);

describeWith(openssl, 'RFC 3161 with openssl ts', () => {
  const tokenOf = (authority: TimeAuthority, withNonce = true): Uint8Array => {
    const request = encodeTimeStampRequest({ digest, nonce: withNonce ? nonce : undefined });
    const { token, status } = readTimeStampResponse(authority.answer(request));
    expect(status).toBe(0);
    return token ?? expect.fail();
  };
  const refused = (run: () => unknown): string => {
    try {
      run();
    } catch (error) {
      if (error instanceof SignatureError) return error.code;
      throw error;
    }
    return 'accepted';
  };

  it.each([
    ['p256', 'sha256'],
    ['p256', 'sha1'],
    ['p384', 'sha256'],
    ['rsa2048', 'sha256'],
  ] as const)(
    'takes its answer to our request, with a %s key and an ESSCertID by %s',
    (kind, certificateHash) => {
      const authority = new TimeAuthority(join(folder, `${kind}-${certificateHash}`), {
        kind,
        certificateHash,
      });
      const before = Math.floor(Date.now() / 1000) * 1000;
      const token = tokenOf(authority);
      const stamp = verifyTimeStampToken(nodeCrypto, token, { digest, nonce, trust: authority.trust });
      expect(VerifiedTimeStamp.is(stamp)).toBe(true);
      expect(stamp.time).toBeGreaterThanOrEqual(before);
      expect(stamp.time).toBeLessThanOrEqual(Date.now());
      expect(stamp.accuracy).toBe(1500);
      expect(stamp.policy).toBe('1.2.3.4.1');
      expect(`${stamp.authority.leaf}`).toBe('CN=Time authority');
      expect(timeOfToken(token)).toBe(stamp.time);
      expect(authority.verifies(token, data)).toMatchObject({ ok: true });
    },
  );

  it('refuses a token for something else, for another request, and of nobody it trusts', () => {
    const authority = new TimeAuthority(join(folder, 'negative'));
    const other = new TimeAuthority(join(folder, 'other'));
    const token = tokenOf(authority);
    const { trust } = authority;
    const otherDigest = nodeCrypto.digest('sha256', new Uint8Array(1));
    const verify = (bytes: Uint8Array, change: object = {}) =>
      refused(() => verifyTimeStampToken(nodeCrypto, bytes, { digest, nonce, trust, ...change }));
    expect(verify(token)).toBe('accepted');
    expect(verify(token, { nonce: undefined })).toBe('accepted');
    expect(verify(token, { digest: otherDigest })).toBe('ERR_SIGN_MESSAGE_DIGEST');
    expect(verify(token, { nonce: new Uint8Array(NONCE_BYTES) })).toBe('ERR_SIGN_BINDING_MISMATCH');
    expect(verify(tokenOf(authority, false))).toBe('ERR_SIGN_BINDING_MISMATCH');
    expect(verify(token, { trust: other.trust })).toBe('ERR_SIGN_CERTIFICATE');
    expect(verify(new Uint8Array(5))).toBe('ERR_SIGN_MALFORMED');
  });

  it('refuses every change of a byte', () => {
    const authority = new TimeAuthority(join(folder, 'bytes'));
    const token = tokenOf(authority);
    const spare = Buffer.from(token).indexOf(authority.root.der);
    expect(spare).toBeGreaterThan(0);
    const harmless: number[] = [];
    for (let at = 0; at < token.length; at++) {
      const changed = Uint8Array.from(token);
      changed[at] = (changed[at] as number) ^ 0x01;
      const code = refused(() =>
        verifyTimeStampToken(nodeCrypto, changed, { digest, trust: authority.trust }),
      );
      if (code === 'accepted') harmless.push(at);
    }
    // The root in it is not needed: one is trusted already. Versions mean nothing (RFC 5652 §5.1).
    const others = harmless.filter((at) => at < spare || at >= spare + authority.root.der.length);
    expect(others.length).toBeLessThanOrEqual(2);
  });

  it.each([
    ['not critical', { oids: [Oid.timeStamping], critical: false }],
    ['one of several', { oids: [Oid.timeStamping, Oid.clientAuth], critical: true }],
  ])('refuses an authority whose purpose is %s', (_name, purposes) => {
    const authority = new TimeAuthority(join(folder, `${purposes.oids.length}${purposes.critical}`), {
      purposes,
    });
    const request = encodeTimeStampRequest({ digest, nonce });
    // OpenSSL does not even sign with such a certificate, where it looks.
    let answer: Uint8Array;
    try {
      answer = authority.answer(request);
    } catch (error) {
      expect(`${error}`).toContain('invalid signer certificate purpose');
      return;
    }
    const { token } = readTimeStampResponse(answer);
    if (token === undefined) return;
    expect(refused(() => verifyTimeStampToken(nodeCrypto, token, { digest, trust: authority.trust }))).toBe(
      'ERR_SIGN_CERTIFICATE',
    );
  });

  it('tells why an authority refuses', () => {
    const authority = new TimeAuthority(join(folder, 'refusing'));
    const request = encodeTimeStampRequest({ digest, nonce });
    // SHA-256 becomes another algorithm, which the authority does not take.
    const at = Buffer.from(request).indexOf(Buffer.from('608648016503040201', 'hex'));
    request[at + 8] = 0x04;
    const response = readTimeStampResponse(authority.answer(request));
    expect(response).toMatchObject({ status: 2, token: undefined, failures: ['badAlg'] });
    expect(response.text).not.toBe('');
  });
});

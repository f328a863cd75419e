import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { Oid } from '../../../src/der/oids.ts';
import { encodeDer, integer, sequence } from '../../../src/der/writer.ts';
import { CertificateError, DecodeError, type TlsErrorCode } from '../../../src/errors/errors.ts';
import { Crl } from '../../../src/x509/crl.ts';
import { KeyUsage } from '../../../src/x509/extensions.ts';
import { extKeyUsage, keyUsage } from '../../../src/x509/issue.ts';
import { verifyOcspResponse } from '../../../src/x509/ocsp.ts';
import { checkRevocation, type OcspMode } from '../../../src/x509/revocation.ts';
import { flipBit } from '../../setup/pair.ts';
import { ca, client, DAY, type Identity, NOW, newKey, replacing, server, without } from './pki.ts';
import { type CrlInput, crl, type OcspInput, ocspResponse } from './revocation-kit.ts';

const root = ca('root');
const intermediate = ca('intermediate', { issuer: root });
const leaf = server('one.test', { issuer: intermediate });
const other = server('two.test', { issuer: intermediate });
const responderFor = (issuer: Identity, options: Parameters<typeof client>[1] = {}) =>
  client('responder', {
    issuer,
    extensions: replacing(extKeyUsage([Oid.ocspSigning])),
    ...options,
  });
const delegate = responderFor(intermediate);

const path = (...identities: Identity[]) => identities.map(({ certificate }) => certificate);
const PATH = path(leaf, intermediate, root);

/** Of what `work` throws, which must be a CertificateError. */
function codeOf(work: () => unknown): TlsErrorCode | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    expect(error).toBeInstanceOf(CertificateError);
    return (error as CertificateError).code;
  }
}

const respond = (input: Partial<OcspInput> = {}) =>
  ocspResponse({ certificate: leaf, issuer: intermediate, ...input });
const verify = (response: Uint8Array, now = NOW) =>
  verifyOcspResponse(nodeCrypto, response, leaf.certificate, intermediate.certificate, now);

describe('an OCSP response', () => {
  it.each<[string, Partial<OcspInput>]>([
    ['of the issuer, by name', {}],
    ['of the issuer, by key', { byKey: true }],
    ['with SHA-256 in the CertID', { hash: 'sha256' }],
    ['with SHA-384 in the CertID', { hash: 'sha384' }],
    ['of a delegate', { responder: delegate, certificates: [delegate.der] }],
    [
      'of a delegate, by key, among others',
      { responder: delegate, byKey: true, certificates: [other.der, delegate.der] },
    ],
    ['without nextUpdate, new', { nextUpdate: undefined, thisUpdate: NOW - 3_600_000 }],
    ['with a clock a little ahead', { thisUpdate: NOW + 60_000 }],
  ])('%s is believed', (_what, input) => {
    expect(verify(respond(input))).toMatchObject({ status: 'good' });
  });

  it.each(['good', 'revoked', 'unknown'] as const)('says %s', (status) => {
    expect(verify(respond({ status }))).toMatchObject({
      status,
      revokedAt: status === 'revoked' ? NOW - DAY : undefined,
      thisUpdate: NOW - DAY,
      nextUpdate: NOW + DAY,
    });
  });

  const notAuthorised = client('no responder', { issuer: intermediate });
  const ofAnother = responderFor(root);
  const expired = responderFor(intermediate, {
    input: { notBefore: NOW - 3 * DAY, notAfter: NOW - 2 * DAY },
  });
  const forged = responderFor(intermediate, { signature: (right) => flipBit(right) });
  it.each<[string, Partial<OcspInput>]>([
    ['about another certificate', { certificate: other }],
    ['about another serial number', { serial: Uint8Array.of(7) }],
    ['with an unknown hash in the CertID', { hash: '1.2.3.4' }],
    ['of a stranger in the name of the issuer', { signer: newKey() }],
    ['with a changed signature', { signature: (right) => flipBit(right) }],
    [
      'of a delegate without id-kp-OCSPSigning',
      { responder: notAuthorised, certificates: [notAuthorised.der] },
    ],
    ['of a delegate of another CA', { responder: ofAnother, certificates: [ofAnother.der] }],
    ['of a delegate that has expired', { responder: expired, certificates: [expired.der] }],
    ['of a delegate with a forged certificate', { responder: forged, certificates: [forged.der] }],
    ['of a delegate whose certificate is missing', { responder: delegate }],
    ['of the leaf itself', { responder: leaf, certificates: [leaf.der] }],
    ['of the future', { thisUpdate: NOW + DAY, nextUpdate: NOW + 2 * DAY }],
    ['that has expired', { thisUpdate: NOW - 3 * DAY, nextUpdate: NOW - DAY }],
    ['without nextUpdate, old', { nextUpdate: undefined, thisUpdate: NOW - 2 * DAY }],
    ['with a critical extension', { critical: true }],
    ['of another type', { type: '1.3.6.1.5.5.7.48.1.2' }],
    ['that is an error: tryLater', { responseStatus: 3 }],
    ['with five certificates', { certificates: Array.from({ length: 5 }, () => delegate.der) }],
  ])('%s is not', (_what, input) => {
    expect(codeOf(() => verify(respond(input)))).toBe('ERR_TLS_BAD_CERTIFICATE_STATUS');
  });

  it('longer than the bound is not read', () => {
    expect(codeOf(() => verify(new Uint8Array(16_385)))).toBe('ERR_TLS_BAD_CERTIFICATE_STATUS');
  });

  it('survives any change of a byte: believed as it was, or ERR_TLS_BAD_CERTIFICATE_STATUS', () => {
    const right = respond({ responder: delegate, certificates: [delegate.der] });
    fc.assert(
      fc.property(fc.nat(right.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Uint8Array.from(right);
        changed[at] = (changed[at] as number) ^ change;
        let status: string | undefined;
        const code = codeOf(() => {
          ({ status } = verify(changed));
        });
        // Certificates of delegates have fields that nobody signs or looks at, but the answer is signed.
        expect(code ?? status).toMatch(/^(ERR_TLS_BAD_CERTIFICATE_STATUS|CERT_MALFORMED|good)$/);
        expect(code ?? 'good').not.toBe('revoked');
      }),
      { numRuns: 400 },
    );
  });
});

describe('stapled OCSP', () => {
  const check = (mode: OcspMode, stapled: Uint8Array | undefined, chain = PATH) =>
    codeOf(() => checkRevocation(nodeCrypto, chain, stapled, { ocsp: mode, crls: [] }, NOW));
  const BAD = 'ERR_TLS_BAD_CERTIFICATE_STATUS';

  it.each<[string, Uint8Array | undefined, ...(string | undefined)[]]>([
    ['nothing', undefined, undefined, undefined, BAD],
    ['good', respond(), undefined, undefined, undefined],
    ['revoked', respond({ status: 'revoked' }), undefined, 'CERT_REVOKED', 'CERT_REVOKED'],
    ['unknown', respond({ status: 'unknown' }), undefined, undefined, BAD],
    ['a forged good', respond({ signer: newKey() }), undefined, undefined, BAD],
    ['a forged revoked', respond({ signer: newKey(), status: 'revoked' }), undefined, undefined, BAD],
    ['rubbish', Uint8Array.of(1, 2, 3), undefined, undefined, BAD],
  ])('%s: off, soft, hard', (_what, stapled, off, soft, hard) => {
    expect([check('off', stapled), check('soft', stapled), check('hard', stapled)]).toEqual([
      off,
      soft,
      hard,
    ]);
  });

  const feature = (...values: number[]) => ({
    oid: Oid.tlsFeature,
    critical: false,
    value: encodeDer(sequence(...values.map((value) => integer(value)))),
  });
  const must = server('must.test', { issuer: intermediate, extensions: replacing(feature(5)) });

  it('a certificate that must be stapled is, unless OCSP is off', () => {
    const chain = path(must, intermediate, root);
    const good = ocspResponse({ certificate: must, issuer: intermediate });
    expect([check('off', undefined, chain), check('soft', undefined, chain)]).toEqual([undefined, BAD]);
    expect([check('soft', good, chain), check('hard', good, chain)]).toEqual([undefined, undefined]);
    expect(check('soft', respond(), chain)).toBe(BAD);
    expect(
      check('soft', ocspResponse({ certificate: must, issuer: intermediate, status: 'unknown' }), chain),
    ).toBe(BAD);
  });

  it('other features demand nothing, and malformed ones are found', () => {
    const harmless = server('f.test', { issuer: intermediate, extensions: replacing(feature(17)) });
    expect(check('soft', undefined, path(harmless, intermediate, root))).toBeUndefined();
    const broken = { oid: Oid.tlsFeature, critical: false, value: Uint8Array.of(1) };
    const malformed = server('f.test', { issuer: intermediate, extensions: replacing(broken) });
    expect(check('soft', undefined, path(malformed, intermediate, root))).toBe('CERT_MALFORMED');
  });

  it('has nothing to say of a certificate that is an anchor itself', () => {
    expect(check('hard', undefined, path(leaf))).toBeUndefined();
  });
});

describe('CRLs', () => {
  const list = (issuer: Identity, input: Partial<CrlInput> = {}) => Crl.parse(crl({ issuer, ...input }));
  const ofRoot = list(root);
  const check = (...crls: Crl[]) =>
    codeOf(() => checkRevocation(nodeCrypto, PATH, undefined, { ocsp: 'off', crls }, NOW));

  it('that list nothing of the path let it pass', () => {
    expect(check(ofRoot, list(intermediate))).toBeUndefined();
    expect(check(ofRoot, list(intermediate, { revoked: [other] }))).toBeUndefined();
  });

  it('refuse a revoked end entity, and a revoked CA', () => {
    expect(check(ofRoot, list(intermediate, { revoked: [other, leaf] }))).toBe('CERT_REVOKED');
    expect(check(list(root, { revoked: [intermediate] }), list(intermediate))).toBe('CERT_REVOKED');
  });

  it('must cover every certificate but the anchor', () => {
    expect(check(ofRoot)).toBe('UNABLE_TO_GET_CRL');
    expect(check(list(intermediate))).toBe('UNABLE_TO_GET_CRL');
  });

  it.each<[string, Partial<CrlInput>, TlsErrorCode]>([
    ['forged', { signer: newKey() }, 'CRL_SIGNATURE_FAILURE'],
    ['changed', { signature: (right) => flipBit(right) }, 'CRL_SIGNATURE_FAILURE'],
    ['of the future', { thisUpdate: NOW + DAY, nextUpdate: NOW + 2 * DAY }, 'CRL_NOT_YET_VALID'],
    ['out of date', { thisUpdate: NOW - 3 * DAY, nextUpdate: NOW - DAY }, 'CRL_HAS_EXPIRED'],
    ['without nextUpdate', { nextUpdate: undefined }, 'CRL_HAS_EXPIRED'],
    ['a part only (issuingDistributionPoint)', { critical: '2.5.29.28' }, 'UNABLE_TO_GET_CRL'],
    ['changes only (deltaCRLIndicator)', { critical: '2.5.29.27' }, 'UNABLE_TO_GET_CRL'],
  ])('that are %s are not believed', (_what, input, code) => {
    expect(check(ofRoot, list(intermediate, input))).toBe(code);
  });

  it('of an issuer whose keyUsage lacks cRLSign are not believed; without keyUsage they are', () => {
    const checkWith = (extensions: NonNullable<Parameters<typeof ca>[1]>['extensions']) => {
      const issuer = ca('signs no CRLs', { issuer: root, ...(extensions ? { extensions } : {}) });
      const chain = path(server('x.test', { issuer }), issuer, root);
      const crls = [ofRoot, list(issuer)];
      return codeOf(() => checkRevocation(nodeCrypto, chain, undefined, { ocsp: 'off', crls }, NOW));
    };
    expect(checkWith(replacing(keyUsage(KeyUsage.keyCertSign)))).toBe('CRL_SIGNATURE_FAILURE');
    expect(checkWith(without(Oid.keyUsage))).toBeUndefined();
  });

  it('the newest of an issuer counts', () => {
    const older = list(intermediate, { thisUpdate: NOW - 2 * DAY });
    const newer = list(intermediate, { revoked: [leaf] });
    expect(check(ofRoot, older, newer)).toBe('CERT_REVOKED');
    expect(check(newer, ofRoot, older)).toBe('CERT_REVOKED');
  });

  it('that are malformed are DecodeErrors', () => {
    const right = crl({ issuer: root, revoked: [leaf] });
    for (let length = 0; length < right.length; length++) {
      expect(() => Crl.parse(right.subarray(0, length))).toThrow(DecodeError);
    }
    expect(() => Crl.parse(Uint8Array.from([...right, 0]))).toThrow(DecodeError);
  });
});

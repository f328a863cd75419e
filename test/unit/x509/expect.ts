import { expect } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import type { AlertName } from '../../../src/errors/alerts.ts';
import { ALERT_OF, CertificateError, type TlsErrorCode } from '../../../src/errors/errors.ts';
import type { ReferenceName } from '../../../src/x509/names.ts';
import type { Purpose } from '../../../src/x509/path.ts';
import { TrustStore } from '../../../src/x509/trust-store.ts';
import { type VerifiedPeer, type VerifyOptions, verifyPeer } from '../../../src/x509/verify.ts';
import { type Identity, NOW } from './pki.ts';

/** A chain as it is sent, what is trusted, and what differs from: a server, now, any name. */
export interface Case {
  readonly chain: readonly (Identity | Uint8Array)[];
  readonly trust: readonly Identity[];
  readonly purpose?: Purpose;
  readonly now?: number;
  readonly name?: ReferenceName;
  readonly allowedSchemes?: readonly number[];
}

export function verify({ chain, trust, ...options }: Case): VerifiedPeer {
  const all: VerifyOptions = {
    purpose: 'server',
    now: NOW,
    trust: new TrustStore(trust.map((identity) => identity.certificate)),
    ...options,
  };
  return verifyPeer(
    nodeCrypto,
    chain.map((entry) => (entry instanceof Uint8Array ? entry : entry.der)),
    all,
  );
}

/** The case is accepted over exactly this path. */
export function expectPath(testCase: Case, path: readonly Identity[]): VerifiedPeer {
  const peer = verify(testCase);
  expect(peer.path.map(String)).toEqual(path.map((identity) => identity.certificate.toString()));
  for (const [index, identity] of path.entries()) expect(peer.path[index]?.raw).toEqual(identity.der);
  return peer;
}

/** The case is refused with this code, the alert that belongs to it, and at this depth. */
export function expectRefused(testCase: Case, code: TlsErrorCode, depth = 0): CertificateError {
  let thrown: unknown;
  try {
    verify(testCase);
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(CertificateError);
  const error = thrown as CertificateError;
  const alert: AlertName = ALERT_OF[code];
  expect({ code: error.code, alert: error.alert, depth: error.depth }, error.message).toEqual({
    code,
    alert,
    depth,
  });
  return error;
}

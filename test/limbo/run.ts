import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { decodePemBlocks } from '../../src/der/pem.ts';
import { TrellisError } from '../../src/errors/errors.ts';
import { Certificate } from '../../src/x509/certificate.ts';
import { referenceName } from '../../src/x509/names.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { verifyPeer } from '../../src/x509/verify.ts';

/*
 * C2SP's x509-limbo against our path validation.   npm run limbo -- FILE
 *
 * FILE is its limbo.json. Each of its cases is a chain, what to trust, and whether the chain is good. What we judge
 * otherwise must be in decisions.json, with the reason; a reason that is no longer needed is a failure too.
 */

/** As far as we read it of x509-limbo's limbo-schema.json. */
interface Case {
  readonly id: string;
  readonly features: readonly string[];
  readonly validation_kind: 'SERVER' | 'CLIENT';
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly extended_key_usage: readonly string[];
  readonly expected_result: 'SUCCESS' | 'FAILURE';
  readonly expected_peer_name: { readonly kind: string; readonly value: string } | null;
  readonly max_chain_depth: number | null;
  readonly crls?: readonly string[];
}

type Decisions = Readonly<Record<string, string>>;

const [file] = process.argv.slice(2);
if (file === undefined) {
  console.error('limbo: which file? Take limbo.json from https://github.com/C2SP/x509-limbo and name it');
  process.exit(2);
}
const { testcases } = JSON.parse(readFileSync(file, 'utf8')) as { testcases: readonly Case[] };
const decisions = JSON.parse(readFileSync(join(import.meta.dirname, 'decisions.json'), 'utf8')) as Decisions;

const counts = { agreed: 0, decided: 0, skipped: 0, failed: 0 };
for (const one of testcases) {
  const decision = decisions[one.id];
  const outside = reasonToSkip(one);
  if (outside !== undefined) {
    counts.skipped++;
    continue;
  }
  const fault = judge(one);
  const agrees = (fault === undefined) === (one.expected_result === 'SUCCESS');
  if (agrees && decision === undefined) counts.agreed++;
  else if (!agrees && decision !== undefined) counts.decided++;
  else {
    counts.failed++;
    const ours = fault === undefined ? 'accepted' : `refused: ${fault}`;
    const why = agrees ? `agrees, in spite of the decision "${decision}"` : `expected ${one.expected_result}`;
    console.log(`FAILED ${one.id}: ${ours}; ${why}`);
  }
}
const { agreed, decided, skipped, failed } = counts;
console.log(`${agreed} agreed, ${decided} decided otherwise, ${skipped} outside, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

/** What such a case tests is no part of `verifyPeer`. */
function reasonToSkip({ crls, max_chain_depth, extended_key_usage }: Case): string | undefined {
  if ((crls ?? []).length > 0) return 'revocation is judged by x509/revocation.ts, after the path';
  if (max_chain_depth !== null) return 'the length of paths is not for callers to choose';
  const usage = extended_key_usage.filter((name) => name !== 'serverAuth' && name !== 'clientAuth');
  return usage.length > 0 ? `no purpose of ours: ${usage}` : undefined;
}

/** @returns why the chain is refused; nothing when it is good */
function judge(one: Case): string | undefined {
  try {
    const der = [one.peer_certificate, ...one.untrusted_intermediates].map(decode);
    verifyPeer(nodeCrypto, der, {
      purpose: one.validation_kind === 'SERVER' ? 'server' : 'client',
      trust: new TrustStore(one.trusted_certs.map((pem) => Certificate.parse(decode(pem)))),
      now: one.validation_time === null ? Date.now() : Date.parse(one.validation_time),
      name: nameOf(one),
    });
    return undefined;
  } catch (error) {
    if (error instanceof TrellisError) return `${error.code}: ${error.message}`;
    throw error;
  }
}

/** A server's only; the names of clients are for applications to compare. */
function nameOf({ validation_kind, expected_peer_name }: Case) {
  if (validation_kind !== 'SERVER' || expected_peer_name === null) return undefined;
  return referenceName(expected_peer_name.value);
}

function decode(pem: string): Uint8Array {
  return decodePemBlocks(pem, 'CERTIFICATE')[0] ?? new Uint8Array(0);
}

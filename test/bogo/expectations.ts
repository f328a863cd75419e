import type { ConnectionInfo } from '../../src/connection/connection.ts';
import { schemeById } from '../../src/crypto/schemes.ts';
import { CertificateType } from '../../src/wire/codepoints.ts';
import { VerifiedRawKey } from '../../src/x509/raw-key.ts';
import { isVersion13 } from './algorithms.ts';
import { type NumberedIdentity, readCertificates, readTimestamps } from './credentials.ts';
import type { Flags } from './flags.ts';
import { Unexpected } from './report.ts';
import { authorities, type Observed } from './settings.ts';

interface Seen extends Observed {
  /** There was a HelloRetryRequest. */
  readonly retried: boolean;
  /** This connection is to resume the one before. */
  readonly resumes: boolean;
  /** The server gave a session to resume. */
  readonly gotTicket: boolean;
  /** With which this side proved who it is. */
  readonly shown: NumberedIdentity | undefined;
}

/** What `CheckHandshakeProperties` of BoringSSL's shim checks, as far as the flags are ours. @throws Unexpected */
export function checkHandshake(flags: Flags, info: ConnectionInfo, seen: Seen): void {
  const resumed = seen.resumes && !flags.expectSessionMiss;
  require(info.resumed === resumed, `the session was ${info.resumed ? '' : 'not '}resumed`);
  optional(flags.expectVersion, info.version, 'version');
  optional(flags.expectCipher, info.suite.id, 'cipher suite');
  optional(flags.expectCurveId, info.group, 'group');
  checkEarlyData(flags, info);
  if (flags.expectHrr) require(seen.retried, 'there was no HelloRetryRequest');
  if (flags.expectNoHrr) require(!seen.retried, 'there was a HelloRetryRequest');
  if (flags.expectExtendedMasterSecret) {
    // TLS 1.3 binds every secret to the handshake.
    const bound = isVersion13(info.version) || ('extendedMasterSecret' in info && info.extendedMasterSecret);
    require(bound === true, 'extended_master_secret was not agreed on');
  }
  const expectedAlpn = flags.server ? flags.selectAlpn : flags.expectAlpn;
  require((info.alpnProtocol ?? '') === expectedAlpn, `the protocol is '${info.alpnProtocol ?? ''}'`);
  if (flags.server) checkServerName(flags, info.serverName);
  if (!isVersion13(info.version)) checkSession(flags, info, seen);
  checkHint(flags, info);
  checkPeer(flags, info, seen);
  checkCredential(flags, info, seen);
  checkWishes(flags, seen);
  checkStaples(flags, info);
}

function checkEarlyData(flags: Flags, { earlyDataAccepted = false }: ConnectionInfo): void {
  if (flags.expectAcceptEarlyData) require(earlyDataAccepted, 'early data was not taken');
  if (flags.expectRejectEarlyData) require(!earlyDataAccepted, 'early data was taken');
}

/** TLS 1.2: whether this handshake has made a session, on either side. */
function checkSession(flags: Flags, info: ConnectionInfo, seen: Seen): void {
  if (!flags.server) {
    const expected = !flags.expectNoSession && (!info.resumed || flags.expectTicketRenewal);
    require(seen.gotTicket === expected, `there is ${seen.gotTicket ? 'a' : 'no'} session to resume`);
  } else if (!seen.resumes) {
    if (flags.expectSessionId) require(seen.stored, 'the session was not kept');
    if (flags.expectNoSessionId) require(!seen.stored, 'the session was kept');
  }
}

/** The runner's servers give as a hint the identity itself. */
function checkHint({ server, psk, pskIdentity }: Flags, { resumed, pskIdentityHint }: ConnectionInfo): void {
  if (server || psk === '' || resumed) return;
  const hint = Buffer.from(pskIdentityHint ?? []).toString('latin1');
  require(hint === pskIdentity, `the hint is '${hint}'`);
}

function checkServerName(flags: Flags, name: string | undefined): void {
  if (flags.expectServerName !== '') require(name === flags.expectServerName, `the server name is ${name}`);
  if (flags.expectNoServerName) require(name === undefined, `the server name is ${name}`);
}

function hasPsks({ credentials, psk }: Flags): boolean {
  return psk !== '' || credentials.some(({ pskHash }) => pskHash !== undefined);
}

function checkCredential(
  { credentials, expectSelectedCredential }: Flags,
  { resumed, peer }: ConnectionInfo,
  { shown }: Seen,
): void {
  // A resumed session shows nothing.
  if (expectSelectedCredential === undefined || resumed) return;
  if (credentials[expectSelectedCredential]?.pskHash !== undefined) {
    require(peer === undefined && shown === undefined, 'certificates were shown in place of a key');
    return;
  }
  const number = shown?.credential ?? -1;
  require(number === expectSelectedCredential, `credential ${number} was shown`);
}

function checkPeer(flags: Flags, { peer, resumed }: ConnectionInfo, seen: Seen): void {
  if (flags.expectNoPeerCert) require(peer === undefined, 'the peer has a certificate');
  // With keys at hand the peer need not have one; which it was, -expect-selected-credential says.
  else if (hasPsks(flags)) return;
  else if (!flags.server || flags.requireAnyClientCertificate) {
    require(peer !== undefined, 'the peer has no certificate');
  }
  if (flags.expectPeerCertificateType !== undefined) {
    const type = peer instanceof VerifiedRawKey ? CertificateType.raw_public_key : CertificateType.x509;
    require(type === flags.expectPeerCertificateType, `the peer showed a certificate of type ${type}`);
  }
  if (flags.expectVerifyResult && peer !== undefined && !seen.resumes) {
    require(seen.refused === flags.verifyFail, 'the verdict on the certificate is another');
  }
  if (flags.expectPeerCertFile !== '') {
    const expected = readCertificates(flags.expectPeerCertFile);
    const same =
      peer?.chain.length === expected.length &&
      expected.every((der, i) => Buffer.from(der).equals(peer.chain[i] as Uint8Array));
    require(same, 'the peer has other certificates');
  }
  const scheme = flags.expectPeerSignatureAlgorithm;
  // A resumed session brings no signature.
  if (scheme !== 0 && !resumed) {
    const used = JSON.stringify(seen.peerSignature);
    require(used === JSON.stringify(schemeById(scheme)?.algorithm), `the peer signed with ${used}`);
  }
}

/** What the peer was said to want when the certificate was to be chosen. */
function checkWishes(flags: Flags, { wishes }: Seen): void {
  const { expectPeerVerifyPrefs: schemes, expectClientCaList: names, expectCertificateTypes: types } = flags;
  if (schemes.length > 0)
    require(schemes.join() === wishes?.schemes?.join(), `the peer verifies ${wishes?.schemes}`);
  if (types.length > 0)
    require(types.join() === wishes?.certificateTypes?.join(), `the peer takes ${wishes?.certificateTypes}`);
  if (names !== '') {
    const expected = authorities(names);
    const alike =
      expected.length === wishes?.authorities.length &&
      expected.every((name, i) => same(name, wishes.authorities[i]));
    require(alike, 'the peer names other authorities');
  }
}

function checkStaples({ expectOcspResponse, expectSignedCertTimestamps }: Flags, info: ConnectionInfo): void {
  // They come with the certificate, and sessions do not keep them.
  if (info.resumed) return;
  if (expectOcspResponse.length > 0) {
    require(same(expectOcspResponse, info.ocspResponse), 'the OCSP response is another');
  }
  const scts = readTimestamps(expectSignedCertTimestamps);
  if (scts === undefined) return;
  const alike = scts.length === info.scts?.length && scts.every((sct, i) => same(sct, info.scts?.[i]));
  require(alike, 'the timestamps are others');
}

const same = (a: Uint8Array, b: Uint8Array | undefined): boolean =>
  b !== undefined && Buffer.from(a).equals(b);

/** Zero means that the flag was not given. */
function optional(expected: number, actual: number | undefined, what: string): void {
  if (expected !== 0) require(expected === actual, `the ${what} is ${actual}, expected was ${expected}`);
}

function require(holds: boolean, otherwise: string): void {
  if (!holds) throw new Unexpected(otherwise);
}

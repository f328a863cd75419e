import type { CryptoProvider } from '../../crypto/provider.ts';
import { SCHEMES, schemeFitsKey } from '../../crypto/schemes.ts';
import { type SuiteFacts, suiteById } from '../../crypto/suites.ts';
import { suite12ById } from '../../crypto/suites12.ts';
import { DecodeError } from '../../errors/errors.ts';
import { readChain } from '../../handshake/session.ts';
import { Reader } from '../../wire/reader.ts';
import { Certificate } from '../../x509/certificate.ts';
import { referenceName } from '../../x509/names.ts';
import { importAnyPublicKey } from '../../x509/public-key.ts';
import { TrustStore } from '../../x509/trust-store.ts';
import { type PeerIdentity, verifyPeer } from '../../x509/verify.ts';
import { InformationTag } from '../protocol.ts';
import { TlvFields } from '../tlv.ts';

/** What the module says of a session. */
export interface SessionInformation {
  readonly state: number;
  /** Once the handshake is complete. */
  readonly agreed: AgreedSession | undefined;
  /** Why it is closed. */
  readonly failure: { readonly code: string; readonly alert: number; readonly byPeer: boolean } | undefined;
}

export interface AgreedSession {
  readonly version: number;
  readonly suite: SuiteFacts;
  readonly group: number | undefined;
  /** End entity first, trust anchor last; empty for an anonymous peer. */
  readonly peerPath: readonly Uint8Array[];
  /** The pre-shared key that authenticated both sides; `undefined` where certificates did. */
  readonly pskIdentity: Uint8Array | undefined;
  /** What this side has shown. */
  readonly ownChain: readonly Uint8Array[];
  /** Answers to hello extensions, by type. */
  readonly extensions: ReadonlyMap<number, Uint8Array>;
  readonly sessionBinding: Uint8Array;
  readonly transcriptHash: Uint8Array;
  readonly serverName: string | undefined;
  readonly alpnProtocol: string | undefined;
  /** Over datagrams: bytes of content that one holds. */
  readonly maxDatagram: number | undefined;
}

/** @throws DecodeError */
export function readInformation(bytes: Uint8Array): SessionInformation {
  const what = 'session information';
  // The module reuses its memory, and so does whoever carried the answer.
  const own = new Uint8Array(bytes);
  const fields = new TlvFields(own, what, Object.values(InformationTag), [InformationTag.helloExtension]);
  const state = fields.number(InformationTag.state, 1);
  if (state === undefined) throw new DecodeError('session information: no state');
  const failure = fields.get(InformationTag.failure);
  return {
    state,
    agreed: fields.get(InformationTag.version) === undefined ? undefined : readAgreed(fields),
    failure:
      failure === undefined
        ? undefined
        : {
            alert: failure[0] ?? 0,
            code: ascii(failure.subarray(1)),
            byPeer: fields.get(InformationTag.failureByPeer) !== undefined,
          },
  };
}

function readAgreed(fields: TlvFields): AgreedSession {
  const suiteId = fields.number(InformationTag.suite, 2) ?? 0;
  const suite = suiteById(suiteId) ?? suite12ById(suiteId);
  if (suite === undefined) throw new DecodeError(`session information: cipher suite ${suiteId}`);
  const bytes = (tag: number): Uint8Array => fields.get(tag) ?? NOTHING;
  const text = (tag: number): string | undefined => {
    const value = fields.get(tag);
    return value === undefined ? undefined : ascii(value);
  };
  const extensions = fields.all(InformationTag.helloExtension).map((value): [number, Uint8Array] => {
    const r = new Reader(value, 'hello extension');
    return [r.u16(), r.rest()];
  });
  return {
    version: fields.number(InformationTag.version, 2) as number,
    suite,
    group: fields.number(InformationTag.group, 2),
    peerPath: chain(fields.get(InformationTag.peerPath)),
    pskIdentity: fields.get(InformationTag.pskIdentity),
    ownChain: chain(fields.get(InformationTag.ownChain)),
    extensions: new Map(extensions),
    sessionBinding: bytes(InformationTag.sessionBinding),
    transcriptHash: bytes(InformationTag.transcriptHash),
    serverName: text(InformationTag.serverName),
    alpnProtocol: text(InformationTag.alpn),
    maxDatagram: fields.number(InformationTag.maxDatagram, 2),
  };
}

/**
 * The peer as the module has judged it: the path that it found is validated again, with the anchor that it named. Who
 * trusts a module with its keys trusts it with its anchors; who does not gives anchors of its own.
 *
 * @throws CertificateError
 */
export function attestedPeer(
  crypto: CryptoProvider,
  path: readonly Uint8Array[],
  context: {
    readonly purpose: 'client' | 'server';
    readonly serverName: string | undefined;
    readonly now: number;
  },
): PeerIdentity | undefined {
  const anchor = path.at(-1);
  if (anchor === undefined) return undefined;
  const { purpose, serverName, now } = context;
  return verifyPeer(crypto, path, {
    purpose,
    trust: new TrustStore([Certificate.parse(anchor)]),
    now,
    name: purpose === 'server' && serverName !== undefined ? referenceName(serverName) : undefined,
  });
}

/** The schemes with which the key of a certificate signs handshakes and objects. */
export function schemesOf(crypto: CryptoProvider, certificate: Uint8Array): number[] {
  const key = importAnyPublicKey(crypto, Certificate.parse(certificate).spki);
  return SCHEMES.filter((scheme) => scheme.handshake && schemeFitsKey(scheme, key)).map(({ id }) => id);
}

function chain(value: Uint8Array | undefined): readonly Uint8Array[] {
  if (value === undefined) return [];
  const r = new Reader(value, 'certificates');
  const certificates = readChain(r);
  r.end();
  return certificates;
}

function ascii(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

const NOTHING = new Uint8Array(0);

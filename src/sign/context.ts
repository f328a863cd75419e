import type { SubProtocolLink } from '../connection/sub-protocol.ts';
import { equalBytes } from '../der/bytes.ts';
import { SignatureError, TlsError } from '../errors/errors.ts';
import { type Binding, SESSION_BINDING_LABEL, SESSION_BINDING_LENGTH } from '../formats/binding.ts';
import type { SignerJudge } from '../formats/format.ts';
import { type MultiplexedConnection, Multiplexing } from '../mux/index.ts';
import { ContentType } from '../wire/codepoints.ts';
import { Certificate } from '../x509/certificate.ts';
import type { EvidenceSession } from './evidence.ts';
import { FORMATS, type FormatSupport } from './formats.ts';
import { sessionJudge } from './judge.ts';
import type { Place, SignEvent, SignWanted, WantedEntry } from './messages.ts';
import type { SignAgreement } from './negotiation.ts';
import type { SignSettings } from './options.ts';

const NO_TREE_HEAD = new Uint8Array(0);
const NO_CERTIFICATE = new Uint8Array(0);

const OUTSIDE: Place = { contentType: ContentType.application_data, application: '', connection: undefined };

/** What both directions of a session share: its facts, and the way to the adapter. */
export class SessionContext {
  readonly link: SubProtocolLink;
  readonly agreement: SignAgreement;
  readonly settings: SignSettings;
  readonly formats: FormatSupport;
  readonly sessionBinding: Uint8Array;
  /** Of this side's objects. */
  readonly addressee: Uint8Array;
  readonly judge: SignerJudge;
  readonly mux: Multiplexing | undefined;
  /** Over DTLS: what comes and goes is one datagram each, which may be lost or overtaken. */
  readonly datagrams: boolean;
  readonly events: SignEvent[] = [];
  readonly wanted: SignWanted[] = [];
  wake: (() => void) | undefined;
  /** The session is over. */
  isClosed = false;
  /** By which the peer may address this side. */
  readonly #addresses: readonly Uint8Array[];
  #evidence: EvidenceSession | undefined;

  constructor(link: SubProtocolLink, agreement: SignAgreement, settings: SignSettings) {
    const { crypto, session } = link;
    this.link = link;
    this.agreement = agreement;
    this.settings = settings;
    this.formats = FORMATS[agreement.format];
    this.sessionBinding = new Uint8Array(
      link.exportKeyingMaterial(SESSION_BINDING_LABEL, session.transcriptHash, SESSION_BINDING_LENGTH),
    );
    this.judge = sessionJudge(crypto, settings.trust, session.peer);
    const mux = link.neighbour('mux');
    this.datagrams = link.maxDatagramSize !== undefined;
    // Applications of a session over datagrams are not signed: no object says to which port it goes.
    this.mux = mux instanceof Multiplexing && !this.datagrams ? mux : undefined;
    const digest = (chain: readonly Uint8Array[] | undefined) =>
      chain?.[0] === undefined ? NO_CERTIFICATE : crypto.digest('sha256', chain[0]);
    this.addressee = digest(session.peer?.chain);
    const own = session.identities.map(({ chain }) => digest(chain));
    // Whether it has shown any of them in the first handshake, a client that resumes does not know.
    this.#addresses = own.length === 0 || session.resumed ? [...own, NO_CERTIFICATE] : own;
  }

  emit(event: SignEvent): void {
    this.events.push(event);
    this.wake?.();
  }

  want(wanted: SignWanted): void {
    this.wanted.push(wanted);
    this.wake?.();
  }

  /** Ends the session because of it. */
  fail(error: unknown): void {
    this.link.fail(
      error instanceof TlsError
        ? error
        : new TlsError(
            'ERR_TLS_INTERNAL',
            `Signing failed: ${error instanceof Error ? error.message : error}`,
            {
              cause: error,
            },
          ),
    );
    this.wake?.();
  }

  /** Has an entry kept, if there is an archive, and goes on when it is durable. */
  persist(
    entry: () => Omit<WantedEntry, 'format'>,
    now: number,
    done: (record: number | undefined, now: number) => void,
  ): void {
    if (this.settings.archive === undefined) {
      done(undefined, now);
      return;
    }
    this.want({
      kind: 'persisted',
      session: this.#evidenceSession(now),
      entry: { ...entry(), format: this.agreement.format },
      provide: done,
      fail: (cause) => this.failArchive(cause),
    });
  }

  failArchive(cause: unknown): void {
    this.fail(
      new TlsError('ERR_TLS_INTERNAL', 'The evidence could not be archived, so the session ends', { cause }),
    );
  }

  /** Calls back with the time, which does not come with what ends a session. */
  later(call: (now: number) => void): void {
    this.want({
      kind: 'verification',
      begin: (now) => {
        call(now);
        return undefined;
      },
      conclude: () => {},
    });
  }

  treeHead(): Uint8Array {
    return this.settings.archive?.treeHead() ?? NO_TREE_HEAD;
  }

  /** Where data without a multiplexed connection, or with this one, belongs. */
  placeOf(connection: MultiplexedConnection | undefined): Place {
    const { mux } = this;
    if (connection === undefined || mux?.session === undefined) return OUTSIDE;
    const application = mux.session.nameOf(connection);
    return { contentType: mux.contentTypes[0] as number, application, connection };
  }

  /** @throws SignatureError ERR_SIGN_BINDING_MISMATCH when the object is addressed to somebody else */
  checkAddressee({ peer }: Binding): void {
    if (this.#addresses.some((address) => equalBytes(address, peer))) return;
    throw new SignatureError(
      'ERR_SIGN_BINDING_MISMATCH',
      'The signature is addressed to the owner of another certificate',
      'peer',
    );
  }

  #evidenceSession(now: number): EvidenceSession {
    if (this.#evidence !== undefined) return this.#evidence;
    const { role, session } = this.link;
    const ownChain = session.identities[0]?.chain ?? [];
    const peerChain = session.peer?.chain ?? [];
    this.#evidence = {
      role,
      protocol: session.version,
      cipherSuite: session.cipherSuite,
      sessionBinding: this.sessionBinding,
      started: now,
      ownName: subjectOf(ownChain),
      peerName: subjectOf(peerChain),
      ownChain,
      peerChain,
    };
    return this.#evidence;
  }
}

function subjectOf([leaf]: readonly Uint8Array[]): string {
  if (leaf === undefined) return '';
  try {
    return Certificate.parse(leaf).subject.toString();
  } catch {
    // A bare key has no name.
    return '';
  }
}

import { SCHEMES } from '../../crypto/schemes.ts';
import type { ClientConfig } from '../../handshake/config.ts';
import { ExtensionType, ProtocolVersion } from '../../wire/codepoints.ts';
import type { Answer, Question } from './hello.ts';
import {
  CURVES,
  GROUPS,
  type Named,
  NEW_SUITES,
  nameOf,
  OLD_SUITES,
  SCHEMES_12,
  weaknessOf,
} from './names.ts';
import type { ResumptionReport, VersionReport } from './report.ts';
import type { Subject } from './subject.ts';

/** Things of one kind that a server can be found to speak; no one speaks so many. */
const MAX_FOUND = 64;

/** A version of TLS under examination, filled in as answers come. */
export interface Examined extends Omit<VersionReport, 'resumption'> {
  readonly id: number;
  supported: boolean;
  suites: VersionReport['suites'];
  ownOrder: boolean | undefined;
  groups: readonly string[];
  schemes: readonly string[];
  extendedMasterSecret: boolean | undefined;
  secureRenegotiation: boolean | undefined;
}

type Hello = Extract<Answer, { kind: 'hello' }>;

/** Whether the server speaks this version at all. */
export async function probeVersion(
  subject: Subject,
  { id, version }: { readonly id: number; readonly version: VersionReport['version'] },
): Promise<Examined> {
  const hello = await ask(subject, questionFor(subject, id));
  const isOld = id < ProtocolVersion.tls13;
  const knows = (type: number): boolean | undefined =>
    isOld && hello !== undefined ? hello.extensions.includes(type) : undefined;
  return {
    id,
    version,
    supported: hello !== undefined,
    suites: [],
    ownOrder: undefined,
    groups: [],
    schemes: [],
    extendedMasterSecret: knows(ExtensionType.extended_master_secret),
    secureRenegotiation: knows(ExtensionType.renegotiation_info),
  };
}

/** Fills in suites, groups and signature schemes. */
export async function probeSuites(subject: Subject, version: Examined): Promise<void> {
  const { id } = version;
  const suites = await eliminate(suitesOf(id), (left) =>
    ask(subject, { ...questionFor(subject, id), suites: left }).then((hello) => hello?.suite),
  );
  version.suites = suites.map((suite) => {
    const name = nameOf(suitesOf(id), suite);
    return { name, weakness: weaknessOf(name) };
  });
  version.ownOrder = await keepsOrder(subject, id, suites);
  if (id === ProtocolVersion.tls13) {
    version.groups = (await groups13(subject, suites)).map((group) => nameOf(GROUPS, group));
    version.schemes = await schemes13(subject);
  } else {
    const ecdhe = suites.filter((suite) => nameOf(OLD_SUITES, suite).startsWith('ECDHE-'));
    version.groups = (await groups12(subject, id, ecdhe)).map((group) => nameOf(CURVES, group));
    if (id === ProtocolVersion.tls12) {
      version.schemes = (await schemes12(subject, ecdhe)).map((scheme) => nameOf(SCHEMES_12, scheme));
    }
  }
}

/** Asks again and again without what was chosen before: the order is the server's, or that of the offer. */
async function eliminate(
  offered: readonly Named[],
  choose: (left: readonly number[]) => Promise<number | undefined>,
): Promise<number[]> {
  const found: number[] = [];
  const left = new Set(offered.map(({ id }) => id));
  while (left.size > 0 && found.length < MAX_FOUND) {
    const chosen = await choose([...left]);
    // One that was not offered says no more than a refusal.
    if (chosen === undefined || !left.delete(chosen)) break;
    found.push(chosen);
  }
  return found;
}

/** With the order turned round, a server of its own mind still chooses the same. */
async function keepsOrder(
  subject: Subject,
  id: number,
  suites: readonly number[],
): Promise<boolean | undefined> {
  if (suites.length < 2) return undefined;
  const hello = await ask(subject, { ...questionFor(subject, id), suites: [...suites].reverse() });
  return hello === undefined ? undefined : hello.suite === suites[0];
}

/** No share is sent, so the server asks for one of the group that it likes best (RFC 8446 §4.1.4). */
function groups13(subject: Subject, suites: readonly number[]): Promise<number[]> {
  const question = { ...questionFor(subject, ProtocolVersion.tls13), suites };
  return eliminate(GROUPS, (left) =>
    ask(subject, { ...question, groups: left }).then((hello) => hello?.group),
  );
}

async function groups12(subject: Subject, id: number, ecdhe: readonly number[]): Promise<number[]> {
  if (ecdhe.length === 0) return [];
  const question = { ...questionFor(subject, id), suites: ecdhe };
  const choose = (groups: readonly number[]): Promise<number | undefined> =>
    ask(subject, { ...question, groups }, true).then((hello) => hello?.group);
  const found = await eliminate(CURVES, choose);
  // The curve of the certificate has to be among those offered (RFC 8422 §5.1.1), so without it nothing was agreed on.
  const others = CURVES.map((curve) => curve.id).filter((curve) => !found.includes(curve));
  const more = await Promise.all(others.map(async (curve) => (await choose([curve, ...found])) === curve));
  return [...found, ...others.filter((_, index) => more[index])];
}

function schemes12(subject: Subject, ecdhe: readonly number[]): Promise<number[]> {
  if (ecdhe.length === 0) return Promise.resolve([]);
  const question = { ...questionFor(subject, ProtocolVersion.tls12), suites: ecdhe };
  return eliminate(SCHEMES_12, (left) =>
    ask(subject, { ...question, schemes: left }, true).then((hello) => hello?.scheme),
  );
}

/** Signatures of TLS 1.3 are encrypted: each scheme is a whole handshake with no other. */
async function schemes13(subject: Subject): Promise<string[]> {
  const candidates = SCHEMES.filter(({ handshake }) => handshake);
  const found = await Promise.all(
    candidates.map(async ({ id }) => {
      const config = subject.configure({ schemes: [id], tls12: undefined, psks: [] });
      const outcome = await subject.dialer.shake(config, subject.protocols());
      return outcome?.info !== undefined;
    }),
  );
  return candidates.filter((_, index) => found[index]).map(({ name }) => name);
}

/** A handshake for a session, and one with it. Of versions that this engine speaks. */
export async function probeResumption(
  subject: Subject,
  { id, supported }: Examined,
  serverName: string,
): Promise<ResumptionReport | undefined> {
  const only = id === ProtocolVersion.tls13 ? { tls12: undefined } : { suites: [] };
  const config = subject.configure(only);
  if (!supported || !speaks(config, id)) return undefined;
  const first = await subject.dialer.shake(config, subject.protocols());
  if (first?.info === undefined) return undefined;
  const [session] = first.sessions;
  if (session === undefined) {
    // Who was refused, for want of a certificate say, has learnt nothing about tickets.
    if (first.error !== undefined) return undefined;
    return { by: undefined, tickets: 0, lifetime: undefined, resumed: false, earlyData: 0 };
  }
  const second = await subject.dialer.shake({ ...config, serverName, session }, subject.protocols());
  const isTicket = 'psk' in session || session.ticket.length > 0;
  return {
    by: isTicket ? 'ticket' : 'session-id',
    tickets: isTicket ? first.sessions.length : 0,
    lifetime: session.lifetime,
    resumed: second?.info?.resumed ?? false,
    earlyData: 'psk' in session ? (session.maxEarlyData ?? 0) : 0,
  };
}

function speaks({ suites, tls12 }: ClientConfig, id: number): boolean {
  if (id === ProtocolVersion.tls13) return suites.length > 0;
  return id === ProtocolVersion.tls12 && tls12 !== undefined;
}

function suitesOf(id: number): readonly Named[] {
  return id === ProtocolVersion.tls13 ? NEW_SUITES : OLD_SUITES;
}

function questionFor({ serverName, extensions }: Subject, version: number): Question {
  const isNew = version === ProtocolVersion.tls13;
  return {
    version,
    suites: suitesOf(version).map(({ id }) => id),
    groups: (isNew ? GROUPS : CURVES).map(({ id }) => id),
    schemes: SCHEMES_12.map(({ id }) => id),
    serverName,
    extensions,
  };
}

/** The server's hello, if it agrees to exactly this version. */
async function ask(subject: Subject, question: Question, keyExchange = false): Promise<Hello | undefined> {
  const answer = await subject.dialer.ask(question, keyExchange);
  return answer?.kind === 'hello' && answer.version === question.version ? answer : undefined;
}

import { ConnectionError, TlsError } from '../errors/errors.ts';
import type { Application, DataMultiplexing } from './extension.ts';
import { APPLICATION_NAME_MAX, APPLICATIONS_MAX, LAST_PORT, RESERVED_NAMES } from './limits.ts';

/** What to do when the other side does not speak multiplexing, or shares no application with us. */
export type MuxPolicy =
  /** End the handshake with `handshake_failure`. */
  | 'require'
  /** Go on with an ordinary TLS session. */
  | 'allow';

/** What a side offers, or accepts. */
export type MuxModes =
  /** Channel mode, and ports mode with those who do not have it. */
  | 'both'
  | 'ports'
  /** Channel mode as draft-badra-hajjeh-mtls-03 has it, by the empty extension, and nothing else. */
  | 'draft';

export interface ClientPolicy {
  readonly modes: MuxModes;
  /** Applications to ask for by name, or `'all'`: the entry `ALL`/0, which tells an observer nothing. */
  readonly applications: 'all' | readonly Application[];
  /** The server may name applications beyond those that were asked for. */
  readonly acceptOthers: boolean;
  readonly policy: MuxPolicy;
}

export interface ServerPolicy {
  readonly modes: MuxModes;
  readonly applications: readonly Application[];
  /** Every port is an application, whether it is in `applications` or not. */
  readonly any: boolean;
  /** Beside those that the client asked for, name the others that are served. */
  readonly nameOthers: boolean;
  readonly policy: MuxPolicy;
}

/** What both hellos have settled. */
export type Agreement = PortsAgreement | ChannelsAgreement;

export interface PortsAgreement {
  readonly mode: 'ports';
  /** The server answered `ALL`: every port is an application. */
  readonly any: boolean;
  readonly applications: readonly Application[];
}

/** Nothing is said of applications: each channel names its own, and the acceptor takes or refuses it. */
export interface ChannelsAgreement {
  readonly mode: 'channels';
  /** False with a peer that speaks draft-03 alone: no EndOfData, no keep-alive. */
  readonly halfClose: boolean;
}

export function clientOffer(policy: ClientPolicy): DataMultiplexing {
  if (policy.modes === 'draft') return { form: 'empty' };
  const all = policy.applications === 'all';
  const channel = policy.modes === 'both';
  return { form: 'list', all, channel, applications: all ? [] : policy.applications };
}

/**
 * Server: the answer and what it means, or `undefined` for ordinary TLS.
 *
 * | offer | answer |
 * |---|---|
 * | `CHANNEL` among others, unless this side has ports mode only | `CHANNEL` alone: channel mode |
 * | empty (draft-03), the same | empty: channel mode |
 * | applications | those that are served; by option the others too, if at least one was asked for |
 * | `ALL` | `ALL` if any is taken, else all that are served |
 * | nothing in common | none |
 *
 * @throws TlsError ERR_MUX_REQUIRED when there is no agreement and the policy is `require`
 */
export function serverAnswer(
  policy: ServerPolicy,
  offer: DataMultiplexing | undefined,
): { readonly answer: DataMultiplexing; readonly agreement: Agreement } | undefined {
  if (offer?.form === 'empty' && policy.modes !== 'ports') {
    return { answer: offer, agreement: { mode: 'channels', halfClose: false } };
  }
  if (offer?.form === 'list' && offer.channel && policy.modes === 'both') {
    return {
      answer: { form: 'list', all: false, channel: true, applications: [] },
      agreement: { mode: 'channels', halfClose: true },
    };
  }
  if (offer?.form === 'list' && policy.modes !== 'draft') {
    const any = offer.all && policy.any;
    const applications = any ? [] : acceptable(policy, offer.all, offer.applications);
    if (any || applications.length > 0) {
      return {
        answer: { form: 'list', all: any, channel: false, applications },
        agreement: { mode: 'ports', any, applications },
      };
    }
  }
  if (policy.policy === 'require') {
    throw new TlsError(
      'ERR_MUX_REQUIRED',
      offer === undefined
        ? 'The client does not offer data_multiplexing; serve it with the policy "allow", or connect with a client that multiplexes.'
        : 'The client asks for no application that is served here in a mode that is spoken here.',
    );
  }
  return undefined;
}

/**
 * Client: what the server's answer means, or `undefined` for ordinary TLS.
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for an answer that the offer does not permit
 * @throws TlsError ERR_MUX_REQUIRED when there is no answer and the policy is `require`
 */
export function clientConfirm(
  policy: ClientPolicy,
  answer: DataMultiplexing | undefined,
): Agreement | undefined {
  if (answer === undefined) {
    if (policy.policy === 'allow') return undefined;
    throw new TlsError(
      'ERR_MUX_REQUIRED',
      'The server does not multiplex, or serves none of the applications asked for; the policy "allow" accepts ordinary TLS.',
    );
  }
  if (answer.form === 'empty') {
    if (policy.modes !== 'draft') throw notPermitted('the empty form');
    return { mode: 'channels', halfClose: false };
  }
  if (policy.modes === 'draft') throw notPermitted('a list');
  const { all, applications, channel } = answer;
  if (channel) {
    if (policy.modes !== 'both') throw notPermitted('CHANNEL');
    if (all || applications.length > 0) throw notPermitted('CHANNEL beside others');
    return { mode: 'channels', halfClose: true };
  }
  if (all && applications.length > 0) throw notPermitted('ALL beside applications');
  if (!all && applications.length === 0) throw notPermitted('an empty list');
  if (policy.applications !== 'all') {
    if (all) throw notPermitted('ALL');
    const asked = portByName(policy.applications);
    const foreign = applications.filter(({ name, port }) => asked.get(name) !== port);
    if (foreign.length === applications.length || (foreign.length > 0 && !policy.acceptOthers)) {
      throw notPermitted(`application ${JSON.stringify(foreign[0]?.name)}`);
    }
  }
  return { mode: 'ports', any: all, applications };
}

/**
 * Checks applications that this side's user named.
 * @throws ConnectionError ERR_TLS_OPTION
 */
export function checkApplications(
  applications: readonly Application[],
  sharedPorts: 'allowed' | 'refused',
): void {
  const names = new Set<string>();
  const ports = new Set<number>();
  for (const { name, port } of applications) {
    if (!/^[\x21-\x7e]+$/.test(name) || name.length > APPLICATION_NAME_MAX) {
      throw badOption(
        `The application name ${JSON.stringify(name)} must be 1 to 16 printable ASCII characters`,
      );
    }
    if (RESERVED_NAMES.includes(name)) {
      throw badOption(`The application name ${name} is a word of the protocol; choose another`);
    }
    if (!Number.isInteger(port) || port < 1 || port > LAST_PORT) {
      throw badOption(`The port ${port} of application ${name} must be 1 to 65535`);
    }
    if (names.has(name)) throw badOption(`The application ${name} is named twice`);
    if (sharedPorts === 'refused' && ports.has(port)) {
      throw badOption(
        `The application ${name} has port ${port} of another; frames tell applications apart by port`,
      );
    }
    names.add(name);
    ports.add(port);
  }
  if (applications.length > APPLICATIONS_MAX) {
    throw badOption(`${applications.length} applications; a hello may name ${APPLICATIONS_MAX}`);
  }
}

export function badOption(message: string): ConnectionError {
  return new ConnectionError('ERR_TLS_OPTION', `${message}.`);
}

function acceptable(
  policy: ServerPolicy,
  all: boolean,
  asked: readonly Application[],
): readonly Application[] {
  if (all) return policy.applications;
  const served = portByName(policy.applications);
  const accepted = policy.any ? asked : asked.filter(({ name, port }) => served.get(name) === port);
  if (!policy.nameOthers || accepted.length === 0) return accepted;
  // A name may be in the answer once; with `any`, one that was asked for with another port than ours is already there.
  const named = portByName(accepted);
  const others = policy.applications.filter(({ name }) => !named.has(name));
  return [...accepted, ...others].slice(0, APPLICATIONS_MAX);
}

function portByName(applications: readonly Application[]): Map<string, number> {
  return new Map(applications.map(({ name, port }) => [name, port]));
}

function notPermitted(what: string): TlsError {
  return new TlsError(
    'ERR_TLS_ILLEGAL_PARAMETER',
    `data_multiplexing answers ${what}, which was not offered`,
  );
}

import type { X509Certificate } from 'node:crypto';
import { BlockList, isIP } from 'node:net';
import { nodeCrypto } from '../crypto/node/provider.ts';
import { type Endpoint, formatEndpoint } from './addresses.ts';
import { TunnelError } from './errors.ts';

/** What the clients with one certificate may do; an entry `[[policy]]` of the configuration file. */
export interface PolicyRule {
  /** The certificate's subject, as the log shows it: `CN=alice, O=Example`. This or `spki`. */
  readonly subject?: string | undefined;
  /** SHA-256 of its SubjectPublicKeyInfo, in hexadecimal. */
  readonly spki?: string | undefined;
  /** Names of applications, or `*` for all. Default none. */
  readonly applications?: readonly string[] | undefined;
  /** `HOST:PORT` that it may reach through the server: see `parseDestination`. Default none. */
  readonly destinations?: readonly string[] | undefined;
  /** `HOST:PORT` on which the server may listen for it; port `*` for any. Default none. */
  readonly reverse?: readonly string[] | undefined;
}

/** Whom a client has shown itself to be; `undefined` without a certificate that was verified. */
export type ClientIdentity = { readonly subject: string; readonly spki: string } | undefined;

/** Answers what a client may do. Without a rule that names the client, the answer is no. */
export class Policy {
  readonly #rules: readonly Rule[];

  /** @throws TunnelError ERR_TUNNEL_OPTION for a rule that cannot work */
  constructor(rules: readonly PolicyRule[]) {
    this.#rules = rules.map(compile);
  }

  mayUse(client: ClientIdentity, application: string): boolean {
    return this.#of(client).some(
      ({ applications }) => applications.has('*') || applications.has(application),
    );
  }

  mayReach(client: ClientIdentity, destination: Endpoint): boolean {
    return this.#of(client).some(({ destinations }) => destinations.some((matches) => matches(destination)));
  }

  mayListen(client: ClientIdentity, endpoint: Endpoint): boolean {
    return this.#of(client).some(({ reverse }) => reverse.some((matches) => matches(endpoint)));
  }

  #of(client: ClientIdentity): readonly Rule[] {
    if (client === undefined) return [];
    return this.#rules.filter(
      ({ subject, spki }) =>
        (subject === undefined || subject === client.subject) && (spki === undefined || spki === client.spki),
    );
  }
}

/** @param certificate of a client, whose path was verified in this session or in the one that it resumes */
export function identityOf(certificate: X509Certificate | undefined): ClientIdentity {
  if (certificate === undefined) return undefined;
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return {
    subject: subjectOf(certificate),
    spki: Buffer.from(nodeCrypto.digest('sha256', spki)).toString('hex'),
  };
}

/** Most specific part first. */
function subjectOf({ subject }: X509Certificate): string {
  return subject.split('\n').reverse().join(', ');
}

type Matcher = (endpoint: Endpoint) => boolean;

interface Rule {
  readonly subject: string | undefined;
  readonly spki: string | undefined;
  readonly applications: ReadonlySet<string>;
  readonly destinations: readonly Matcher[];
  readonly reverse: readonly Matcher[];
}

function compile({ subject, spki, applications = [], destinations = [], reverse = [] }: PolicyRule): Rule {
  if (subject === undefined && spki === undefined) {
    throw option('A policy rule names nobody: give it a subject or an spki');
  }
  const hash = spki?.replaceAll(':', '').toLowerCase();
  if (hash !== undefined && !/^[0-9a-f]{64}$/.test(hash)) {
    throw option(`The spki ${JSON.stringify(spki)} is not a SHA-256 hash: 64 hexadecimal digits`);
  }
  return {
    subject,
    spki: hash,
    applications: new Set(applications),
    destinations: destinations.map(parseDestination),
    reverse: reverse.map(parseDestination),
  };
}

/**
 * `HOST:PORT`, where HOST is a name, `*.name` for all names below it, an address, a network such as `10.0.0.0/8`, or
 * `*`; and PORT a number or `*`. An IPv6 address or network stands in brackets. Names are compared as the client asks
 * for them: who may reach a name may reach whatever address it has.
 * @throws TunnelError ERR_TUNNEL_OPTION
 */
function parseDestination(text: string): Matcher {
  const match = /^(?:\[(?<v6>[^\]]+)\]|(?<host>[^:[\]]+)):(?<port>\d{1,5}|\*)$/.exec(text);
  const { v6, host = '', port = '' } = match?.groups ?? {};
  const isPortGood = port === '*' || (Number(port) >= 1 && Number(port) <= 65_535);
  if (match === null || !isPortGood) {
    throw option(
      `The policy's ${JSON.stringify(text)} does not work: write HOST:PORT, *.NAME:PORT or NET/BITS:PORT`,
    );
  }
  const matchesHost = parseHost(text, v6 ?? host.toLowerCase());
  return (endpoint) =>
    (port === '*' || endpoint.port === Number(port)) && matchesHost(endpoint.host.toLowerCase());
}

function parseHost(text: string, host: string): (asked: string) => boolean {
  if (host === '*') return () => true;
  if (host.startsWith('*.'))
    return (asked) => asked.length > host.length - 1 && asked.endsWith(host.slice(1));
  const [address = '', bits] = host.split('/');
  const family = isIP(address);
  if (family === 0) {
    if (bits !== undefined) throw option(`The policy's ${JSON.stringify(text)} is no network`);
    return (asked) => asked.replace(/\.$/, '') === host;
  }
  const list = new BlockList();
  const kind = family === 4 ? 'ipv4' : 'ipv6';
  try {
    list.addSubnet(address, bits === undefined ? (family === 4 ? 32 : 128) : Number(bits), kind);
  } catch {
    throw option(`The policy's ${JSON.stringify(text)} is no network`);
  }
  return (asked) => isIP(asked) !== 0 && list.check(asked, isIP(asked) === 4 ? 'ipv4' : 'ipv6');
}

/** What a refused client is told. */
export function notPermitted(what: string | Endpoint): string {
  const name = typeof what === 'string' ? what : formatEndpoint(what);
  return `the policy of this server does not let this client have ${name}`;
}

function option(message: string): TunnelError {
  return new TunnelError('ERR_TUNNEL_OPTION', `${message}.`);
}

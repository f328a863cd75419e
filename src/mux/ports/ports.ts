import { ConnectionError } from '../../errors/errors.ts';
import { unknownApplication } from '../errors.ts';
import type { Application } from '../extension.ts';
import { FIRST_DYNAMIC_PORT, LAST_PORT } from '../limits.ts';
import { badOption, type PortsAgreement } from '../negotiation.ts';
import type { ApplicationReference, OpenTarget } from '../session.ts';

/** Which ports are which applications, in a session of ports mode. */
export class ApplicationPorts {
  readonly #agreement: PortsAgreement;
  readonly #byPort: ReadonlyMap<number, Application>;

  /** @param known names for ports that an agreement on `ALL` leaves open */
  constructor(agreement: PortsAgreement, known: readonly Application[] = []) {
    this.#agreement = agreement;
    const named = [...agreement.applications, ...(agreement.any ? known : [])];
    // The first name of a port is the one that counts.
    this.#byPort = new Map(named.reverse().map((application) => [application.port, application]));
  }

  /** The application with this port, if frames for it may be taken. */
  served(port: number): Application | undefined {
    return this.#byPort.get(port) ?? (this.#agreement.any ? { name: '', port } : undefined);
  }

  /** Where any port was agreed on, each side has names of its own. */
  nameOf({ name, port }: Application): string {
    const isAgreed = this.#agreement.applications.some(
      (agreed) => agreed.name === name && agreed.port === port,
    );
    return isAgreed ? name : `port ${port}`;
  }

  /** @throws ConnectionError ERR_MUX_UNKNOWN_APPLICATION */
  resolve(target: OpenTarget): Application {
    const reference = referenceOf(target);
    const { applications, any } = this.#agreement;
    if (typeof reference === 'string') {
      const application = applications.find(({ name }) => name === reference);
      if (application !== undefined) return application;
      if (any) {
        throw unknownApplication(
          `The server takes any application but named none: give the port of ${JSON.stringify(reference)}, as { name, port }.`,
        );
      }
    } else {
      const wanted = typeof reference === 'number' ? this.served(reference) : reference;
      const agreed = any
        ? wanted
        : applications.find(({ name, port }) => name === wanted?.name && port === wanted.port);
      if (
        agreed !== undefined &&
        Number.isInteger(agreed.port) &&
        agreed.port >= 1 &&
        agreed.port <= LAST_PORT
      ) {
        return agreed;
      }
    }
    const asked = typeof reference === 'object' ? `${reference.name}, port ${reference.port},` : reference;
    const agreed = applications.map(({ name, port }) => `${name} (${port})`).join(', ') || 'every port';
    throw unknownApplication(`The application ${asked} was not agreed in this session; it has ${agreed}.`);
  }
}

/** Gives out the client's half of pairs: the port that is wished for where it is free, else one of the dynamic ports. */
export class ClientPorts {
  #next = FIRST_DYNAMIC_PORT;

  /** @throws ConnectionError ERR_TLS_OPTION, ERR_MUX_LIMIT */
  reserve(applicationPort: number, wished: number | undefined, isFree: (port: number) => boolean): number {
    if (wished !== undefined) {
      if (!Number.isInteger(wished) || wished < 1 || wished > LAST_PORT) {
        throw badOption(`localPort is ${wished}, must be 1 to 65535`);
      }
      if (isFree(wished)) return wished;
    }
    for (let tries = FIRST_DYNAMIC_PORT; tries <= LAST_PORT; tries++) {
      const port = this.#next;
      this.#next = port === LAST_PORT ? FIRST_DYNAMIC_PORT : port + 1;
      if (isFree(port)) return port;
    }
    throw new ConnectionError(
      'ERR_MUX_LIMIT',
      `Every client port from ${FIRST_DYNAMIC_PORT} is in use for application port ${applicationPort}; close some connections.`,
    );
  }
}

/** A number that V8 keeps unboxed. */
export function pairKey(clientPort: number, applicationPort: number): number {
  return (clientPort << 16) | applicationPort;
}

function referenceOf(target: OpenTarget): ApplicationReference {
  if (typeof target !== 'object') return target;
  if ('application' in target) return target.application;
  if ('name' in target) return target;
  throw unknownApplication(
    `In ports mode there are applications only: ${JSON.stringify(target.host)}, port ${target.port}, needs channel mode.`,
  );
}

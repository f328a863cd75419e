import net from 'node:net';
import type { MuxConnection } from '../node/mux.ts';
import { formatEndpoint } from './addresses.ts';
import type { OpenSession } from './client-sessions.ts';
import type { TunnelLog } from './log.ts';
import { pump, socketLeg, streamLeg } from './pump.ts';
import { askForReverse, type Reverse } from './reverse.ts';
import { SOCKET_BUFFER, STREAM_OPTIONS } from './sessions.ts';
import { fault, type SessionRecord, type Traffic } from './traffic.ts';

/** Ports that the server opens for this client, and where their connections go from here. */
export class ReverseForwards {
  readonly #reverses: readonly Reverse[];
  readonly #traffic: Traffic;
  readonly #log: TunnelLog;

  constructor(reverses: readonly Reverse[], traffic: Traffic, log: TunnelLog) {
    this.#reverses = reverses;
    this.#traffic = traffic;
    this.#log = log;
  }

  /** Has the server open the ports that it is to open for us, as long as this session lasts. */
  open({ session, record }: OpenSession): void {
    if (this.#reverses.length === 0) return;
    session.on('connection', (stream) => this.#accept(stream, record));
    for (const reverse of this.#reverses) {
      const where = { listen: formatEndpoint(reverse.listen), target: formatEndpoint(reverse.target) };
      Promise.resolve()
        .then(() => askForReverse(session, reverse))
        .then(
          () =>
            this.#log.info(
              { event: 'reverse.open', session: record.id, ...where },
              `the server listens on ${where.listen} for ${where.target}`,
            ),
          (error) =>
            this.#log.warn(
              { event: 'reverse.failed', session: record.id, ...where, ...fault(error) },
              `the server does not listen on ${where.listen}: its policy must name this client and that port`,
            ),
        );
    }
  }

  /** A connection to a port that the server has open for us: only to where this side's user has said. */
  #accept(stream: MuxConnection, owner: SessionRecord): void {
    const asked = stream.destination;
    const reverse = this.#reverses.find(
      ({ listen }) => listen.host === asked?.host && listen.port === asked?.port,
    );
    if (asked === undefined || reverse === undefined) {
      stream.on('error', () => {});
      stream.refuse('nobody has asked for it');
      return;
    }
    stream.defer();
    const { target } = reverse;
    const record = this.#traffic.openConnection(
      stream.sourceAddress || owner.peer,
      formatEndpoint(target),
      owner,
    );
    const near = net.connect({ ...target, noDelay: true, ...STREAM_OPTIONS, ...socketBuffer });
    let failure: Error | undefined;
    const onError = (error: Error): void => {
      failure ??= error;
    };
    const giveUp = (): void => {
      near.destroy();
      stream.refuse(`${formatEndpoint(target)} cannot be reached from the client`);
      record.close('unreachable', failure);
    };
    near.on('error', onError);
    stream.on('error', onError);
    near.once('close', giveUp);
    stream.once('close', giveUp);
    record.onGiveUp(giveUp);
    near.once('connect', () => {
      near.off('close', giveUp);
      stream.off('close', giveUp);
      stream.accept();
      record.carry((done) => pump(socketLeg(near), streamLeg(stream), done));
    });
  }
}

const socketBuffer = { highWaterMark: SOCKET_BUFFER };

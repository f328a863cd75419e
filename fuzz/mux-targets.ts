import { DATAGRAM_MAX, DatagramReader, prefixDatagram } from '../src/mux/datagrams/datagrams.ts';
import { encodeDataMultiplexing } from '../src/mux/extension.ts';
import { muxServer } from '../src/mux/index.ts';
import { UNUSED_LINK } from '../test/setup/link.ts';
import { control, frame, join } from '../test/unit/mux/pair.ts';
import { decoder, type Target } from './target.ts';

/** What a peer of a multiplexed session says in ports mode, over TLS and over DTLS. */

const [OPEN, REFUSED, ABORT] = [0, 1, 2] as const;
const [ECHO_PORT, DNS_PORT, CLIENT_PORT] = [7, 53, 50_000] as const;
const APPLICATIONS = [
  { name: 'echo', port: ECHO_PORT },
  { name: 'dns/udp', port: DNS_PORT },
];
/** As a record of DTLS carries. */
const DATAGRAM = 1200;

/** Frames that open, speak, end and abort; both sides' in one stream. */
function frames(): Uint8Array[] {
  return [
    join(
      control(CLIENT_PORT, ECHO_PORT, OPEN),
      frame(CLIENT_PORT, ECHO_PORT, 'hello'),
      frame(CLIENT_PORT, ECHO_PORT),
      control(CLIENT_PORT, ECHO_PORT, ABORT),
    ),
    join(control(CLIENT_PORT + 1, DNS_PORT, OPEN), frame(CLIENT_PORT + 1, DNS_PORT, new Uint8Array(40))),
    join(frame(40_000, ECHO_PORT, 'data that opens'), control(40_000, ECHO_PORT, REFUSED)),
  ];
}

/** A server's session that serves what it is asked for; whatever comes, it holds no more than it has promised. */
function portsTarget(name: string, maxDatagramSize: number | undefined): Target {
  // A datagram is a record; over TLS a record is cut anywhere.
  const cut = maxDatagramSize ?? 29;
  return decoder(name, frames, (input) => {
    const protocol = muxServer({ applications: APPLICATIONS, mode: 'ports' })('server');
    const all = encodeDataMultiplexing({ form: 'list', all: true, channel: false, applications: [] });
    protocol.answer(all, { serverName: undefined, alpnProtocol: undefined });
    protocol.start({ ...UNUSED_LINK, role: 'server', maxDatagramSize, send: () => {} });
    const { session } = protocol;
    if (session === undefined) throw new Error('no session');
    for (let at = 0; at < input.length; at += cut) {
      protocol.receiveRecord(protocol.contentTypes[0] as number, input.subarray(at, at + cut));
      for (let event = session.nextEvent(); event !== undefined; event = session.nextEvent()) {
        const { connection } = event;
        if (event.type === 'connection') connection.accept();
        for (let piece = connection.read(); piece !== undefined; piece = connection.read())
          connection.consume(piece.length);
        if (connection.ended) connection.end();
      }
      session.send(1_000_000, at);
      const { committed, budget } = session.stats();
      if (committed < 0 || committed > budget) throw new Error(`${committed} bytes of ${budget} are held`);
    }
  });
}

export const MUX_TARGETS: readonly Target[] = [
  portsTarget('ports-session', undefined),
  portsTarget('ports-datagrams', DATAGRAM),
  decoder(
    'mux-datagrams',
    () => [join(...[0, 3, 300].map((length) => prefixDatagram(new Uint8Array(length))))],
    (input) => {
      const reader = new DatagramReader();
      let taken = 0;
      for (let at = 0; at < input.length; at += 11) {
        reader.push(input.subarray(at, at + 11), ({ length }) => {
          if (length > DATAGRAM_MAX) throw new Error(`a datagram of ${length}`);
          taken += prefixDatagram(new Uint8Array(length)).length;
        });
      }
      if (taken > input.length) throw new Error('More was taken than came');
    },
  ),
];

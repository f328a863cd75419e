import { defineBench } from '../harness.ts';
import { handshakesPerSecond } from '../support/handshakes.ts';
import { nodes, ours } from '../support/stacks.ts';

const HANDSHAKES = 1500;

/** Full TLS 1.3 handshakes, P-256 certificate and its path validated, client and server in one process over loopback. */
export default defineBench({
  name: 'handshake',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'node:tls',
  ours: () => handshakesPerSecond(ours, HANDSHAKES),
  peer: () => handshakesPerSecond(nodes, HANDSHAKES),
});

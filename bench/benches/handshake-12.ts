import { defineBench } from '../harness.ts';
import { handshakesPerSecond } from '../support/handshakes.ts';
import { nodes, ours, TLS12 } from '../support/stacks.ts';

const HANDSHAKES = 1500;

/** Full TLS 1.2 handshakes, as `handshake` measures those of TLS 1.3. */
export default defineBench({
  name: 'handshake-12',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'node:tls',
  ours: () => handshakesPerSecond((files) => ours(files, TLS12), HANDSHAKES),
  peer: () => handshakesPerSecond((files) => nodes(files, TLS12), HANDSHAKES),
});

import { defineBench } from '../harness.ts';
import { handshakesPerSecond } from '../support/handshakes.ts';
import { ours, TLS12 } from '../support/stacks.ts';

const HANDSHAKES = 1500;

/** What resumption saves: resumed handshakes of TLS 1.2 beside full ones, both ours. */
export default defineBench({
  name: 'resume-12',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'ours in full',
  ours: () => handshakesPerSecond((files) => ours(files, TLS12), HANDSHAKES, true),
  peer: () => handshakesPerSecond((files) => ours(files, TLS12), HANDSHAKES),
});

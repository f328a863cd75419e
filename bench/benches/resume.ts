import { defineBench } from '../harness.ts';
import { handshakesPerSecond } from '../support/handshakes.ts';
import { ours } from '../support/stacks.ts';

const HANDSHAKES = 1500;

/** What resumption saves: resumed handshakes of TLS 1.3 beside full ones, both ours. */
export default defineBench({
  name: 'resume',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'ours in full',
  ours: () => handshakesPerSecond((files) => ours(files), HANDSHAKES, true),
  peer: () => handshakesPerSecond((files) => ours(files), HANDSHAKES),
});

import { defineBench } from '../harness.ts';
import { handshakesPerSecond } from '../support/handshakes.ts';
import { ours } from '../support/stacks.ts';

/** Few, because without ML-KEM in node:crypto each takes JavaScript some milliseconds. */
const HANDSHAKES = 300;

/** What the hybrid key exchange costs: the same handshakes with X25519MLKEM768 and with X25519 alone. */
export default defineBench({
  name: 'mlkem',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'ours with X25519',
  ours: () => handshakesPerSecond((files) => ours(files, { ecdhCurve: 'X25519MLKEM768' }), HANDSHAKES),
  peer: () => handshakesPerSecond((files) => ours(files), HANDSHAKES),
});

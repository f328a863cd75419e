import { type Bench, defineBench } from '../harness.ts';
import { handshakesPerSecond } from './handshakes.ts';
import { type Algorithms, type Files, makeRsaFiles, ours } from './stacks.ts';

const HANDSHAKES = 1500;

/**
 * What resumption saves: resumed handshakes beside full ones, both ours. The more a certificate costs, the more is saved, and
 * P-256 is the cheapest there is: so with RSA as well.
 */
export function resumptionBench(name: string, algorithms: Partial<Algorithms>): Bench {
  const make = (files: Files) => ours(files, algorithms);
  let rsa: Files | undefined;
  const withRsa = (resumed: boolean) => {
    rsa ??= makeRsaFiles();
    return handshakesPerSecond(make, HANDSHAKES, resumed, rsa);
  };
  return defineBench({
    name,
    unit: 'handshakes/s',
    higherIsBetter: true,
    peerName: 'ours in full',
    ours: () => handshakesPerSecond(make, HANDSHAKES, true),
    peer: () => handshakesPerSecond(make, HANDSHAKES),
    rivals: [{ name: 'ours in full, RSA 2048', ours: () => withRsa(true), theirs: () => withRsa(false) }],
  });
}

import { defineBench } from '../harness.ts';
import { endToEnd, slowerBare } from '../support/sign.ts';

/** 1 KiB messages, signed, sent over a session and verified, P-256 and pkcs7, a process for each side. */
export default defineBench({
  name: 'sign',
  unit: 'messages/s',
  higherIsBetter: true,
  peerName: 'the slower of bare crypto.sign and crypto.verify',
  ours: () => endToEnd(false),
  peer: slowerBare,
});

import { defineBench } from '../harness.ts';
import { endToEnd, slowerBare } from '../support/sign.ts';

/** As `sign`, with a receipt for each message: two signatures and two verifications a message. */
export default defineBench({
  name: 'sign-receipts',
  unit: 'messages/s',
  higherIsBetter: true,
  peerName: 'half of the slower of bare crypto.sign and crypto.verify',
  ours: () => endToEnd(true),
  // Each side signs once and verifies once for a message.
  peer: async () => (await slowerBare()) / 2,
});

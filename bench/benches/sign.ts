import { defineBench } from '../harness.ts';
import { endToEnd, slowerBare } from '../support/sign.ts';

/** 1 KiB messages, signed, sent over a session and verified, P-256 and pkcs7, a process for each side. */
export const sign = defineBench({
  name: 'sign',
  unit: 'messages/s',
  higherIsBetter: true,
  peerName: 'the slower of bare crypto.sign and crypto.verify',
  ours: () => endToEnd(false),
  peer: slowerBare,
});

/** The same with a receipt for each: two signatures and two verifications a message. */
export const signReceipts = defineBench({
  name: 'sign-receipts',
  unit: 'messages/s',
  higherIsBetter: true,
  peerName: 'half of the slower of bare crypto.sign and crypto.verify',
  ours: () => endToEnd(true),
  // Each side signs once and verifies once for a message.
  peer: async () => (await slowerBare()) / 2,
});

import { expect, test } from 'vitest';
import { HandshakeType } from '../../../src/wire/codepoints.ts';
import { serverIdentity } from '../../setup/engine-config.ts';
import { expectUnharmed } from '../../setup/faults.ts';
import { connectPair } from '../../setup/handshakes.ts';
import { tamperMessages } from '../../setup/pair.ts';

/* The network between a pair sees messages where they begin, and only those that a record holds whole. */

test('what goes on in another record is not taken for a message', () => {
  const { encrypted_extensions: like, finished } = HandshakeType;
  const identity = { ...serverIdentity, ocspResponse: new Uint8Array(300).fill(like) };
  const seen: number[] = [];
  const pair = connectPair(
    { recordSizeLimit: 64, requestOcsp: true },
    { selectIdentities: () => [identity] },
    tamperMessages(({ type }, from) => {
      if (from === 'server') seen.push(type);
      return undefined;
    }),
  );
  expectUnharmed(pair);
  expect(seen.filter((type) => type === like)).toHaveLength(1);
  expect(seen).toContain(finished);
});

test('what begins behind the end of another message is', () => {
  const whole: number[] = [];
  const counted = tamperMessages(({ type, raw }, from) => {
    if (from === 'server') whole.push(type);
    return from === 'server' && type === HandshakeType.encrypted_extensions ? [raw] : undefined;
  });
  const pair = connectPair({ recordSizeLimit: 100 }, {}, counted);
  expectUnharmed(pair);
  const { server_hello, encrypted_extensions, finished } = HandshakeType;
  expect(whole.slice(0, 2)).toEqual([server_hello, encrypted_extensions]);
  expect(whole).toContain(finished);
});

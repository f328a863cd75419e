import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { TicketKeys } from '../../src/handshake/tickets.ts';
import { Deframer, MAX_PLAINTEXT } from '../../src/record/tls/deframer.ts';
import { RecordLayer } from '../../src/record/tls/record-layer.ts';
import { ContentType } from '../../src/wire/codepoints.ts';

/*
 * Adapters read into one Buffer again and again. A Buffer is a Uint8Array whose slice() is a view, so every copy that
 * the engine relies on is tested with one.
 */
const record = (text: string): Buffer =>
  Buffer.concat([Buffer.from([22, 3, 3, 0, text.length]), Buffer.from(text)]);
const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString();

describe('a transport that reuses its buffer', () => {
  it('does not change records that wait', () => {
    const deframer = new Deframer();
    const shared = Buffer.concat([record('first'), record('second')]);
    deframer.feed(shared);
    expect(text(deframer.next(MAX_PLAINTEXT)?.fragment)).toBe('first');
    deframer.settle();
    shared.fill(0xff);
    expect(text(deframer.next(MAX_PLAINTEXT)?.fragment)).toBe('second');
  });

  it('does not change a record that straddles two reads', () => {
    const deframer = new Deframer();
    const whole = record('straddles');
    for (let cut = 1; cut < whole.length; cut++) {
      const shared = Buffer.from(whole);
      deframer.feed(shared.subarray(0, cut));
      expect(deframer.next(MAX_PLAINTEXT)).toBeUndefined();
      deframer.settle();
      whole.copy(shared, 0, cut);
      deframer.feed(shared.subarray(0, whole.length - cut));
      expect(text(deframer.next(MAX_PLAINTEXT)?.fragment)).toBe('straddles');
      deframer.settle();
    }
  });

  it('does not change handshake messages in clear that were handed out', () => {
    const records = new RecordLayer(nodeCrypto, { maxFragment: MAX_PLAINTEXT, padTo: 1 });
    const shared = record('client hello');
    records.feed(shared);
    const taken = records.next();
    records.settle();
    shared.fill(0xff);
    expect(taken?.type).toBe(ContentType.handshake);
    expect(text(taken?.content)).toBe('client hello');
  });

  it('does not change ticket keys', () => {
    const bytes = Buffer.alloc(48, 7);
    const keys = new TicketKeys(bytes);
    bytes.fill(0);
    expect(keys.bytes[0]).toBe(7);
  });
});

import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { type Suite, suiteById } from '../../src/crypto/suites.ts';
import { TlsError } from '../../src/errors/errors.ts';
import { MAX_PLAINTEXT } from '../../src/record/tls/deframer.ts';
import type { TrafficKeys } from '../../src/record/tls/protection.ts';
import { RecordLayer } from '../../src/record/tls/record-layer.ts';
import { CipherSuite, ContentType } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import {
  clientAuthentication,
  compatibilityMode,
  helloRetryRequest,
  hex,
  resumed0Rtt,
  simple1Rtt,
  type Trace,
  type TraceRole,
  type TraceStep,
  toHex,
} from '../vectors/rfc8448.ts';

const traces = [simple1Rtt, resumed0Rtt, helloRetryRequest, clientAuthentication, compatibilityMode];
const suite = suiteById(CipherSuite.TLS_AES_128_GCM_SHA256) as Suite;
const plain = { maxFragment: MAX_PLAINTEXT, padTo: 1 };
const peerOf = { client: 'server', server: 'client' } as const;

/** The write keys of `by` for this kind of data, wherever the trace states them: as its own or as the peer's read keys. */
function writeKeys(trace: Trace, by: TraceRole, data: string): TrafficKeys {
  const own = trace.steps.find(
    (s) => s.by === by && s.values && s.step === `derive write traffic keys for ${data}`,
  );
  const read = trace.steps.find(
    (s) => s.by === peerOf[by] && s.values && s.step === `derive read traffic keys for ${data}`,
  );
  const values = (own ?? read)?.values ?? expect.fail(`no write keys of ${by} for ${data}`);
  return { suite, key: hex(values['key expanded'] ?? ''), iv: hex(values['iv expanded'] ?? '') };
}

/**
 * Walks through a trace with a record layer on each side and calls `onRecord` for each record sent. When a side's
 * write keys change, so do the other side's read keys.
 */
function walk(
  trace: Trace,
  onRecord: (step: TraceStep, sender: RecordLayer, receiver: RecordLayer) => void,
): void {
  const layers = { client: new RecordLayer(nodeCrypto, plain), server: new RecordLayer(nodeCrypto, plain) };
  for (const step of trace.steps) {
    const data = /^derive write traffic keys for (.*)$/.exec(step.step)?.[1];
    if (data !== undefined) {
      const keys = writeKeys(trace, step.by, data);
      layers[step.by].writeKeys = keys;
      layers[peerOf[step.by]].readKeys = keys;
    }
    if (step.step.startsWith('send ')) onRecord(step, layers[step.by], layers[peerOf[step.by]]);
  }
}

const contentType: Readonly<Record<string, number>> = {
  'send handshake record': ContentType.handshake,
  'send application_data record': ContentType.application_data,
  'send alert record': ContentType.alert,
};

function send(step: TraceStep, sender: RecordLayer): Uint8Array {
  const type = contentType[step.step];
  if (type === undefined) sender.writeChangeCipherSpec();
  else sender.write(type, payloadOf(step));
  return concat(sender.drain());
}

const payloadOf = (step: TraceStep) =>
  hex(step.values?.payload ?? expect.fail(`${step.step} has no payload`));
const recordOf = (step: TraceStep) =>
  hex(step.values?.['complete record'] ?? expect.fail(`${step.step} has no record`));

function expectReceived(step: TraceStep, receiver: RecordLayer): void {
  const received = receiver.next();
  if (step.step === 'send change_cipher_spec record') {
    // RFC 8446 §5: dropped without further processing.
    expect(received).toBeUndefined();
    return;
  }
  expect(received?.type).toBe(contentType[step.step]);
  expect(toHex(received?.content ?? new Uint8Array())).toBe(toHex(payloadOf(step)));
  expect(receiver.next()).toBeUndefined();
}

describe.each(traces)('RFC 8448 section $section, $title', (trace) => {
  test('our record layer sends every record byte for byte, and reads every one', () => {
    let records = 0;
    walk(trace, (step, sender, receiver) => {
      expect(toHex(send(step, sender))).toBe(toHex(recordOf(step)));
      receiver.feed(recordOf(step));
      expectReceived(step, receiver);
      records++;
    });
    expect(records).toBeGreaterThanOrEqual(6);
  });

  test('reads every record when its bytes come one by one', () => {
    walk(trace, (step, sender, receiver) => {
      send(step, sender);
      const record = recordOf(step);
      for (const byte of record.subarray(0, -1)) {
        receiver.feed(Uint8Array.of(byte));
        expect(receiver.next()).toBeUndefined();
      }
      receiver.feed(record.subarray(-1));
      expectReceived(step, receiver);
    });
  });

  test('a bit changed in any octet of a protected record is bad_record_mac, or breaks its header', () => {
    walk(trace, (step, sender, receiver) => {
      send(step, sender);
      const record = recordOf(step);
      if (record[0] === ContentType.application_data && record.length < 100) {
        // One bit of every octet, another one each time: each costs a replay of the trace.
        for (let at = 0; at < record.length; at++) expectRefused(trace, step, record, at * 8 + (at % 8));
      }
      receiver.feed(record);
      receiver.next();
    });
  });
});

/** Plays the trace up to `step` into a fresh receiver, then feeds it that step's record with one bit changed. */
function expectRefused(trace: Trace, changedStep: TraceStep, record: Uint8Array, bit: number): void {
  const changed = record.slice();
  changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
  let done = false;
  walk(trace, (step, sender, receiver) => {
    if (done) return;
    send(step, sender);
    if (step !== changedStep) {
      receiver.feed(recordOf(step));
      receiver.next();
      return;
    }
    done = true;
    receiver.feed(changed);
    const outcome = outcomeOf(receiver);
    const inType = bit < 8;
    const inVersion = bit >= 8 && bit < 24;
    const inLength = bit >= 24 && bit < 40;
    if (inType) {
      // 0x17 becomes another type in clear. An alert (0x15) may be in clear while no record has been opened yet:
      // a peer that failed before it had keys has no other way to say so.
      expect(outcome).toMatch(/^(ERR_TLS_UNEXPECTED_MESSAGE|clear alert)$/);
    } else if (inLength) {
      expect(outcome).toMatch(/^(ERR_TLS_BAD_RECORD_MAC|ERR_TLS_RECORD_OVERFLOW|incomplete)$/);
    } else {
      // legacy_record_version MUST be ignored (§5.1), but it is part of the additional data (§5.2).
      expect(outcome, inVersion ? 'version' : 'fragment').toBe('ERR_TLS_BAD_RECORD_MAC');
    }
  });
  expect(done).toBe(true);
}

function outcomeOf(receiver: RecordLayer): string {
  try {
    const content = receiver.next();
    if (content === undefined) return 'incomplete';
    return content.type === ContentType.alert ? 'clear alert' : 'accepted';
  } catch (error) {
    if (error instanceof TlsError) return error.code;
    throw error;
  }
}

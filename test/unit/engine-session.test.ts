import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { type Suite, TLS13_SUITES } from '../../src/crypto/suites.ts';
import { DecodeError } from '../../src/errors/errors.ts';
import {
  type ClientSession,
  MAX_TICKET_LIFETIME,
  parseSession,
  serializeSession,
} from '../../src/handshake/session.ts';
import { MAX_TICKET, TICKET_KEYS_LENGTH, TicketKeys, type TicketState } from '../../src/handshake/tickets.ts';
import { ProtocolVersion } from '../../src/wire/codepoints.ts';
import { flipBit, START } from '../setup/pair.ts';

const [suite] = TLS13_SUITES as readonly [Suite];

describe('a session written down', () => {
  const session: ClientSession = {
    version: ProtocolVersion.tls13,
    suite,
    psk: new Uint8Array(32).fill(1),
    ticket: new Uint8Array(100).fill(2),
    ageAdd: 0xdead_beef,
    lifetime: 3600,
    receivedAt: START,
    serverName: 'server.test',
    peerChain: [Uint8Array.of(1, 2, 3), Uint8Array.of(4)],
  };
  const bytes = serializeSession(session);

  test('is the same session when it is read back', () => {
    expect(parseSession(bytes)).toEqual(session);
    const nameless = { ...session, serverName: undefined, peerChain: [] };
    expect(parseSession(serializeSession(nameless))).toEqual(nameless);
  });

  test('cut anywhere, or with a byte too many, is no session', () => {
    for (let length = 0; length < bytes.length; length++) {
      expect(() => parseSession(bytes.subarray(0, length))).toThrow(DecodeError);
    }
    expect(() => parseSession(Uint8Array.of(...bytes, 0))).toThrow(DecodeError);
  });

  test.each([
    ['by another version of this program', 0, 2],
    ['for a suite that is unknown', 4, 0x99],
    ['with a secret that is not as long as the hash', 5, 31],
  ])('%s is no session', (_what, at, value) => {
    const changed = bytes.map((byte, i) => (i === at ? value : byte));
    expect(() => parseSession(changed)).toThrow(DecodeError);
  });

  test('never lives longer than seven days', () => {
    const eternal = serializeSession({ ...session, lifetime: 0xffff_ffff });
    expect(parseSession(eternal).lifetime).toBe(MAX_TICKET_LIFETIME);
  });
});

describe('ticket keys', () => {
  const state: TicketState = {
    version: ProtocolVersion.tls13,
    suite,
    psk: new Uint8Array(32).fill(1),
    issuedAt: START,
    serverName: 'server.test',
    peerChain: [Uint8Array.of(1, 2, 3)],
  };

  test.each([0, 47, 49, 80, 95, 48 * 17])('of %i bytes are refused', (length) => {
    expect(() => new TicketKeys(new Uint8Array(length))).toThrow(
      expect.objectContaining({ code: 'ERR_TLS_OPTION' }),
    );
  });

  test('open what they sealed, and so do equal keys', () => {
    const keys = TicketKeys.random(nodeCrypto);
    const ticket = keys.seal(nodeCrypto, state) ?? expect.fail('not sealed');
    for (const opener of [keys, new TicketKeys(keys.bytes)]) {
      const opened = opener.open(nodeCrypto, ticket) ?? expect.fail('not opened');
      expect({ ...opened, psk: [...opened.psk], peerChain: opened.peerChain.map((der) => [...der]) }).toEqual(
        {
          ...state,
          psk: [...state.psk],
          peerChain: [[1, 2, 3]],
        },
      );
    }
    expect(Buffer.from(ticket).includes(Buffer.from(state.psk))).toBe(false);
  });

  test('do not open what is changed anywhere, cut, or sealed by other keys', () => {
    const keys = new TicketKeys(new Uint8Array(TICKET_KEYS_LENGTH).fill(1));
    const ticket = keys.seal(nodeCrypto, state) ?? expect.fail('not sealed');
    for (let at = 0; at < ticket.length; at++) {
      expect(keys.open(nodeCrypto, flipBit(ticket, at))).toBeUndefined();
      expect(keys.open(nodeCrypto, ticket.subarray(0, at))).toBeUndefined();
    }
    expect(TicketKeys.random(nodeCrypto).open(nodeCrypto, ticket)).toBeUndefined();
    // The same name, another key.
    const others = new TicketKeys(keys.bytes.map((byte, i) => (i < 16 ? byte : byte ^ 1)));
    expect(others.open(nodeCrypto, ticket)).toBeUndefined();
  });

  test('of several sets: the first seals, all open, and what is taken out opens no more', () => {
    const set = (fill: number) => new Uint8Array(TICKET_KEYS_LENGTH).fill(fill);
    const [old, now] = [new TicketKeys(set(1)), new TicketKeys(Buffer.concat([set(2), set(1)]))];
    const before = old.seal(nodeCrypto, state) ?? expect.fail('not sealed');
    const after = now.seal(nodeCrypto, state) ?? expect.fail('not sealed');
    expect(now.open(nodeCrypto, before)).toBeDefined();
    expect(now.open(nodeCrypto, after)).toBeDefined();
    expect(old.open(nodeCrypto, after)).toBeUndefined();
    expect(new TicketKeys(set(2)).open(nodeCrypto, after)).toBeDefined();
    expect(new TicketKeys(set(2)).open(nodeCrypto, before)).toBeUndefined();
  });

  test('make no ticket that is too long for a ClientHello', () => {
    const long = { ...state, peerChain: [new Uint8Array(MAX_TICKET)] };
    expect(TicketKeys.random(nodeCrypto).seal(nodeCrypto, long)).toBeUndefined();
  });
});

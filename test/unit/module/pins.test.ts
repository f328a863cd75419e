import { describe, expect, it } from 'vitest';
import { nodeCrypto } from '../../../src/crypto/node/provider.ts';
import { Applet } from '../../../src/module/applet/applet.ts';
import { SealedStore } from '../../../src/module/applet/sealed-store.ts';
import { Instruction, KeyAlgorithmCode } from '../../../src/module/protocol.ts';
import { Card, createStore, MemoryStorage, OPERATOR_PIN, openState, pin, USER_PIN, utf8 } from './kit.ts';

const { verifyPin, changePin, unblockPin, generateKey } = Instruction;
const status = (card: Card, ins: number, p2: number, data?: Uint8Array) => card.send(ins, 0, p2, data).status;
const both = (a: Uint8Array, b: Uint8Array) => Uint8Array.from([...a, ...b]);

describe('PINs', () => {
  it('are verified, and are so until the power goes', () => {
    const card = new Card();
    expect(status(card, verifyPin, 0)).toBe(0x63c3);
    expect(status(card, verifyPin, 0, USER_PIN)).toBe(0x9000);
    expect(status(card, verifyPin, 0)).toBe(0x9000);
    expect(status(card, verifyPin, 1)).toBe(0x63c3);
    card.applet.reset();
    expect(status(card, verifyPin, 0)).toBe(0x63c3);
    expect(status(card, verifyPin, 0, utf8('1234'))).toBe(0x9000);
  });

  it('cost a try when they are wrong, and block at the third', () => {
    const card = new Card();
    expect(status(card, verifyPin, 0, pin('1111'))).toBe(0x63c2);
    expect(status(card, verifyPin, 0, pin('12345'))).toBe(0x63c1);
    expect(status(card, verifyPin, 0, pin('9999'))).toBe(0x63c0);
    expect(status(card, verifyPin, 0, USER_PIN)).toBe(0x6983);
    expect(status(card, verifyPin, 0)).toBe(0x6983);
    expect(status(card, changePin, 0, both(USER_PIN, pin('5555')))).toBe(0x6983);
    // The operator's are counted apart, and the operator unblocks.
    expect(status(card, unblockPin, 0, pin('5555'))).toBe(0x6982);
    expect(status(card, verifyPin, 1, OPERATOR_PIN)).toBe(0x9000);
    expect(status(card, unblockPin, 0, pin('5555'))).toBe(0x9000);
    expect(status(card, verifyPin, 0, pin('5555'))).toBe(0x9000);
  });

  it('get their tries back when they are right', () => {
    const card = new Card();
    status(card, verifyPin, 0, pin('1111'));
    status(card, verifyPin, 0, pin('1111'));
    expect(status(card, verifyPin, 0, USER_PIN)).toBe(0x9000);
    expect(openState(card.storage).pin('user').tries).toBe(3);
  });

  it('that were verified are no more after a wrong one', () => {
    const card = new Card().verifyUser();
    status(card, verifyPin, 0, pin('1111'));
    expect(status(card, verifyPin, 0)).toBe(0x63c2);
  });

  it.each([
    ['three digits', utf8('123')],
    ['nine digits', utf8('123456789')],
    ['letters', utf8('12a4')],
    ['padding in the middle', Uint8Array.of(0x31, 0xff, 0x32, 0x33, 0x34, 0xff, 0xff, 0xff)],
    ['nothing but padding', new Uint8Array(8).fill(0xff)],
  ])('of %s are no guess', (_name, data) => {
    const card = new Card();
    expect(status(card, verifyPin, 0, data)).toBe(0x6a80);
    expect(status(card, verifyPin, 0)).toBe(0x63c3);
  });

  it('change, and a wrong old one costs a try', () => {
    const card = new Card();
    expect(status(card, changePin, 0, both(pin('1111'), pin('5555')))).toBe(0x63c2);
    expect(status(card, changePin, 0, both(USER_PIN, utf8('5555')))).toBe(0x6700);
    expect(status(card, changePin, 0, both(USER_PIN, pin('5x55')))).toBe(0x6a80);
    expect(status(card, changePin, 0, both(USER_PIN, pin('5555')))).toBe(0x9000);
    expect(status(card, verifyPin, 0, USER_PIN)).toBe(0x63c2);
    expect(status(card, verifyPin, 0, pin('5555'))).toBe(0x9000);
    expect(status(card, changePin, 1, both(OPERATOR_PIN, pin('87654321')))).toBe(0x9000);
    expect(status(card, verifyPin, 1, pin('87654321'))).toBe(0x9000);
  });

  it('cannot be guessed by cutting the power, wherever it is cut', () => {
    const before = new Card().storage;
    const length = (before.slots[1] as Uint8Array).length;
    for (const guess of [pin('1111'), USER_PIN]) {
      for (let at = 0; at <= length; at += 1) {
        const storage = before.copy();
        const card = new Card(storage);
        storage.tearAt = at;
        // The try could not be made durable: no answer tells whether the guess was right.
        expect(status(card, verifyPin, 0, guess)).toBe(0x6f00);
        expect(status(card, verifyPin, 0)).not.toBe(0x9000);
        storage.tearAt = undefined;
        const tries = openState(storage).pin('user').tries;
        expect(tries === 3 || (tries === 2 && at === length)).toBe(true);
      }
    }
  });

  it('lose the try when the power is cut after it was taken', () => {
    const storage = new Card().storage;
    let writes = 0;
    const write = storage.write.bind(storage);
    storage.write = (slot, bytes) => {
      if (++writes === 2) throw new Error('power lost');
      write(slot, bytes);
    };
    expect(status(new Card(storage), verifyPin, 0, USER_PIN)).toBe(0x6f00);
    expect(openState(storage).pin('user').tries).toBe(2);
  });
});

describe('the store', () => {
  it('survives a write that is torn at any byte', () => {
    const card = new Card().verifyOperator();
    card.ok(generateKey, 0, KeyAlgorithmCode['P-256'], utf8('first'));
    const before = card.storage.copy();
    let torn = 0;
    for (let at = 0; ; at++) {
      const storage = before.copy();
      const applet = new Card(storage).verifyOperator();
      const written = storage.writes;
      storage.tearAt = at;
      const { status: answer } = applet.send(generateKey, 0, KeyAlgorithmCode['P-256'], utf8('second'));
      expect(answer).toBe(0x6f00);
      expect(storage.writes).toBe(written + 1);
      // What was not durable has not happened, in memory either.
      expect(applet.send(Instruction.setIdentity, 0, 0x80, utf8('second')).status).toBe(0x6a83);
      const found = openState(storage).identities.map(({ alias }) => alias);
      if (found.length === 2) {
        expect(found).toEqual(['first', 'second']);
        break;
      }
      expect(found).toEqual(['first']);
      torn++;
      // And it goes on from there.
      storage.tearAt = undefined;
      const again = new Card(storage).verifyOperator();
      if (at % 97 === 0) {
        again.ok(generateKey, 0, KeyAlgorithmCode['P-256'], utf8('third'));
        expect(openState(storage).identities.map(({ alias }) => alias)).toEqual(['first', 'third']);
      }
    }
    expect(torn).toBeGreaterThan(300);
  }, 60_000);

  it('opens with its own secret alone, and with nothing changed', () => {
    const storage = new MemoryStorage();
    createStore(storage);
    const other = () => SealedStore.open(nodeCrypto, storage, () => new Uint8Array(32));
    expect(other).toThrow(expect.objectContaining({ code: 'ERR_MODULE_STORE' }));
    const slot = storage.slots[1] as Uint8Array;
    for (let at = 0; at < slot.length; at++) {
      const changed = storage.copy();
      const bytes = changed.slots[1] as Uint8Array;
      bytes[at] = (bytes[at] as number) ^ 1;
      expect(() => openState(changed)).toThrow(expect.objectContaining({ code: 'ERR_MODULE_STORE' }));
    }
    expect(() => openState(new MemoryStorage())).toThrow(
      expect.objectContaining({ code: 'ERR_MODULE_STORE' }),
    );
  });

  it('never writes in clear what it holds', () => {
    const card = new Card().verifyOperator();
    card.ok(generateKey, 0, KeyAlgorithmCode['P-256'], utf8('an alias to look for'));
    for (const slot of card.storage.slots) {
      expect(Buffer.from(slot ?? []).includes('an alias to look for')).toBe(false);
    }
  });

  it('has one state for all connections', () => {
    const state = openState(new Card().storage);
    const [a, b] = [new Applet({ crypto: nodeCrypto, state }), new Applet({ crypto: nodeCrypto, state })];
    const verify = Uint8Array.from([0xa0, 0x20, 0, 0, 8, ...pin('1111')]);
    expect(Buffer.from(a.process(verify)).toString('hex')).toBe('63c2');
    expect(Buffer.from(b.process(verify)).toString('hex')).toBe('63c1');
  });
});

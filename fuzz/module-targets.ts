import { type ChainRule, CommandJoiner } from '../src/module/apdu/chaining.ts';
import { encodeCommand, encodeResponse, parseCommand, parseResponse } from '../src/module/apdu/command.ts';
import { findPsk } from '../src/module/applet/psks.ts';
import { RecordSplitter } from '../src/module/bridge/record-splitter.ts';
import { readTrafficKeys } from '../src/module/bridge/traffic-keys.ts';
import { TrafficKeyTag } from '../src/module/protocol.ts';
import { readTlvs, writeTlvs } from '../src/module/tlv.ts';
import { FrameSplitter, frame } from '../src/node/module/framing.ts';
import { concat } from '../src/wire/writer.ts';
import {
  Card,
  cardWith,
  cardWithPsks,
  createStore,
  MemoryStorage,
  openState,
  openStore,
  pskObject,
} from '../test/unit/module/kit.ts';
import { decoder, type Target, tryAll } from './target.ts';

/** What a module answers, and what is said to one: cards of others, and whoever reaches its socket. */

const isMore = 0x80;
const byP1: ChainRule = ({ p1 }) => ({ p1: p1 & ~isMore, more: (p1 & isMore) !== 0 });

function trafficKeys(): Uint8Array {
  const secret = new Uint8Array(32).fill(5);
  const sequence = new Uint8Array(6);
  return writeTlvs([
    { tag: TrafficKeyTag.version, value: Uint8Array.of(3, 4) },
    { tag: TrafficKeyTag.suite, value: Uint8Array.of(0x13, 1) },
    { tag: TrafficKeyTag.readSecret, value: secret },
    { tag: TrafficKeyTag.writeSecret, value: secret },
    { tag: TrafficKeyTag.readSequence, value: sequence },
    { tag: TrafficKeyTag.writeSequence, value: sequence },
    { tag: TrafficKeyTag.sendLimit, value: Uint8Array.of(0x40, 0) },
  ]);
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

function cardWithEverything(): Card {
  const psks = [
    pskObject('one', new Uint8Array(16).fill(1)),
    pskObject('two', new Uint8Array(32).fill(2), 2),
  ];
  return cardWith({ algorithm: 3, alias: 'certified' }, cardWithPsks('client', psks));
}

/** Of state that could be read, everything can be used and written again. */
function useState(storage: MemoryStorage): void {
  const state = openState(storage);
  for (const { alias, psks } of state.identities) {
    for (const { identity } of psks)
      if (findPsk(psks, identity) === undefined) throw new Error('A key got lost');
    state.identity(alias);
  }
  state.setPin('user', state.pin('user'));
  const { identities } = openState(storage);
  if (identities.length !== state.identities.length) throw new Error('An identity got lost');
}

export const MODULE_TARGETS: readonly Target[] = [
  decoder(
    'module-store',
    () => cardWithEverything().storage.slots.flatMap((slot) => slot ?? []),
    (input) => {
      const storage = new MemoryStorage();
      storage.slots[0] = input;
      openStore(storage);
    },
  ),
  decoder(
    'module-state',
    () => [openStore(cardWithEverything().storage).state, openStore(new Card().storage).state],
    (input) => {
      const storage = new MemoryStorage();
      createStore(storage, input);
      useState(storage);
    },
  ),
  decoder(
    'module-answers',
    () => [trafficKeys(), encodeResponse({ data: new Uint8Array(9), status: 0x9000 })],
    (input) => {
      tryAll(input, [parseResponse, readTrafficKeys]);
      if (!same(writeTlvs(readTlvs(input, 'test')), input)) throw new Error('not the same fields');
    },
  ),
  decoder(
    'module-chains',
    () => {
      const command = { cla: 0x10, ins: 0xda, p1: 1, p2: 0, data: new Uint8Array(40), le: 0 };
      const chain = [command, { ...command, p1: 1 | isMore }, { ...command, cla: 0 }];
      return [concat(chain.map((one) => new Uint8Array(frame(encodeCommand(one, 'short')))))];
    },
    (input) => {
      // Each after the other, as the module's socket brings them.
      const joiner = new CommandJoiner(byP1);
      const frames = new FrameSplitter();
      let held = 0;
      for (let at = 0; at < input.length; at += 9) {
        for (const apdu of frames.push(input.subarray(at, at + 9))) {
          held += apdu.length;
          const joined = joiner.push(parseCommand(apdu));
          if (joined.kind === 'whole' && joined.command.data.length > held)
            throw new Error('More was joined than came');
        }
      }
    },
  ),
  decoder(
    'module-records',
    () => [Uint8Array.of(22, 3, 1, 0, 2, 1, 2, 23, 3, 3, 0, 1, 9, 21, 3, 3, 0, 2, 1, 0)],
    (input) => {
      const splitter = new RecordSplitter();
      const out: Uint8Array[] = [];
      for (let at = 0; at < input.length; at += 3) out.push(...splitter.push(input.subarray(at, at + 3)));
      if (!same(concat([...out, splitter.rest()]), input)) throw new Error('not the same bytes');
    },
  ),
];

import {
  ConnectionCutter,
  type Conversation,
  type Cutter,
  LengthPrefixedCutter,
  LineCutter,
  type Unit,
} from './cutter.ts';
import { HttpConversation } from './http.ts';

/** @param max bytes of a unit */
export function conversation(unit: Unit, max: number): Conversation {
  switch (unit) {
    case 'http':
      return new HttpConversation();
    case 'connection':
      return alike(() => new ConnectionCutter());
    case 'line':
      return alike(() => new LineCutter());
    case 'length-prefixed':
      return alike(() => new LengthPrefixedCutter(max));
  }
}

function alike(make: () => Cutter): Conversation {
  return { forth: make(), back: make(), takeContinue: () => false, isUpgraded: false };
}

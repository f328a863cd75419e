import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { DtlsSocket } from '../../../src/node/dtls/index.ts';
import { SILENCE_LIMIT, watchSilence } from '../../../src/tunnel/sessions.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function watched() {
  const counts = { sent: 0, received: 0, dropped: 0 };
  const errors: NodeJS.ErrnoException[] = [];
  const socket = Object.assign(new EventEmitter(), {
    counts,
    destroy: (error: Error) => {
      errors.push(error);
      socket.emit('close');
    },
  });
  // Only what is watched of it is here: what was counted, and how it ends.
  watchSilence(socket as unknown as DtlsSocket);
  const pass = (sent: number, received: number): void => {
    socket.counts = {
      ...socket.counts,
      sent: socket.counts.sent + sent,
      received: socket.counts.received + received,
    };
    vi.advanceTimersByTime(SILENCE_LIMIT / 4);
  };
  return { socket, errors, pass };
}

describe('a server that has gone', () => {
  it('is given up when what is sent is not answered for the limit', () => {
    const { errors, pass } = watched();
    for (let n = 0; n < 3; n++) pass(1, 0);
    expect(errors).toEqual([]);
    pass(1, 0);
    expect(errors).toMatchObject([{ code: 'ERR_TUNNEL_SILENT' }]);
  });

  it('is not believed gone while it says something', () => {
    const { errors, pass } = watched();
    for (let n = 0; n < 20; n++) pass(1, n % 3 === 0 ? 1 : 0);
    expect(errors).toEqual([]);
  });

  it('is not believed gone while nothing is said to it', () => {
    const { errors, pass } = watched();
    for (let n = 0; n < 20; n++) pass(0, 0);
    expect(errors).toEqual([]);
  });

  it('is not watched any more when the session has closed', () => {
    const { socket, errors, pass } = watched();
    socket.emit('close');
    for (let n = 0; n < 20; n++) pass(1, 0);
    expect(errors).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

import { describe, expect, it } from 'vitest';
import { SignatureError } from '../../../src/errors/errors.ts';
import type { MultiplexedConnection } from '../../../src/mux/index.ts';
import { Pair } from './pair.ts';

/** What another sub-protocol of the session, as signing is one, asks of multiplexing. */

describe.each(['ports', 'channels'] as const)('in mode %s', (mode) => {
  const opened = () => {
    const pair = new Pair({ mode });
    const open = (application: string): { near: MultiplexedConnection; far: MultiplexedConnection } => {
      const near = pair.client.session.open(application);
      pair.settle();
      const event = pair.server.events().find(({ type }) => type === 'connection');
      if (event === undefined) throw new Error('the server saw no connection');
      event.connection.accept();
      pair.settle();
      return { near, far: event.connection };
    };
    return { pair, echo: open('echo'), sink: open('sink') };
  };

  it('each side finds the connection that the other names, and no other', () => {
    const { pair, echo, sink } = opened();
    const { client, server } = pair;
    for (const { near, far } of [echo, sink]) {
      expect(near.address).toHaveLength(4);
      expect(server.session.find(near.address as Uint8Array)).toBe(far);
      expect(client.session.find(far.address as Uint8Array)).toBe(near);
    }
    expect(server.session.find(Uint8Array.of(0xff, 0xf0, 0xff, 0xf1))).toBeUndefined();
    expect(server.session.find(new Uint8Array(4))).toBeUndefined();
    // A record of another kind is no place to open a connection.
    expect(server.events()).toEqual([]);
  });

  it('one that is gone is not found', () => {
    const { pair, echo } = opened();
    const address = new Uint8Array(echo.near.address as Uint8Array);
    echo.near.abort();
    pair.settle();
    pair.server.events();
    expect(pair.server.session.find(address)).toBeUndefined();
  });

  it('the guard sees the name and the data before anybody else, and what it throws ends the session', () => {
    const { pair, echo, sink } = opened();
    const seen: [string, string][] = [];
    const refusal = new SignatureError('ERR_SIGN_UNSIGNED', 'not this way');
    pair.server.protocol.guard = (name, data) => {
      seen.push([name, Buffer.from(data).toString()]);
      if (name === 'sink') throw refusal;
    };
    echo.near.write(Buffer.from('hello'));
    pair.settle();
    expect(Buffer.from(echo.far.read() ?? []).toString()).toBe('hello');
    // What the server says is none of its own guard's business.
    echo.far.write(Buffer.from('back'));
    pair.settle();
    sink.near.write(Buffer.from('plain'));
    expect(() => pair.settle()).toThrow(refusal);
    expect(seen).toEqual([
      ['echo', 'hello'],
      ['sink', 'plain'],
    ]);
    expect(sink.far.read()).toBeUndefined();
  });
});

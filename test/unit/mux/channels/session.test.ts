import { describe, expect, it } from 'vitest';
import { AlertDescription } from '../../../../src/errors/alerts.ts';
import { alertFor, RefusedError } from '../../../../src/errors/errors.ts';
import { MessageType } from '../../../../src/mux/channels/message.ts';
import {
  CREDIT_MAX,
  PACKET_MAX,
  UNANSWERED_OPENINGS_MAX,
  WINDOW_FLOOR,
  WINDOW_INITIAL,
} from '../../../../src/mux/limits.ts';
import { ascii, bytes, text, thrown } from '../pair.ts';
import {
  accepted,
  acknowledgment,
  channels,
  close,
  confirmation,
  echec,
  end,
  opened,
  request,
  said,
  say,
  success,
} from './kit.ts';

const types = (events: { type: string }[]): string[] => events.map(({ type }) => type);
const ID = 0x0000_0001;

/** What a side did to a channel because of its peer: code of the failure, and what it told the peer. */
function closedWith(pair: ReturnType<typeof channels>, code: string, id = ID): void {
  const failed = pair.server.events().at(-1);
  expect(failed).toMatchObject({ type: 'failed', error: { code } });
  expect(said(pair.server).filter((message) => 'type' in message && message.type !== 7)).toEqual([close(id)]);
}

describe('opening', () => {
  it('asks, and data waits until it is accepted', () => {
    const pair = channels();
    const near = pair.client.session.open('echo', { localPort: 4711, localAddress: '192.0.2.1' });
    near.write(ascii('hello'));
    expect(near.isOpen).toBe(false);
    expect(near.address).toBeUndefined();
    expect(said(pair.client)).toEqual([
      {
        ...request(0, { window: WINDOW_INITIAL, maxPacket: PACKET_MAX }),
        source: { address: '192.0.2.1', port: 4711 },
      },
    ]);
    say(pair.client, success(0, 1));
    expect(types(pair.client.events())).toEqual(['confirmed']);
    expect(near.address).toEqual(Uint8Array.of(0, 0, 0, 1));
    expect(said(pair.client)).toEqual([{ channel: ID, data: 'hello' }]);
  });

  it('tells the acceptor the name and where it comes from', () => {
    const pair = channels();
    say(pair.server, request(0));
    const [event] = pair.server.events();
    expect(event).toMatchObject({
      type: 'connection',
      connection: { application: { name: 'echo', port: 0 }, sourceAddress: '127.0.0.1', remotePort: 1234 },
    });
    event?.connection.accept();
    expect(said(pair.server)).toEqual([{ ...success(0, 1, WINDOW_INITIAL), maxPacket: PACKET_MAX }]);
  });

  it('what the acceptor wrote, or ended, before it accepted follows the acceptance', () => {
    const pair = channels();
    say(pair.server, request(0), request(2));
    const [written, ended] = pair.server.events().map(({ connection }) => connection);
    written?.write(ascii('220'));
    ended?.end();
    written?.accept();
    ended?.accept();
    expect(said(pair.server).slice(2)).toEqual([end(0x0002_0003), { channel: ID, data: '220' }]);
  });

  it('is both sides’: the server opens with odd ids', () => {
    const pair = channels();
    const near = pair.server.session.open('backup');
    pair.settle();
    const [event] = pair.client.events();
    expect(event).toMatchObject({ type: 'connection', connection: { application: { name: 'backup' } } });
    event?.connection.accept();
    event?.connection.write(ascii('hi'));
    pair.settle();
    expect(types(pair.server.events())).toEqual(['confirmed', 'readable']);
    expect(text(near)).toBe('hi');
    expect(near.address).toEqual(Uint8Array.of(0, 1, 0, 0));
  });

  it('at once from both sides does not collide', () => {
    const pair = channels();
    const one = pair.client.session.open('echo');
    const two = pair.server.session.open('echo');
    pair.settle();
    for (const side of [pair.client, pair.server])
      for (const { connection } of side.events()) connection.accept();
    pair.settle();
    expect([one.address, two.address]).toEqual([Uint8Array.of(0, 0, 0, 3), Uint8Array.of(0, 1, 0, 2)]);
  });

  it('a refusal comes with the reason', () => {
    const pair = channels();
    const near = pair.client.session.open('echo');
    pair.settle();
    pair.server.events()[0]?.connection.refuse('the database is down\n\u001b[31m');
    pair.settle();
    const [failed] = pair.client.events();
    expect(failed).toMatchObject({ type: 'failed', error: { code: 'ERR_MUX_REFUSED' } });
    expect(near.error).toBeInstanceOf(RefusedError);
    expect((near.error as RefusedError).reason).toBe('the database is down\n\u001b[31m');
    expect(near.error?.message).toContain('the database is down');
    expect(near.error?.message).not.toMatch(/\p{Cc}/u);
    expect(pair.client.session.connections).toBe(0);
  });

  it.each([
    ['an application that is not served', request(0, { name: 'other' }), 'does not serve'],
    ['a destination, where they are not offered', request(0, { name: 'db.test', port: 5432 }), 'not offered'],
    ['a window above 2^31-1', request(0, { window: CREDIT_MAX + 1 }), 'window'],
    ['a packet length of 0', request(0, { maxPacket: 0 }), 'packet length'],
  ])('%s is refused, and nobody hears of it', (_what, message, reason) => {
    const pair = channels();
    say(pair.server, message);
    expect(pair.server.events()).toEqual([]);
    expect(said(pair.server)).toMatchObject([
      { type: MessageType.RequestEchecChannel, sender: 0, error: expect.stringContaining(reason) },
    ]);
  });

  it('a destination goes to the adapter, where they are offered', () => {
    const pair = channels({}, { destinations: true });
    pair.client.session.open({ host: 'db.test', port: 5432 });
    pair.settle();
    expect(pair.server.events()).toMatchObject([
      { type: 'connection', connection: { destination: { host: 'db.test', port: 5432 } } },
    ]);
  });

  it.each([
    ['a port', 7, 'ERR_MUX_UNKNOWN_APPLICATION'],
    ['an empty name', '', 'ERR_TLS_OPTION'],
    ['a name of 17', 'a'.repeat(17), 'ERR_TLS_OPTION'],
    ['a word of the protocol', 'ALL', 'ERR_TLS_OPTION'],
    ['a host with a space', { host: 'a b', port: 1 }, 'ERR_TLS_OPTION'],
    ['port 0', { host: 'a', port: 0 }, 'ERR_TLS_OPTION'],
    ['port 65536', { host: 'a', port: 65_536 }, 'ERR_TLS_OPTION'],
  ])('to %s: %s', (_what, target, code) => {
    const pair = channels();
    expect(thrown(() => pair.client.session.open(target))).toMatchObject({ code });
    expect(said(pair.client)).toEqual([]);
  });

  it('given up before the answer: the channel is closed when it comes', () => {
    const pair = channels();
    pair.client.session.open('echo').abort();
    pair.client.session.open('echo').abort();
    expect(said(pair.client)).toHaveLength(2);
    say(pair.client, success(0, 1), echec(2));
    expect(said(pair.client)).toEqual([close(ID)]);
    say(pair.client, confirmation(ID));
    expect(pair.client.events()).toEqual([]);
    expect(pair.client.session.stats()).toMatchObject({ connections: 0, committed: 0 });
  });
});

describe('new-channel back-pressure', () => {
  it('leaves no more openings unanswered than the peer will hear of', () => {
    const pair = channels();
    for (let i = 0; i < UNANSWERED_OPENINGS_MAX + 10; i++) pair.client.session.open('echo');
    const asked = said(pair.client);
    expect(asked).toHaveLength(UNANSWERED_OPENINGS_MAX);
    say(pair.client, success(0, 1), echec(2));
    expect(said(pair.client)).toMatchObject([
      { sender: UNANSWERED_OPENINGS_MAX * 2 },
      { sender: UNANSWERED_OPENINGS_MAX * 2 + 2 },
    ]);
  });

  it('asks for those that wait in their order, without those that were given up meanwhile', () => {
    const pair = channels({ maxConnections: 3_000 });
    const all = Array.from({ length: UNANSWERED_OPENINGS_MAX + 6 }, () => pair.client.session.open('echo'));
    said(pair.client);
    const first = UNANSWERED_OPENINGS_MAX * 2;
    all[UNANSWERED_OPENINGS_MAX]?.abort();
    all[UNANSWERED_OPENINGS_MAX + 2]?.abort();
    say(pair.client, echec(0), echec(2));
    expect(said(pair.client)).toMatchObject([{ sender: first + 2 }, { sender: first + 6 }]);
    say(pair.client, echec(4), echec(6), echec(8));
    expect(said(pair.client)).toMatchObject([{ sender: first + 8 }, { sender: first + 10 }]);
    // Nobody waits, and one answer is left.
    pair.client.session.open('echo');
    expect(said(pair.client)).toMatchObject([{ sender: first + 12 }]);
    pair.client.session.open('echo');
    expect(said(pair.client)).toEqual([]);
    say(pair.client, echec(10));
    expect(said(pair.client)).toMatchObject([{ sender: first + 14 }]);
  });

  it('refuses what comes beyond, and holds nothing of it', () => {
    const pair = channels();
    for (let i = 0; i < UNANSWERED_OPENINGS_MAX + 2; i++) say(pair.server, request(i * 2));
    expect(pair.server.events()).toHaveLength(UNANSWERED_OPENINGS_MAX);
    expect(said(pair.server)).toMatchObject([
      { type: MessageType.RequestEchecChannel, sender: UNANSWERED_OPENINGS_MAX * 2 },
      { type: MessageType.RequestEchecChannel, sender: UNANSWERED_OPENINGS_MAX * 2 + 2 },
    ]);
    expect(pair.server.session.stats().committed).toBe(0);
  });

  it('a peer that opens channels without end gets to maxConnections', () => {
    const pair = channels({}, { maxConnections: 5 });
    for (let i = 0; i < 10; i++) {
      say(pair.server, request(i * 2));
      for (const { connection } of pair.server.events()) connection.accept();
    }
    expect(pair.server.session.connections).toBe(5);
    const answers = said(pair.server).map((message) => ('type' in message ? message.type : 0));
    expect(answers).toEqual([2, 2, 2, 2, 2, 3, 3, 3, 3, 3]);
  });

  it('here it is ERR_MUX_LIMIT', () => {
    const pair = channels({ maxConnections: 2 });
    pair.client.session.open('echo');
    pair.client.session.open('echo');
    expect(thrown(() => pair.client.session.open('echo'))).toMatchObject({ code: 'ERR_MUX_LIMIT' });
  });
});

describe('the end', () => {
  it('is said when all data has gone, and the channel is free when both have said it', () => {
    const { pair, far } = accepted({}, 3);
    far.write(ascii('hello'));
    far.end();
    expect(far.drained()).toBe(false);
    expect(said(pair.server)).toEqual([{ channel: ID, data: 'hel' }]);
    say(pair.server, acknowledgment(ID, 100));
    expect(said(pair.server)).toEqual([{ channel: ID, data: 'lo' }, end(ID)]);
    expect(types(pair.server.events())).toEqual(['drained']);
    say(pair.server, { channel: ID, data: 'bye' }, end(ID));
    expect(pair.server.session.connections).toBe(1);
    expect(text(far)).toBe('bye');
    expect(far.ended).toBe(true);
    expect(pair.server.session.connections).toBe(0);
    expect(pair.server.session.stats().committed).toBe(0);
    // An acknowledgment may have been on its way; the opener's id may come again.
    say(pair.server, acknowledgment(ID, 3), request(0));
    expect(types(pair.server.events())).toContain('connection');
  });

  it('CloseChannel closes both directions, and is confirmed', () => {
    const { pair, far } = accepted();
    far.write(new Uint8Array(5_000));
    said(pair.server);
    say(pair.server, close(ID));
    expect(pair.server.events()).toMatchObject([{ type: 'failed', error: { code: 'ERR_MUX_ABORTED' } }]);
    expect(said(pair.server)).toEqual([confirmation(ID)]);
    expect(pair.server.session.stats()).toMatchObject({ connections: 0, committed: 0 });
  });

  it('after CloseChannel the peer’s messages for it are discarded until it confirms', () => {
    const { pair, far } = accepted();
    far.abort();
    expect(said(pair.server)).toEqual([close(ID)]);
    say(pair.server, { channel: ID, data: 'late' }, acknowledgment(ID, 5), end(ID), confirmation(ID));
    expect(pair.server.events()).toEqual([]);
    expect(said(pair.server)).toEqual([]);
    const error = thrown(() => say(pair.server, { channel: ID, data: 'too late' }));
    expect(error).toMatchObject({ code: 'ERR_TLS_ILLEGAL_PARAMETER' });
  });

  it('when both close at once, each confirms', () => {
    const { pair, far } = accepted();
    far.abort();
    said(pair.server);
    say(pair.server, close(ID));
    expect(said(pair.server)).toEqual([confirmation(ID)]);
    say(pair.server, confirmation(ID), request(0));
    expect(types(pair.server.events())).toEqual(['connection']);
  });

  it('a CloseChannel that crossed our EndOfData is confirmed all the same', () => {
    const { pair, far } = accepted();
    say(pair.server, end(ID));
    far.end();
    said(pair.server);
    say(pair.server, close(ID));
    expect(said(pair.server)).toEqual([confirmation(ID)]);
  });

  it('of a closed channel: the peer has a minute to end', () => {
    const { pair, far } = accepted();
    far.end();
    far.close(1_000);
    expect(pair.server.session.nextTimeout(1_000)).toBeLessThanOrEqual(61_000);
    said(pair.server);
    pair.server.session.handleTimeout(61_000);
    expect(said(pair.server)).toContainEqual(close(ID));
  });
});

describe('bad input closes the channel', () => {
  it('data above the window: ERR_MUX_FLOW_CONTROL', () => {
    const { pair, far } = accepted({ receiveBuffer: 65_536 });
    for (let i = 0; i < 4; i++) say(pair.server, { channel: ID, data: 'x'.repeat(16_384) });
    expect(types(pair.server.events())).toEqual(['readable']);
    expect(far.unread).toBe(65_536);
    say(pair.server, { channel: ID, data: 'x' });
    closedWith(pair, 'ERR_MUX_FLOW_CONTROL');
    expect(pair.server.session.stats().committed).toBe(0);
  });

  it('data above max_packet_length: ERR_MUX_FLOW_CONTROL', () => {
    const { pair } = accepted();
    say(pair.server, { channel: ID, data: 'x'.repeat(PACKET_MAX + 1) });
    closedWith(pair, 'ERR_MUX_FLOW_CONTROL');
  });

  it('a credit above 2^31-1: ERR_MUX_FLOW_CONTROL', () => {
    const { pair } = accepted({}, CREDIT_MAX);
    say(pair.server, acknowledgment(ID, 0));
    expect(pair.server.events()).toEqual([]);
    say(pair.server, acknowledgment(ID, 1));
    closedWith(pair, 'ERR_MUX_FLOW_CONTROL');
  });

  it('data after EndOfData: ERR_MUX_ABORTED', () => {
    const { pair } = accepted();
    say(pair.server, end(ID), { channel: ID, data: 'more' });
    closedWith(pair, 'ERR_MUX_ABORTED');
  });

  it('EndOfData twice: ERR_MUX_ABORTED', () => {
    const { pair } = accepted();
    say(pair.server, end(ID), end(ID));
    closedWith(pair, 'ERR_MUX_ABORTED');
  });

  it('an acceptor that offers a window above 2^31-1: ERR_MUX_FLOW_CONTROL, others go on', () => {
    const pair = channels();
    const near = pair.client.session.open('echo');
    const other = pair.client.session.open('echo');
    said(pair.client);
    say(pair.client, success(0, 1, CREDIT_MAX + 1), success(2, 3));
    expect(near.error).toMatchObject({ code: 'ERR_MUX_FLOW_CONTROL' });
    expect(said(pair.client)).toEqual([close(ID)]);
    expect(other.isOpen).toBe(true);
  });
});

describe('bad input ends the session', () => {
  it.each([
    ['data for an id that never was', { channel: 0x0002_0003, data: 'x' }],
    ['an acknowledgment for an id that never was', acknowledgment(0x0002_0003, 1)],
    ['a close of an id that never was', close(0x0002_0003)],
    ['a confirmation for an id that never was', confirmation(0x0002_0003)],
    ['an end for an id that never was', end(0x0002_0003)],
    ['an id of two even halves', close(0x0002_0004)],
    ['an id of two odd halves', close(0x0003_0001)],
    ['data for channel 0', { channel: 0, data: 'x' }],
    ['a confirmation of what was not closed', confirmation(ID)],
    ['an opening with an id of this side', request(1)],
    ['an opening with an id in use', request(0)],
    ['an answer to what was not asked for', success(1, 2)],
    ['a refusal of what was not asked for', echec(1)],
  ])('%s: illegal_parameter', (_what, message) => {
    const { pair } = accepted();
    const error = thrown(() => say(pair.server, message));
    expect(error).toMatchObject({ code: 'ERR_TLS_ILLEGAL_PARAMETER' });
    expect(alertFor(error)).toBe(AlertDescription.illegal_parameter);
  });

  it.each([
    ['an acceptance with an id of this side', success(0, 2)],
    ['an acceptance with an id in use', success(2, 1)],
  ])('%s: illegal_parameter', (_what, message) => {
    const pair = channels();
    pair.client.session.open('echo');
    pair.client.session.open('echo');
    said(pair.client);
    if (message.sender === 2) say(pair.client, success(0, 1));
    expect(thrown(() => say(pair.client, message))).toMatchObject({ code: 'ERR_TLS_ILLEGAL_PARAMETER' });
  });

  it('data before the channel was accepted: illegal_parameter', () => {
    const pair = channels();
    pair.client.session.open('echo');
    expect(thrown(() => say(pair.client, { channel: ID, data: 'x' }))).toMatchObject({
      code: 'ERR_TLS_ILLEGAL_PARAMETER',
    });
  });

  it('EndOfData where the draft alone was agreed on: unexpected_message', () => {
    const pair = channels({ halfClose: false });
    const { id } = opened(pair);
    const error = thrown(() => say(pair.server, end(id)));
    expect(error).toMatchObject({ code: 'ERR_TLS_UNEXPECTED_MESSAGE' });
    expect(alertFor(error)).toBe(AlertDescription.unexpected_message);
  });

  it('a message of a type that does not exist: decode_error', () => {
    const { pair } = accepted();
    expect(thrown(() => pair.server.receive(Uint8Array.of(99)))).toMatchObject({ code: 'ERR_TLS_DECODE' });
  });
});

describe('the draft alone', () => {
  it('ends with CloseChannel, which is no failure', () => {
    const pair = channels({ halfClose: false });
    expect(pair.client.session.agreement).toEqual({ mode: 'channels', halfClose: false });
    const { near, far } = opened(pair);
    near.write(ascii('all'));
    near.end();
    pair.settle();
    expect(types(pair.server.events())).toEqual(['readable']);
    expect(text(far)).toBe('all');
    expect(far.ended).toBe(true);
    expect(near.ended).toBe(true);
    expect(pair.client.session.connections + pair.server.session.connections).toBe(0);
  });

  it('says nothing of its own: no keep-alive, no question', () => {
    const pair = channels({ halfClose: false });
    opened(pair);
    expect(pair.client.session.nextTimeout(0)).toBeUndefined();
    expect(said(pair.client)).toEqual([]);
  });
});

describe('keep-alive', () => {
  it('asks after silence, and is content with an answer', () => {
    const pair = channels({ keepAlive: 1_000, keepAliveTimeout: 500 });
    const { session } = pair.client;
    expect(session.nextTimeout(0)).toBe(1_000);
    session.handleTimeout(1_000);
    expect(session.nextTimeout(1_000)).toBe(1_500);
    pair.client.now = 1_040;
    pair.settle();
    expect(session.nextTimeout(1_040)).toBe(1_500);
    expect(session.stats().roundTrip).toBe(40);
    session.handleTimeout(1_500);
    expect(pair.client.failure).toBeUndefined();
    expect(session.nextTimeout(1_500)).toBe(2_500);
  });

  it('ends the session when nothing comes', () => {
    const pair = channels({ keepAlive: 1_000, keepAliveTimeout: 500 });
    const { session } = pair.client;
    session.nextTimeout(0);
    session.handleTimeout(1_000);
    session.handleTimeout(1_500);
    expect(pair.client.failure).toMatchObject({ code: 'ERR_MUX_KEEP_ALIVE' });
    expect(alertFor(pair.client.failure)).toBe(AlertDescription.user_canceled);
  });

  it('0 switches it off', () => {
    expect(channels({ keepAlive: 0 }).client.session.nextTimeout(0)).toBeUndefined();
  });

  it('a channel on which nothing moves is closed after idleTimeout, others stay', () => {
    const pair = channels({ idleTimeout: 1_000, keepAlive: 0 });
    const idle = opened(pair).near;
    const busy = opened(pair).near;
    const { session } = pair.client;
    expect(session.nextTimeout(0)).toBe(1_000);
    session.handleTimeout(1_000);
    busy.write(ascii('x'));
    pair.settle();
    session.handleTimeout(2_000);
    expect(idle.error).toMatchObject({ code: 'ERR_MUX_TIMEOUT' });
    expect(busy.error).toBeUndefined();
    pair.settle();
    expect(pair.server.events()).toContainEqual(
      expect.objectContaining({
        type: 'failed',
        error: expect.objectContaining({ code: 'ERR_MUX_ABORTED' }),
      }),
    );
  });
});

describe('whose turn it is', () => {
  it('slices of at most one record, in turn', () => {
    const pair = channels();
    const bulk = opened(pair).near;
    const small = opened(pair).near;
    bulk.write(new Uint8Array(50_000));
    small.write(ascii('now'));
    const order = said(pair.client).map((message) => ('data' in message ? message.data.length : 0));
    expect(order[1]).toBe(3);
    expect(Math.max(...order)).toBeLessThanOrEqual(16_384);
  });

  it('a higher priority first, a lower one not never', () => {
    const pair = channels();
    const low = pair.client.session.open('echo', { priority: 'low' });
    const high = pair.client.session.open('echo', { priority: 'high' });
    said(pair.client);
    say(pair.client, success(0, 1, 1_000_000), success(2, 3, 1_000_000));
    low.write(new Uint8Array(100_000));
    high.write(new Uint8Array(300_000));
    const order = said(pair.client).map((message) => ('channel' in message ? message.channel : -1));
    expect(order.slice(0, 8)).toEqual(Array(8).fill(0x0002_0003));
    expect(order.slice(0, 9)).toContain(ID);
    expect(order.at(-1)).toBe(ID);
  });

  it('many small writes of one channel share a message', () => {
    const { pair, far } = accepted();
    for (const letter of 'hello') far.write(ascii(letter));
    expect(said(pair.server)).toEqual([{ channel: ID, data: 'hello' }]);
  });
});

describe('the session’s end', () => {
  it('fails every channel with ERR_MUX_SESSION_CLOSED, whatever its state', () => {
    const pair = channels({ maxConnections: 3_000 });
    const { near } = opened(pair);
    const waiting = Array.from({ length: UNANSWERED_OPENINGS_MAX + 1 }, () =>
      pair.client.session.open('echo'),
    );
    pair.client.protocol.closed(new Error('cable'));
    const events = pair.client.events();
    expect(events).toHaveLength(waiting.length + 1);
    for (const event of events)
      expect(event).toMatchObject({ type: 'failed', error: { code: 'ERR_MUX_SESSION_CLOSED' } });
    expect(near.error?.message).toContain('cable');
    expect(pair.client.session.stats()).toMatchObject({ connections: 0, committed: 0 });
    expect(thrown(() => pair.client.session.open('echo'))).toMatchObject({ code: 'ERR_MUX_SESSION_CLOSED' });
  });

  it('leaves what was received and ended readable', () => {
    const { pair, far } = accepted();
    say(pair.server, { channel: ID, data: 'all of it' }, end(ID));
    far.end();
    pair.server.protocol.closed(undefined);
    expect(text(far)).toBe('all of it');
    expect(far.error).toBeUndefined();
  });
});

describe('credit', () => {
  it('is given back when half of the window was read', () => {
    const { pair, far } = accepted();
    for (let i = 0; i < 2; i++) say(pair.server, { channel: ID, data: 'x'.repeat(16_000) });
    bytes(far);
    // Nothing but the question for the round trip, which the first data brings.
    expect(said(pair.server)).toEqual([acknowledgment(0, 1)]);
    say(pair.server, { channel: ID, data: 'x'.repeat(768) });
    bytes(far);
    expect(said(pair.server)).toContainEqual(acknowledgment(ID, 32_768));
  });

  it('a peer that takes a byte at a time gets a byte at a time', () => {
    const { pair, far } = accepted({}, 1);
    far.write(ascii('abc'));
    expect(said(pair.server)).toEqual([{ channel: ID, data: 'a' }]);
    say(pair.server, acknowledgment(ID, 1));
    expect(said(pair.server)).toEqual([{ channel: ID, data: 'b' }]);
    expect(WINDOW_FLOOR).toBeGreaterThan(0);
  });
});

import { describe, expect, it } from 'vitest';
import { AlertDescription } from '../../../src/errors/alerts.ts';
import { alertFor } from '../../../src/errors/errors.ts';
import { UNANSWERED_MAX } from '../../../src/mux/limits.ts';
import { ascii, bytes, control, ECHO, frame, join, Pair, SINK, sentBy, text, thrown } from './pair.ts';

const P = 49_152;
const types = (events: { type: string }[]): string[] => events.map(({ type }) => type);

describe('opening', () => {
  it('sends one control frame, and data may follow at once', () => {
    const pair = new Pair();
    const near = pair.client.session.open('echo');
    near.write(ascii('hi'));
    expect(sentBy(pair.client)).toEqual([`open ${P},7`, `${P}>7:hi`]);
  });

  it('reaches an application that speaks first', () => {
    const pair = new Pair();
    const { near, far } = pair.open('sink');
    expect(far).toMatchObject({ application: SINK, clientPort: P });
    far.write(ascii('220 ready'));
    pair.settle();
    expect(types(pair.client.events())).toEqual(['readable']);
    expect(text(near)).toBe('220 ready');
  });

  it('tells of connection, then of its data, once for all that came', () => {
    const pair = new Pair();
    const near = pair.client.session.open('echo');
    near.write(ascii('a'));
    pair.deliver(pair.client);
    near.write(ascii('b'));
    near.end();
    pair.deliver(pair.client);
    expect(types(pair.server.events())).toEqual(['connection', 'readable']);
    expect(types(pair.server.events())).toEqual([]);
  });

  it('takes data for an unknown pair as an opening, as the draft has it', () => {
    const pair = new Pair();
    pair.server.receive(frame(40_000, 7, 'hello'));
    const events = pair.server.events();
    expect(types(events)).toEqual(['connection', 'readable']);
    expect(events[0]?.connection).toMatchObject({ application: ECHO, clientPort: 40_000 });
    expect(events[0] && text(events[0].connection)).toBe('hello');
    expect(sentBy(pair.server)).toEqual([]);
  });

  it('takes an end of stream for an unknown pair as a connection without data', () => {
    const pair = new Pair();
    pair.server.receive(frame(40_000, 7));
    const [opened] = pair.server.events();
    expect(opened?.connection.ended).toBe(true);
    opened?.connection.end();
    expect(sentBy(pair.server)).toEqual(['7>40000:']);
    expect(pair.server.session.connections).toBe(0);
  });

  it.each([
    ['a name', 'sink', SINK],
    ['a port', 9, SINK],
    ['both', SINK, SINK],
  ])('finds the application by %s', (_what, reference, application) => {
    expect(new Pair().client.session.open(reference).application).toEqual(application);
  });

  it.each([
    ['a name that was not agreed', 'http'],
    ['a port that was not agreed', 80],
    ['a name at another port', { name: 'echo', port: 9 }],
  ])('%s: ERR_MUX_UNKNOWN_APPLICATION, and nothing is sent', (_what, reference) => {
    const pair = new Pair();
    const error = thrown(() => pair.client.session.open(reference));
    expect(error).toMatchObject({ code: 'ERR_MUX_UNKNOWN_APPLICATION' });
    expect(sentBy(pair.client)).toEqual([]);
  });

  it('is the client’s: the server cannot', () => {
    expect(thrown(() => new Pair().server.session.open('echo'))).toMatchObject({ code: 'ERR_TLS_OPTION' });
  });

  describe('when every port is an application', () => {
    const any = () => new Pair({}, { any: true, applications: [ECHO] });
    it('opens by port, or by both; the server knows the names that it has', () => {
      const pair = any();
      pair.client.session.open(7);
      pair.client.session.open({ name: 'ssh', port: 22 });
      pair.settle();
      expect(pair.server.events().map((event) => event.connection.application)).toEqual([
        ECHO,
        { name: '', port: 22 },
      ]);
    });
    it.each([
      ['a name alone', 'echo'],
      ['port 0', 0],
      ['port 65536', { name: 'x', port: 65_536 }],
      ['half a port', 7.5],
    ])('%s is no address', (_what, reference) => {
      expect(thrown(() => any().client.session.open(reference))).toMatchObject({
        code: 'ERR_MUX_UNKNOWN_APPLICATION',
      });
    });
  });
});

describe('ports of the client', () => {
  it('are taken from 49152 on, a new one each time', () => {
    const { client } = new Pair();
    expect([1, 2, 3].map(() => client.session.open('echo').localPort)).toEqual([P, P + 1, P + 2]);
  });
  it('are the local socket’s where that pair is free', () => {
    const { client } = new Pair();
    expect(client.session.open('echo', { localPort: 3456 }).localPort).toBe(3456);
    expect(client.session.open('sink', { localPort: 3456 }).localPort).toBe(3456);
    expect(client.session.open('echo', { localPort: 3456 }).localPort).toBe(P);
  });
  it.each([0, -1, 65_536, 1.5])('%s is none', (localPort) => {
    expect(thrown(() => new Pair().client.session.open('echo', { localPort }))).toMatchObject({
      code: 'ERR_TLS_OPTION',
    });
  });
  it('come round again, past those in use', () => {
    const pair = new Pair({ maxConnections: 20_000 }, { applications: [ECHO], maxConnections: 20_000 });
    const kept = pair.client.session.open('echo');
    for (let i = 1; i < 16_384; i++) pair.client.session.open('echo').abort();
    pair.settle();
    expect(kept.localPort).toBe(P);
    expect(pair.client.session.open('echo').localPort).toBe(P + 1);
  });
  it('can all be in use: ERR_MUX_LIMIT', () => {
    const pair = new Pair({ maxConnections: 20_000 });
    for (let i = 0; i < 16_384; i++) pair.client.session.open('echo');
    expect(thrown(() => pair.client.session.open('echo'))).toMatchObject({ code: 'ERR_MUX_LIMIT' });
    expect(pair.client.session.open('sink').localPort).toBeGreaterThanOrEqual(P);
  });
});

describe('end of stream', () => {
  it('is half of a close: the other direction goes on', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.write(ascii('last words'));
    near.end();
    pair.settle();
    expect(far.ended).toBe(false);
    expect(text(far)).toBe('last words');
    expect(far.ended).toBe(true);
    far.write(ascii('answer'));
    pair.settle();
    expect(text(near)).toBe('answer');
    expect(near.ended).toBe(false);
  });

  it.each(['client', 'server'] as const)('by both frees the pair, the %s first', (first) => {
    const pair = new Pair();
    const { near, far } = pair.open();
    (first === 'client' ? near : far).end();
    pair.settle();
    expect([pair.client.session.connections, pair.server.session.connections]).toEqual([1, 1]);
    (first === 'client' ? far : near).end();
    pair.settle();
    expect([pair.client.session.connections, pair.server.session.connections]).toEqual([0, 0]);
    expect(pair.client.session.open('echo', { localPort: near.localPort }).localPort).toBe(near.localPort);
  });

  it('by both at once frees the pair', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.end();
    far.end();
    pair.settle();
    expect([pair.client.session.connections, pair.server.session.connections]).toEqual([0, 0]);
    expect(near.ended && far.ended).toBe(true);
  });

  it('leaves what was received to be read, and counts the connection until then', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.write(ascii('unread'));
    near.end();
    far.end();
    pair.settle();
    expect([pair.client.session.connections, pair.server.session.connections]).toEqual([0, 1]);
    expect(text(far)).toBe('unread');
    expect(pair.server.session.connections).toBe(0);
  });

  it('allows no more data from here', () => {
    const { near } = new Pair().open();
    near.end();
    expect(thrown(() => near.write(ascii('x')))).toMatchObject({ code: 'ERR_TLS_CLOSED' });
  });

  it('is sent once', () => {
    const pair = new Pair();
    const { near } = pair.open();
    near.end();
    near.end();
    expect(sentBy(pair.client)).toEqual([`${P}>7:`]);
  });

  it.each([
    ['data after it', 'x'],
    ['a second one', ''],
  ])('%s aborts the connection, not the session', (_what, data) => {
    const pair = new Pair();
    const { near } = pair.open();
    pair.client.session.open('sink');
    pair.settle();
    near.end();
    pair.settle();
    pair.server.events();
    pair.server.receive(join(frame(P, 7, data), frame(P + 1, 9, 'fine')));
    const events = pair.server.events();
    expect(events).toMatchObject([
      { type: 'failed', error: { code: 'ERR_MUX_ABORTED' } },
      { type: 'readable', connection: { application: SINK } },
    ]);
    expect(sentBy(pair.server)).toEqual([`abort ${P},7`]);
  });
});

describe('refusing', () => {
  it('an application that is not served: code 1, answered by 2', () => {
    const pair = new Pair();
    pair.server.receive(control(40_000, 80, 0));
    expect(pair.server.events()).toEqual([]);
    expect(sentBy(pair.server)).toEqual(['refused 40000,80']);
    expect(pair.server.session.connections).toBe(0);
  });

  it('by the application’s policy', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.write(ascii('data under way'));
    far.refuse();
    pair.settle();
    expect(pair.client.events()).toMatchObject([{ type: 'failed', error: { code: 'ERR_MUX_REFUSED' } }]);
    expect(pair.server.events()).toEqual([]);
    expect([pair.client.session.connections, pair.server.session.connections]).toEqual([0, 0]);
    expect(thrown(() => near.write(ascii('x')))).toMatchObject({ code: 'ERR_MUX_REFUSED' });
    expect(near.read()).toBeUndefined();
  });

  it('beyond the limit of connections, until one is closed', () => {
    const pair = new Pair({}, { applications: [ECHO], maxConnections: 2 });
    const [first] = [pair.client.session.open('echo'), pair.client.session.open('echo')];
    const third = pair.client.session.open('echo');
    pair.settle();
    expect(pair.client.events()).toMatchObject([{ connection: { clientPort: third.localPort } }]);
    expect(third.error).toMatchObject({ code: 'ERR_MUX_REFUSED' });
    const [opened] = pair.server.events();
    first?.end();
    opened?.connection.end();
    pair.settle();
    const fourth = pair.client.session.open('echo');
    pair.settle();
    expect(fourth.error).toBeUndefined();
  });

  it('what the server opens: the client serves nothing', () => {
    const pair = new Pair();
    pair.client.receive(join(control(40_000, 7, 0), frame(7, 40_001, 'who are you')));
    expect(pair.client.events()).toEqual([]);
    expect(sentBy(pair.client)).toEqual(['refused 40000,7', 'refused 40001,7']);
  });

  it('discards what the pair still sends until the answer comes, then the pair is new', () => {
    const pair = new Pair();
    pair.server.receive(join(frame(40_000, 80, 'a'), frame(40_000, 80, 'b'), frame(40_000, 80)));
    pair.server.receive(join(control(40_000, 80, 0), frame(40_000, 80, 'c')));
    expect(sentBy(pair.server)).toEqual(['refused 40000,80']);
    pair.server.receive(join(control(40_000, 80, 2), frame(40_000, 80, 'd')));
    expect(sentBy(pair.server)).toEqual(['refused 40000,80']);
  });

  it('discards the rest of a frame that began before', () => {
    const pair = new Pair();
    const long = frame(40_000, 80, 'x'.repeat(100));
    pair.server.receive(long.subarray(0, 50));
    pair.server.receive(join(long.subarray(50), control(40_001, 7, 0)));
    expect(types(pair.server.events())).toEqual(['connection']);
  });
});

describe('aborting', () => {
  it.each(['client', 'server'] as const)(
    'by the %s is an error at the other side, and drops what is unread',
    (who) => {
      const pair = new Pair();
      const { near, far } = pair.open();
      near.write(ascii('to the server'));
      far.write(ascii('to the client'));
      pair.settle();
      pair.client.events();
      pair.server.events();
      const [here, there, other] = who === 'client' ? [near, far, pair.server] : [far, near, pair.client];
      here.abort();
      pair.settle();
      expect(other.events()).toMatchObject([{ type: 'failed', error: { code: 'ERR_MUX_ABORTED' } }]);
      expect([near.read(), far.read(), near.unread, far.unread]).toEqual([undefined, undefined, 0, 0]);
      expect(there.ended).toBe(false);
      expect([pair.client.session.connections, pair.server.session.connections]).toEqual([0, 0]);
    },
  );

  it('holds the pair back until the peer has answered', () => {
    const pair = new Pair();
    const { near } = pair.open();
    near.abort();
    const again = (): number => pair.client.session.open('echo', { localPort: P }).localPort;
    expect(again()).toBe(P + 1);
    pair.deliver(pair.client);
    expect(again()).toBe(P + 2);
    pair.deliver(pair.server);
    expect(again()).toBe(P);
  });

  it('lets frames pass by that were sent before the peer knew', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.abort();
    far.write(ascii('too late'));
    far.end();
    pair.settle();
    expect(pair.client.events()).toEqual([]);
    expect(near.read()).toBeUndefined();
  });

  it('by both at once needs no further answer', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.abort();
    far.abort();
    pair.client.session.flush();
    pair.server.session.flush();
    expect([pair.client.sent.records.length, pair.server.sent.records.length]).toEqual([1, 1]);
    pair.settle();
    expect([pair.client.sent.bytes, pair.server.sent.bytes]).toEqual([0, 0]);
    expect(pair.client.session.open('echo', { localPort: P }).localPort).toBe(P);
    pair.settle();
    expect(types(pair.server.events())).toEqual(['connection']);
  });

  it('a pair that is already free is answered all the same', () => {
    const pair = new Pair();
    pair.server.receive(control(40_000, 7, 2));
    pair.server.receive(control(40_001, 7, 1));
    expect(sentBy(pair.server)).toEqual(['abort 40000,7', 'abort 40001,7']);
    expect(pair.server.events()).toEqual([]);
  });

  it('crosses the end of stream that would have closed the pair', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    far.end();
    pair.settle();
    near.end(); // for the client the pair is free now
    far.abort(); // the server does not know yet
    pair.settle();
    expect([pair.client.session.connections, pair.server.session.connections]).toEqual([0, 0]);
    expect(pair.client.session.open('echo', { localPort: P }).localPort).toBe(P);
    pair.settle();
    expect(types(pair.server.events())).toEqual(['connection']);
  });

  it('once is enough, and after the close on the wire it is nobody’s business', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.write(ascii('unread'));
    near.end();
    far.end();
    pair.settle();
    far.abort();
    far.abort();
    far.refuse();
    expect(sentBy(pair.server)).toEqual([]);
    expect(pair.server.session.connections).toBe(0);
  });

  it('before it was announced is never told of', () => {
    const pair = new Pair();
    const near = pair.client.session.open('echo');
    near.write(ascii('x'));
    near.abort();
    pair.settle();
    expect(pair.server.events()).toEqual([]);
    expect(pair.server.session.connections).toBe(0);
  });

  it('mid-frame skips the rest of the frame and nothing else', () => {
    const pair = new Pair();
    const { far } = pair.open();
    const long = frame(P, 7, 'x'.repeat(100));
    pair.server.receive(long.subarray(0, 50));
    far.abort();
    pair.server.receive(join(long.subarray(50), control(40_001, 9, 0)));
    expect(pair.server.events()).toMatchObject([{ type: 'connection', connection: { application: SINK } }]);
  });
});

describe('closing', () => {
  it('after its end waits for the peer’s, silently', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.end();
    near.close(0);
    pair.settle();
    expect(pair.client.session.connections).toBe(1);
    expect(pair.client.session.nextTimeout(0)).toBe(60_000);
    far.end();
    pair.settle();
    expect(pair.client.events()).toEqual([]);
    expect(pair.client.session.connections).toBe(0);
    expect(pair.client.session.nextTimeout(0)).toBeUndefined();
    expect(pair.client.session.open('echo', { localPort: P }).localPort).toBe(P);
  });

  it('aborts when data comes instead', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    near.end();
    near.close(0);
    pair.settle();
    pair.server.events();
    far.write(ascii('anyone?'));
    pair.settle();
    expect(pair.server.events()).toMatchObject([{ type: 'failed', error: { code: 'ERR_MUX_ABORTED' } }]);
    expect(pair.client.events()).toEqual([]);
    expect([pair.client.session.connections, pair.server.session.connections]).toEqual([0, 0]);
  });

  it('aborts after 60 seconds, each in its time', () => {
    const pair = new Pair();
    const [first, second] = [pair.open(), pair.open()];
    for (const [{ near }, now] of [
      [first, 0],
      [second, 5_000],
    ] as const) {
      near.end();
      near.close(now);
    }
    pair.client.session.handleTimeout(60_000);
    pair.settle();
    expect([first.far.error?.code, second.far.error?.code]).toEqual(['ERR_MUX_ABORTED', undefined]);
    expect(pair.client.session.nextTimeout(60_000)).toBe(65_000);
  });

  it.each([
    ['before its end', false, ''],
    ['with something unread', true, 'unread'],
  ])('%s is an abort', (_what, ended, data) => {
    const pair = new Pair();
    const { near, far } = pair.open();
    far.write(ascii(data));
    pair.settle();
    if (ended) near.end();
    near.close(0);
    pair.settle();
    expect(far.error).toMatchObject({ code: 'ERR_MUX_ABORTED' });
  });

  it('after both ends only forgets what is unread', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    far.write(ascii('unread'));
    far.end();
    near.end();
    pair.settle();
    near.close(0);
    expect(sentBy(pair.client)).toEqual([]);
    expect(pair.client.session.connections).toBe(0);
  });

  it('is quiet about the end of the session', () => {
    const pair = new Pair();
    const { near } = pair.open();
    near.end();
    near.close(0);
    pair.client.protocol.closed(undefined);
    expect(pair.client.events()).toEqual([]);
    expect(pair.client.session.connections).toBe(0);
    expect(pair.client.session.nextTimeout(0)).toBeUndefined();
  });
});

describe('a pair in use', () => {
  it('cannot be opened: the connection on it is aborted, others go on', () => {
    const pair = new Pair();
    pair.open();
    const other = pair.open('sink');
    pair.server.receive(control(P, 7, 0));
    expect(pair.server.events()).toMatchObject([{ type: 'failed', error: { code: 'ERR_MUX_ABORTED' } }]);
    pair.settle();
    expect(pair.client.events()).toMatchObject([{ type: 'failed', error: { code: 'ERR_MUX_ABORTED' } }]);
    other.near.write(ascii('still here'));
    pair.settle();
    expect(text(other.far)).toBe('still here');
  });
});

describe('what ends the session', () => {
  it.each([
    ['a control frame that is too long', frame(0, 0, '123456'), 'ERR_TLS_DECODE', 'decode_error'],
    ['an empty control frame', frame(0, 0), 'ERR_TLS_DECODE', 'decode_error'],
    ['an unknown control code', control(1, 1, 3), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
    ['control for a port 0', control(0, 7, 0), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
    ['data from port 0', frame(0, 7, 'x'), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
    ['data to port 0', frame(7, 0, 'x'), 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter'],
  ] as const)('%s', (_what, content, code, alert) => {
    for (const side of ['client', 'server'] as const) {
      const error = thrown(() => new Pair()[side].receive(content));
      expect(error).toMatchObject({ code });
      expect(alertFor(error)).toBe(AlertDescription[alert]);
    }
  });

  it('more refusals unanswered than there are ports: unexpected_message', () => {
    const pair = new Pair();
    for (let i = 0; i < UNANSWERED_MAX; i++) pair.server.receive(control(1 + (i >>> 8), 256 + (i & 255), 0));
    const error = thrown(() => pair.server.receive(control(1, 80, 0)));
    // 80 was among the ports above only from 256 on, so this pair is a new one.
    expect(error).toMatchObject({ code: 'ERR_MUX_FLOOD' });
    expect(alertFor(error)).toBe(AlertDescription.unexpected_message);
  });

  it('as many as that, answered, are nothing', () => {
    const pair = new Pair();
    for (let i = 0; i < UNANSWERED_MAX + 10; i++) {
      pair.server.receive(join(control(1 + (i & 0x7fff), 80, 0), control(1 + (i & 0x7fff), 80, 2)));
    }
    expect(pair.server.events()).toEqual([]);
  });
});

describe('the end of the session', () => {
  it('fails what is open, with the cause; an end of the session is no end of a stream', () => {
    const pair = new Pair();
    const { near, far } = pair.open();
    const cause = new Error('cable cut');
    far.write(ascii('unread'));
    pair.settle();
    pair.client.events();
    pair.client.protocol.closed(cause);
    expect(pair.client.events()).toMatchObject([
      { type: 'failed', error: { code: 'ERR_MUX_SESSION_CLOSED', cause } },
    ]);
    expect(near.ended).toBe(false);
    expect(near.read()).toBeUndefined();
    expect(thrown(() => near.write(ascii('x')))).toMatchObject({ code: 'ERR_MUX_SESSION_CLOSED' });
    expect(thrown(() => pair.client.session.open('echo'))).toMatchObject({ code: 'ERR_MUX_SESSION_CLOSED' });
    near.end();
    near.abort();
    expect(sentBy(pair.client)).toEqual([]);
    expect(pair.client.session.connections).toBe(0);
  });

  it('by close_notify fails what is not through, and leaves the rest to be read', () => {
    const pair = new Pair();
    const through = pair.open();
    const open = pair.open();
    through.far.write(ascii('all of it'));
    through.far.end();
    through.near.end();
    open.far.end();
    pair.settle();
    pair.client.events();
    pair.client.protocol.receiveEnd();
    expect(pair.client.events()).toMatchObject([
      {
        type: 'failed',
        connection: { clientPort: open.near.localPort },
        error: { code: 'ERR_MUX_SESSION_CLOSED' },
      },
    ]);
    pair.client.protocol.closed(undefined);
    expect(pair.client.events()).toEqual([]);
    expect(text(through.near)).toBe('all of it');
    expect(through.near.ended).toBe(true);
  });

  it('takes nothing more in and gives nothing more out', () => {
    const pair = new Pair();
    const { near } = pair.open();
    near.write(ascii('unsent'));
    pair.client.protocol.closed(undefined);
    pair.client.receive(frame(7, P, 'x'));
    expect(sentBy(pair.client)).toEqual([]);
    expect(types(pair.client.events())).toEqual(['failed']);
  });
});

describe('waking the adapter', () => {
  it('happens once for any number of writes, and again after the flush', () => {
    const pair = new Pair();
    const { near } = pair.open();
    let woken = 0;
    pair.client.session.onWake(() => woken++);
    near.write(ascii('a'));
    near.write(ascii('b'));
    near.end();
    expect(woken).toBe(1);
    pair.client.session.flush();
    pair.client.session.open('sink');
    expect(woken).toBe(2);
  });

  it('happens for what is received, once until it was taken', () => {
    const pair = new Pair();
    pair.open();
    let woken = 0;
    pair.server.session.onWake(() => woken++);
    pair.server.receive(frame(P, 7, 'a'));
    pair.server.receive(frame(P, 7, 'b'));
    expect(woken).toBe(1);
    pair.server.events();
    pair.server.receive(frame(P, 7, 'c'));
    expect(woken).toBe(2);
  });

  it('happens at once when there is something already', () => {
    const pair = new Pair();
    let woken = 0;
    pair.server.session.onWake(() => woken++);
    expect(woken).toBe(0);
    pair.client.session.open('echo');
    pair.client.session.onWake(() => woken++);
    expect(woken).toBe(1);
  });
});

it('carries 65,535 bytes in one frame, piece by piece as they come', () => {
  const pair = new Pair();
  const data = Uint8Array.from({ length: 65_535 }, (_, i) => i * 7);
  const stream = frame(40_000, 7, data);
  pair.server.receive(stream.slice(0, 20_000));
  const [opened] = pair.server.events();
  const got = [opened && bytes(opened.connection)];
  expect(got[0]?.length).toBe(19_994);
  pair.server.receive(stream.slice(20_000));
  got.push(opened && bytes(opened.connection));
  expect(join(...(got as Uint8Array[]))).toEqual(data);
});

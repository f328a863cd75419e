import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { HttpConversation } from '../../../../src/tunnel/units/http.ts';
import { MAX_CHUNK_LINE_BYTES, MAX_HEAD_BYTES } from '../../../../src/tunnel/units/http-head.ts';
import { codeOf, cutAll, Joined, pieces } from './kit.ts';

const GET = 'GET / HTTP/1.1\r\nHost: a\r\n\r\n';
const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const requests = (text: string) => cutAll(new HttpConversation().forth, [bytes(text)]).map(String);

/** Answers to these requests, cut. */
function answers(asked: string, answered: string): string[] {
  const { forth, back } = new HttpConversation();
  forth.push(bytes(asked));
  return cutAll(back, [bytes(answered)]).map(String);
}

const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n';
const CHUNKS = '5\r\nhello\r\nA;ext="x"\r\n0123456789\r\n0\r\n';

describe('requests', () => {
  it.each([
    ['without a body', [GET, 'OPTIONS * HTTP/1.0\r\n\r\n', GET]],
    ['with a length', ['POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello', GET]],
    ['with no bytes after all', ['POST /x HTTP/1.1\r\nContent-Length: 0\r\n\r\n', GET]],
    [
      'with one length said twice',
      ['POST /x HTTP/1.1\r\nContent-Length: 5, 5\r\ncontent-length:5\r\n\r\nhello', GET],
    ],
    ['in chunks', [`PUT /x HTTP/1.1\r\n${CHUNKED}${CHUNKS}\r\n`, GET]],
    [
      'in chunks with trailers',
      [
        `PUT /x HTTP/1.1\r\nTransfer-encoding: gzip, Chunked\r\n\r\n${CHUNKS}Digest: x\r\nMore: y\r\n\r\n`,
        GET,
      ],
    ],
    ['with empty lines before', [`\r\n\r\n${GET}`, `\r\n${GET}`]],
    ['with bytes above 0x7f', ['GET /\xe4 HTTP/1.1\r\nX: \xfc\r\n\r\n']],
  ])('%s', (_what, units) => {
    expect(requests(units.join(''))).toEqual(units.map((unit) => Buffer.from(unit, 'latin1').toString()));
  });

  it('are the same however they are cut', () => {
    const stream = bytes(
      [
        GET,
        `PUT /x HTTP/1.1\r\n${CHUNKED}${CHUNKS}T: 1\r\n\r\n`,
        'POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello',
        GET,
      ].join(''),
    );
    const whole = cutAll(new HttpConversation().forth, [stream]);
    expect(whole).toHaveLength(4);
    fc.assert(
      fc.property(fc.array(fc.nat({ max: stream.length })), (cuts) => {
        expect(cutAll(new HttpConversation().forth, pieces(stream, cuts))).toEqual(whole);
      }),
    );
    expect(cutAll(new HttpConversation().forth, pieces(stream, [...stream.keys()]))).toEqual(whole);
  });

  // Each of these is read in another way by some server or proxy.
  it.each([
    ['both ways to say a length', `POST / HTTP/1.1\r\nContent-Length: 3\r\n${CHUNKED}0\r\n\r\n`],
    ['two lengths', 'POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc'],
    ['two lengths in a list', 'POST / HTTP/1.1\r\nContent-Length: 3, 4\r\n\r\nabc'],
    ['a length with a sign', 'POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\nabc'],
    ['a length beyond all', 'POST / HTTP/1.1\r\nContent-Length: 9999999999999999\r\n\r\nabc'],
    ['an empty length', 'POST / HTTP/1.1\r\nContent-Length:\r\n\r\nabc'],
    ['chunked twice', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n\r\n'],
    ['chunked, but not last', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n\r\n'],
    ['another coding alone', 'POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n'],
    ['chunked that is not', 'POST / HTTP/1.1\r\nTransfer-Encoding: chunkedx\r\n\r\n'],
    ['chunks in HTTP/1.0', `POST / HTTP/1.0\r\n${CHUNKED}0\r\n\r\n`],
    ['a space before the colon', 'POST / HTTP/1.1\r\nContent-Length : 3\r\n\r\nabc'],
    ['a folded line', 'GET / HTTP/1.1\r\nX: a\r\n Content-Length: 3\r\n\r\n'],
    ['line feeds alone', 'GET / HTTP/1.1\nHost: a\n\n'],
    ['a CR inside of a line', 'GET / HTTP/1.1\r\nX: a\rContent-Length: 3\r\n\r\n'],
    ['a NUL', 'GET / HTTP/1.1\r\nX: a\0b\r\n\r\n'],
    ['no name', 'GET / HTTP/1.1\r\n: a\r\n\r\n'],
    ['a chunk that is longer than it says', `POST / HTTP/1.1\r\n${CHUNKED}2\r\nabcd\r\n0\r\n\r\n`],
    ['a chunk of no size', `POST / HTTP/1.1\r\n${CHUNKED}\r\nabcd\r\n0\r\n\r\n`],
    ['a chunk of a size with a sign', `POST / HTTP/1.1\r\n${CHUNKED}+2\r\nab\r\n0\r\n\r\n`],
    ['a chunk of a size in C', `POST / HTTP/1.1\r\n${CHUNKED}0x2\r\nab\r\n0\r\n\r\n`],
    ['a chunk of a size beyond all', `POST / HTTP/1.1\r\n${CHUNKED}ffffffffffffffff\r\nab\r\n0\r\n\r\n`],
    ['another version', 'GET / HTTP/2.0\r\n\r\n'],
    ['no version', 'GET /\r\n\r\n'],
    ['two spaces', 'GET  / HTTP/1.1\r\n\r\n'],
    ['many empty lines', '\r\n'.repeat(5)],
    ['something else', 'SSH-2.0-OpenSSH_9.2\r\n\r\n'],
    ['an end in the head', 'GET / HTTP/1.1\r\nHost'],
    ['an end in the body', 'POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab'],
    ['an end in the chunks', `POST / HTTP/1.1\r\n${CHUNKED}2\r\nab\r\n`],
  ])('with %s are refused', (_what, text) => {
    expect(codeOf(() => requests(text))).toBe('ERR_TUNNEL_UNIT');
  });

  it('are refused with what to do about it', () => {
    expect(() => requests('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')).toThrow(/HTTP\/1\.1/);
    expect(() => requests('\u001b[31m\r\n\r\n')).toThrow(/--sign-unit/);
    expect(() => requests('\u001b[31m\r\n\r\n')).toThrow(/request: "\\u001b\[31m"/);
  });

  it('cost no more than their bounds', () => {
    const { forth } = new HttpConversation();
    forth.push(bytes(`GET / HTTP/1.1\r\nX: ${'a'.repeat(MAX_HEAD_BYTES - 24)}`));
    expect(codeOf(() => forth.push(bytes('aaaaaaaaa')))).toBe('ERR_TUNNEL_UNIT');
    const lines = new HttpConversation().forth;
    expect(codeOf(() => lines.push(bytes(`GET / HTTP/1.1\r\n${'a:\r\n'.repeat(1_001)}\r\n`)))).toBe(
      'ERR_TUNNEL_UNIT',
    );
    const chunk = new HttpConversation().forth;
    chunk.push(bytes(`POST / HTTP/1.1\r\n${CHUNKED}`));
    expect(codeOf(() => chunk.push(bytes(`1;${'a'.repeat(MAX_CHUNK_LINE_BYTES)}`)))).toBe('ERR_TUNNEL_UNIT');
    const trailers = new HttpConversation().forth;
    trailers.push(bytes(`POST / HTTP/1.1\r\n${CHUNKED}0\r\n`));
    expect(codeOf(() => trailers.push(bytes('a: b\r\n'.repeat(20_000))))).toBe('ERR_TUNNEL_UNIT');
    const pipelined = new HttpConversation().forth;
    expect(pipelined.push(bytes(GET.repeat(1_024)))).toHaveLength(1_024);
    expect(codeOf(() => pipelined.push(bytes(GET)))).toBe('ERR_TUNNEL_UNIT');
  });
});

describe('responses', () => {
  const OK = 'HTTP/1.1 200 OK\r\n';
  it.each([
    ['with a length', GET + GET, [`${OK}Content-Length: 2\r\n\r\nhi`, `${OK}Content-Length: 0\r\n\r\n`]],
    ['in chunks', GET + GET, [`${OK}${CHUNKED}${CHUNKS}\r\n`, `${OK}${CHUNKED}0\r\nT: x\r\n\r\n`]],
    ['that end with the connection', GET, ['HTTP/1.0 200 OK\r\n\r\nanything\r\n\r\n']],
    ['of a coding that ends with the connection', GET, [`${OK}Transfer-Encoding: gzip\r\n\r\nanything`]],
    [
      'to HEAD',
      `HEAD / HTTP/1.1\r\n\r\n${GET}`,
      [`${OK}Content-Length: 99\r\n\r\n`, `${OK}Content-Length: 1\r\n\r\nx`],
    ],
    [
      'without content',
      GET + GET + GET,
      [
        'HTTP/1.1 204 No Content\r\n\r\n',
        'HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n',
        `${OK}Content-Length: 0\r\n\r\n`,
      ],
    ],
    [
      'with interim ones',
      GET,
      [
        'HTTP/1.1 100 Continue\r\n\r\n',
        'HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n',
        `${OK}Content-Length: 1\r\n\r\nx`,
      ],
    ],
    ['without a reason', GET, ['HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n']],
    ['that nobody asked for', '', ['HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n']],
    [
      'that decline an upgrade',
      'GET / HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n',
      [`${OK}Content-Length: 1\r\n\r\nx`],
    ],
  ])('%s', (_what, asked, units) => {
    expect(answers(asked, units.join(''))).toEqual(units);
  });

  it.each([
    ['switch where nobody asked for it', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['have both lengths', `${OK}Content-Length: 1\r\n${CHUNKED}`],
    ['have no status', 'HTTP/1.1 OK\r\n\r\n'],
    ['have an odd status', 'HTTP/1.1 099 No\r\n\r\n'],
    ['are no HTTP', 'hello\r\n\r\n'],
    ['begin with an empty line', `\r\n${OK}Content-Length: 0\r\n\r\n`],
    ['are cut off', `${OK}Content-Length: 5\r\n\r\nhell`],
  ])('that %s are refused', (_what, text) => {
    expect(codeOf(() => answers(GET, text))).toBe('ERR_TUNNEL_UNIT');
  });
});

describe('a change of protocol', () => {
  const UPGRADE = 'GET /chat HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
  const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n';

  it('leaves the rest of each direction as one unit', () => {
    const { forth, back } = new HttpConversation();
    const [out, into] = [new Joined(), new Joined()];
    out.add(forth.push(bytes(`${UPGRADE}early`)));
    expect(out.strings).toEqual([UPGRADE]);
    expect(forth.isWaiting).toBe(true);
    into.add(back.push(bytes(`${SWITCH}frame`)));
    expect(forth.isWaiting).toBe(false);
    out.add(forth.push(bytes('')));
    out.add(forth.push(bytes(' and late')));
    out.add(forth.end());
    into.add(back.end());
    expect(out.strings).toEqual([UPGRADE, 'early and late']);
    expect(into.strings).toEqual([SWITCH, 'frame']);
  });

  it('that is declined goes on with the next request', () => {
    const { forth, back } = new HttpConversation();
    const out = new Joined();
    out.add(forth.push(bytes(UPGRADE + GET)));
    expect(out.strings).toEqual([UPGRADE]);
    back.push(bytes('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'));
    out.add(forth.push(bytes('')));
    expect(out.strings).toEqual([UPGRADE, GET]);
  });

  it('may be answered before the request has come to its end', () => {
    const { forth, back } = new HttpConversation();
    const out = new Joined();
    out.add(
      forth.push(
        bytes('POST / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 4\r\n\r\nab'),
      ),
    );
    back.push(bytes(SWITCH));
    out.add(forth.push(bytes('cdrest')));
    out.add(forth.end());
    expect(out.units.map((unit) => unit.length)).toEqual([77, 4]);
  });

  it('may be decided when the direction that waits for it has ended', () => {
    for (const [held, answer, units] of [
      ['raw', SWITCH, [UPGRADE, 'raw']],
      [GET, 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n', [UPGRADE, GET]],
      ['', SWITCH, [UPGRADE]],
    ] as const) {
      const { forth, back } = new HttpConversation();
      const out = new Joined();
      out.add(forth.push(bytes(UPGRADE + held)));
      out.add(forth.end());
      expect(forth.isWaiting).toBe(held !== '');
      back.push(bytes(answer));
      expect(forth.isWaiting).toBe(false);
      out.add(forth.push(bytes('')));
      expect(out.strings).toEqual(units);
    }
    const { forth, back } = new HttpConversation();
    forth.push(bytes(`${UPGRADE}GET / HT`));
    forth.end();
    back.push(bytes('HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'));
    expect(codeOf(() => forth.push(bytes('')))).toBe('ERR_TUNNEL_UNIT');
  });

  it('is what CONNECT asks for', () => {
    const { forth, back } = new HttpConversation();
    const out = new Joined();
    out.add(forth.push(bytes('CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03')));
    back.push(bytes('HTTP/1.1 200 Connected\r\nContent-Length: 5\r\n\r\n'));
    out.add(forth.push(bytes('')));
    out.add(forth.end());
    expect(out.strings[1]).toBe('\x16\x03');
  });

  it('holds back no more than its bound', () => {
    const { forth } = new HttpConversation();
    forth.push(bytes(UPGRADE));
    forth.push(Buffer.alloc(1_048_576));
    expect(codeOf(() => forth.push(Buffer.alloc(1)))).toBe('ERR_TUNNEL_UNIT');
  });
});

describe('a client that waits for 100 Continue', () => {
  const EXPECT = 'POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n';
  it('is told once, and not while another answer is due', () => {
    const one = new HttpConversation();
    one.forth.push(bytes(EXPECT));
    expect([one.takeContinue(), one.takeContinue()]).toEqual([true, false]);
    const two = new HttpConversation();
    two.forth.push(bytes(GET + EXPECT));
    expect(two.takeContinue()).toBe(false);
    const old = new HttpConversation();
    old.forth.push(bytes(EXPECT.replace('1.1', '1.0')));
    expect(old.takeContinue()).toBe(false);
  });
});

it('never does more than refuse, whatever the bytes are', () => {
  const words = [
    'GET / HTTP/1.1\r\n',
    'HTTP/1.1 200 OK\r\n',
    'Content-Length: 3\r\n',
    CHUNKED,
    '\r\n',
    '3\r\n',
    'abc',
    '0\r\n',
    'Upgrade: x\r\nConnection: upgrade\r\n',
    '\0',
    '\n',
    'HTTP/1.1 101 X\r\n\r\n',
  ];
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.constantFrom(...words))), (stream) => {
      const { forth, back } = new HttpConversation();
      const seen = { forth: '', back: '' };
      const fed = { forth: '', back: '' };
      const code = codeOf(() => {
        for (const [isForth, text] of stream) {
          const way = isForth ? 'forth' : 'back';
          fed[way] += text;
          for (const part of (isForth ? forth : back).push(bytes(text)))
            seen[way] += Buffer.from(part.bytes).toString('latin1');
        }
      });
      expect([undefined, 'ERR_TUNNEL_UNIT']).toContain(code);
      // Nothing is made up, left out or put elsewhere.
      expect(fed.forth.startsWith(seen.forth)).toBe(true);
      expect(fed.back.startsWith(seen.back)).toBe(true);
    }),
  );
});

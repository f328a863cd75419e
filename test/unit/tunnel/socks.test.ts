import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseListen, parseReverse } from '../../../src/tunnel/reverse.ts';
import { encodeReply, parseGreeting, parseRequest, SocksReply } from '../../../src/tunnel/socks.ts';

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

describe('SOCKS5 (RFC 1928)', () => {
  it.each([
    ['05 01 00', 3],
    ['05 02 02 00 05', 4],
    ['05 02 00', 'incomplete'],
    ['', 'incomplete'],
    ['05', 'incomplete'],
    ['04', 'refused'],
    ['05 01 02', 'refused'],
    ['05 00', 'refused'],
  ])('greeting %s: %s', (hex, expected) => {
    expect(parseGreeting(bytes(hex))).toBe(expected);
  });

  it.each([
    ['an IPv4 address', '05 01 00 01 7f000001 0050', { host: '127.0.0.1', port: 80 }],
    ['a name', '05 01 00 03 07 64622e74657374 1538', { host: 'db.test', port: 5432 }],
    [
      'an IPv6 address',
      '05 01 00 04 20010db8000000000000000000000001 01bb',
      { host: '2001:db8:0:0:0:0:0:1', port: 443 },
    ],
  ])('%s; any less is incomplete', (_what, hex, target) => {
    const whole = bytes(hex);
    expect(parseRequest(whole)).toEqual({ kind: 'request', target, length: whole.length });
    for (let length = 0; length < whole.length; length++)
      expect(parseRequest(whole.subarray(0, length))).toEqual({ kind: 'incomplete' });
  });

  it.each([
    ['BIND', '05 02 00 01 7f000001 0050', SocksReply.commandNotSupported],
    ['UDP ASSOCIATE', '05 03 00 01 7f000001 0050', SocksReply.commandNotSupported],
    ['an unknown kind of address', '05 01 00 02 7f000001 0050', SocksReply.addressNotSupported],
    ['another version', '04 01 00 01 7f000001 0050', SocksReply.failure],
    ['port 0', '05 01 00 01 7f000001 0000', SocksReply.failure],
    ['a name without bytes', '05 01 00 03 00 0050', SocksReply.failure],
    ['a name with a line end', '05 01 00 03 02 610a 0050', SocksReply.failure],
  ])('%s is refused', (_what, hex, reply) => {
    expect(parseRequest(bytes(hex))).toEqual({ kind: 'refused', reply });
  });

  it('never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (input) => {
        parseGreeting(input);
        parseRequest(Uint8Array.from([5, 1, 0, ...input]));
      }),
    );
  });

  it('replies with an address of zeros', () => {
    expect(encodeReply(SocksReply.notAllowed)).toEqual(bytes('05 02 00 01 00000000 0000'));
  });
});

describe('--reverse and --socks', () => {
  it('listen on loopback, if not told otherwise', () => {
    expect(parseListen('1080')).toEqual({ host: '127.0.0.1', port: 1080 });
    expect(parseListen('[::]:0')).toEqual({ host: '::', port: 0 });
    expect(parseReverse('9000=db.internal:5432')).toEqual({
      listen: { host: '127.0.0.1', port: 9000 },
      target: { host: 'db.internal', port: 5432 },
    });
    expect(parseReverse('0.0.0.0:9000=[::1]:1').listen).toEqual({ host: '0.0.0.0', port: 9000 });
  });

  it.each(['9000', '9000=', '9000=db', '0=db:1', '9000=db:0', 'x=db:1'])('%s does not work', (text) => {
    expect(() => parseReverse(text)).toThrow(expect.objectContaining({ code: 'ERR_TUNNEL_OPTION' }));
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  checkApplications,
  checkForwards,
  formatEndpoint,
  parseApplication,
  parseEndpoint,
  parseForward,
} from '../../../src/tunnel/addresses.ts';

const optionError = (hint: string) =>
  expect.objectContaining({ code: 'ERR_TUNNEL_OPTION', message: expect.stringContaining(hint) });

describe('parseEndpoint', () => {
  it.each([
    ['127.0.0.1:8443', '127.0.0.1', 8443],
    ['db.internal:5432', 'db.internal', 5432],
    ['[::1]:0', '::1', 0],
    ['[2001:db8::7]:65535', '2001:db8::7', 65_535],
  ])('reads %s', (text, host, port) => {
    expect(parseEndpoint(text)).toEqual({ host, port });
    expect(formatEndpoint({ host, port })).toBe(text);
  });

  it.each([
    ['', 'host is missing'],
    [':8443', 'host is missing'],
    ['8443', 'write HOST:PORT'],
    ['host', 'write HOST:PORT'],
    ['host:', 'write HOST:PORT'],
    ['host:http', 'write HOST:PORT'],
    ['host:-1', 'write HOST:PORT'],
    ['host:65536', 'above 65535'],
    ['::1:8443', 'brackets'],
    ['::1', 'brackets'],
    ['[::1]', 'write HOST:PORT'],
    ['[host]:1', 'not an IPv6 address'],
    ['a b:1', 'write HOST:PORT'],
    ['https://host:1', 'write HOST:PORT'],
  ])('refuses %j and says what to write', (text, hint) => {
    expect(() => parseEndpoint(text)).toThrow(optionError(hint));
  });

  it('either reads back what it wrote or throws its own error, for any text', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          const endpoint = parseEndpoint(text);
          expect(parseEndpoint(formatEndpoint(endpoint))).toEqual(endpoint);
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_TUNNEL_OPTION' });
        }
      }),
    );
  });
});

describe('UDP', () => {
  it('of a forward stands behind the port, and names the application that ends in /udp', () => {
    const listen = { host: '127.0.0.1', port: 5300 };
    expect(parseForward('5300/udp=dns')).toEqual({ listen, application: 'dns/udp' });
    expect(parseForward('5300/udp=dns/udp')).toEqual({ listen, application: 'dns/udp' });
    expect(parseForward('[::1]:0/udp=dns')).toEqual({
      listen: { host: '::1', port: 0 },
      application: 'dns/udp',
    });
  });

  it('needs /udp at the port too, and a name that has room for it', () => {
    expect(() => parseForward('5300=dns/udp')).toThrow(optionError('write 5300/udp=dns'));
    expect(() => parseForward('5300/udp=a-name-too-long')).toThrow(optionError('at most 16'));
  });

  it('may listen on the number of a TCP forward', () => {
    checkForwards([parseForward('5300/udp=dns'), parseForward('5300=dns')]);
    expect(() => checkForwards([parseForward('5300/udp=dns'), parseForward('5300/udp=ntp')])).toThrow(
      optionError('127.0.0.1:5300/udp'),
    );
  });
});

describe('parseForward', () => {
  it.each([
    ['8080=web', '127.0.0.1', 8080, 'web'],
    ['0=web', '127.0.0.1', 0, 'web'],
    ['0.0.0.0:8080=web', '0.0.0.0', 8080, 'web'],
    ['localhost:8080=web', 'localhost', 8080, 'web'],
    ['[::1]:5432=db', '::1', 5432, 'db'],
  ])('reads %s', (text, host, port, application) => {
    expect(parseForward(text)).toEqual({ listen: { host, port }, application });
  });

  it.each([
    ['8080', '[BIND:]LPORT=NAME'],
    ['8080=', 'application name'],
    ['=web', 'host is missing'],
    ['70000=web', 'above 65535'],
    ['::1:8080=web', 'brackets'],
    ['8080=a name', 'application name'],
    ['8080=seventeen-letters', 'at most 16'],
    ['8080=ALL', 'meaning of its own'],
    ['8080=CHANNEL', 'meaning of its own'],
  ])('refuses %j and says what to write', (text, hint) => {
    expect(() => parseForward(text)).toThrow(optionError(hint));
  });

  it('refuses two forwards on one address, except on port 0', () => {
    expect(() => checkForwards([parseForward('8080=web'), parseForward('8080=db')])).toThrow(
      optionError('both listen on 127.0.0.1:8080'),
    );
    expect(() => checkForwards([parseForward('0=web'), parseForward('0=db')])).not.toThrow();
    expect(() => checkForwards([parseForward('8080=web'), parseForward('[::1]:8080=db')])).not.toThrow();
  });
});

describe('parseApplication', () => {
  it.each([
    ['web=127.0.0.1:8080', 'web', 8080, '127.0.0.1', 8080],
    ['db:5433=db.internal:5432', 'db', 5433, 'db.internal', 5432],
    ['v6=[::1]:22', 'v6', 22, '::1', 22],
    ['a/b_c+d.e-16char=h:1', 'a/b_c+d.e-16char', 1, 'h', 1],
  ])('reads %s', (text, name, port, host, targetPort) => {
    expect(parseApplication(text)).toEqual({ name, port, target: { host, port: targetPort } });
  });

  it.each([
    ['web', 'NAME[:PORT]=HOST:PORT'],
    ['=127.0.0.1:80', 'application name'],
    ['web=80', 'HOST:PORT'],
    ['web=127.0.0.1:0', 'port of 1–65535'],
    ['web:0=127.0.0.1:80', 'must be 1–65535'],
    ['web:99999=127.0.0.1:80', 'above 65535'],
    ['wéb=127.0.0.1:80', 'application name'],
    ['ALL=127.0.0.1:80', 'meaning of its own'],
  ])('refuses %j and says what to write', (text, hint) => {
    expect(() => parseApplication(text)).toThrow(optionError(hint));
  });

  it('wants names and ports to be unique, and proposes what would work', () => {
    const web = parseApplication('web=10.0.0.1:80');
    expect(() => checkApplications([web, parseApplication('web=10.0.0.2:81')])).toThrow(
      optionError('given twice'),
    );
    expect(() => checkApplications([web, parseApplication('api=10.0.0.2:80')])).toThrow(
      optionError('as in api:81=10.0.0.2:80'),
    );
    expect(() => checkApplications([web, parseApplication('api:81=10.0.0.2:80')])).not.toThrow();
  });
});

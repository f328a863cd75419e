import { describe, expect, it } from 'vitest';
import { commands, connectOptions, initOptions, serveOptions } from '../../../src/cli/options.ts';
import { type Found, readValues } from '../../../src/cli/values.ts';

const found = (values: Record<string, unknown>): Map<string, Found> =>
  new Map(Object.entries(values).map(([name, value]) => [name, { value, where: `--${name}` }]));

const base = { listen: '127.0.0.1:0', cert: 'c', key: 'k', app: ['web=h:80'] };
const readServe = (more: Record<string, unknown>) => readValues(serveOptions, found({ ...base, ...more }));

describe('readValues', () => {
  it('converts each type', () => {
    expect(
      readServe({
        'drain-timeout': '1500ms',
        'connect-timeout': 2.5,
        'handshake-timeout': '2m',
        'max-sessions': '7',
        'max-connections': 8,
        'connection-buffer': '512KiB',
        'session-buffer': 1_000_000,
        mux: 'allow',
        'min-version': 'tls1_2',
        'max-version': 1.3,
        ciphers: 'ECDHE+AESGCM',
        groups: 'P-256',
      }),
    ).toEqual({
      listen: { host: '127.0.0.1', port: 0 },
      cert: 'c',
      key: 'k',
      'client-ca': undefined,
      keylog: undefined,
      app: [{ name: 'web', port: 80, target: { host: 'h', port: 80 } }],
      'drain-timeout': 1500,
      'connect-timeout': 2500,
      'handshake-timeout': 120_000,
      'max-sessions': 7,
      'max-connections': 8,
      'connection-buffer': 524_288,
      'session-buffer': 1_000_000,
      mux: 'allow',
      'min-version': 'TLSv1.2',
      'max-version': 'TLSv1.3',
      ciphers: 'ECDHE+AESGCM',
      groups: 'P-256',
    });
  });

  it('rounds times to milliseconds, and takes 0 where that means not to wait', () => {
    expect(readServe({ 'drain-timeout': 0, 'connect-timeout': '0.0015' })).toMatchObject({
      'drain-timeout': 0,
      'connect-timeout': 2,
    });
  });

  it('takes one value where several are allowed', () => {
    expect(readServe({ app: 'db=h:5432' }).app).toHaveLength(1);
  });

  it.each([
    [{ listen: 'nowhere' }, '--listen: "nowhere" does not work: write HOST:PORT'],
    [{ listen: 8443 }, '--listen: 8443 does not work: write a text in quotes'],
    [{ cert: '' }, '--cert: "" does not work: it is empty'],
    [{ app: [] }, '--app NAME[/udp][:PORT]=HOST:PORT is missing'],
    [{ app: ['web'] }, '--app: "web" does not work: write NAME[:PORT]=HOST:PORT'],
    [{ app: [{}] }, '--app: {} does not work: write a text in quotes'],
    [{ mux: 'never' }, '--mux: "never" does not work: use require or allow'],
    [{ 'drain-timeout': 'soon' }, '--drain-timeout: "soon" does not work: write seconds'],
    [{ 'drain-timeout': '-1' }, 'write seconds'],
    [{ 'drain-timeout': -1 }, 'write seconds'],
    [{ 'drain-timeout': 86_401 }, 'at most a day'],
    [{ 'drain-timeout': true }, 'write seconds'],
    [{ 'connect-timeout': 0 }, '--connect-timeout: 0 does not work'],
    [{ 'handshake-timeout': '0.1ms' }, 'more than 0'],
    [{ 'min-version': '0.9' }, 'write 1.2 or 1.3'],
    [{ 'max-version': 'SSLv3' }, 'write 1.2 or 1.3'],
    [{ 'max-sessions': '0' }, '--max-sessions: "0" does not work: write a whole number'],
    [{ 'max-sessions': '1.5' }, 'write a whole number'],
    [{ 'max-sessions': 1.5 }, 'write a whole number'],
    [{ 'connection-buffer': '1MB' }, 'write bytes such as'],
    [{ 'connection-buffer': '1.5MiB' }, 'write bytes such as'],
  ])('refuses %j', (values, message) => {
    expect(() => readServe(values)).toThrow(
      expect.objectContaining({ code: 'ERR_TUNNEL_OPTION', message: expect.stringContaining(message) }),
    );
  });

  it('names what is missing, and what it is for', () => {
    expect(() => readValues(serveOptions, found({}))).toThrow(
      '--listen [udp:]HOST:PORT is missing: address to accept',
    );
    expect(() => readValues(connectOptions, found({}))).toThrow(
      '[udp:]HOST:PORT is missing: where `trellis serve`',
    );
  });

  it('shortens what it shows', () => {
    expect(() => readServe({ listen: 'x'.repeat(500), mux: 'require' })).toThrow(/^.{1,700}$/);
    expect(() => readServe({ mux: 'x'.repeat(500) })).toThrow(/^.{1,160}$/);
  });

  it.each(['gateway.example.org', '*.example.org', 'localhost', '192.0.2.7', '2001:db8::7'])(
    'host %s',
    (host) => {
      expect(readValues(initOptions, found({ out: 'x', host: [host] })).host).toEqual([host]);
    },
  );

  it.each(['gateway.example.org:4433', '[::1]', 'https://x', 'a b', '-x', 'a..b', `${'a'.repeat(64)}.org`])(
    'refuses host %s',
    (host) => {
      expect(() => readValues(initOptions, found({ out: 'x', host: [host] }))).toThrow('write a DNS name');
    },
  );
});

describe('the tables of options', () => {
  it('name each option once, and say what it is for', () => {
    for (const { name, options } of Object.values(commands)) {
      const names = options.map((option) => option.name);
      expect(new Set(names).size, name).toBe(names.length);
      for (const option of options) {
        expect(option.help, option.name).toMatch(/[^.]$/);
        expect(option.type === 'flag', option.name).toBe(option.value === undefined);
      }
    }
  });
});

import { describe, expect, it } from 'vitest';
import { type Invocation, parseArguments } from '../../../src/cli/arguments.ts';

const parse = (...words: string[]): Invocation => parseArguments(words, '1.2.3');

const given = (...words: string[]): Record<string, unknown> => {
  const invocation = parse(...words);
  if (invocation.kind !== 'run') throw new Error(`printed ${invocation.text}`);
  return Object.fromEntries([...invocation.given].map(([name, { value }]) => [name, value]));
};

const refused = (words: string[], hint: string) => {
  expect(() => parse(...words)).toThrow(
    expect.objectContaining({ code: 'ERR_TUNNEL_OPTION', message: expect.stringContaining(hint) }),
  );
  try {
    parse(...words);
  } catch (error) {
    expect(String(error)).not.toContain('\n');
  }
};

describe('parseArguments', () => {
  it('reads serve with repeated applications', () => {
    expect(
      given(
        'serve',
        '--listen',
        '[::1]:4433',
        '--app',
        'web=h:80',
        '--app=db:1=h:5432',
        '--mux',
        'allow',
        '--json',
      ),
    ).toEqual({ listen: '[::1]:4433', app: ['web=h:80', 'db:1=h:5432'], mux: 'allow', json: true });
  });

  it('reads connect with the server before or after the options', () => {
    const want = { server: 'h:1', forward: ['1=a', '2=b'], eager: true };
    expect(given('connect', 'h:1', '--forward', '1=a', '--forward', '2=b', '--eager')).toEqual(want);
    expect(given('connect', '--forward', '1=a', '--eager', '--forward', '2=b', 'h:1')).toEqual(want);
  });

  it('leaves out what was not given', () => {
    expect(given('connect')).toEqual({});
    expect(given('init', '--out', 'x')).toEqual({ out: 'x' });
  });

  it('says where a value was found', () => {
    const invocation = parse('connect', 'h:1', '--forward', '1=a');
    if (invocation.kind !== 'run') throw new Error('not run');
    expect(invocation.given.get('server')?.where).toBe('[udp:]HOST:PORT');
    expect(invocation.given.get('forward')?.where).toBe('--forward');
  });

  it.each([
    [[], 'init, serve, connect or probe'],
    [['srve'], 'Did you mean serve?'],
    [['frobnicate'], 'trellis --help'],
    [['serve', '--lisen', 'x'], 'Did you mean --listen?'],
    [['serve', '--frobnicate'], 'trellis serve --help'],
    [['serve', '--listen'], 'argument missing'],
    [['serve', 'stray'], 'Too many arguments'],
    [['connect', 'a:1', 'b:2'], 'Too many arguments'],
    [['--bogus'], 'trellis --help'],
  ])('refuses %j in one line', (words, hint) => refused(words, hint));

  it('prints version and help with examples', () => {
    expect(parse('--version')).toEqual({ kind: 'print', text: '1.2.3\n' });
    const help = parse('--help');
    expect(help).toMatchObject({ kind: 'print', text: expect.stringContaining('trellis init --out ./pki') });
    for (const command of ['init', 'serve', 'connect']) {
      expect(parse(command, '--help')).toMatchObject({
        kind: 'print',
        text: expect.stringMatching(new RegExp(`Examples:\n {2}trellis ${command} `)),
      });
    }
  });
});

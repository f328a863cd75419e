import { describe, expect, it } from 'vitest';
import { createLog, readable } from '../../../src/cli/log.ts';

describe('createLog', () => {
  it('writes JSON lines with time, level, message and fields', () => {
    const lines: string[] = [];
    const log = createLog('info', true, { write: (line) => lines.push(line) });
    log.info({ event: 'session.open', session: 's1', peer: '127.0.0.1:5' }, 'session open');
    log.debug({ event: 'x' }, 'not shown');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^\{.*\}\n$/);
    expect(JSON.parse(lines[0] ?? '')).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/),
      event: 'session.open',
      session: 's1',
      peer: '127.0.0.1:5',
      message: 'session open',
    });
  });

  it('writes one readable line for each event', () => {
    const lines: string[] = [];
    const log = createLog('debug', false, { write: (line) => lines.push(line) });
    log.warn({ event: 'x', connection: 'c1', reason: 'two words' }, 'connection closed');
    expect(lines).toEqual([
      expect.stringMatching(/^\S+Z warn {2}connection closed connection=c1 reason="two words"\n$/),
    ]);
  });

  it('is silent when told so', () => {
    const lines: string[] = [];
    createLog('silent', true, { write: (line) => lines.push(line) }).error({}, 'x');
    expect(lines).toEqual([]);
  });

  it('keeps control characters and line ends off the terminal', () => {
    const line = readable(
      JSON.stringify({
        time: 't',
        level: 'info',
        message: 'm',
        peer: 'a\u001b[2Jb\nc',
        list: ['a=b', 'c d'],
      }),
    );
    expect(line).toBe('t info  m peer="a\\u001b[2Jb\\nc" list=a=b,"c d"');
  });
});

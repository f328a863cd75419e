import { pino } from 'pino';
import type { TunnelLog } from '../tunnel/log.ts';
import type { LogLevel } from './values.ts';

/** Somewhere to write whole lines, each with its end. */
export interface LineSink {
  write(line: string): void;
}

/**
 * Standard error, written at once: a line that was logged is out even if the process ends now.
 * Connections are logged when they end, so this is far from every path that carries data.
 */
export function standardError(): LineSink {
  const destination = pino.destination({ dest: 2, sync: true });
  // The reader of our log going away is no reason to stop carrying data.
  destination.on('error', () => {});
  return { write: (line) => void destination.write(line) };
}

/** Structured log: JSON lines, or one readable line for each event. */
export function createLog(level: LogLevel, json: boolean, sink: LineSink): TunnelLog {
  return pino(
    {
      level,
      base: null,
      messageKey: 'message',
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
    },
    json ? sink : { write: (line: string) => sink.write(`${readable(line)}\n`) },
  );
}

/** `2026-01-31T12:00:00.000Z info  message key=value …` from pino's JSON. */
export function readable(line: string): string {
  const record: Record<string, unknown> = JSON.parse(line);
  const { time, level, message, event: _, ...fields } = record;
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${plain(value)}`);
  return `${time} ${String(level).padEnd(5)} ${message}${pairs.join('')}`;
}

/** Quotes only what would be read wrongly, which also keeps control characters off the terminal. */
function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map(plain).join(',');
  const text = String(value);
  return /^[\w.:/@+*[\]=-]+$/.test(text) ? text : JSON.stringify(text);
}

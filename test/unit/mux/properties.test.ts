import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { TlsError } from '../../../src/errors/errors.ts';
import { clientPort, Pair } from './pair.ts';
import { checkOutcome, run, step } from './world.ts';

describe('any schedule of opening, writing, reading, ending, closing, aborting, waiting', () => {
  it('loses, repeats and reorders nothing, holds no more than the budget, frees every pair', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 120 }), (steps) => {
        const world = run(steps, 'ports');
        world.finish();
        checkOutcome(world);
        // Every pair can be had again.
        for (const { connection } of world.clients) {
          const again = world.pair.client.session.open(connection.application, {
            localPort: clientPort(connection),
          });
          expect(clientPort(again)).toBe(clientPort(connection));
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('random bytes', () => {
  const port = fc.constantFrom(0, 1, 7, 9, 80, 49_152, 49_153);
  const u16 = (value: number): number[] => [value >> 8, value & 0xff];
  /** Frames that mostly hit something, so that the machine behind the parser is tried too. */
  const plausible = fc
    .tuple(port, port, fc.uint8Array({ maxLength: 20 }), fc.nat({ max: 2 }), fc.boolean())
    .map(([source, destination, data, code, isControl]) =>
      isControl
        ? new Uint8Array([0, 0, 0, 0, 0, 5, ...u16(source), ...u16(destination), code])
        : new Uint8Array([...u16(source), ...u16(destination), ...u16(data.length), ...data]),
    );
  const content = fc.oneof(
    { weight: 20, arbitrary: plausible },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 30 }) },
  );

  it.each(['client', 'server'] as const)('at the %s end in a TlsError at worst, within bounds', (role) => {
    fc.assert(
      fc.property(fc.array(content, { maxLength: 60 }), (contents) => {
        const pair = new Pair();
        const side = pair[role];
        pair.client.session.open('echo');
        pair.client.session.open('sink').write(new Uint8Array(3));
        pair.settle();
        try {
          for (const one of contents) {
            side.receive(one);
            for (const event of side.events()) {
              if (event.type === 'connection' && clientPort(event.connection) === 7)
                event.connection.refuse();
              if (event.type === 'readable') while (event.connection.read() !== undefined);
            }
            side.push();
          }
        } catch (error) {
          expect(error).toBeInstanceOf(TlsError);
        }
        side.protocol.closed(undefined);
        for (const event of side.events()) {
          expect(event.type).toBe('failed');
          event.connection.consume(1_000);
        }
      }),
      { numRuns: 300 },
    );
  });
});

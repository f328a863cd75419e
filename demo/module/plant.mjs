// Keeps copies of secrets in a process that should have none, so that a scan of its memory can be seen to find them.
//   TRELLIS_DEMO_PLANT=FILE node --import plant.mjs …      FILE: { name, hex }[]
import { readFileSync } from 'node:fs';

/** @type {{ name: string, hex: string }[]} */
const secrets = JSON.parse(readFileSync(process.env.TRELLIS_DEMO_PLANT ?? '', 'utf8'));
/** Text as text, which the collector moves about; the rest as memory of its own. */
const planted = secrets.map(({ name, hex }) => {
  const bytes = Buffer.from(hex, 'hex');
  const copy = /PEM body$|PIN$/.test(name)
    ? bytes.toString('latin1')
    : Buffer.allocUnsafeSlow(bytes.length).fill(bytes);
  bytes.fill(0);
  return copy;
});
Reflect.set(globalThis, Symbol.for('trellis.demo.planted'), planted);

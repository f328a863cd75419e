// A module at a Unix socket that says how much memory it has in use.   module-memory.ts STORE SECRET SOCKET; SIGUSR2 asks
import { setTimeout as sleep } from 'node:timers/promises';
import { openModuleFile } from '../../src/node/module/store-file.ts';
import { serveModule } from '../../src/node/module/unix.ts';

const [store = '', secret = '', path = ''] = process.argv.slice(2);
const { state } = openModuleFile(store, Buffer.from(secret));
await serveModule({ state, path, sessions: 128 });
process.on('SIGUSR2', async () => {
  // After garbage has gone, also that of C++ objects, which takes more than one collection.
  for (let i = 0; i < 6; i++) {
    globalThis.gc?.();
    await sleep(50);
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  console.log(JSON.stringify({ used: heapUsed + external, rss }));
});
console.log(JSON.stringify({ ready: true }));

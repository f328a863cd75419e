// The unit tests under the Node that runs this script.   npm run test:node24
import { pathToFileURL } from 'node:url';
import { commandFile } from './root.mjs';

console.log(`Node ${process.version}`);
process.argv.push('run', '--project', 'unit');
await import(pathToFileURL(commandFile('vitest', 'vitest')).href);

import { runShim } from './shim.ts';

const { exitCode, stdout, stderr } = await runShim(process.argv.slice(2));
process.stdout.write(stdout);
process.stderr.write(stderr);
process.exitCode = exitCode;

import net from 'node:net';
import { ExitCode } from './report.ts';
import { runShim } from './shim.ts';

/**
 * Runs shims in this process, for thousands of tests without as many starts of Node: the runner starts a few lines of
 * bash, which hand their arguments over on a TCP connection of 127.0.0.1 and get exit code and standard error back.
 *
 * @returns the port, what was missing, and what ends it
 */
export async function serveShims(): Promise<{
  readonly port: number;
  /** What was not implemented, and how many runs asked for it. */
  readonly missing: ReadonlyMap<string, number>;
  close(): void;
}> {
  const missing = new Map<string, number>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    const gone = new AbortController();
    let request = Buffer.alloc(0);
    // The runner ends a shim that takes too long, and with it this connection.
    socket.on('error', () => gone.abort()).on('close', () => gone.abort());
    socket.on('data', (bytes: Buffer) => {
      request = Buffer.concat([request, bytes]);
      const argv = readRequest(request);
      if (argv === undefined) return;
      socket
        .removeAllListeners('data')
        .on('end', () => gone.abort())
        .resume();
      void runShim(argv, gone.signal).then(({ exitCode, stderr }) => {
        if (exitCode === ExitCode.unimplemented) missing.set(stderr, (missing.get(stderr) ?? 0) + 1);
        if (!socket.destroyed) socket.end(`${exitCode}\n${stderr}`);
      });
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return { port, missing, close: () => server.close() };
}

/** The number of arguments and the arguments, each ended by a zero byte; `undefined` while some are missing. */
function readRequest(bytes: Buffer): string[] | undefined {
  const fields = bytes.toString('latin1').split('\0');
  const count = Number(fields[0]);
  return fields.length < count + 2 ? undefined : fields.slice(1, count + 1);
}

/** The program for the runner's `-shim-path`. */
export function launcher(port: number): string {
  return `#!/bin/bash
if [ "$1" = -is-handshaker-supported ]; then echo No; exit 0; fi
exec 3<>/dev/tcp/127.0.0.1/${port} || exit 1
printf '%s\\0' "$#" "$@" >&3
IFS= read -r code <&3 || exit 1
while IFS= read -r line; do printf '%s\\n' "$line" >&2; done <&3
exit "$code"
`;
}

import { openModule } from '../../node/module/open.ts';
import type { SecurityModule } from '../../node/module/security-module.ts';
import { readCredential } from '../../tunnel/credentials.ts';
import { TunnelError } from '../../tunnel/errors.ts';
import { readSecret } from './input.ts';

interface Values {
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly module: string | undefined;
  readonly 'pin-file': string | undefined;
}

/** With what a session is authenticated. */
export interface SessionIdentity {
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly module?: SecurityModule | undefined;
}

/**
 * Runs with certificate and key from files, or with a module, which is closed afterwards.
 * @param required a server needs one of both
 * @throws TunnelError, ModuleError
 */
export async function withIdentity(
  values: Values,
  required: boolean,
  run: (identity: SessionIdentity) => Promise<number>,
): Promise<number> {
  const { cert, key, module: uri, 'pin-file': pinFile } = values;
  if (uri === undefined) {
    if (pinFile !== undefined) throw option('--pin-file is for --module, which is not given.');
    for (const [name, value, what] of [
      ['--cert', cert, "the server's certificate and its chain, PEM"],
      ['--key', key, 'its private key, PEM'],
    ] as const) {
      if (required && value === undefined) {
        throw option(`${name} FILE is missing: ${what}. Or give --module URI and --pin-file FILE.`);
      }
    }
    return run({
      cert: cert === undefined ? undefined : await readCredential('--cert', cert, 'certificate'),
      key: key === undefined ? undefined : await readCredential('--key', key, 'key'),
    });
  }
  if (cert !== undefined || key !== undefined) {
    throw option('--module has the certificate and the key inside; leave --cert and --key out.');
  }
  const module = await openModule(uri, { pin: readSecret('--pin-file', pinFile) });
  try {
    return await run({ module });
  } finally {
    module.close();
  }
}

function option(message: string): TunnelError {
  return new TunnelError('ERR_TUNNEL_OPTION', message);
}

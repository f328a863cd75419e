import type { SigningKey } from '../../crypto/provider.ts';
import type { CardProfile } from '../../module/bridge/cards/old-card.ts';
import { openModule } from '../../node/module/open.ts';
import type { SecurityModule } from '../../node/module/security-module.ts';
import { TunnelError } from '../../tunnel/errors.ts';
import { isTokenKey, openKey } from '../keys.ts';
import { readSecret } from './input.ts';

interface Values {
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly module: string | undefined;
  readonly 'pin-file': string | undefined;
  readonly offload: boolean | undefined;
  readonly reconnect?: boolean | undefined;
  readonly 'card-profile'?: CardProfile | undefined;
  readonly psk?: readonly unknown[] | undefined;
  readonly 'psk-file'?: string | undefined;
}

/** With what a session is authenticated. */
export interface SessionIdentity {
  readonly cert?: string | undefined;
  readonly key?: string | SigningKey | undefined;
  readonly module?: SecurityModule | undefined;
}

/**
 * Runs with certificate and key from files or a token, or with a module; what was opened is closed afterwards.
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
    for (const name of ['offload', 'reconnect', 'card-profile'] as const) {
      if (values[name] !== undefined && values[name] !== false) {
        throw option(`--${name} is for --module, which is not given.`);
      }
    }
    if (pinFile !== undefined && !isTokenKey(key)) {
      throw option('--pin-file is for --module, or for --key pkcs11:…, and neither is given.');
    }
    for (const [name, value, what] of [
      ['--cert', cert, "the server's certificate and its chain, PEM"],
      ['--key', key, 'its private key, PEM'],
    ] as const) {
      if (required && value === undefined && !isTokenKey(key)) {
        throw option(`${name} FILE is missing: ${what}. Or give --module URI and --pin-file FILE.`);
      }
    }
    const opened = await openKey({ cert: '--cert', key: '--key' }, cert, key, pinFile);
    try {
      return await run({ cert: opened.cert, key: opened.key });
    } finally {
      await opened.close();
    }
  }
  if (cert !== undefined || key !== undefined) {
    throw option('--module has the certificate and the key inside; leave --cert and --key out.');
  }
  if (values.psk !== undefined || values['psk-file'] !== undefined) {
    throw option(
      '--module has its pre-shared keys inside; put them there with trellis module psk add, and leave --psk and --psk-file out.',
    );
  }
  const reconnect = values.reconnect === true;
  const module = await openModule(uri, {
    pin: reconnect ? () => readSecret('--pin-file', pinFile) : readSecret('--pin-file', pinFile),
    reconnect,
    offload: values.offload === true,
    cardProfile: values['card-profile'],
  });
  try {
    return await run({ module });
  } finally {
    module.close();
  }
}

function option(message: string): TunnelError {
  return new TunnelError('ERR_TUNNEL_OPTION', message);
}

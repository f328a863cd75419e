import type { Archive } from '../../evidence/archive/archive.ts';
import type { OpenOptions } from '../../evidence/archive/open.ts';
import { readCredential } from '../../tunnel/credentials.ts';
import { TunnelError } from '../../tunnel/errors.ts';
import type { TunnelLog } from '../../tunnel/log.ts';
import type { TunnelSigning } from '../../tunnel/options.ts';
import {
  type SignedApplication,
  type SignRule,
  signedApplications,
  type UnitRule,
} from '../../tunnel/signing-rules.ts';
import { isTokenKey, openKey, withArchiveKey } from '../keys.ts';

interface SigningValues {
  readonly sign: readonly SignRule[] | undefined;
  readonly 'sign-unit': readonly UnitRule[] | undefined;
  readonly archive: string | undefined;
  readonly 'archive-key': string | undefined;
  readonly timestamp: string | undefined;
  readonly 'sign-cert': string | undefined;
  readonly 'sign-key': string | undefined;
  readonly 'sign-ca': string | undefined;
}

/**
 * Runs a command with signing, from the options of `serve` and `connect`, and with its archive open; or without any.
 * @param offered names of the applications that can be signed
 * @param what they are called: `--app`
 * @throws TunnelError, EvidenceError
 */
export async function withSigning<T>(
  values: SigningValues,
  offered: readonly string[],
  what: string,
  log: TunnelLog,
  run: (signing: TunnelSigning | undefined) => Promise<T>,
): Promise<T> {
  const { sign, archive: path, 'sign-cert': cert, 'sign-key': key, 'sign-ca': ca } = values;
  if (sign === undefined) {
    const idle = (
      ['sign-unit', 'archive', 'archive-key', 'timestamp', 'sign-cert', 'sign-key', 'sign-ca'] as const
    ).find((name) => values[name] !== undefined);
    if (idle !== undefined)
      throw option(`--${idle} is for signing: say what is signed, as in --sign ${offered[0]}=pkcs7:receipt.`);
    return run(undefined);
  }
  if (path === undefined)
    throw option(
      '--sign needs --archive FILE: where is the evidence to be kept? It is made if it is not there.',
    );
  if ((cert === undefined) !== (key === undefined) && !isTokenKey(key))
    throw option('--sign-cert and --sign-key belong together; give both, or neither.');
  if (values.timestamp !== undefined && !/^https?:$/.test(protocolOf(values.timestamp)))
    throw option(`--timestamp ${values.timestamp}: write a URL such as http://tsa.example/`);
  const applications = signedApplications(sign, values['sign-unit'] ?? [], offered, what);
  const trust = ca === undefined ? undefined : await readCredential('--sign-ca', ca, 'certificate');
  const signer = await openKey({ cert: '--sign-cert', key: '--sign-key' }, cert, key);
  try {
    return await withArchiveKey(values['archive-key'], (key) =>
      withArchive(path, { key, authority: values.timestamp }, applications, log, (archive) =>
        run({ applications, archive, cert: signer.cert, key: signer.key, ca: trust }),
      ),
    );
  } finally {
    await signer.close();
  }
}

async function withArchive<T>(
  path: string,
  { key, authority }: { readonly key: OpenOptions; readonly authority: string | undefined },
  applications: readonly SignedApplication[],
  log: TunnelLog,
  run: (archive: Archive) => Promise<T>,
): Promise<T> {
  // SQLite is loaded by who signs alone.
  const { openArchive } = await import('../../evidence/archive/open.ts');
  const archive = await openArchive(path, {
    ...key,
    timestamps: authority === undefined ? undefined : { authority },
    onCheckpointError: (error) =>
      log.error({ event: 'archive.checkpoint', archive: path, error: String(error) }, 'no checkpoint'),
  });
  log.info(
    {
      event: 'archive.open',
      archive: path,
      records: archive.size,
      signed: applications.map(
        ({ name, format, receipt, unit }) => `${name}=${format}${receipt ? ':receipt' : ''} (${unit})`,
      ),
    },
    'archive opened',
  );
  try {
    return await run(archive);
  } finally {
    await archive.close();
  }
}

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : '';
}

function option(message: string): TunnelError {
  return new TunnelError('ERR_TUNNEL_OPTION', message);
}

import { TlsError } from '../errors/errors.ts';
import type { ContentFormat } from '../formats/format.ts';
import type { SignatureRequest, SignType, Spelling } from './extension.ts';

/** What both hellos have settled. */
export interface SignAgreement {
  readonly format: ContentFormat;
  /** One of them, or both. */
  readonly types: readonly SignType[];
}

export interface ClientPolicy {
  /** Best first. */
  readonly formats: readonly ContentFormat[];
  readonly types: readonly SignType[];
  readonly spelling: Spelling;
  /** Without signing: end the handshake with `handshake_failure`, or go on with ordinary TLS. */
  readonly policy: 'require' | 'allow';
}

export interface ServerPolicy {
  readonly formats: readonly ContentFormat[];
  readonly types: readonly SignType[];
  /** As for the client; `refuse`: whoever offers it is turned away with `unsupported_extension` (draft §2). */
  readonly policy: 'require' | 'allow' | 'refuse';
}

export function clientOffer({ formats, types, spelling }: ClientPolicy): SignatureRequest[] {
  return formats.map((format) => ({ spelling, format, method: 'certificate', types }));
}

/**
 * Server: the first request that can be met, its types narrowed to those that are served; `undefined` for no signing.
 * @throws TlsError ERR_SIGN_REQUIRED, ERR_SIGN_REFUSED as the policy says
 */
export function serverAnswer(
  policy: ServerPolicy,
  offer: readonly SignatureRequest[] | undefined,
): { readonly answer: SignatureRequest; readonly agreement: SignAgreement } | undefined {
  if (policy.policy === 'refuse' && offer !== undefined)
    throw new TlsError('ERR_SIGN_REFUSED', 'The client offers signing, which this server refuses');
  for (const request of offer ?? []) {
    const { format, method } = request;
    if (format === undefined || method !== 'certificate' || !policy.formats.includes(format)) continue;
    const types = request.types.filter((type) => policy.types.includes(type));
    if (types.length > 0) return { answer: { ...request, types }, agreement: { format, types } };
  }
  if (policy.policy === 'require') {
    throw new TlsError(
      'ERR_SIGN_REQUIRED',
      offer === undefined
        ? 'The client does not offer to sign; serve it with the policy "allow", or connect with a client that signs.'
        : 'The client offers no format and type of signature that are served here.',
    );
  }
  return undefined;
}

/**
 * Client: what the answer means.
 * @throws TlsError ERR_TLS_ILLEGAL_PARAMETER for an answer that was not offered, ERR_SIGN_REQUIRED without one
 */
export function clientConfirm(
  policy: ClientPolicy,
  answers: readonly SignatureRequest[] | undefined,
): SignAgreement | undefined {
  if (answers === undefined) {
    if (policy.policy === 'allow') return undefined;
    throw new TlsError(
      'ERR_SIGN_REQUIRED',
      'The server does not agree to signing; connect with the policy "allow" to go on without.',
    );
  }
  const [answer, more] = answers;
  if (answer === undefined || more !== undefined)
    throw illegal('answers with more than one request, must be one');
  const { format, method, types, spelling } = answer;
  const isOffered =
    format !== undefined &&
    method === 'certificate' &&
    spelling === policy.spelling &&
    policy.formats.includes(format) &&
    types.length > 0 &&
    types.every((type) => policy.types.includes(type));
  if (!isOffered) throw illegal('answers with what was not offered');
  return { format, types };
}

function illegal(what: string): TlsError {
  return new TlsError('ERR_TLS_ILLEGAL_PARAMETER', `signature: the server ${what}`);
}

import { ConnectionError, TlsError } from '../errors/errors.ts';
import type { CertificateWishes, IdentitySource, ServerConfig } from '../handshake/config.ts';
import { optionError, parseAlpn } from './options.ts';
import { SecureContext } from './secure-context.ts';

/* The functions of the user that a handshake asks: certificates by name or by wish, protocols. */

/** node:tls's callback; it may call back at once or later, within the time for the handshake. */
export type SNICallback = (
  servername: string,
  callback: (error: Error | null, context?: SecureContext) => void,
) => void;

/**
 * Called when the server asks for a certificate.
 * @returns at once or later, a context with what may be shown; one without certificates shows none, and `undefined` leaves it
 *   to `cert` and `key`. What it throws or rejects with ends the session.
 */
export type CertificateCallback = (
  wishes: CertificateWishes,
) => SecureContext | undefined | Promise<SecureContext | undefined>;

export type ALPNCallback = (offer: { servername: string; protocols: string[] }) => string | undefined;

/** Certificates by a client's `certificateCallback`. */
export function requestSource(callback: CertificateCallback, context: SecureContext): IdentitySource {
  const read = (found: SecureContext | undefined) =>
    (ownContext('certificateCallback', found) ?? context).identities;
  return {
    select(_serverName, wishes) {
      const answer = callback(wishes);
      return answer instanceof Promise ? answer.then(read) : read(answer);
    },
  };
}

/** Certificates by the user's `SNICallback`; a client that names no server gets those of the server's own context. */
export function sniSource(callback: SNICallback, context: SecureContext): IdentitySource {
  return {
    select(serverName) {
      if (serverName === undefined) return context.identities;
      const answer = askSni(callback, serverName);
      return answer instanceof Promise
        ? answer.then((found) => (found ?? context).identitiesFor(serverName))
        : (answer ?? context).identitiesFor(serverName);
    },
  };
}

/** @throws ConnectionError ERR_TLS_OPTION where both are given */
export function protocolSelector(
  ALPNProtocols: Parameters<typeof parseAlpn>[0],
  ALPNCallback: ALPNCallback | undefined,
): ServerConfig['selectProtocol'] {
  if (ALPNCallback !== undefined) {
    if (ALPNProtocols !== undefined) {
      throw optionError('ALPNCallback', 'it cannot be combined with ALPNProtocols; give one of the two');
    }
    return (offered, serverName) => {
      const protocol = ALPNCallback({ servername: serverName ?? '', protocols: [...offered] });
      if (protocol !== undefined && !offered.includes(protocol)) {
        throw new ConnectionError(
          'ERR_TLS_OPTION',
          `ALPNCallback answered '${protocol}', which the client did not offer`,
        );
      }
      return protocol;
    };
  }
  const ours = parseAlpn(ALPNProtocols);
  return ours === undefined ? undefined : (offered) => ours.find((protocol) => offered.includes(protocol));
}

/**
 * Calls node:tls's callback, which may call back at once or later.
 * @returns a context, or `undefined` for the server's own
 */
function askSni(
  callback: SNICallback,
  serverName: string,
): SecureContext | undefined | Promise<SecureContext | undefined> {
  let settle: ((error: Error | null, context?: SecureContext) => void) | undefined;
  let answer: { error: Error | null; context: SecureContext | undefined } | undefined;
  callback(serverName, (error, context) => {
    if (settle !== undefined) settle(error, context);
    else answer ??= { error, context };
  });
  if (answer !== undefined) return readSniAnswer(answer.error, answer.context);
  return new Promise((resolve, reject) => {
    settle = (error, context) => {
      try {
        resolve(readSniAnswer(error, context));
      } catch (refusal) {
        reject(refusal);
      }
    };
  });
}

/** @throws TlsError ERR_TLS_UNRECOGNIZED_NAME with the callback's error; ConnectionError ERR_TLS_OPTION */
function readSniAnswer(error: Error | null, context: SecureContext | undefined): SecureContext | undefined {
  if (error) {
    throw new TlsError('ERR_TLS_UNRECOGNIZED_NAME', `SNICallback: ${error.message}`, { cause: error });
  }
  return ownContext('SNICallback', context);
}

/** JavaScript may bring node:tls's own context, which holds nothing that can be read. @throws ConnectionError ERR_TLS_OPTION */
function ownContext(callback: string, context: SecureContext | undefined): SecureContext | undefined {
  if (context !== undefined && context !== null && !(context instanceof SecureContext)) {
    throw new ConnectionError(
      'ERR_TLS_OPTION',
      `${callback} must answer with a context of createSecureContext of trellis`,
    );
  }
  return context ?? undefined;
}

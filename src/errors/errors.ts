import { AlertDescription, type AlertName, alertName } from './alerts.ts';

/**
 * Every fault that the engine can find, with the alert that tells the peer (RFC 8446 §6.2).
 * This is the only place where a code becomes an alert. Certificate faults carry the names
 * that `node:tls` (OpenSSL) uses for them, so that programs which test `error.code` keep working.
 */
export const ALERT_OF = {
  // Record layer, RFC 8446 §5
  ERR_TLS_RECORD_OVERFLOW: 'record_overflow',
  ERR_TLS_BAD_RECORD_MAC: 'bad_record_mac',
  ERR_TLS_KEY_LIMIT: 'internal_error',
  // Syntax and order
  ERR_TLS_DECODE: 'decode_error',
  ERR_TLS_UNEXPECTED_MESSAGE: 'unexpected_message',
  ERR_TLS_ILLEGAL_PARAMETER: 'illegal_parameter',
  ERR_TLS_MISSING_EXTENSION: 'missing_extension',
  ERR_TLS_UNSUPPORTED_EXTENSION: 'unsupported_extension',
  // Negotiation
  ERR_TLS_UNSUPPORTED_VERSION: 'protocol_version',
  ERR_TLS_NO_SHARED_CIPHER: 'handshake_failure',
  ERR_TLS_NO_SHARED_GROUP: 'handshake_failure',
  ERR_TLS_NO_SHARED_SIGNATURE_SCHEME: 'handshake_failure',
  ERR_TLS_NO_SUITABLE_CERTIFICATE: 'handshake_failure', // a client that insists on showing one
  ERR_TLS_HANDSHAKE_FAILURE: 'handshake_failure',
  ERR_TLS_INSUFFICIENT_SECURITY: 'insufficient_security',
  ERR_TLS_RENEGOTIATION: 'no_renegotiation', // where a session shall end by it
  ERR_TLS_INAPPROPRIATE_FALLBACK: 'inappropriate_fallback',
  ERR_TLS_NO_APPLICATION_PROTOCOL: 'no_application_protocol',
  ERR_TLS_UNRECOGNIZED_NAME: 'unrecognized_name',
  ERR_TLS_CERTIFICATE_TYPE: 'unsupported_certificate', // RFC 7250 §4.2
  ERR_TLS_UNKNOWN_PSK_IDENTITY: 'unknown_psk_identity', // TLS 1.2, RFC 4279 §2
  ERR_TLS_NO_SHARED_PSK: 'handshake_failure', // TLS 1.3, where RFC 8446 §6.2 leaves the choice: who asks learns no identities
  ERR_TLS_ACCESS_DENIED: 'access_denied',
  ERR_TLS_USER_CANCELED: 'user_canceled',
  // Proofs
  ERR_TLS_BAD_SIGNATURE: 'decrypt_error',
  ERR_TLS_BAD_FINISHED: 'decrypt_error',
  ERR_TLS_BAD_BINDER: 'decrypt_error',
  ERR_TLS_BAD_CERTIFICATE: 'bad_certificate',
  ERR_TLS_CERTIFICATE_REQUIRED: 'certificate_required',
  ERR_TLS_NO_CLIENT_CERTIFICATE: 'handshake_failure', // TLS 1.2 has no certificate_required (RFC 5246 §7.4.6)
  ERR_TLS_BAD_CERTIFICATE_STATUS: 'bad_certificate_status_response',
  // Certificate paths (RFC 5280), names (RFC 9525)
  CERT_NOT_YET_VALID: 'bad_certificate',
  CERT_HAS_EXPIRED: 'certificate_expired',
  CERT_REVOKED: 'certificate_revoked',
  CERT_REJECTED: 'certificate_unknown',
  UNABLE_TO_GET_CRL: 'unknown_ca',
  CRL_SIGNATURE_FAILURE: 'decrypt_error',
  CRL_NOT_YET_VALID: 'bad_certificate',
  CRL_HAS_EXPIRED: 'certificate_expired',
  CERT_SIGNATURE_FAILURE: 'bad_certificate',
  CERT_MALFORMED: 'bad_certificate',
  UNABLE_TO_GET_ISSUER_CERT: 'unknown_ca',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'unknown_ca',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'unknown_ca',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'unknown_ca',
  SELF_SIGNED_CERT_IN_CHAIN: 'unknown_ca',
  CERT_CHAIN_TOO_LONG: 'unknown_ca',
  INVALID_CA: 'unknown_ca',
  PATH_LENGTH_EXCEEDED: 'unknown_ca',
  INVALID_PURPOSE: 'unsupported_certificate',
  UNSUPPORTED_SIGNATURE_ALGORITHM: 'unsupported_certificate',
  WEAK_KEY: 'unsupported_certificate',
  UNHANDLED_CRITICAL_EXTENSION: 'unsupported_certificate',
  PERMITTED_VIOLATION: 'bad_certificate',
  EXCLUDED_VIOLATION: 'bad_certificate',
  NAME_CONSTRAINTS_WITHOUT_PROOF: 'bad_certificate',
  ERR_TLS_CERT_ALTNAME_INVALID: 'bad_certificate',
  // Ours, the peer is not at fault
  ERR_TLS_HANDSHAKE_TIMEOUT: 'user_canceled',
  ERR_TLS_INTERNAL: 'internal_error',
  ERR_DTLS_CLIENT_HELLO_TOO_LARGE: 'internal_error', // does not fit one datagram: raise the MTU, or offer less
  ERR_DTLS_TOO_MANY_CIDS: 'too_many_cids_requested', // RFC 9147 §9
  // Multiplexing; a breach of its rules is a protocol fault like any other
  ERR_MUX_REQUIRED: 'handshake_failure',
  ERR_MUX_FLOOD: 'unexpected_message',
  ERR_MUX_KEEP_ALIVE: 'user_canceled', // nothing came from the peer; whether it hears that is another question
  // Signed objects and receipts (src/formats, src/sign): whatever is wrong with one, the peer is told bad_sign
  ERR_SIGN_MALFORMED: 'bad_sign',
  ERR_SIGN_NOT_DER: 'bad_sign',
  ERR_SIGN_INCOMPLETE: 'bad_sign', // a streamed object ended before its signature
  ERR_SIGN_TOO_LARGE: 'bad_sign',
  ERR_SIGN_TOO_DEEP: 'bad_sign',
  ERR_SIGN_UNSUPPORTED_ALGORITHM: 'bad_sign',
  ERR_SIGN_SIGNER_COUNT: 'bad_sign',
  ERR_SIGN_WRONG_KIND: 'bad_sign', // a receipt where data was due, or the other way round
  ERR_SIGN_MISSING_ATTRIBUTE: 'bad_sign',
  ERR_SIGN_DUPLICATE_ATTRIBUTE: 'bad_sign',
  ERR_SIGN_CONTENT_TYPE_ATTRIBUTE: 'bad_sign',
  ERR_SIGN_MESSAGE_DIGEST: 'bad_sign', // signed over other data
  ERR_SIGN_SIGNING_CERTIFICATE_ATTRIBUTE: 'bad_sign',
  ERR_SIGN_SIGNING_TIME: 'bad_sign',
  ERR_SIGN_BINDING_MISMATCH: 'bad_sign',
  ERR_SIGN_WRONG_SIGNER: 'bad_sign',
  ERR_SIGN_CERTIFICATE: 'bad_sign', // the cause says what is wrong with the path
  ERR_SIGN_BAD_SIGNATURE: 'bad_sign',
  ERR_SIGN_RECEIPT_MISMATCH: 'bad_sign',
  ERR_SIGN_UNSIGNED: 'bad_sign', // data without a signature where this side demands one
  // Negotiation of signing (src/sign)
  ERR_SIGN_REQUIRED: 'handshake_failure',
  ERR_SIGN_REFUSED: 'unsupported_extension',
  ERR_SIGN_NO_CERTIFICATE: 'certificate_required', // signing without a certificate that is known
} as const satisfies Record<string, AlertName>;

export type TlsErrorCode = keyof typeof ALERT_OF;

/** Those of `bad_sign`. */
export type SignatureErrorCode = {
  [Code in TlsErrorCode]: (typeof ALERT_OF)[Code] extends 'bad_sign' ? Code : never;
}[TlsErrorCode];

/** Base class of everything Trellis throws on purpose; `code` is stable, the text is for people. */
export class TrellisError extends Error {
  readonly code: string;
  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A fault found by this side. `alert` is what the peer is told. */
export class TlsError extends TrellisError {
  declare readonly code: TlsErrorCode;
  constructor(code: TlsErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
  get alert(): AlertName {
    return ALERT_OF[this.code];
  }
}

/** Malformed bytes: too short, too long, out of a declared bound. Never means "need more data". */
export class DecodeError extends TlsError {
  constructor(message: string, options?: ErrorOptions) {
    super('ERR_TLS_DECODE', message, options);
  }
}

/** Well-formed, but not in the one encoding that DER allows (X.690 §10 and §11). */
export class NotDerError extends DecodeError {}

/** A signed object or receipt that proves nothing. */
export class SignatureError extends TlsError {
  declare readonly code: SignatureErrorCode;
  /** What of it is at fault, where the code alone does not say: an attribute's OID, a field of the binding. */
  readonly field: string | undefined;
  constructor(code: SignatureErrorCode, message: string, field?: string, options?: ErrorOptions) {
    super(code, message, options);
    this.field = field;
  }
}

/** A fault in the peer's certificate path. Decides the `authorizationError` that `node:tls` users know. */
export class CertificateError extends TlsError {
  /** Position in the path, 0 = end entity. */
  readonly depth: number;
  constructor(code: TlsErrorCode, message: string, depth = 0, options?: ErrorOptions) {
    super(code, message, options);
    this.depth = depth;
  }
}

/** The peer sent a fatal alert. `code` is `ERR_TLS_ALERT_` and the alert's name in capitals. */
export class AlertReceivedError extends TrellisError {
  readonly alert: AlertName | undefined;
  readonly description: number;
  constructor(description: number) {
    const name = alertName(description);
    super(
      `ERR_TLS_ALERT_${(name ?? `unknown_${description}`).toUpperCase()}`,
      `The peer closed the session with alert ${name ?? description} (${description}).`,
    );
    this.alert = name;
    this.description = description;
  }
}

/** What the adapters report about sockets, limits and use; no alert belongs to these. */
export type ConnectionErrorCode =
  | 'ERR_TLS_TRUNCATED' // transport ended without close_notify, RFC 8446 §6.1
  | 'ERR_TLS_CLOSED' // used after close
  | 'ERR_TLS_NOT_CONNECTED'
  | 'ERR_DTLS_TOO_LARGE' // more than one datagram holds
  | 'ERR_TLS_OPTION' // an option that cannot work; message says which
  | 'ERR_MUX_REFUSED' // the peer does not serve that application, or has no room
  | 'ERR_MUX_ABORTED' // the peer, or a limit here, aborted this connection
  | 'ERR_MUX_OVERFLOW' // receive buffer full for longer than allowed
  | 'ERR_MUX_FLOW_CONTROL' // the peer broke the rules of a channel's window; that channel is closed
  | 'ERR_MUX_TIMEOUT' // nothing has moved for as long as the options allow
  | 'ERR_MUX_DATAGRAM_SIZE' // longer than a datagram of this session can be
  | 'ERR_MUX_LIMIT' // too many connections in this session
  | 'ERR_MUX_UNKNOWN_APPLICATION' // not among those that the hellos agreed on
  | 'ERR_SIGN_UNAVAILABLE' // signing was not agreed, is switched off, or this side has nothing to sign with
  | 'ERR_SIGN_LIMIT' // too many receipts are awaited
  | 'ERR_SIGN_NO_RECEIPT' // the session ended before the receipt came
  | 'ERR_MUX_SESSION_CLOSED'; // the session under this connection ended

export class ConnectionError extends TrellisError {
  declare readonly code: ConnectionErrorCode;
  constructor(code: ConnectionErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, options);
  }
}

/** The peer has refused a connection, and may have said why. */
export class RefusedError extends ConnectionError {
  /** The peer's words, for people; empty when it gave none. */
  readonly reason: string;
  constructor(what: string, reason: string) {
    super('ERR_MUX_REFUSED', `The peer refused ${what}${reason === '' ? '' : `: ${printable(reason)}`}.`);
    this.reason = reason;
  }
}

/** A peer's words in a line of a log. */
function printable(text: string): string {
  const line = text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, ' ');
  return line.length > PRINTED_MAX ? `${line.slice(0, PRINTED_MAX)}…` : line;
}

/** Characters of a peer's text that a message of ours repeats. */
const PRINTED_MAX = 200;

/** Alert number for a fault; anything that is not a TlsError is our own bug: internal_error. */
export function alertFor(error: unknown): number {
  return AlertDescription[error instanceof TlsError ? error.alert : 'internal_error'];
}

/** A fault of this side for which the peer shall be told this alert; internal_error for one that no fault here has. */
export function errorForAlert(description: number, message: string): TlsError {
  const name = alertName(description);
  const codes = Object.keys(ALERT_OF) as TlsErrorCode[];
  return new TlsError(codes.find((code) => ALERT_OF[code] === name) ?? 'ERR_TLS_INTERNAL', message);
}

/** A fault that was found elsewhere, by its code. */
export function errorForCode(code: string, message: string): TrellisError {
  const text = `${message}: ${code}`;
  return Object.hasOwn(ALERT_OF, code)
    ? new TlsError(code as TlsErrorCode, text)
    : new TrellisError(code, text);
}

/** Turns anything thrown into an Error that has a code. */
export function asTrellisError(error: unknown): TrellisError {
  if (error instanceof TrellisError) return error;
  return new TlsError(
    'ERR_TLS_INTERNAL',
    `Internal error: ${error instanceof Error ? error.message : error}`,
    {
      cause: error,
    },
  );
}

/** TLS alert descriptions, by name (RFC 8446 §6; no_renegotiation is TLS 1.2's, RFC 5246 §7.2). */
export const AlertDescription = {
  close_notify: 0,
  unexpected_message: 10,
  bad_record_mac: 20,
  record_overflow: 22,
  handshake_failure: 40,
  bad_certificate: 42,
  unsupported_certificate: 43,
  certificate_revoked: 44,
  certificate_expired: 45,
  certificate_unknown: 46,
  illegal_parameter: 47,
  unknown_ca: 48,
  access_denied: 49,
  decode_error: 50,
  decrypt_error: 51,
  /** RFC 9147 §9. */
  too_many_cids_requested: 52,
  protocol_version: 70,
  insufficient_security: 71,
  internal_error: 80,
  inappropriate_fallback: 86,
  user_canceled: 90,
  no_renegotiation: 100,
  missing_extension: 109,
  unsupported_extension: 110,
  unrecognized_name: 112,
  bad_certificate_status_response: 113,
  unknown_psk_identity: 115,
  certificate_required: 116,
  no_application_protocol: 120,
  /** Unassigned; of the TLS Sign draft, §2.1.3. */
  bad_sign: 224,
} as const;

export type AlertName = keyof typeof AlertDescription;

export const AlertLevel = { warning: 1, fatal: 2 } as const;

const nameByDescription = new Map<number, AlertName>(
  Object.entries(AlertDescription).map(([name, value]) => [value, name as AlertName]),
);

/** The name of an alert description, or `undefined` for a number that RFC 8446 §6 does not list. */
export function alertName(description: number): AlertName | undefined {
  return nameByDescription.get(description);
}

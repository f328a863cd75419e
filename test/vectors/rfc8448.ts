/**
 * RFC 8448, "Example Handshake Traces for TLS 1.3", as data: every value that the document shows, under the
 * document's own names and in its order, as lower-case hex. Values longer than 32 octets are broken into lines of 32;
 * read them through `value`, which removes the white space.
 *
 * A step says who does what. A step whose result the document calls "same as" another has `sameAs` and no values. The
 * salt that the document gives as "0 (all zero octets)" is written `00` (HMAC pads a key with zeros, so every number
 * of zeros up to the hash's length means the same); the context that it calls "(empty)" is the empty string.
 */
export { clientAuthentication } from './rfc8448/client-authentication.ts';
export { compatibilityMode } from './rfc8448/compatibility-mode.ts';
export { helloRetryRequest } from './rfc8448/hello-retry-request.ts';
export { serverRsaKey } from './rfc8448/private-keys.ts';
export { resumed0Rtt } from './rfc8448/resumed-0rtt.ts';
export { simple1Rtt } from './rfc8448/simple-1rtt.ts';

export type TraceRole = 'client' | 'server';

export type TraceStep = {
  readonly by: TraceRole;
  readonly step: string;
  readonly sameAs?: string;
  readonly values?: Readonly<Record<string, string>>;
};

export type Trace = {
  readonly section: number;
  readonly title: string;
  readonly steps: readonly TraceStep[];
};

/**
 * The value `name` of the step that `by` takes and whose description starts with `step`; `nth` (from 0) tells apart
 * steps that are repeated, such as two handshake records. Throws when the trace has no such value, so that a test can
 * never compare nothing with nothing.
 */
export function value(trace: Trace, by: TraceRole, step: string, name: string, nth = 0): Uint8Array {
  const found = stepsOf(trace, by, step)[nth]?.values?.[name];
  if (found === undefined) {
    throw new Error(
      `RFC 8448 section ${trace.section} has no {${by}} "${step}" number ${nth} with "${name}"`,
    );
  }
  return hex(found);
}

/** The steps with values that `by` takes and whose description starts with `step`, in order. */
export function stepsOf(trace: Trace, by: TraceRole, step: string): TraceStep[] {
  return trace.steps.filter((s) => s.by === by && s.values !== undefined && s.step.startsWith(step));
}

/** Bytes of a hex string, white space ignored. Throws on anything that is not whole octets of hex. */
export function hex(text: string): Uint8Array {
  const digits = text.replaceAll(/\s/g, '');
  if (!/^(?:[0-9a-f]{2})*$/.test(digits)) throw new Error(`not hex: ${digits.slice(0, 40)}`);
  return Uint8Array.from(Buffer.from(digits, 'hex'));
}

/** Lower-case hex of bytes: what assertions compare, because a failing one then shows the octets. */
export function toHex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

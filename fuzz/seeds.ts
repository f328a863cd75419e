import { parseCertificate } from '../src/messages/authentication.ts';
import { HandshakeType } from '../src/wire/codepoints.ts';
import { splitMessages } from '../test/setup/pair.ts';
import {
  clientAuthentication,
  compatibilityMode,
  helloRetryRequest,
  hex,
  resumed0Rtt,
  simple1Rtt,
  stepsOf,
  type TraceRole,
} from '../test/vectors/rfc8448.ts';

const TRACES = [simple1Rtt, resumed0Rtt, helloRetryRequest, clientAuthentication, compatibilityMode];

/** Handshake messages that both sides of the traces of RFC 8448 send, header included; of one type, or all. */
export function traceMessages(type?: number, by: readonly TraceRole[] = ['client', 'server']): Uint8Array[] {
  return TRACES.flatMap((trace) => by.flatMap((role) => stepsOf(trace, role, 'send handshake record')))
    .flatMap(({ values }) => splitMessages(hex(values?.payload ?? '')))
    .filter((message) => type === undefined || message.type === type)
    .map(({ raw }) => raw);
}

/** The certificates that one side shows in the traces. */
export function traceCertificates(): Uint8Array[] {
  return traceMessages(HandshakeType.certificate).flatMap((message) =>
    parseCertificate(message.subarray(4)).entries.map(({ certData }) => certData),
  );
}

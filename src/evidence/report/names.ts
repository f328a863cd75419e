import { CipherSuite } from '../../wire/codepoints.ts';

const PROTOCOLS: Readonly<Record<number, string>> = {
  772: 'TLS 1.3',
  771: 'TLS 1.2',
  770: 'TLS 1.1',
  769: 'TLS 1.0',
  65276: 'DTLS 1.3',
  65277: 'DTLS 1.2',
  65279: 'DTLS 1.0',
};

export function protocolName(version: number): string {
  return PROTOCOLS[version] ?? `version 0x${version.toString(16).padStart(4, '0')}`;
}

/** IANA's name, for those that are spoken here. */
export function cipherSuiteName(number: number): string {
  const found = Object.entries(CipherSuite).find(([, value]) => value === number);
  return found?.[0] ?? `cipher suite 0x${number.toString(16).padStart(4, '0')}`;
}

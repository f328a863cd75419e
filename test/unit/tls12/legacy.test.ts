import { describe, expect, test } from 'vitest';
import type { Legacy } from '../../../src/crypto/legacy.ts';
import { hasStreamCipher } from '../../../src/crypto/node/stream-cipher.ts';
import { LEGACY_SUITES, type Suite12, TLS12_SUITES } from '../../../src/crypto/suites12.ts';
import { PROTOCOLS_12, type Protocol12, suitesOf } from '../../../src/handshake/tls12/protocol.ts';
import { ProtocolVersion } from '../../../src/wire/codepoints.ts';
import { expectAlive } from '../../setup/faults.ts';
import { connect12, exported, WITH_PSK } from './kit.ts';

/* TLS 1.0 and 1.1, RSA key exchange, CBC and RC4: spoken where both sides name them. */

const ALL: readonly Legacy[] = hasStreamCipher('rc4')
  ? ['tls1.0', 'tls1.1', 'rsa', 'cbc', 'rc4']
  : ['tls1.0', 'tls1.1', 'rsa', 'cbc'];
const EVERYTHING = {
  legacy: ALL,
  tls12: { suites: [...TLS12_SUITES, ...LEGACY_SUITES], requireExtendedMasterSecret: true },
} as const;
const VERSIONS = PROTOCOLS_12.filter(({ version }) => version <= ProtocolVersion.tls12);
const NAME: Readonly<Record<number, string>> = { 769: 'TLSv1', 770: 'TLSv1.1', 771: 'TLSv1.2' };
const cases = VERSIONS.flatMap((protocol) =>
  suitesOf(EVERYTHING, protocol).map((suite) => ({ protocol, suite, version: NAME[protocol.version] })),
);

const withSuite = (protocol: Protocol12, suite: Suite12) => ({
  ...EVERYTHING,
  tls12: { ...EVERYTHING.tls12, suites: [suite], newest: protocol.version },
});

describe('every suite in every version that has it', () => {
  test('there are some', () => {
    expect(cases.length).toBeGreaterThan(60);
  });

  test.each(cases)('$version $suite.name', ({ protocol, suite, version }) => {
    const withKey = suite.authentication === 'psk' ? WITH_PSK : { client: {}, server: {} };
    const pair = connect12(
      { ...withSuite(protocol, suite), ...withKey.client },
      { ...EVERYTHING, ...withKey.server },
    );
    expectAlive(pair);
    expect(pair.client.connection.info).toMatchObject({ protocol: version, suite });
    exported(pair, undefined);
  });
});

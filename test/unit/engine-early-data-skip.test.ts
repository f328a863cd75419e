import { describe, expect, test } from 'vitest';
import type { SubProtocolFactory } from '../../src/connection/sub-protocol.ts';
import type { ClientConfig, ServerConfig } from '../../src/handshake/config.ts';
import { MAX_SKIPPED_EARLY_DATA } from '../../src/record/tls/early-data-skip.ts';
import { ContentType, ExtensionType, NamedGroup } from '../../src/wire/codepoints.ts';
import { clientConfig, serverConfig } from '../setup/engine-config.ts';
import { changingClientHello, expectAlive, expectFound, NOTHING, setExtension } from '../setup/faults.ts';
import { type Cargo, clearRecord, Pair, type Tamper } from '../setup/pair.ts';

/*
 * RFC 8446 §4.2.10: a server that does not take a client's early data throws it away, within a bound, and goes on.
 * The client here only says that it sends early data; the network puts records behind its hello that nobody can open.
 */

const offering: SubProtocolFactory = () => ({
  name: 'early data',
  extensionType: ExtensionType.early_data,
  contentTypes: [],
  handshakeTypes: [],
  offer: () => NOTHING,
  answer: () => undefined,
  confirm: (answered) => expect(answered).toBeUndefined(),
  start() {},
  receiveRecord() {},
  receiveHandshake() {},
  receiveEnd() {},
  closed() {},
});

const sealed = (length: number): Cargo => ({
  raw: clearRecord(ContentType.application_data, new Uint8Array(length).fill(0x5a)),
});

/** Puts records behind the nth record of the client. */
const behind =
  (position: number, records: readonly Cargo[]): Tamper =>
  ({ from, nth, type, content, epoch }) => {
    if (from !== 'client' || nth !== position) return undefined;
    return [epoch === 'clear' ? { raw: clearRecord(type, content) } : { type, content }, ...records];
  };

interface Way {
  readonly client?: Partial<ClientConfig>;
  readonly server?: Partial<ServerConfig>;
}

function run(tamper: Tamper, { client, server }: Way, protocols: readonly SubProtocolFactory[] = [offering]) {
  return new Pair({
    client: clientConfig(client),
    server: serverConfig(server),
    clientProtocols: protocols,
    tamper,
  }).run();
}

/** Without its middlebox records, so that records count alike. */
const ways: readonly [string, Way][] = [
  ['at once', { client: { compatibility: false } }],
  [
    'after a HelloRetryRequest',
    {
      client: { compatibility: false, keyShares: [NamedGroup.x25519] },
      server: { groups: [NamedGroup.secp256r1] },
    },
  ],
];

describe.each(ways)('early data that is not accepted, the client answered %s', (_name, way) => {
  test('is thrown away', () => {
    const pair = run(behind(0, [sealed(1), sealed(17), sealed(1000), sealed(15_000)]), way);
    expectAlive(pair);
    expect(pair.server.connection.info?.resumed).toBe(false);
  });

  test('is thrown away up to the bound', () => {
    const half = MAX_SKIPPED_EARLY_DATA / 2;
    expectAlive(run(behind(0, [sealed(half), sealed(half)]), way));
  });

  test.each([
    ['in one record', [sealed(MAX_SKIPPED_EARLY_DATA + 1)]],
    ['in several', [sealed(MAX_SKIPPED_EARLY_DATA), sealed(1)]],
    ['in empty records', Array.from({ length: MAX_SKIPPED_EARLY_DATA + 1 }, () => sealed(0))],
  ])('beyond the bound ends the handshake, %s', (_how, records) => {
    const pair = run(behind(0, records), way);
    expectFound(pair, 'server', 'ERR_TLS_UNEXPECTED_MESSAGE', 'unexpected_message');
  });
});

describe('what is not early data', () => {
  const way = { client: { compatibility: false } };

  test('without the extension nothing is thrown away', () => {
    const pair = run(behind(0, [sealed(100)]), way, []);
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
  });

  test('behind a record that opened nothing is thrown away', () => {
    const pair = run(behind(1, [sealed(100)]), way);
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
  });

  test('after the second ClientHello everything protected must open', () => {
    const [, [, retry]] = ways as [unknown, [string, Way]];
    const pair = run(behind(1, [sealed(100)]), retry);
    expectFound(pair, 'server', 'ERR_TLS_BAD_RECORD_MAC', 'bad_record_mac');
  });

  test('the second ClientHello may not offer it', () => {
    const tamper = changingClientHello((hello) => setExtension(hello, ExtensionType.early_data, NOTHING), 1);
    const [, [, retry]] = ways as [unknown, [string, Way]];
    expectFound(run(tamper, retry, []), 'server', 'ERR_TLS_ILLEGAL_PARAMETER', 'illegal_parameter');
  });
});

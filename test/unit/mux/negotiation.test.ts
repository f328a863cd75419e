import { describe, expect, it } from 'vitest';
import { AlertDescription } from '../../../src/errors/alerts.ts';
import { alertFor } from '../../../src/errors/errors.ts';
import { type DataMultiplexing, encodeDataMultiplexing } from '../../../src/mux/extension.ts';
import {
  type MuxClientOptions,
  type MuxServerOptions,
  muxClient,
  muxServer,
} from '../../../src/mux/index.ts';
import { UNUSED_LINK } from '../../setup/link.ts';
import { ascii, hex, Pair, text, thrown } from './pair.ts';

const HELLO = { serverName: 'host.test', alpnProtocol: undefined };
const http = { name: 'http', port: 80 };
const ssh = { name: 'ssh', port: 22 };
const smtp = { name: 'smtp', port: 25 };

type Names = { all?: boolean; channel?: boolean; applications?: readonly { name: string; port: number }[] };
const list = ({ all = false, channel = false, applications = [] }: Names): DataMultiplexing => ({
  form: 'list',
  all,
  channel,
  applications,
});

function answerTo(options: MuxServerOptions, offer: DataMultiplexing | undefined): Uint8Array | undefined {
  const offered = offer === undefined ? undefined : encodeDataMultiplexing(offer);
  return muxServer(options)('server').answer(offered, HELLO);
}

describe('what the client offers', () => {
  it('is ALL and CHANNEL by default: no names', () => {
    expect(muxClient()('client').offer()).toEqual(hex('000010 03 414c4c 0000 07 4348414e4e454c 0000'));
  });
  it('is ALL alone for ports mode', () => {
    expect(muxClient({ mode: 'ports' })('client').offer()).toEqual(hex('000006 03 414c4c 0000'));
  });
  it('is the empty extension for the draft alone', () => {
    expect(muxClient({ halfClose: false })('client').offer()).toEqual(new Uint8Array(0));
  });
  it('is the applications that were named', () => {
    expect(muxClient({ applications: [http, ssh] })('client').offer()).toEqual(
      encodeDataMultiplexing(list({ channel: true, applications: [http, ssh] })),
    );
  });
  it('is the same when it is asked for again, as after a HelloRetryRequest', () => {
    const client = muxClient({ applications: [http] })('client');
    expect(client.offer()).toEqual(client.offer());
  });
  it('is nothing from a server', () => {
    expect(muxServer({ any: true })('server').offer()).toBeUndefined();
  });
});

describe('what the server answers', () => {
  const serves = { applications: [http, ssh] };
  const row = (
    what: string,
    options: MuxServerOptions,
    offer: DataMultiplexing | undefined,
    answer: DataMultiplexing | undefined,
  ): [string, MuxServerOptions, DataMultiplexing | undefined, DataMultiplexing | undefined] => [
    what,
    options,
    offer,
    answer,
  ];
  const allow = { policy: 'allow' } as const;

  it.each([
    row(
      'a list: the intersection',
      serves,
      list({ applications: [smtp, http] }),
      list({ applications: [http] }),
    ),
    row(
      'a list, by option: the others too',
      { ...serves, nameOthers: true },
      list({ applications: [smtp, http] }),
      list({ applications: [http, ssh] }),
    ),
    row(
      'a list with nothing in common: nothing, with that option too',
      { ...serves, nameOthers: true, ...allow },
      list({ applications: [smtp] }),
      undefined,
    ),
    row(
      'a list with a known name at another port: nothing',
      { ...serves, ...allow },
      list({ applications: [{ name: 'http', port: 8080 }] }),
      undefined,
    ),
    row(
      'a list, to a server that takes any: all of it',
      { any: true },
      list({ applications: [smtp, http] }),
      list({ applications: [smtp, http] }),
    ),
    row(
      'ALL, to a server that takes any: ALL',
      { any: true, ...serves },
      list({ all: true }),
      list({ all: true }),
    ),
    row(
      'ALL, to one that has a list: its list',
      serves,
      list({ all: true }),
      list({ applications: [http, ssh] }),
    ),
    row(
      'ALL beside names: as ALL',
      serves,
      list({ all: true, applications: [smtp] }),
      list({ applications: [http, ssh] }),
    ),
    row(
      'ALL and CHANNEL: CHANNEL alone',
      { any: true },
      list({ all: true, channel: true }),
      list({ channel: true }),
    ),
    row(
      'ALL and CHANNEL, for a side with ports mode only: ALL',
      { any: true, mode: 'ports' },
      list({ all: true, channel: true }),
      list({ all: true }),
    ),
    row(
      'ALL and CHANNEL, for a side with the draft only: nothing',
      { any: true, halfClose: false, ...allow },
      list({ all: true, channel: true }),
      undefined,
    ),
    row(
      'a list and CHANNEL: CHANNEL alone',
      serves,
      list({ channel: true, applications: [http] }),
      list({ channel: true }),
    ),
    row(
      'a list and CHANNEL, for a side with ports mode only: the list',
      { ...serves, mode: 'ports' },
      list({ channel: true, applications: [http] }),
      list({ applications: [http] }),
    ),
    row('CHANNEL alone: CHANNEL', serves, list({ channel: true }), list({ channel: true })),
    row('the empty form: the empty form', { any: true }, { form: 'empty' }, { form: 'empty' }),
    row(
      'the empty form, for the draft only: the same',
      { any: true, halfClose: false },
      { form: 'empty' },
      { form: 'empty' },
    ),
    row(
      'CHANNEL alone, for a side with ports mode only: nothing',
      { ...serves, ...allow, mode: 'ports' },
      list({ channel: true }),
      undefined,
    ),
    row(
      'the empty form, for a side with ports mode only: nothing',
      { any: true, ...allow, mode: 'ports' },
      { form: 'empty' },
      undefined,
    ),
    row('a list of nothing: nothing', { any: true, ...allow }, list({}), undefined),
    row('no extension: nothing', { any: true, ...allow }, undefined, undefined),
  ])('to %s', (_what, options, offer, answer) => {
    expect(answerTo(options, offer)).toEqual(
      answer === undefined ? undefined : encodeDataMultiplexing(answer),
    );
  });

  it.each([
    ['no extension', undefined],
    ['nothing in common', list({ applications: [smtp] })],
    ['the empty form', { form: 'empty' } as const],
    ['CHANNEL alone', list({ channel: true })],
  ])('to %s with the policy require (default): handshake_failure', (_what, offer) => {
    const error = thrown(() => answerTo({ ...serves, mode: 'ports' }, offer));
    expect(error).toMatchObject({ code: 'ERR_MUX_REQUIRED' });
    expect(alertFor(error)).toBe(AlertDescription.handshake_failure);
  });

  it('to bytes that are no offer: decode_error, whatever the policy', () => {
    const server = muxServer({ ...serves, policy: 'allow' })('server');
    expect(thrown(() => server.answer(hex('00'), HELLO))).toMatchObject({ code: 'ERR_TLS_DECODE' });
  });
});

describe('what the client makes of the answer', () => {
  function agreed(options: MuxClientOptions, answer: DataMultiplexing | undefined) {
    const client = muxClient(options)('client');
    client.offer();
    client.confirm(answer === undefined ? undefined : encodeDataMultiplexing(answer), HELLO);
    client.start({ ...UNUSED_LINK, role: 'client', send: () => {} });
    return client.session?.agreement;
  }
  const asks = { applications: [http, ssh] };

  it.each([
    ['ALL, asked for', {}, list({ all: true }), { mode: 'ports', any: true, applications: [] }],
    [
      'a list, after ALL',
      {},
      list({ applications: [smtp] }),
      { mode: 'ports', any: false, applications: [smtp] },
    ],
    [
      'some of those asked for',
      asks,
      list({ applications: [ssh] }),
      { mode: 'ports', any: false, applications: [ssh] },
    ],
    [
      'others beside, by option',
      { ...asks, acceptOthers: true },
      list({ applications: [ssh, smtp] }),
      { mode: 'ports', any: false, applications: [ssh, smtp] },
    ],
    ['CHANNEL', {}, list({ channel: true }), { mode: 'channels', halfClose: true }],
    [
      'the empty form',
      { halfClose: false },
      { form: 'empty' } as const,
      { mode: 'channels', halfClose: false },
    ],
  ])('%s', (_what, options, answer, agreement) => {
    expect(agreed(options, answer)).toEqual(agreement);
  });

  it('no answer: ordinary TLS under the policy allow', () => {
    expect(agreed({ policy: 'allow' }, undefined)).toBeUndefined();
  });

  it('no answer: handshake_failure under the policy require, the default', () => {
    const error = thrown(() => agreed({}, undefined));
    expect(error).toMatchObject({ code: 'ERR_MUX_REQUIRED' });
    expect(alertFor(error)).toBe(AlertDescription.handshake_failure);
  });

  it.each([
    ['CHANNEL, never offered', { mode: 'ports' } as const, list({ channel: true })],
    ['CHANNEL beside an application', {}, list({ channel: true, applications: [http] })],
    ['a list, to the empty form', { halfClose: false }, list({ channel: true })],
    ['CHANNEL beside ALL', {}, list({ all: true, channel: true })],
    ['the empty form, never offered', {}, { form: 'empty' } as const],
    ['ALL beside names', {}, list({ all: true, applications: [http] })],
    ['a list of nothing', {}, list({})],
    ['ALL to a list', asks, list({ all: true })],
    ['an application not asked for', asks, list({ applications: [smtp] })],
    ['one not asked for beside one that was', asks, list({ applications: [http, smtp] })],
    ['one asked for, at another port', asks, list({ applications: [{ name: 'http', port: 8080 }] })],
    ['only others, even by option', { ...asks, acceptOthers: true }, list({ applications: [smtp] })],
  ])('%s is illegal_parameter', (_what, options, answer) => {
    const error = thrown(() => agreed({ ...options, policy: 'allow' }, answer));
    expect(error).toMatchObject({ code: 'ERR_TLS_ILLEGAL_PARAMETER' });
    expect(alertFor(error)).toBe(AlertDescription.illegal_parameter);
  });

  it.each([
    ['a duplicate name', '00000e 04 68747470 0050 04 68747470 0050', 'ERR_TLS_ILLEGAL_PARAMETER'],
    ['trailing bytes', '000006 03 414c4c 0000 00', 'ERR_TLS_DECODE'],
  ])('%s', (_what, body, code) => {
    expect(thrown(() => muxClient()('client').confirm(hex(body), HELLO))).toMatchObject({ code });
  });
});

describe('options that cannot work', () => {
  const client = (options: MuxClientOptions) => () => muxClient(options);
  const server = (options: MuxServerOptions) => () => muxServer(options);
  it.each([
    ['a name of 17', client({ applications: [{ name: 'a'.repeat(17), port: 1 }] })],
    ['an empty name', client({ applications: [{ name: '', port: 1 }] })],
    ['a name with a space', client({ applications: [{ name: 'a b', port: 1 }] })],
    ['a reserved name', server({ applications: [{ name: 'ALL', port: 1 }] })],
    ['port 0', server({ applications: [{ name: 'a', port: 0 }] })],
    ['port 65536', server({ applications: [{ name: 'a', port: 65536 }] })],
    ['a name twice', server({ applications: [http, { name: 'http', port: 81 }] })],
    ['a port twice at the server', server({ applications: [http, { name: 'web', port: 80 }] })],
    [
      'too many',
      client({ applications: Array.from({ length: 1025 }, (_, i) => ({ name: `a${i}`, port: i + 1 })) }),
    ],
    ['no applications to ask for', client({ applications: [] })],
    ['no applications to serve', server({ applications: [] })],
    ['an unknown policy', client({ policy: 'maybe' as 'allow' })],
    ['an unknown overflow', client({ overflow: 'drop' as 'pause' })],
    ['a buffer too small for one read', client({ receiveBuffer: 65_535 })],
    ['a budget of no number', client({ sessionBudget: Number.NaN })],
    ['no connections', client({ maxConnections: 0 })],
    ["TLS's own content type", client({ contentType: 23 })],
    ['an extension type that is none', client({ extensionType: 65536 })],
  ])('%s: ERR_TLS_OPTION', (_what, make) => {
    expect(thrown(make)).toMatchObject({ code: 'ERR_TLS_OPTION' });
  });
  it('the role of the other side', () => {
    expect(thrown(() => muxClient()('server'))).toMatchObject({ code: 'ERR_TLS_OPTION' });
    expect(thrown(() => muxServer({ any: true })('client'))).toMatchObject({ code: 'ERR_TLS_OPTION' });
  });
  it('takes two names for one port from a client, which tells them apart by name', () => {
    expect(muxClient({ applications: [http, { name: 'web', port: 80 }] })('client').offer()).toBeDefined();
  });
});

describe('on the seam', () => {
  it('has the code points that were chosen', () => {
    expect(muxClient()('client')).toMatchObject({
      extensionType: 0xff4d,
      contentTypes: [28],
      handshakeTypes: [],
    });
    expect(muxClient({ extensionType: 0xff01, contentType: 30 })('client')).toMatchObject({
      extensionType: 0xff01,
      contentTypes: [30],
    });
  });
  it('has a session only after it was agreed and started', () => {
    const pair = new Pair(
      { policy: 'allow', applications: [smtp] },
      { policy: 'allow', applications: [http] },
    );
    expect(pair.client.protocol.session).toBeUndefined();
    expect(pair.server.protocol.session).toBeUndefined();
  });
  it('knows no handshake message', () => {
    expect(thrown(() => muxClient()('client').receiveHandshake(99, ascii('x')))).toMatchObject({
      code: 'ERR_TLS_UNEXPECTED_MESSAGE',
    });
  });
  it('carries data once agreed', () => {
    const pair = new Pair({}, { applications: [http] });
    const { near, far } = pair.open('http');
    near.write(ascii('GET'));
    pair.settle();
    expect(text(far)).toBe('GET');
  });
});

import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { initPki } from '../../src/tunnel/init.ts';
import type { Claim } from '../module/module-demo.ts';
import { type Ends, startEnds } from '../tunnel.ts';
import { type CallResult, type Heard, makeCall, startCalled } from './call.ts';
import { type FetchResult, fetchFile, startFileServer } from './coap.ts';
import { askName, startNameServer } from './dns.ts';
import {
  type Crossing,
  type DatagramObservation,
  newDatagramObservation,
  startLossyRelay,
} from './lossy-relay.ts';
import type { DatagramServer } from './sockets.ts';

export interface UdpDemoOptions {
  /** Questions to the name server. */
  readonly requests?: number;
  /** Frames of the caller. */
  readonly frames?: number;
  /** Bytes of the file. */
  readonly bytes?: number;
  /** Clients, each with a session of its own. Default 1; anything else makes the claim "one handshake" untrue. */
  readonly sessions?: number;
  /** The share of datagrams that the relay really loses, which is what the demo claims unless a test says otherwise. */
  readonly share?: number;
  readonly onProgress?: (line: string) => void;
}

export interface UdpDemoResult {
  /** Every claim held. */
  readonly ok: boolean;
  readonly claims: readonly Claim[];
  /** Different ServerHello messages that came to the relay. */
  readonly handshakes: number;
  readonly fiveTuples: number;
  /** At the relay, in each direction. */
  readonly towardsGateway: Crossing;
  readonly towardsClient: Crossing;
  /** Records of epoch 0, those sent again included. */
  readonly clearRecords: number;
  readonly names: { readonly asked: number; readonly answered: number; readonly repeated: number };
  readonly call: CallResult;
  readonly file: FetchResult;
  readonly seconds: number;
}

const REQUESTS = 200;
const FRAMES = 2_000;
const BYTES = 256 * 1_024;
const LOSS = 0.05;
/** With it the relay loses the first ServerHello, which is seen to be sent again. */
const SEED = 239;
/** Standard deviations: one run in a million is further away. */
const DEVIATIONS = 5;

/**
 * UDP applications of three kinds in one DTLS session over a path that loses datagrams: questions that are asked again when
 * they are lost, speech that is not, and a file in blocks. The real `trellis serve` and `trellis connect`, in processes of
 * their own.
 */
export async function runUdpDemo(options: UdpDemoOptions = {}): Promise<UdpDemoResult> {
  const { requests = REQUESTS, frames = FRAMES, bytes = BYTES, sessions = 1, share = LOSS } = options;
  const { onProgress = () => {} } = options;
  const start = performance.now();
  const pki = await mkdtemp(join(tmpdir(), 'trellis-demo-udp-'));
  const content = randomBytes(bytes);
  const servers: DatagramServer[] = [];
  try {
    const [names, called, files] = await Promise.all([
      startNameServer(),
      startCalled(),
      startFileServer(content),
    ]);
    servers.push(names, called, files);
    onProgress('making certificates');
    await initPki({ directory: pki });
    onProgress('starting the gateway and the client');
    const seen = newDatagramObservation();
    const file = (name: string): string => join(pki, name);
    const ends = await startEnds({
      credentials: {
        gateway: ['--cert', file('server.pem'), '--key', file('server.key'), '--client-ca', file('ca.pem')],
        client: ['--ca', file('ca.pem'), '--cert', file('client.pem'), '--key', file('client.key')],
      },
      applications: { 'dns/udp': names.port, 'call/udp': called.port, 'coap/udp': files.port },
      sessions,
      transport: 'udp',
      relay: (target) => startLossyRelay(target, { share, seed: SEED }, seen),
    });
    try {
      onProgress('the handshake, over a path that loses datagrams');
      const work = await runUdpWorkload(ends, { requests, frames }, () =>
        onProgress(`${requests} questions, ${frames} frames of a call and a file in blocks, all at once`),
      );
      const sha256 = createHash('sha256').update(content).digest('hex');
      return conclude(work, { requests, bytes, sha256 }, seen, (performance.now() - start) / 1000);
    } finally {
      await ends.close();
    }
  } finally {
    for (const server of servers) server.close();
    await rm(pki, { recursive: true, force: true });
  }
}

interface UdpWorkResult {
  readonly names: UdpDemoResult['names'];
  readonly call: CallResult;
  readonly file: FetchResult;
}

async function runUdpWorkload(
  { clients }: Ends,
  { requests, frames }: { readonly requests: number; readonly frames: number },
  onSession: () => void,
): Promise<UdpWorkResult> {
  const port = (application: string, i: number): number => clients[i % clients.length]?.[application] ?? -1;
  // A session is opened by the first datagram; the call does not begin before there is one.
  const first = await Promise.all(clients.map((_, i) => askName(port('dns/udp', i), i)));
  onSession();
  const rest = Array.from({ length: Math.max(requests - first.length, 0) }, (_, i) =>
    askName(port('dns/udp', i), first.length + i),
  );
  const [answers, call, file] = await Promise.all([
    Promise.all(rest),
    makeCall(port('call/udp', 0), frames),
    fetchFile(port('coap/udp', clients.length - 1)),
  ]);
  const all = [...first, ...answers];
  const names = {
    asked: all.length,
    answered: all.filter(({ answer }) => answer).length,
    repeated: all.reduce((sum, { tries }) => sum + tries - 1, 0),
  };
  return { names, call, file };
}

function conclude(
  { names, call, file }: UdpWorkResult,
  expected: { readonly requests: number; readonly bytes: number; readonly sha256: string },
  seen: DatagramObservation,
  seconds: number,
): UdpDemoResult {
  const { gateway, client } = seen.towards;
  const handshakes = seen.serverRandoms.size;
  const { heard, sent } = call;
  const missing = {
    gateway: sent.caller - heard.called.received,
    client: sent.called - heard.caller.received,
  };
  const claims: Claim[] = [
    {
      claim: `the path lost ${LOSS * 100} % of the datagrams in each direction`,
      held: isShare(gateway) && isShare(client),
      detail: `towards the gateway ${inWords(gateway)}, towards the client ${inWords(client)}`,
    },
    {
      claim: `${expected.requests} DNS questions, each from a port of its own, were answered rightly`,
      held: names.asked === expected.requests && names.answered === expected.requests,
      detail: `${names.repeated} times one was asked again`,
    },
    {
      claim: 'of a call, what arrived was whole, and no frame came twice',
      held: [heard.caller, heard.called].every(isSound),
      detail: `${heard.called.received} of ${sent.caller} frames heard there, ${heard.caller.received} of ${sent.called} here`,
    },
    {
      claim: 'the call missed nothing but what the path lost',
      held: missing.gateway <= gateway.lost && missing.client <= client.lost,
      detail: `${missing.gateway} and ${missing.client} frames; of everything the path lost ${gateway.lost} and ${client.lost}`,
    },
    {
      claim: `${expected.bytes / 1024} KiB came by CoAP in blocks with the same SHA-256`,
      held: file.sha256 === expected.sha256,
      detail: `${file.blocks} blocks, ${file.repeated} times one was asked for again`,
    },
    {
      claim: 'all of it was one handshake',
      held: handshakes === 1 && seen.clientRandoms.size === 1,
      detail: `ClientHello ${seen.clientHellos} times, HelloRetryRequest ${seen.helloRetryRequests}, ServerHello ${seen.serverHellos}; ${seen.clearRecords} records of epoch 0, of whose datagrams the path lost ${seen.clearDatagramsLost}`,
    },
    { claim: 'all of it was one five-tuple', held: seen.clientPorts.size === 1 },
    {
      claim: 'an observer saw nothing but DTLS records, and could read nothing of the applications',
      held: seen.strangeDatagrams === 0 && seen.readableDatagrams === 0,
    },
  ];
  return {
    ok: claims.every(({ held }) => held),
    claims,
    handshakes,
    fiveTuples: seen.clientPorts.size,
    towardsGateway: { ...gateway },
    towardsClient: { ...client },
    clearRecords: seen.clearRecords,
    names,
    call,
    file,
    seconds,
  };
}

/** The share that was lost is what chance makes of the one that is claimed. */
function isShare({ datagrams, lost }: Crossing): boolean {
  const deviation = Math.sqrt(datagrams * LOSS * (1 - LOSS));
  return lost > 0 && Math.abs(lost - datagrams * LOSS) <= DEVIATIONS * deviation;
}

function inWords({ datagrams, lost }: Crossing): string {
  return `${lost} of ${datagrams} (${((100 * lost) / datagrams).toFixed(1)} %)`;
}

function isSound({ received, broken, doubled }: Heard): boolean {
  return received > 0 && broken === 0 && doubled === 0;
}

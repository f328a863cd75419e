import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';

/*
 * A page that makes peer connections, one for each name in its address, and says what became of them. It offers audio and
 * a data channel; whoever made this gives the answer.
 */

/** What the browser says of one peer connection; `undefined` where it does not say. */
export interface PageReport {
  /** RTCDtlsTransport.state: 'connected', once something came back, 'failed' or 'closed'. */
  readonly state: string;
  /** What came back over the data channel. */
  readonly echo?: string;
  /** DER, hexadecimal, of the certificate that it was shown. */
  readonly certificate?: string;
  /** RTCTransportStats. */
  readonly dtlsRole?: string;
  readonly tlsVersion?: string;
  readonly dtlsCipher?: string;
  readonly srtpCipher?: string;
}

/** An offer, as far as an answer needs it. */
export interface Offer {
  readonly sdp: string;
  /** `sha-256 AB:…` */
  readonly fingerprint: string;
  readonly media: readonly { readonly kind: string; readonly mid: string; readonly format: string }[];
}

export interface AnswerTerms {
  readonly setup: 'active' | 'passive';
  readonly fingerprint: string;
  readonly ice: { readonly port: number; readonly ufrag: string; readonly password: string };
}

const PAGE = `<!doctype html><title>peers</title><script>
async function peer(name) {
  const pc = new RTCPeerConnection();
  const channel = pc.createDataChannel('echo', { negotiated: true, id: 0 });
  const echo = new Promise(resolve => { channel.onmessage = ({ data }) => resolve(data); });
  channel.onopen = () => channel.send('hello from ' + name);
  const sound = await navigator.mediaDevices.getUserMedia({ audio: true });
  for (const track of sound.getTracks()) pc.addTrack(track, sound);
  await pc.setLocalDescription();
  const answer = await fetch('/offer/' + name, { method: 'POST', body: pc.localDescription.sdp });
  await pc.setRemoteDescription({ type: 'answer', sdp: await answer.text() });
  const transport = pc.sctp.transport;
  // In DTLS 1.3 a client is connected before the server has judged its certificate.
  const ended = new Promise(resolve => {
    const look = () => { if (['failed', 'closed'].includes(transport.state)) resolve(); };
    transport.onstatechange = look;
    look();
  });
  const text = await Promise.race([echo, ended]);
  const report = { state: transport.state };
  if (text !== undefined) {
    report.echo = text;
    const hex = bytes => [...new Uint8Array(bytes)].map(b => b.toString(16).padStart(2, '0')).join('');
    report.certificate = hex(transport.getRemoteCertificates()[0]);
    for (const stats of (await pc.getStats()).values()) {
      if (stats.type !== 'transport') continue;
      const { dtlsRole, tlsVersion, dtlsCipher, srtpCipher } = stats;
      Object.assign(report, { dtlsRole, tlsVersion, dtlsCipher, srtpCipher });
    }
  }
  return report;
}
for (const name of location.pathname.slice(1).split(',')) {
  peer(name).catch(error => ({ state: String(error) }))
    .then(report => fetch('/report/' + name, { method: 'POST', body: JSON.stringify(report) }));
}
</script>`;

/**
 * Serves the page.
 * @param answer to the offer of the peer connection with this name
 */
export async function servePeers(
  names: readonly string[],
  answer: (name: string, offer: Offer) => Promise<AnswerTerms>,
): Promise<{ readonly url: string; readonly reports: Readonly<Record<string, Promise<PageReport>>> }> {
  const settle = new Map<string, (report: PageReport) => void>();
  const reports = Object.fromEntries(
    names.map((name) => [name, new Promise<PageReport>((resolve) => settle.set(name, resolve))]),
  );
  const server = createServer(async (request, response) => {
    const [, verb, name = ''] = (request.url ?? '').split('/');
    if (verb === 'offer') {
      const offer = readOffer(await body(request));
      response.end(writeAnswer(offer, await answer(name, offer)));
    } else if (verb === 'report') {
      settle.get(name)?.(JSON.parse(await body(request)) as PageReport);
      response.end();
    } else {
      response.setHeader('Content-Type', 'text/html');
      response.end(PAGE);
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/${names.join(',')}`, reports };
}

async function body(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}

function readOffer(sdp: string): Offer {
  const media = sdp.split(/^m=/m).slice(1);
  return {
    sdp,
    fingerprint: /^a=fingerprint:(.*?)\r?$/m.exec(sdp)?.[1] ?? '',
    media: media.map((section) => {
      const [, kind = '', format = ''] = /^(\w+) \d+ \S+ (\S+)/.exec(section) ?? [];
      return { kind, format, mid: /^a=mid:(\S+)/m.exec(section)?.[1] ?? '' };
    }),
  };
}

/** RFC 8829 §5.3, for a side that only receives, with all media over one transport. */
function writeAnswer({ media }: Offer, { setup, fingerprint, ice }: AnswerTerms): string {
  const lines = [
    ...['v=0', 'o=- 1 1 IN IP4 127.0.0.1', 's=-', 't=0 0', 'a=ice-lite'],
    `a=group:BUNDLE ${media.map(({ mid }) => mid).join(' ')}`,
  ];
  for (const { kind, mid, format } of media) {
    lines.push(
      `m=${kind} ${ice.port} ${kind === 'audio' ? 'UDP/TLS/RTP/SAVPF' : 'UDP/DTLS/SCTP'} ${format}`,
      ...['c=IN IP4 127.0.0.1', `a=mid:${mid}`, `a=ice-ufrag:${ice.ufrag}`, `a=ice-pwd:${ice.password}`],
      ...[`a=fingerprint:${fingerprint}`, `a=setup:${setup}`],
      ...(kind === 'audio'
        ? ['a=recvonly', 'a=rtcp-mux', `a=rtpmap:${format} opus/48000/2`]
        : ['a=sctp-port:5000', 'a=max-message-size:65536']),
      ...[`a=candidate:1 1 udp 2130706431 127.0.0.1 ${ice.port} typ host`, 'a=end-of-candidates'],
    );
  }
  return `${lines.join('\r\n')}\r\n`;
}

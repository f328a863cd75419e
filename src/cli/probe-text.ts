import type {
  CertificateReport,
  ModuleReport,
  OcspReport,
  ProbeReport,
  ResumptionReport,
  VersionReport,
} from '../node/probe/report.ts';

/** Room for a line's heading. */
const INDENT = 14;
/** Lists are broken so that lines stay within a terminal. */
const WIDTH = 100;

/** A report for people. */
export function probeText(report: ProbeReport): string {
  const spoken = report.versions.filter(({ supported }) => supported);
  const lines = [
    `${report.server}${shownAddress(report)} speaks ${spoken.map(({ version }) => TITLE[version]).join(', ') || 'nothing that is known here'}`,
    '',
    ...trustLines(report),
    ...report.chain.flatMap(certificateLines),
    line('OCSP', ocspText(report.ocsp)),
    ...(report.signedCertificateTimestamps > 0
      ? [
          line(
            'timestamps',
            `${report.signedCertificateTimestamps} of certificate transparency, not verified`,
          ),
        ]
      : []),
    '',
    ...spoken.flatMap((version) => [...versionLines(version), '']),
    line('ALPN', alpnText(report)),
    line('post-quantum', report.postQuantum.join(', ') || 'no: what is recorded today may be read one day'),
    ...(report.clientCertificate === undefined ? [] : [line('client cert', clientCertificateText(report))]),
    ...(report.module === undefined ? [] : [line('in the module', moduleText(report.module))]),
    line('multiplexing', muxText(report)),
    line('signing', report.sign.join(', ') || 'no'),
    ...(report.failure === undefined
      ? []
      : ['', `The handshake failed: ${report.failure.message} (${report.failure.code})`]),
    ...report.warnings.map((warning) => `Warning: ${warning}.`),
  ];
  // The server chose some of these words.
  return `${lines.map((text) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?').trimEnd()).join('\n')}\n`;
}

const TITLE: Readonly<Record<VersionReport['version'], string>> = {
  'TLSv1.3': 'TLS 1.3',
  'TLSv1.2': 'TLS 1.2',
  'TLSv1.1': 'TLS 1.1',
  TLSv1: 'TLS 1.0',
};

const CLIENT_CERTIFICATE = {
  'not-asked': 'not asked for',
  asked: 'asked for, not required',
  required: 'required',
} as const;

function clientCertificateText({ clientCertificate: which = 'not-asked', module }: ProbeReport): string {
  const advice = which === 'required' && module === undefined ? ': give --cert and --key, or --module' : '';
  return `${CLIENT_CERTIFICATE[which]}${advice}`;
}

function moduleText(report: ModuleReport): string {
  const { failure, version, suite, alpn, shown, pskIdentity, offloaded } = report;
  const showed = shown === undefined ? 'it was not asked for a certificate' : `it showed ${shown}`;
  const as = pskIdentity === undefined ? showed : `it has the key ${pskIdentity}`;
  if (failure !== undefined) return `FAILED: ${failure.message} (${failure.code})`;
  const protocol = alpn === undefined ? '' : `, ${alpn}`;
  return `${version}, ${suite}${protocol}; ${as}${offloaded ? '; offloaded' : ''}`;
}

function shownAddress({ server, address }: ProbeReport): string {
  return address === undefined || server.startsWith(address) || server.startsWith(`[${address}]`)
    ? ''
    : ` (${address})`;
}

function line(heading: string, text: string): string {
  return `  ${heading.padEnd(INDENT)}${text}`;
}

/** A heading with a list, over as many lines as it needs. */
function list(heading: string, items: readonly string[]): string[] {
  const lines: string[] = [];
  let current = '';
  for (const item of items) {
    const next = current === '' ? item : `${current}, ${item}`;
    if (current !== '' && next.length > WIDTH - INDENT) {
      lines.push(`${current},`);
      current = item;
    } else current = next;
  }
  return [...lines, current].map((text, index) => line(index === 0 ? heading : '', text));
}

function trustLines({ trust, servername, pskIdentity }: ProbeReport): string[] {
  if (pskIdentity !== undefined)
    return [`Authenticated by the pre-shared key ${JSON.stringify(pskIdentity)}`];
  if (trust === undefined) return ['No certificate was seen'];
  if (trust.trusted) return [`Trusted as ${servername}, by ${trust.anchor}`];
  return [`NOT TRUSTED as ${servername}: ${trust.message} (${trust.code})`, `  ${trust.next}`];
}

function certificateLines(certificate: CertificateReport, index: number): string[] {
  const { subject, issuer, notBefore, notAfter, daysLeft, key, signature, names, sha256 } = certificate;
  const left = daysLeft < 0 ? `expired ${-daysLeft} days ago` : `${daysLeft} days left`;
  return [
    line(`${index}`, subject === '' ? '(no subject)' : subject),
    line('  issuer', issuer),
    line('  valid', `${notBefore.slice(0, 10)} to ${notAfter.slice(0, 10)}, ${left}`),
    line('  key', `${key}; signed with ${signature}`),
    ...(names.length > 0
      ? list(
          '  names',
          names.map((name) => name.replace(/^DNS:/, '')),
        )
      : []),
    line('  SHA-256', sha256),
  ];
}

function ocspText({ stapled, mustStaple, status, thisUpdate, nextUpdate, problem }: OcspReport): string {
  const must = mustStaple ? '; the certificate demands stapling' : '';
  if (!stapled) return `nothing stapled${must}`;
  if (status === 'invalid') return `stapled, and no use: ${problem}${must}`;
  const until = nextUpdate === undefined ? '' : ` until ${nextUpdate.slice(0, 16)}Z`;
  return `stapled: ${status}, said ${thisUpdate?.slice(0, 16)}Z, valid${until}${must}`;
}

function versionLines(version: VersionReport): string[] {
  const { suites, ownOrder, groups, schemes, resumption } = version;
  const order =
    ownOrder === undefined ? '' : ownOrder ? ', in the order of the server' : ', in the order of the client';
  const good = suites.filter(({ weakness }) => weakness === undefined).map(({ name }) => name);
  const weak = suites.flatMap(({ name, weakness }) =>
    weakness === undefined ? [] : [`${name} (${weakness})`],
  );
  const lines = [`${TITLE[version.version]}${order}`];
  if (good.length > 0) lines.push(...list('suites', good));
  if (weak.length > 0) lines.push(...list('weak suites', weak));
  if (groups.length > 0) lines.push(...list('groups', groups));
  if (schemes.length > 0) lines.push(...list('signatures', schemes));
  if (version.extendedMasterSecret === false)
    lines.push(line('lacks', 'extended_master_secret (RFC 7627): sessions can be confused'));
  if (version.secureRenegotiation === false)
    lines.push(line('lacks', 'renegotiation_info (RFC 5746): this engine does not talk to it'));
  if (resumption !== undefined) lines.push(line('resumption', resumptionText(resumption)));
  return lines;
}

function resumptionText({ by, tickets, lifetime, resumed, earlyData }: ResumptionReport): string {
  if (by === undefined) return 'no';
  const what = by === 'session-id' ? 'session ids' : `${tickets} ${tickets === 1 ? 'ticket' : 'tickets'}`;
  const early = earlyData > 0 ? `, early data up to ${earlyData} bytes` : '';
  return `${what}, ${lifetime} s${resumed ? '' : ', but it was not resumed'}${early}`;
}

function alpnText({ alpn }: ProbeReport): string {
  const { offered, accepted } = alpn;
  if (accepted.length > 0) return `${accepted.join(', ')} (asked for ${offered.join(', ')})`;
  return `none of ${offered.join(', ')}`;
}

function muxText({ mux }: ProbeReport): string {
  if (mux === undefined) return 'no';
  const modes = [...(mux.channels ? ['channels'] : []), ...(mux.ports ? ['ports'] : [])].join(' and ');
  return mux.applications.length > 0 ? `${modes}: ${mux.applications.join(', ')}` : modes;
}

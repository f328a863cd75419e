import {
  CONNECT_TIMEOUT,
  DRAIN_TIMEOUT,
  HANDSHAKE_TIMEOUT,
  SESSIONS_MAX,
  UDP_FLOWS_MAX,
  UDP_IDLE,
  WAIT_TIMEOUT,
} from '../tunnel/options.ts';

/** How an option's text becomes a value; `values.ts` has a schema for each. */
export type ValueType =
  | 'application'
  | 'card-profile'
  | 'count'
  | 'duration'
  | 'time-limit'
  | 'endpoint'
  | 'session-endpoint'
  | 'file'
  | 'flag'
  | 'forward'
  | 'host'
  | 'key'
  | 'legacy'
  | 'level'
  | 'listen'
  | 'mode'
  | 'names'
  | 'policy'
  | 'psk'
  | 'revocation'
  | 'reverse'
  | 'rule'
  | 'sign'
  | 'sign-unit'
  | 'size'
  | 'text'
  | 'version';

export interface OptionSpec {
  /** As on the command line without `--`, and as in the configuration file. */
  readonly name: string;
  readonly type: ValueType;
  /** What stands for the value in the help; a flag has none. */
  readonly value?: string;
  readonly repeat?: true;
  readonly required?: true;
  /** Given without `--` on the command line, by name in the file. */
  readonly positional?: true;
  /** Makes no sense in the configuration file. */
  readonly commandLineOnly?: true;
  /** A table, which no command line can hold. */
  readonly fileOnly?: true;
  readonly help: string;
}

export interface CommandSpec {
  readonly name: CommandName;
  readonly summary: string;
  readonly options: readonly OptionSpec[];
  readonly examples: readonly string[];
}

export type CommandName = 'init' | 'serve' | 'connect' | 'probe';

/** Milliseconds for one handshake of a probe. */
export const PROBE_TIMEOUT = 5_000;
/** Milliseconds for all handshakes of a probe: about a hundred, over half the world. */
export const PROBE_TIME_LIMIT = 60_000;

const seconds = (milliseconds: number): string => `${milliseconds / 1000}s`;

export const commonOptions = [
  {
    name: 'config',
    type: 'file',
    value: 'FILE',
    commandLineOnly: true,
    help: 'read options from this TOML file, under the same names; the command line wins',
  },
  {
    name: 'log-level',
    type: 'level',
    value: 'LEVEL',
    help: 'debug, info, warn, error or silent (default: info)',
  },
  {
    name: 'json',
    type: 'flag',
    help: 'log as JSON lines on stderr; one JSON line on stdout when ready, or why not',
  },
] as const satisfies readonly OptionSpec[];

/** Of all that make TLS sessions. */
const peerOptions = [
  {
    name: 'psk',
    type: 'psk',
    value: 'IDENTITY:HEX',
    repeat: true,
    help: 'pre-shared key that both sides have, in the place of certificates; others on this machine can see it in the list of processes, so better: --psk-file; may be repeated',
  },
  {
    name: 'psk-file',
    type: 'file',
    value: 'FILE',
    help: 'pre-shared keys, one IDENTITY:HEX a line',
  },
  {
    name: 'crl',
    type: 'file',
    value: 'FILE',
    help: "revocation lists, PEM; with any, each certificate of the other side's chain must be covered by one",
  },
  {
    name: 'alpn',
    type: 'names',
    value: 'LIST',
    help: 'application protocols (ALPN), best first, separated by commas, such as h2,http/1.1',
  },
] as const satisfies readonly OptionSpec[];

const revocationOption = {
  name: 'revocation',
  type: 'revocation',
  value: 'off|soft|hard',
  help: 'what a stapled OCSP response decides: nothing; soft, a server that is said to be revoked is refused; hard, it must be there and say good (default: soft)',
} as const satisfies OptionSpec;

const sessionOptions = [
  ...peerOptions,
  {
    name: 'keylog',
    type: 'file',
    value: 'FILE',
    help: 'append the secrets of every session to FILE, for Wireshark; whoever has it can read all',
  },
  {
    name: 'min-version',
    type: 'version',
    value: 'VERSION',
    help: 'oldest version of TLS to speak: 1.2, 1.3, or one that --legacy names (default: 1.2, or the oldest that --legacy names)',
  },
  {
    name: 'max-version',
    type: 'version',
    value: 'VERSION',
    help: 'newest version of TLS to speak (default: 1.3)',
  },
  {
    name: 'legacy',
    type: 'legacy',
    value: 'LIST',
    help: 'speak what is retired, to peers that know nothing better: tls1.0, tls1.1, dtls1.0, rsa (key exchange), cbc, rc4, separated by commas; weakens every session (default: nothing)',
  },
  {
    name: 'ciphers',
    type: 'text',
    value: 'LIST',
    help: "cipher suites of both versions, best first, in OpenSSL's or IANA's spelling, separated by colons",
  },
  {
    name: 'groups',
    type: 'text',
    value: 'LIST',
    help: 'key exchange groups, best first, separated by colons, such as X25519:P-256',
  },
  {
    name: 'drain-timeout',
    type: 'duration',
    value: 'TIME',
    help: `how long connections may take to finish after SIGINT or SIGTERM (default: ${seconds(DRAIN_TIMEOUT)})`,
  },
  {
    name: 'handshake-timeout',
    type: 'time-limit',
    value: 'TIME',
    help: `how long a TLS handshake may take (default: ${seconds(HANDSHAKE_TIMEOUT)})`,
  },
  {
    name: 'mux-mode',
    type: 'mode',
    value: 'channels|ports',
    help: 'how applications share a session: channels have flow control, so that a slow reader holds up nobody; ports are for peers that know nothing else (default: channels, where both sides have them)',
  },
  {
    name: 'max-connections',
    type: 'count',
    value: 'N',
    help: 'connections in one session at a time (default: 16384; 4096 in ports mode)',
  },
  {
    name: 'udp-idle',
    type: 'time-limit',
    value: 'TIME',
    help: `silence after which a flow of datagrams ends (default: ${seconds(UDP_IDLE)})`,
  },
  {
    name: 'max-udp-flows',
    type: 'count',
    value: 'N',
    help: `flows of datagrams at a time; beyond it the one that was silent longest ends (default: ${UDP_FLOWS_MAX})`,
  },
  {
    name: 'connection-buffer',
    type: 'size',
    value: 'SIZE',
    help: 'bytes held for the slow reader of one connection (default: 8MiB; 1MiB in ports mode)',
  },
  {
    name: 'session-buffer',
    type: 'size',
    value: 'SIZE',
    help: 'bytes held for all slow readers of a session (default: 32MiB; 16MiB in ports mode)',
  },
  {
    name: 'sign',
    type: 'sign',
    value: 'APP=FORMAT[:receipt]',
    repeat: true,
    help: 'sign what application APP says and have it signed by the other side, as pkcs7, smime or xmldsig, with receipts or without; needs --archive; may be repeated',
  },
  {
    name: 'sign-unit',
    type: 'sign-unit',
    value: '[APP=]UNIT',
    repeat: true,
    help: 'what one signature is for: connection (each direction to its end), http, line or length-prefixed; for APP, or for all (default: connection); may be repeated',
  },
  {
    name: 'archive',
    type: 'file',
    value: 'FILE',
    help: 'where the evidence is kept; made if missing, with its key in FILE.key; see trellis evidence --help',
  },
  {
    name: 'archive-key',
    type: 'key',
    value: 'FILE|URI',
    help: 'the key that signs its checkpoints, PEM, or pkcs11:… of one in a token with a certificate (default: FILE.key)',
  },
  {
    name: 'timestamp',
    type: 'text',
    value: 'URL',
    help: "RFC 3161 time authority that dates the archive's checkpoints; while it is down, evidence is kept and the token fetched later",
  },
  {
    name: 'sign-cert',
    type: 'file',
    value: 'FILE',
    help: 'certificate to sign with and its chain, PEM (default: --cert)',
  },
  {
    name: 'sign-key',
    type: 'key',
    value: 'FILE|URI',
    help: 'its private key, PEM, or pkcs11:… as in --key (default: --key)',
  },
  {
    name: 'sign-ca',
    type: 'file',
    value: 'FILE',
    help: 'CA whose certificates the other side may sign with, whatever their subject, PEM (default: its certificate in the session, or one of the same subject and CA)',
  },
] as const satisfies readonly OptionSpec[];

export const initOptions = [
  { name: 'out', type: 'file', value: 'DIR', required: true, help: 'folder to write to; made if missing' },
  {
    name: 'host',
    type: 'host',
    value: 'NAME',
    repeat: true,
    help: 'DNS name or IP address of the server, for its certificate (default: localhost, 127.0.0.1, ::1); may be repeated',
  },
  { name: 'force', type: 'flag', help: 'overwrite files of an earlier init' },
] as const satisfies readonly OptionSpec[];

/** In the place of certificate and key. */
const moduleIdentityOptions = [
  {
    name: 'module',
    type: 'text',
    value: 'URI',
    help: 'a security module with both inside, in which sessions run: unix:PATH#ALIAS or pcsc:READER#ALIAS',
  },
  {
    name: 'pin-file',
    type: 'file',
    value: 'FILE',
    help: 'user PIN of the module, or of the token of --key pkcs11:…',
  },
  {
    name: 'offload',
    type: 'flag',
    help: 'with --module: sessions of TLS 1.3 leave the module after their handshake, with the keys of their records, and go on at the speed of this process; the identity must permit it (identity add --permit traffic-keys)',
  },
] as const satisfies readonly OptionSpec[];

/** Of those that go on for long, and make all their sessions in the module. */
const moduleOptions = [
  ...moduleIdentityOptions,
  {
    name: 'reconnect',
    type: 'flag',
    help: 'with --module: when the card was removed or reset, or the module has ended, its sessions end, and the next one connects to it anew',
  },
  {
    name: 'card-profile',
    type: 'card-profile',
    value: 'NAME',
    help: 'with --module: what interface the card speaks: trellis, openeap or tls-se (default: trellis); the other two are old cards, without multiplexing',
  },
] as const satisfies readonly OptionSpec[];

export const serveOptions = [
  {
    name: 'listen',
    type: 'session-endpoint',
    value: '[udp:]HOST:PORT',
    required: true,
    help: 'address to accept sessions on; port 0 picks a free one; udp: for DTLS over UDP, which carries UDP applications',
  },
  {
    name: 'cert',
    type: 'file',
    value: 'FILE',
    help: "the server's certificate and its chain, PEM",
  },
  {
    name: 'key',
    type: 'key',
    value: 'FILE|URI',
    help: 'its private key, PEM; or a key in a token or HSM, pkcs11:token=T;object=O?module-path=FILE.so&pin-source=FILE (RFC 7512), which brings its certificate where --cert is left out',
  },
  ...moduleOptions,
  {
    name: 'client-ca',
    type: 'file',
    value: 'FILE',
    help: 'accept only clients with a certificate of this CA, PEM; without it anyone may reach the applications',
  },
  {
    name: 'app',
    type: 'application',
    value: 'NAME[/udp][:PORT]=HOST:PORT',
    repeat: true,
    required: true,
    help: "an application and where it is; PORT is the session's name for it, by default the same; /udp for one that speaks UDP; may be repeated",
  },
  {
    name: 'mux',
    type: 'policy',
    value: 'require|allow',
    help: 'clients that do not multiplex: refuse them, or connect them to the first application (default: require)',
  },
  {
    name: 'connect-timeout',
    type: 'time-limit',
    value: 'TIME',
    help: `how long connecting to an application may take (default: ${seconds(CONNECT_TIMEOUT)})`,
  },
  {
    name: 'policy',
    type: 'rule',
    value: 'TABLE',
    repeat: true,
    fileOnly: true,
    help: 'in the configuration file, [[policy]]: which client certificate (subject, spki) may have which applications, destinations and reverse ports',
  },
  {
    name: 'max-sessions',
    type: 'count',
    value: 'N',
    help: `sessions at a time (default: ${SESSIONS_MAX})`,
  },
  ...sessionOptions,
] as const satisfies readonly OptionSpec[];

export const connectOptions = [
  {
    name: 'server',
    type: 'session-endpoint',
    value: '[udp:]HOST:PORT',
    required: true,
    positional: true,
    help: 'where `trellis serve` listens; udp: for DTLS over UDP',
  },
  {
    name: 'ca',
    type: 'file',
    value: 'FILE',
    help: "CA of the server's certificate, PEM (default: the public CAs that Node brings)",
  },
  {
    name: 'servername',
    type: 'text',
    value: 'NAME',
    help: "name that the server's certificate must have (default: the host)",
  },
  { name: 'cert', type: 'file', value: 'FILE', help: "the client's certificate and its chain, PEM" },
  {
    name: 'key',
    type: 'key',
    value: 'FILE|URI',
    help: 'its private key, PEM; or a key in a token or HSM, pkcs11:token=T;object=O?module-path=FILE.so&pin-source=FILE (RFC 7512), which brings its certificate where --cert is left out',
  },
  ...moduleOptions,
  {
    name: 'forward',
    type: 'forward',
    value: '[BIND:]LPORT[/udp]=NAME',
    repeat: true,
    help: 'local port whose connections go to application NAME; BIND is loopback by default, LPORT 0 picks a free port, /udp takes datagrams for a UDP application; may be repeated',
  },
  {
    name: 'socks',
    type: 'listen',
    value: '[BIND:]PORT',
    repeat: true,
    help: 'local port that speaks SOCKS5; names are resolved by the server, which lets through what its policy permits; may be repeated',
  },
  {
    name: 'reverse',
    type: 'reverse',
    value: '[BIND:]PORT=HOST:PORT',
    repeat: true,
    help: 'port that the server opens for this client, if its policy permits it, and where its connections go from here; may be repeated',
  },
  revocationOption,
  { name: 'eager', type: 'flag', help: 'open the session at start instead of on first use' },
  {
    name: 'wait-timeout',
    type: 'duration',
    value: 'TIME',
    help: `how long a new connection waits while there is no session (default: ${seconds(WAIT_TIMEOUT)})`,
  },
  {
    name: 'connect-timeout',
    type: 'time-limit',
    value: 'TIME',
    help: `how long connecting to the server may take (default: ${seconds(CONNECT_TIMEOUT)})`,
  },
  ...sessionOptions,
] as const satisfies readonly OptionSpec[];

export const probeOptions = [
  {
    name: 'server',
    type: 'endpoint',
    value: 'HOST:PORT',
    required: true,
    positional: true,
    help: 'the server to look at',
  },
  {
    name: 'ca',
    type: 'file',
    value: 'FILE',
    help: "CA to judge the server's certificate by, PEM (default: the public CAs that Node brings)",
  },
  {
    name: 'servername',
    type: 'text',
    value: 'NAME',
    help: 'name to ask for, and that the certificate must have (default: the host)',
  },
  { name: 'cert', type: 'file', value: 'FILE', help: 'certificate to show a server that asks for one, PEM' },
  {
    name: 'key',
    type: 'key',
    value: 'FILE|URI',
    help: 'its private key, PEM, or pkcs11:… of one in a token',
  },
  ...moduleIdentityOptions,
  ...peerOptions,
  revocationOption,
  {
    name: 'timeout',
    type: 'time-limit',
    value: 'TIME',
    help: `how long one handshake may take (default: ${seconds(PROBE_TIMEOUT)})`,
  },
  {
    name: 'time-limit',
    type: 'time-limit',
    value: 'TIME',
    help: `how long all of them may take; what is not asked by then is left out (default: ${seconds(PROBE_TIME_LIMIT)})`,
  },
] as const satisfies readonly OptionSpec[];

export const commands: Readonly<Record<CommandName, CommandSpec>> = {
  init: {
    name: 'init',
    summary: 'make a private CA and certificates for a server and a client',
    options: initOptions,
    examples: [
      'trellis init --out ./pki',
      'trellis init --out ./pki --host gateway.example.org --host 192.0.2.7',
    ],
  },
  serve: {
    name: 'serve',
    summary: 'offer applications to clients, many in one TLS session',
    options: serveOptions,
    examples: [
      'trellis serve --listen 0.0.0.0:4433 --cert pki/server.pem --key pki/server.key \\\n      --client-ca pki/ca.pem --app web=127.0.0.1:8080 --app db=10.0.0.5:5432',
      'trellis serve … --app orders=127.0.0.1:8080 --sign orders=pkcs7:receipt --sign-unit http --archive evidence.db',
      'trellis serve --config /etc/trellis/serve.toml --json',
    ],
  },
  connect: {
    name: 'connect',
    summary: 'forward local ports to the applications of a server, over one TLS session',
    options: connectOptions,
    examples: [
      'trellis connect gateway.example.org:4433 --ca pki/ca.pem --cert pki/client.pem --key pki/client.key \\\n      --forward 8080=web --forward 5432=db',
      'trellis connect … --forward 8080=orders --sign orders=pkcs7:receipt --sign-unit http --archive evidence.db',
      'trellis connect [2001:db8::7]:4433 --config trellis.toml --eager',
    ],
  },
  probe: {
    name: 'probe',
    summary: 'show what a TLS server speaks, and why its certificate is trusted or not',
    options: probeOptions,
    examples: [
      'trellis probe gateway.example.org:4433 --ca pki/ca.pem',
      'trellis probe 192.0.2.7:443 --servername www.example.org --json',
      'trellis probe gateway.example.org:4433 --ca pki/ca.pem --module unix:m.sock#client --pin-file pin',
    ],
  },
};

/** Every bound of multiplexing, with its reason. docs/limits.md lists them; those that users may change are options. */

/** `ApplicationProtocolName<1..16>`. */
export const APPLICATION_NAME_MAX = 16;

/** The list may be 2^20-1 bytes by its own syntax, but an extension holds 65,535, 3 of them the list's length. */
export const APPLICATION_LIST_MAX = 65_532;

/** Applications in one hello. A list that fills an extension would have 16,383; nobody serves that many. */
export const APPLICATIONS_MAX = 1_024;

/** `ALL` and `CHANNEL` are words of the protocol, not applications. */
export const RESERVED_NAMES: readonly string[] = ['ALL', 'CHANNEL'];

/** First of the dynamic ports, RFC 6335 §6; the client takes from here when it has no local socket's port to show. */
export const FIRST_DYNAMIC_PORT = 49_152;
export const LAST_PORT = 65_535;

/** Content of one record, RFC 8446 §5.1. Frames are packed so that each record is full and no frame spans two. */
export const RECORD_CONTENT_MAX = 16_384;

/** The smallest receive buffer that may be asked for: one read of the network must fit. */
export const RECEIVE_BUFFER_MIN = 65_536;

/** Bytes received on one connection that its application has not read: 100 ms at 80 Mbit/s. */
export const RECEIVE_BUFFER = 1_048_576;

/** The same, of all connections of a session: sixteen full connections. */
export const SESSION_BUDGET = 16_777_216;

/**
 * What may arrive beyond either bound before the reading of the network has stopped: several reads of 64 KiB and the
 * record that they end in. Who is still above it then is aborted at once, so memory is bounded in any case.
 */
export const OVERSHOOT = 524_288;

/** Milliseconds that a full buffer may stop the reading of the whole session before its connection is aborted. */
export const PAUSE_LIMIT = 10_000;

/** Reading goes on when a full connection is down to this share, so that it does not stop and start at every piece. */
export const CONNECTION_RESUME_SHARE = 1 / 2;
export const SESSION_RESUME_SHARE = 3 / 4;

/** Bytes of datagrams that wait on one connection to be read, or to be sent: beyond it they are dropped, as UDP does. */
export const DATAGRAM_BUFFER = 262_144;

/** Milliseconds after which a pair over DTLS in which nothing moves is forgotten: nothing else tells of its end. */
export const PAIR_IDLE = 60_000;

/** Milliseconds to wait for the end of a peer whose connection was closed here: what Linux gives an orphan in FIN_WAIT_2. */
export const LINGER_LIMIT = 60_000;

/** Connections of one session: with their streams about 12 MB of memory, and four times what `wrk -c1000` opens. */
export const CONNECTIONS_MAX = 4_096;

/**
 * Refusals and aborts that the peer has not answered. An honest client can be refused once for each of its ports of an
 * application, so more than all ports is a peer that never answers.
 */
export const UNANSWERED_MAX = 65_536;

/** `source_address<1..255>`, `destination_address<1..255>`. */
export const ADDRESS_MAX = 255;

/** Characters of the reason that goes with a refusal: a line or two for people. */
export const ERROR_TEXT_MAX = 1_024;

/** draft-badra-hajjeh-mtls-03 counts windows in 32 bits; beyond 2^31-1 a sum is a mistake, or worse. */
export const CREDIT_MAX = 2 ** 31 - 1;

/** Halves of channel ids that a side can allocate: of the 65,536, the even ones for the client, the odd ones for the server. */
export const CHANNEL_IDS = 32_768;

/** The longest MTLSPlaintext that is taken: no more than a record, so that one message cannot hold up the others. */
export const PACKET_MAX = 16_384;

/** Connections of one session in channel mode, whoever opened them. */
export const CHANNELS_MAX = 16_384;

/** What every channel may send at any time. The budget keeps it for all channels that may come: half of the default. */
export const WINDOW_FLOOR = 1_024;

/** Where a window begins, as long as few channels are open: what HTTP/2 gives a stream (RFC 9113 §6.9.2). */
export const WINDOW_INITIAL = 65_536;

/** Where a window ends: 640 Mbit/s over 100 ms. */
export const WINDOW_MAX = 8_388_608;

/** All windows of a session: floors for all channels, and as much again to share. */
export const CHANNEL_BUDGET = 33_554_432;

/** Openings that one side leaves the other to answer; further ones wait here, and are refused there. */
export const UNANSWERED_OPENINGS_MAX = 1_024;

/** Channels in a row that a peer may open and close without a byte on them: as many as it may have at once. */
export const CHURN_MAX = 16_384;

/** Of those, how many a second are forgiven: a hundred times what health checks of a few hundred services do. */
export const CHURN_RATE = 1_000;

/** Milliseconds of silence after which the peer is asked whether it is there: shorter than the usual 60 s of a NAT. */
export const KEEP_ALIVE = 30_000;

/** Milliseconds that it has to answer, or to say anything else. */
export const KEEP_ALIVE_TIMEOUT = 15_000;

/** Milliseconds after which a longer round trip counts instead of a shorter one: routes change. */
export const ROUND_TRIP_AGE = 10_000;

/** Factor by which it may grow then. */
export const ROUND_TRIP_GROWTH = 1.25;

/** Milliseconds between measurements of the round trip, while a window wants to grow: ten in a second cost 200 bytes. */
export const ROUND_TRIP_INTERVAL = 100;

/** Milliseconds to take for a round trip where none can be measured, with a peer of the draft alone. */
export const ROUND_TRIP_ASSUMED = 100;

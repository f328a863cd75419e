import { Connection, type ConnectionEvent, type ConnectionInfo } from '../../src/connection/connection.ts';
import { DtlsConnection } from '../../src/connection/dtls-connection.ts';
import { SrtpNegotiation, SrtpProfile } from '../../src/connection/srtp.ts';
import { asTrellisError } from '../../src/errors/errors.ts';
import type { IdentitiesWanted } from '../../src/handshake/step.ts';
import { HandshakeType } from '../../src/wire/codepoints.ts';
import { concat } from '../../src/wire/writer.ts';
import { isVersion13 } from './algorithms.ts';
import type { NumberedIdentity } from './credentials.ts';
import { checkHandshake } from './expectations.ts';
import type { Flags } from './flags.ts';
import { PacketWire } from './packet-wire.ts';
import { Ended, Unexpected, Unimplemented } from './report.ts';
import { SawRetry } from './retry.ts';
import { clientSettings, type Observed, type Shared, serverSettings } from './settings.ts';
import { Wire } from './wire.ts';

/** BoringSSL's shim reads in pieces of this size, so that a record takes several reads and several answers. */
const READ_SIZE = 512;

/**
 * One connection of a test, as `DoConnection` and `DoExchange` of BoringSSL's shim: handshake, checks, then every byte
 * that comes is sent back inverted until the runner closes.
 *
 * @param retry flags for a client whose early data was refused
 * @throws Ended, Unexpected, Unimplemented
 */
export async function runConnection(
  { flags, retry, resumes }: { readonly flags: Flags; readonly retry: Flags; readonly resumes: boolean },
  shared: Shared,
  signal: AbortSignal | undefined,
): Promise<void> {
  const observed: Observed = {
    peerSignature: undefined,
    advertisedProtocols: undefined,
    refused: false,
    serverName: undefined,
    stored: false,
    wishes: undefined,
  };
  // After a refusal of early data BoringSSL's client goes on as if it were another connection, with other flags.
  const settings = flags.expectRejectEarlyData ? { ...flags, verifyFail: retry.verifyFail } : flags;
  const Engine = flags.dtls ? DtlsConnection : Connection;
  // RFC 5764 is for DTLS: over TLS, BoringSSL's shim passes over them.
  const profiles = flags.dtls ? srtpProfiles(flags.srtpProfiles) : [];
  const subProtocols = profiles.length === 0 ? [] : [() => new SrtpNegotiation(profiles)];
  const connection = flags.server
    ? Engine.server(serverSettings(flags, shared, resumes, observed), shared.now, subProtocols)
    : Engine.client(clientSettings(settings, shared, resumes, observed), shared.now, subProtocols);
  const wire = flags.dtls
    ? await PacketWire.open({ ...flags, signal })
    : await Wire.open({ ...flags, signal }, flags.async);
  try {
    const driver = new Driver(connection, wire, shared);
    const early = await startEarly(flags, driver);
    const info = await driver.handshake();
    if (flags.handshakeNeverDone) throw new Unexpected('the handshake is complete');
    const refused = early !== undefined && info.earlyDataAccepted !== true;
    if (early !== undefined && refused !== flags.expectRejectEarlyData) {
      throw new Unexpected(`early data was ${refused ? 'refused' : 'taken'}`);
    }
    const now = refused ? retry : flags;
    checkHandshake(now, info, {
      ...observed,
      retried: driver.retried && isVersion13(info.version),
      gotTicket: driver.gotTicket,
      shown: driver.shown,
      resumes,
    });
    if (early !== undefined && !refused) driver.write(early);
    else await startData(now, driver);
    await exchangeData(now, driver);
    if (isVersion13(info.version)) checkTicket(now, driver);
    await close(now, driver);
  } finally {
    wire.write(connection.transmit());
    await wire.finish();
  }
}

/**
 * Where the client offers early data: what BoringSSL's shim does before the handshake is complete.
 * @returns what was too much, to be written later; `undefined` without early data
 */
async function startEarly(flags: Flags, driver: Driver): Promise<Uint8Array | undefined> {
  if (flags.server || driver.earlyDataLeft === 0) return undefined;
  if (flags.expectNoOfferEarlyData) throw new Unexpected('early data is offered');
  if (flags.earlyWriteAfterMessage > 0) await driver.messages(flags.earlyWriteAfterMessage);
  writeSecrets(flags, driver);
  const data = flags.shimWritesFirst ? initialWrites(flags) : [];
  const whole = concat(data);
  const now = Math.min(whole.length, driver.earlyDataLeft);
  for (let at = 0; at < now; ) {
    const end = Math.min(now, at + (data[0] as Uint8Array).length);
    driver.writeEarly(whole.subarray(at, end));
    at = end;
  }
  return whole.subarray(now);
}

function initialWrites({ shimInitialWrite, repeatShimInitialWrite }: Flags): Uint8Array[] {
  return Array.from({ length: repeatShimInitialWrite }, () => latin1(shimInitialWrite));
}

async function startData(flags: Flags, driver: Driver): Promise<void> {
  writeSecrets(flags, driver);
  if (flags.readWithUnfinishedWrite) driver.writePartly(latin1(flags.shimInitialWrite));
  else if (flags.writeDifferentRecordSizes) writeSizes(driver);
  else if (flags.shimWritesFirst) for (const data of initialWrites(flags)) driver.write(data);
}

async function exchangeData(flags: Flags, driver: Driver): Promise<void> {
  if (!flags.writeDifferentRecordSizes && !flags.shimShutsDown) await echo(flags, driver);
}

/** Without `-check-close-notify` BoringSSL's shim just closes the socket. */
async function close(flags: Flags, driver: Driver): Promise<void> {
  if (!flags.checkCloseNotify) return;
  if (flags.shimShutsDown) await driver.closeFirst();
  else driver.closeSecond();
}

function writeSecrets(flags: Flags, driver: Driver): void {
  if (flags.exportKeyingMaterial > 0) {
    // Only TLS 1.2 tells an empty context from none (RFC 5705 §4).
    const context = flags.useExportContext ? latin1(flags.exportContext) : undefined;
    driver.write(driver.exporter(flags.exportLabel, context, flags.exportKeyingMaterial));
  }
  if (flags.exportTrafficSecrets) {
    const { read, write } = driver.trafficSecrets(flags.server);
    driver.write(concat([Uint8Array.of(read.length & 0xff, read.length >> 8), read, write]));
  }
}

/** Sizes around the limits of a record. BoringSSL writes nothing for none, where we make an empty record. */
function writeSizes(driver: Driver): void {
  for (const size of [1, 255, 256, 257, 16383, 16384, 16385, 32767, 32768, 32769]) {
    driver.write(new Uint8Array(size).fill(0x42));
  }
}

async function echo(flags: Flags, driver: Driver): Promise<void> {
  const size = flags.readSize > 0 ? flags.readSize : flags.dtls ? Number.POSITIVE_INFINITY : READ_SIZE;
  for (;;) {
    if (flags.keyUpdateBeforeRead) driver.updateKeys();
    const data = await driver.read(size);
    if (data === undefined) return;
    driver.finishWrite();
    if (flags.keyUpdate) driver.updateKeys();
    driver.write(data.map((byte) => byte ^ 0xff));
  }
}

/** A TLS 1.3 server gives tickets after the handshake; the client must have got one, unless flags say otherwise. */
function checkTicket(flags: Flags, driver: Driver): void {
  if (flags.server) return;
  const expected = !flags.expectNoSession && !flags.shimShutsDown;
  if (driver.gotTicket !== expected) {
    throw new Unexpected(`the server gave ${driver.gotTicket ? 'a' : 'no'} ticket`);
  }
  if (expected && flags.expectTicketSupportsEarlyData !== driver.ticketForEarlyData) {
    throw new Unexpected(`the ticket is ${driver.ticketForEarlyData ? '' : 'not '}good for early data`);
  }
}

/** Room for the largest record. */
const MAX_RECORD = 17_000;

/** OpenSSL's names. */
function srtpProfiles(names: string): number[] {
  const known: Readonly<Record<string, number>> = {
    SRTP_AES128_CM_SHA1_80: SrtpProfile.SRTP_AES128_CM_HMAC_SHA1_80,
    SRTP_AES128_CM_SHA1_32: SrtpProfile.SRTP_AES128_CM_HMAC_SHA1_32,
    SRTP_AEAD_AES_128_GCM: SrtpProfile.SRTP_AEAD_AES_128_GCM,
    SRTP_AEAD_AES_256_GCM: SrtpProfile.SRTP_AEAD_AES_256_GCM,
  };
  return names
    .split(':')
    .map((name) => known[name])
    .filter((profile) => profile !== undefined);
}

const latin1 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));

/** A Connection on a Wire, made to look like blocking calls. */
class Driver {
  gotTicket = false;
  readonly #connection: Connection | DtlsConnection;
  readonly #wire: Wire | PacketWire;
  readonly #shared: Shared;
  readonly #sent: SawRetry;
  readonly #received: SawRetry;
  readonly #secrets = new Map<string, Uint8Array>();
  /** Received and not yet read. */
  #data: Uint8Array[] = [];
  #connected = false;
  #closed = false;

  constructor(connection: Connection | DtlsConnection, wire: Wire | PacketWire, shared: Shared) {
    const datagrams = connection instanceof DtlsConnection;
    this.#sent = new SawRetry(datagrams);
    this.#received = new SawRetry(datagrams);
    this.#connection = connection;
    this.#wire = wire;
    this.#shared = shared;
  }

  get earlyDataLeft(): number {
    return this.#connection instanceof Connection ? this.#connection.earlyDataLeft : 0;
  }

  get ticketForEarlyData(): boolean {
    const { session } = this.#shared;
    return session !== undefined && 'psk' in session && session.maxEarlyData !== undefined;
  }

  get retried(): boolean {
    return this.#sent.seen || this.#received.seen;
  }

  get shown(): NumberedIdentity | undefined {
    // Ours all are: settings.ts makes no others.
    return this.#connection.identities[0] as NumberedIdentity | undefined;
  }

  async handshake(): Promise<ConnectionInfo> {
    await this.#until(() => this.#connected);
    return this.#connection.info as ConnectionInfo;
  }

  /** At most `size` bytes; `undefined` after close_notify, or when the runner just closes. */
  async read(size: number): Promise<Uint8Array | undefined> {
    await this.#until(() => this.#data.length > 0 || this.#closed);
    const first = this.#data.shift();
    if (first === undefined) return undefined;
    if (first.length > size) this.#data.unshift(first.subarray(size));
    return first.subarray(0, size);
  }

  /** Early data of a client, or a server's answer to it before the handshake is complete. */
  writeEarly(data: Uint8Array): void {
    if (this.#connection instanceof Connection) this.#connection.sendEarly(data);
    this.#flush();
  }

  /** Goes on until the server's message of this type has come; the runner puts it at the end of a record. */
  async messages(type: number): Promise<void> {
    const records = type === HandshakeType.server_hello ? 1 : 2;
    const wire = this.#wire;
    if (wire instanceof Wire) await this.#until(() => wire.records >= records);
    if (this.#connected) throw new Unexpected('the handshake is complete');
  }

  write(data: Uint8Array): void {
    const connection = this.#connection;
    // BoringSSL lets data be longer than the MTU, which is for the handshake there.
    const mtu = connection instanceof DtlsConnection ? connection.mtu : 0;
    if (connection instanceof DtlsConnection) connection.mtu = MAX_RECORD;
    connection.send(data);
    if (connection instanceof DtlsConnection) connection.mtu = mtu;
    this.#flush();
  }

  /** Leaves all but one byte of it with us until `finishWrite`. */
  writePartly(data: Uint8Array): void {
    if (this.#wire instanceof Wire) this.#wire.hold(1);
    this.write(data);
  }

  finishWrite(): void {
    if (this.#wire instanceof Wire) this.#wire.release();
  }

  /** BoringSSL does nothing where a KeyUpdate waits for its ACK. */
  updateKeys(): void {
    const connection = this.#connection;
    if (connection instanceof DtlsConnection && connection.updatingKeys) return;
    connection.updateKeys(false);
    this.#flush();
  }

  exporter(label: string, context: Uint8Array | undefined, length: number): Uint8Array {
    return this.#connection.exportKeyingMaterial(label, context, length);
  }

  trafficSecrets(server: boolean): { read: Uint8Array; write: Uint8Array } {
    const of = (side: string): Uint8Array =>
      this.#secrets.get(`${side}_TRAFFIC_SECRET_0`) ?? new Uint8Array(0);
    return server ? { read: of('CLIENT'), write: of('SERVER') } : { read: of('SERVER'), write: of('CLIENT') };
  }

  /** Sends close_notify and waits for the runner's. */
  async closeFirst(): Promise<void> {
    this.#connection.close();
    this.#flush();
    await this.#until(() => this.#closed);
    this.closeSecond();
  }

  /** Answers close_notify. @throws Ended when there was none */
  closeSecond(): void {
    this.#connection.receiveEnd();
    this.#takeEvents();
    this.#connection.close();
    this.#flush();
  }

  async #until(done: () => boolean): Promise<void> {
    this.#takeEvents();
    while (!done()) {
      await this.#answerWanted();
      this.#flush();
      if (done()) return;
      const piece = await this.#read();
      if (piece === undefined) {
        if (this.#connected) this.#closed = true;
        else this.#connection.receiveEnd();
      } else {
        this.#received.look(piece);
        this.#connection.receive(piece, this.#shared.now);
      }
      await this.#answerWanted();
      this.#flush();
      this.#takeEvents();
    }
  }

  async #read(): Promise<Uint8Array | undefined> {
    const [wire, connection, shared] = [this.#wire, this.#connection, this.#shared];
    if (wire instanceof Wire || connection instanceof Connection) return (wire as Wire).read();
    return wire.read({
      passTime: async (milliseconds) => {
        shared.now += milliseconds;
        connection.handleTimeout(shared.now);
        await this.#answerWanted();
        this.#flush();
        this.#takeEvents();
      },
      get nextTimeout() {
        const next = connection.nextTimeout();
        return next === undefined ? undefined : next - shared.now;
      },
      setMtu: (mtu) => {
        connection.mtu = mtu;
      },
      setTimeout: () => {
        throw new Unimplemented('another initial timeout while a connection lasts');
      },
    });
  }

  async #answerWanted(): Promise<void> {
    for (let { wanted } = this.#connection; wanted !== undefined; { wanted } = this.#connection) {
      if (wanted.kind === 'signature') {
        const signature = await wanted.key.sign(wanted.scheme, wanted.input);
        this.#connection.provide(signature, this.#shared.now);
      } else if (wanted.kind === 'decryption') {
        const block = await wanted.key.decrypt(wanted.ciphertext);
        this.#connection.provide(block, this.#shared.now);
      } else {
        await this.#provideIdentities(wanted);
      }
    }
  }

  async #provideIdentities({ source, serverName, wishes }: IdentitiesWanted): Promise<void> {
    try {
      this.#connection.provideIdentities(await source.select(serverName, wishes), this.#shared.now);
    } catch (error) {
      this.#connection.abandon(asTrellisError(error));
    }
  }

  #flush(): void {
    const out = this.#connection.transmit();
    for (const piece of out) this.#sent.look(piece);
    this.#wire.write(out);
  }

  #takeEvents(): void {
    for (
      let event = this.#connection.nextEvent();
      event !== undefined;
      event = this.#connection.nextEvent()
    ) {
      this.#take(event);
    }
  }

  #take(event: ConnectionEvent): void {
    switch (event.type) {
      case 'connected':
        this.#connected = true;
        break;
      case 'data':
        this.#data.push(event.data);
        break;
      case 'early-data':
        this.writeEarly(event.data.map((byte) => byte ^ 0xff));
        break;
      case 'ticket':
        this.gotTicket = true;
        this.#shared.session = event.session;
        break;
      case 'keylog': {
        const [label, , secret] = event.line.split(' ') as [string, string, string];
        this.#secrets.set(label, new Uint8Array(Buffer.from(secret, 'hex')));
        break;
      }
      case 'end':
        this.#closed = true;
        break;
      case 'error':
        throw new Ended(event.error);
    }
  }
}

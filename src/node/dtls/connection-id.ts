import { randomBytes } from '../../crypto/node/random.ts';
import { nextFrame, UNIFIED, UNIFIED_CID } from '../../record/dtls/frames.ts';
import { ContentType } from '../../wire/codepoints.ts';

/**
 * ```
 * struct { uint8 worker; opaque random[7]; } ConnectionID;
 * ```
 * Seven random bytes: that nobody can guess one of a session matters little, since records are authenticated, but two
 * sessions must not have the same. The first byte tells processes that share a port whose it is.
 */
export const CONNECTION_ID_LENGTH = 8;

/** Workers that the first byte can name. */
export const MAX_WORKERS = 256;

export function makeConnectionId(workerId: number): Uint8Array {
  const id = Uint8Array.from(randomBytes(CONNECTION_ID_LENGTH));
  id[0] = workerId;
  return id;
}

/** The connection ID of a datagram's first record, if it has one of ours (RFC 9146 §4, RFC 9147 §4). */
export function connectionIdOf(datagram: Uint8Array): Uint8Array | undefined {
  // Most datagrams to clients have none, and need not be cut up to see that.
  const first = datagram[0] ?? 0;
  if (first !== ContentType.tls12_cid && (first & UNIFIED_WITH_CID) !== UNIFIED_WITH_CID) return undefined;
  const cut = nextFrame(datagram, 0, CONNECTION_ID_LENGTH);
  const id = cut?.frame.cid;
  return id === undefined || id.length !== CONNECTION_ID_LENGTH ? undefined : id;
}

/** As a key of a Map. */
export function nameOfId(id: Uint8Array): string {
  return Buffer.from(id).toString('latin1');
}

const UNIFIED_WITH_CID = UNIFIED | UNIFIED_CID;

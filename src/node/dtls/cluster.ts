import { connectionIdOf } from './connection-id.ts';
import type { Remote } from './socket.ts';

/**
 * Which of `workers` processes has the session of a peer: the one that its connection ID names, wherever it is now; without
 * one, the same for every datagram from its address.
 */
export function ownerOf(datagram: Uint8Array, { address, port }: Remote, workers: number): number {
  const id = connectionIdOf(datagram);
  if (id !== undefined) return (id[0] as number) % workers;
  // FNV-1a; nothing secret depends on it, and a peer that chooses its port chooses its worker at most.
  let hash = 0x811c9dc5;
  for (const text of [address, String(port)]) {
    for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  }
  return (hash >>> 0) % workers;
}

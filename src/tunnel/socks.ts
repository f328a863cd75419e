import type { Socket } from 'node:net';
import { latin1Text } from '../wire/latin1.ts';
import type { Endpoint } from './addresses.ts';

/** Replies of SOCKS5, RFC 1928 §6. */
export const SocksReply = {
  succeeded: 0,
  failure: 1,
  notAllowed: 2,
  networkUnreachable: 3,
  commandNotSupported: 7,
  addressNotSupported: 8,
} as const;

export type SocksReply = (typeof SocksReply)[keyof typeof SocksReply];

/** Milliseconds for a client to say what it wants: programs do that at once. */
export const SOCKS_TIMEOUT = 10_000;

/** The longest greeting or request: a domain name of 255 bytes (RFC 1928 §5), or 255 methods. */
const MESSAGE_MAX = 262;

/** What has come so far: more is needed, a request with how many bytes it took, or a reason to refuse. */
export type SocksResult =
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'request'; readonly target: Endpoint; readonly length: number }
  | { readonly kind: 'refused'; readonly reply: SocksReply };

/** @returns bytes of the greeting, `'incomplete'`, or `'refused'` when it is not SOCKS5 without a password (RFC 1928 §3) */
export function parseGreeting(bytes: Uint8Array): number | 'incomplete' | 'refused' {
  const [version, count] = bytes;
  if (version !== undefined && version !== 5) return 'refused';
  if (count === undefined || bytes.length < 2 + count) return 'incomplete';
  return bytes.subarray(2, 2 + count).includes(0) ? 2 + count : 'refused';
}

/** RFC 1928 §4: `VER CMD RSV ATYP DST.ADDR DST.PORT`. Names stay names: the far side resolves them. */
export function parseRequest(bytes: Uint8Array): SocksResult {
  const [version, command, , kind, first] = bytes;
  if (version !== undefined && version !== 5) return { kind: 'refused', reply: SocksReply.failure };
  if (command !== undefined && command !== 1)
    return { kind: 'refused', reply: SocksReply.commandNotSupported };
  if (kind === undefined || first === undefined) return { kind: 'incomplete' };
  if (kind !== 1 && kind !== 3 && kind !== 4)
    return { kind: 'refused', reply: SocksReply.addressNotSupported };
  const start = kind === 3 ? 5 : 4;
  const length = kind === 1 ? 4 : kind === 4 ? 16 : first;
  const end = start + length + 2;
  if (bytes.length < end) return { kind: 'incomplete' };
  const address = bytes.subarray(start, start + length);
  const host = kind === 1 ? address.join('.') : kind === 4 ? ipv6(address) : latin1Text(address);
  const port = ((bytes[end - 2] as number) << 8) | (bytes[end - 1] as number);
  // What is no name cannot be asked for; and an address in a log shall be one.
  if (port === 0 || !/^[\x21-\x7e]+$/.test(host)) return { kind: 'refused', reply: SocksReply.failure };
  return { kind: 'request', target: { host, port }, length: end };
}

/** RFC 1928 §6. The address that was bound is nobody's business. */
export function encodeReply(reply: SocksReply): Uint8Array {
  return Uint8Array.of(5, reply, 0, 1, 0, 0, 0, 0, 0, 0);
}

/**
 * Speaks SOCKS5 with a local client until it has said where it wants to go. What it says after that stays in the socket.
 * `then` is called once, unless the client goes away or says something else; then the socket is destroyed.
 */
export function acceptSocks(socket: Socket, then: (target: Endpoint) => void): void {
  let bytes = Buffer.alloc(0);
  let greeted = false;
  const timer = setTimeout(() => socket.destroy(), SOCKS_TIMEOUT);
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('data', onData);
    socket.off('close', stop);
    socket.off('error', onError);
    socket.off('end', onEnd);
  };
  const onError = (): void => {};
  const onEnd = (): void => void socket.destroy();
  const refuse = (reply: Uint8Array): void => {
    stop();
    socket.on('error', onError);
    socket.end(reply);
  };
  const onData = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    if (!greeted) {
      const greeting = parseGreeting(bytes);
      if (greeting === 'incomplete') return;
      if (greeting === 'refused') {
        refuse(Uint8Array.of(5, 0xff));
        return;
      }
      greeted = true;
      bytes = bytes.subarray(greeting);
      socket.write(Uint8Array.of(5, 0));
    }
    const request = parseRequest(bytes);
    if (request.kind === 'refused') {
      refuse(encodeReply(request.reply));
      return;
    }
    if (request.kind === 'incomplete') {
      if (bytes.length > MESSAGE_MAX) socket.destroy();
      return;
    }
    stop();
    socket.pause();
    // Whoever has not waited for the answer is heard all the same.
    if (bytes.length > request.length) socket.unshift(bytes.subarray(request.length));
    then(request.target);
  };
  socket.on('data', onData);
  socket.on('close', stop);
  socket.on('error', onError);
  socket.on('end', onEnd);
}

function ipv6(address: Uint8Array): string {
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2)
    groups.push((((address[i] as number) << 8) | (address[i + 1] as number)).toString(16));
  return groups.join(':');
}

import { connect, type Socket } from 'node:net';
import type { Applet } from '../../module/applet/applet.ts';
import { FrameSplitter, frame } from './framing.ts';

/** Where vsmartcard's vpcd, a reader driver of pcscd, waits for virtual cards. */
export const VPCD_PORT = 35_963;

/** One byte from vpcd is no APDU (a command has 4 at least). */
const Control = { off: 0, on: 1, reset: 2, atr: 4 } as const;

/**
 * ISO 7816-3 §8.2: T=0 and T=1. Historical bytes: category 80, card capabilities 73 with extended Lc and Le (§12.1.1.9),
 * and issuer's data "TRLS"; the last byte is the check sum of T=1.
 */
const ATR = withCheckSum([
  0x3b, 0x8a, 0x80, 0x01, 0x80, 0x73, 0xc0, 0x21, 0xc0, 0x54, 0x52, 0x4c, 0x53, 0x31,
]);

/**
 * Puts a module into vpcd's virtual reader, where every PC/SC program finds it. It is taken out when the socket ends.
 *
 * @param onExchange sees every command and its response; for traces
 * @returns the socket: 'connect' when the card is in, 'close' when it is out
 */
export function insertVirtualCard(
  applet: Applet,
  { host = '127.0.0.1', port = VPCD_PORT }: { host?: string | undefined; port?: number | undefined } = {},
  onExchange?: (command: Uint8Array, response: Uint8Array) => void,
): Socket {
  const socket = connect({ host, port, noDelay: true });
  const splitter = new FrameSplitter();
  socket.on('data', (bytes) => {
    for (const message of splitter.push(bytes)) {
      if (message.length !== 1) {
        const response = applet.process(message);
        onExchange?.(message, response);
        message.fill(0);
        socket.write(frame(response));
      } else if (message[0] === Control.atr) socket.write(frame(ATR));
      else applet.reset();
    }
  });
  socket.on('close', () => applet.reset());
  return socket;
}

function withCheckSum(bytes: readonly number[]): Uint8Array {
  const sum = bytes.slice(1).reduce((all, byte) => all ^ byte, 0);
  return Uint8Array.from([...bytes, sum]);
}

import { createHash } from 'node:crypto';
import http from 'node:http';
import net from 'node:net';
import { listenOnLoopback } from '../applications.ts';

/** The supplier's order desk, and a web page beside it. Both know nothing of TLS, of signatures or of archives. */
export interface Shop {
  readonly orders: number;
  readonly web: number;
  /** Every document that the order desk has got, in order. */
  readonly received: readonly Buffer[];
  close(): void;
}

export async function startShop(): Promise<Shop> {
  const received: Buffer[] = [];
  // One document per connection, to its end; the answer says what was understood.
  const desk = net.createServer({ allowHalfOpen: true }, (socket) => {
    const parts: Buffer[] = [];
    socket.on('error', () => socket.destroy());
    socket.on('data', (part) => parts.push(part));
    socket.on('end', () => {
      const order = Buffer.concat(parts);
      received.push(order);
      socket.end(confirmationFor(order));
    });
  });
  const web = http.createServer((_request, response) => {
    response.end('our catalogue');
  });
  const [orders, page] = [await listenOnLoopback(desk), await listenOnLoopback(web)];
  return {
    orders,
    web: page,
    received,
    close: () => {
      desk.close();
      web.close();
      web.closeAllConnections();
    },
  };
}

export function orderXml(number: number): Buffer {
  return Buffer.from(
    `<?xml version="1.0"?>\n<order number="2026-${String(number).padStart(4, '0')}">\n  <item>office chair, black</item>\n  <quantity>${100 + number}</quantity>\n  <price currency="EUR">89.00</price>\n</order>\n`,
  );
}

export function confirmationFor(order: Buffer): Buffer {
  return Buffer.from(`accepted, SHA-256 ${createHash('sha256').update(order).digest('hex')}\n`);
}

/** Sends a document, ends, and reads the answer. */
export function placeOrder(port: number, order: Buffer): Promise<Buffer> {
  const socket = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  socket.end(order);
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = [];
    socket.on('data', (part) => parts.push(part));
    socket.on('end', () => resolve(Buffer.concat(parts)));
    socket.on('error', reject);
  });
}

export function getPage(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get({ host: '127.0.0.1', port, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (part: string) => {
        text += part;
      });
      response.on('end', () => resolve(text));
      response.on('error', reject);
    });
    request.on('error', reject);
  });
}

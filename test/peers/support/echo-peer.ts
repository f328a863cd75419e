import { Program } from './program.ts';

/** What `go-peer` and `rustls-peer` say of each handshake, on a line of its own. */
export interface EchoSession {
  readonly version: number;
  readonly suite: string | number;
  readonly curve: number;
  readonly resumed: boolean;
  /** How many certificates the other side showed. */
  readonly peer: number;
}

/** A client or a server that sends back what it gets. */
export class EchoPeer extends Program {
  sessions(): EchoSession[] {
    return [...this.output.matchAll(/^SESSION (.*)$/gm)].map(([, json]) => JSON.parse(json ?? ''));
  }

  /** Of a server, when it listens. */
  async port(): Promise<number> {
    const [, port] = await this.until(/^LISTEN (\d+)$/m);
    return Number(port);
  }
}

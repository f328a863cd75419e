import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { newObservation, startRelay } from '../observer.ts';
import { runProgram, startProgram } from '../programs.ts';
import { askOutsider } from '../sign/outsider.ts';
import { confirmationFor, getPage, orderXml, placeOrder, type Shop, startShop } from '../sign/shop.ts';
import type { Claim } from './module-demo.ts';
import { type DemoModule, type DemoModules, startModules } from './modules.ts';

export interface SignedModuleDemoResult {
  /** Every claim held. */
  readonly ok: boolean;
  readonly claims: readonly Claim[];
  readonly transports: {
    readonly gateway: DemoModule['transport'];
    readonly client: DemoModule['transport'];
  };
  readonly whyNoReader?: string;
  /** What the outsider ran. */
  readonly commands: readonly string[];
  readonly seconds: number;
}

interface FoundRecord {
  readonly index: number;
  readonly direction: string;
  readonly status: string;
  readonly time: string;
  readonly target?: number;
}

/** Each on a connection of its own. */
const ORDERS = 3;
/** A whole connection would be an object of unknown length, which has a session to itself; lines share one. */
const SIGNED = ['--sign', 'orders=pkcs7:receipt', '--sign-unit', 'line'];

/**
 * Multiplexing, signing and security modules in one session: a buyer's order and a supplier's receipt, each signed by the
 * key that has made the handshake too, each in a module that the key was born in.
 */
export async function runSignedModuleDemo(
  onProgress: (line: string) => void = () => {},
): Promise<SignedModuleDemoResult> {
  const folder = await mkdtemp(join(tmpdir(), 'trellis-demo-module-'));
  const shop = await startShop();
  try {
    onProgress('making two modules, and a key in each');
    const modules = await startModules(folder);
    try {
      return await new Case(folder, shop, modules).run(onProgress);
    } finally {
      await modules.close();
    }
  } finally {
    shop.close();
    await rm(folder, { recursive: true, force: true });
  }
}

/** An order in one line. */
function orderLine(number: number): Buffer {
  return Buffer.from(`${orderXml(number).toString().replaceAll(/\n */g, '')}\n`);
}

class Case {
  readonly #folder: string;
  readonly #shop: Shop;
  readonly #modules: DemoModules;
  readonly #claims: Claim[] = [];
  readonly #orders = Array.from({ length: ORDERS }, (_, i) => orderLine(i + 1));
  /** The one that somebody asks about later. */
  readonly #order = orderLine(ORDERS);

  constructor(folder: string, shop: Shop, modules: DemoModules) {
    this.#folder = folder;
    this.#shop = shop;
    this.#modules = modules;
  }

  async run(onProgress: (line: string) => void): Promise<SignedModuleDemoResult> {
    const { gateway, client, whyNoReader } = this.#modules;
    const start = performance.now();
    onProgress('orders and a page through one session');
    await this.#trade();
    this.#claimModules();
    onProgress('looking the order up in both archives');
    const supplier = await this.#look('supplier', 'received');
    await this.#look('buyer', 'sent');
    onProgress('handing the evidence to somebody who has openssl');
    const commands = await this.#handOver(supplier);
    return {
      ok: this.#claims.every(({ held }) => held),
      claims: this.#claims,
      transports: { gateway: gateway.transport, client: client.transport },
      ...(whyNoReader !== undefined && { whyNoReader }),
      commands,
      seconds: (performance.now() - start) / 1000,
    };
  }

  async #trade(): Promise<void> {
    const { gateway, client, ca } = this.#modules;
    const seen = newObservation();
    const common = ['--json', '--log-level', 'warn', ...SIGNED];
    const supplier = await startProgram<{ listen: string }>('src/cli/main.ts', [
      ...['serve', ...common, '--listen', '127.0.0.1:0', ...gateway.options, '--client-ca', ca],
      ...['--app', `orders=127.0.0.1:${this.#shop.orders}`, '--app', `web=127.0.0.1:${this.#shop.web}`],
      ...['--archive', this.#at('supplier.db')],
    ]);
    const relay = await startRelay(Number(supplier.ready.listen.split(':').at(-1)), seen);
    try {
      const buyer = await startProgram<{ forwards: { listen: string }[] }>('src/cli/main.ts', [
        ...['connect', `127.0.0.1:${relay.port}`, ...common, '--servername', 'localhost', ...client.options],
        ...['--ca', ca, '--forward', '0=orders', '--forward', '0=web', '--archive', this.#at('buyer.db')],
      ]);
      try {
        const [port = 0, web = 0] = buyer.ready.forwards.map(({ listen }) =>
          Number(listen.split(':').at(-1)),
        );
        const answers = await Promise.all(this.#orders.map((order) => placeOrder(port, order)));
        this.#claim(
          `${ORDERS} orders at the same time arrived byte for byte, and were confirmed`,
          this.#orders.every(
            (order, i) =>
              this.#shop.received.some((received) => received.equals(order)) &&
              answers[i]?.equals(confirmationFor(order)) === true,
          ),
        );
        this.#claim('an unsigned web page came with them', (await getPage(web)) === 'our catalogue');
      } finally {
        await buyer.stop();
      }
    } finally {
      await supplier.stop();
      relay.close();
    }
    this.#claim(
      'all of it was multiplexed in one TLS session: one handshake on one TCP connection',
      seen.serverHellos === 1 && seen.tcpConnections === 1,
    );
  }

  #claimModules(): void {
    for (const [name, what, module] of [
      ['buyer', 'the order', this.#modules.client],
      ['supplier', 'the receipt', this.#modules.gateway],
    ] as const) {
      const handshake = module.count('processEap');
      const signatures = module.count('computeSignature');
      this.#claim(
        `the ${name}'s handshake ran in its module, and ${what} was signed there, by the key that was born there`,
        handshake > 0 && signatures > 0,
        `${handshake} Process-EAP, ${signatures} Compute signature; behind ${module.transport === 'pcsc' ? 'a PC/SC reader' : 'a Unix socket'}`,
      );
    }
  }

  /** The order and its receipt, by the document itself. */
  async #look(
    who: 'buyer' | 'supplier',
    direction: string,
  ): Promise<{ readonly order: FoundRecord; readonly receipt: FoundRecord }> {
    await writeFile(this.#at('order.xml'), this.#order);
    const archive = ['--archive', this.#at(`${who}.db`)];
    const { records } = await this.#evidence<{ records: readonly FoundRecord[] }>(
      ...['find', ...archive, '--file', this.#at('order.xml')],
    );
    const [order, receipt] = records;
    if (order === undefined || receipt === undefined)
      throw new Error(`${who}.db does not hold order and receipt`);
    const receivedOne = direction === 'received' ? order : receipt;
    const { ok } = await this.#evidence<{ ok: boolean }>('audit', ...archive, '--ca', this.#modules.ca);
    this.#claim(
      `the ${who}'s archive has the order and its receipt, and an audit finds it good`,
      order.direction === direction &&
        receipt.target === order.index &&
        receivedOne.status === 'verified' &&
        ok,
      `records ${order.index} and ${receipt.index}`,
    );
    return { order, receipt };
  }

  async #handOver(found: { order: FoundRecord; receipt: FoundRecord }): Promise<readonly string[]> {
    const bundle = this.#at('case.asice');
    await this.#evidence(
      ...['export', String(found.order.index), '--archive', this.#at('supplier.db'), '--out', bundle],
    );
    const view = askOutsider(bundle, this.#at('outsider'), this.#modules.ca, {
      order: found.order.index,
      receipt: found.receipt.index,
      time: Math.ceil(Date.parse(found.order.time) / 1000),
    });
    this.#claim(
      "stock openssl verifies the order's signature, and gives out order.xml byte for byte",
      view.content?.equals(this.#order) === true && view.signer === 'CN=Trellis client',
      `signed by ${view.signer}`,
    );
    this.#claim(
      'stock openssl verifies the receipt for that order',
      view.receiptVerifies && view.receiptSigner === 'CN=localhost',
      `signed by ${view.receiptSigner}`,
    );
    this.#claim('with one digit of the order changed, the same openssl says no', view.noticesChange);
    return view.commands;
  }

  #claim(claim: string, held: boolean, detail?: string): void {
    this.#claims.push({ claim, held, ...(detail !== undefined && { detail }) });
  }

  async #evidence<T>(...words: readonly string[]): Promise<T> {
    const { code, stdout, stderr } = await runProgram('src/cli/main.ts', ['evidence', ...words, '--json']);
    if (code > 1) throw new Error(`trellis evidence ${words[0]} exited with ${code}: ${stdout}${stderr}`);
    return JSON.parse(stdout) as T;
  }

  #at(name: string): string {
    return join(this.#folder, name);
  }
}

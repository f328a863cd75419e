import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runProgram, startProgram } from '../programs.ts';
import { askOutsider, type OutsidersView } from './outsider.ts';
import { confirmationFor, getPage, orderXml, placeOrder, type Shop, startShop } from './shop.ts';
import { type Tampering, tamperWith } from './tamper.ts';

export interface SignDemoOptions {
  /** Default 12. The disputed one is in the middle. */
  readonly orders?: number;
  /** For tests: copies that are left as they are, so that what is claimed of them is not true. */
  readonly leaveAlone?: readonly Tampering[];
  readonly onProgress?: (line: string) => void;
}

export interface SignDemoResult {
  /** Every claim held. */
  readonly ok: boolean;
  readonly claims: readonly Claim[];
  readonly orders: number;
  /** In each archive. */
  readonly records: { readonly buyer: number; readonly supplier: number };
  readonly tampering: readonly TamperingResult[];
  /** What was run to verify the bundle. */
  readonly outsider: Omit<OutsidersView, 'content'>;
}

export interface Claim {
  readonly claim: string;
  readonly held: boolean;
  /** What is the ground for it. */
  readonly detail?: string;
}

export interface TamperingResult {
  readonly kind: Tampering;
  readonly exitCode: number;
  /** The record that was tampered with. */
  readonly record: number;
  /** What the audit said, first of all. */
  readonly finding: string;
  readonly named: boolean;
}

/** What the claims need of `trellis evidence … --json`. */
interface FoundRecord {
  readonly index: number;
  readonly kind: string;
  readonly direction: string;
  readonly status: string;
  readonly application: string;
  readonly time: string;
  readonly target?: number;
}
interface AuditView {
  readonly ok: boolean;
  readonly records: number;
  readonly findings: readonly {
    readonly kind: string;
    readonly record?: number;
    readonly lastRecord?: number;
    readonly text: string;
  }[];
  readonly witnesses: readonly {
    readonly same: number;
    readonly lacking: number;
    readonly differing: number;
  }[];
}

const ORDERS = 12;
const OPTIONS = ['--sign', 'orders=pkcs7:receipt'];

/** A buyer and a supplier, each with the real `trellis` in a process of its own and with an archive of its own. */
export async function runSignDemo(options: SignDemoOptions = {}): Promise<SignDemoResult> {
  const folder = await mkdtemp(join(tmpdir(), 'trellis-demo-sign-'));
  const shop = await startShop();
  try {
    return await new Case(folder, shop, options).run();
  } finally {
    shop.close();
    await rm(folder, { recursive: true, force: true });
  }
}

class Case {
  readonly #folder: string;
  readonly #shop: Shop;
  readonly #options: SignDemoOptions;
  readonly #claims: Claim[] = [];
  readonly #orders: readonly Buffer[];

  constructor(folder: string, shop: Shop, options: SignDemoOptions) {
    this.#folder = folder;
    this.#shop = shop;
    this.#options = options;
    this.#orders = Array.from({ length: options.orders ?? ORDERS }, (_, i) => orderXml(i + 1));
  }

  async run(): Promise<SignDemoResult> {
    const { onProgress = () => {} } = this.#options;
    onProgress('making certificates, starting both sides');
    await this.#trellis('init', '--out', this.#at('pki'));
    await this.#trade(onProgress);
    const disputed = this.#orders[Math.floor(this.#orders.length / 2)] as Buffer;
    await writeFile(this.#at('order.xml'), disputed);
    onProgress('looking the order up, auditing both archives');
    const found = await this.#look();
    const records = await this.#audits();
    const tampering: TamperingResult[] = [];
    for (const kind of TAMPERINGS) {
      onProgress(`tampering with a copy: ${kind}`);
      tampering.push(await this.#tamper(kind, found));
    }
    onProgress('handing the evidence to somebody who has openssl');
    const outsider = await this.#handOver(found.supplier, disputed);
    return {
      ok: this.#claims.every(({ held }) => held),
      claims: this.#claims,
      orders: this.#orders.length,
      records,
      tampering,
      outsider,
    };
  }

  /** The orders, one after the other, and an unsigned neighbour. */
  async #trade(onProgress: (line: string) => void): Promise<void> {
    const pki = (name: string): string => this.#at(join('pki', name));
    const supplier = await startProgram<{ listen: string }>('src/cli/main.ts', [
      ...['serve', '--json', '--log-level', 'warn', '--listen', '127.0.0.1:0'],
      ...['--cert', pki('server.pem'), '--key', pki('server.key'), '--client-ca', pki('ca.pem')],
      ...['--app', `orders=127.0.0.1:${this.#shop.orders}`, '--app', `web=127.0.0.1:${this.#shop.web}`],
      ...[...OPTIONS, '--archive', this.#at('supplier.db')],
    ]);
    try {
      const buyer = await startProgram<{ forwards: { listen: string; application: string }[] }>(
        'src/cli/main.ts',
        [
          ...['connect', supplier.ready.listen, '--json', '--log-level', 'warn', '--servername', 'localhost'],
          ...['--ca', pki('ca.pem'), '--cert', pki('client.pem'), '--key', pki('client.key')],
          ...['--forward', '0=orders', '--forward', '0=web', ...OPTIONS, '--archive', this.#at('buyer.db')],
        ],
      );
      try {
        const port = (name: string): number =>
          Number(
            buyer.ready.forwards
              .find(({ application }) => application === name)
              ?.listen.split(':')
              .at(-1),
          );
        onProgress(`${this.#orders.length} orders through the tunnel`);
        let confirmed = 0;
        for (const order of this.#orders) {
          const answer = await placeOrder(port('orders'), order);
          if (answer.equals(confirmationFor(order))) confirmed++;
        }
        const arrived = this.#orders.filter((order, i) => this.#shop.received[i]?.equals(order));
        this.#claim(
          `${this.#orders.length} orders arrived byte for byte, and were confirmed`,
          arrived.length === this.#orders.length && confirmed === this.#orders.length,
        );
        const page = await getPage(port('web'));
        this.#claim('a web page came through the same tunnel, unsigned', page === 'our catalogue');
      } finally {
        await buyer.stop();
      }
    } finally {
      await supplier.stop();
    }
  }

  /** By the document itself, as somebody would who has nothing else in his hands. */
  async #look(): Promise<{ buyer: Found; supplier: Found }> {
    const find = async (name: string, ...words: string[]): Promise<readonly FoundRecord[]> => {
      const { value } = await this.#evidence<{ records: readonly FoundRecord[] }>(
        ...['find', '--archive', this.#at(`${name}.db`), '--limit', '1000', ...words],
      );
      return value.records;
    };
    const found = async (name: string): Promise<Found> => {
      const [order, receipt, ...more] = await find(name, '--file', this.#at('order.xml'));
      if (order === undefined || receipt?.target !== order.index || more.length > 0)
        throw new Error(`${name}.db does not hold the order and its receipt`);
      return { order, receipt };
    };
    const [buyer, supplier] = [await found('buyer'), await found('supplier')];
    this.#claim(
      'both archives find the disputed order by order.xml itself: sent by one, received and verified by the other',
      buyer.order.direction === 'sent' &&
        supplier.order.direction === 'received' &&
        supplier.order.status === 'verified',
      `records ${buyer.order.index} and ${supplier.order.index}`,
    );
    this.#claim(
      "both hold the supplier's receipt for it: sent by one, received and verified by the other",
      supplier.receipt.direction === 'sent' &&
        buyer.receipt.direction === 'received' &&
        buyer.receipt.status === 'verified',
      `records ${buyer.receipt.index} and ${supplier.receipt.index}`,
    );
    const all = [...(await find('buyer')), ...(await find('supplier'))];
    const expected = 2 * 4 * this.#orders.length;
    this.#claim(
      'every order and every answer is there with its receipt, and nothing of the neighbour that is not signed',
      all.length === expected && all.every(({ application }) => application === 'orders'),
      `${all.length} records`,
    );
    return { buyer, supplier };
  }

  async #audits(): Promise<{ buyer: number; supplier: number }> {
    const one = await this.#audit('buyer.db', 'supplier.db');
    const other = await this.#audit('supplier.db', 'buyer.db');
    for (const [name, { code, value }] of [
      ['buyer', one],
      ['supplier', other],
    ] as const) {
      this.#claim(
        `an audit finds the ${name}'s archive good, with the other party's as witness`,
        code === 0 && value.ok && value.findings.length === 0 && value.witnesses[0]?.same === value.records,
        `${value.records} records, all the same in both`,
      );
    }
    return { buyer: one.value.records, supplier: other.value.records };
  }

  async #tamper(
    kind: Tampering,
    found: { readonly buyer: Found; readonly supplier: Found },
  ): Promise<TamperingResult> {
    const { who, what, finding, needsWitness } = TAMPERING[kind];
    const original = this.#at(`${who}.db`);
    const order = found[who].order.index;
    const left = this.#options.leaveAlone?.includes(kind) === true;
    const { path, record } = left
      ? { path: original, record: order }
      : await tamperWith(kind, original, order);
    const alone = await this.#audit(path);
    const witness = who === 'buyer' ? 'supplier.db' : 'buyer.db';
    const { code, value } = needsWitness ? await this.#audit(path, witness) : alone;
    const first = value.findings.find((one) => one.kind === finding && covers(one, record));
    // A consistent forgery with the right key shows to nobody but the witness, or the claim would say too little.
    const named = code === 1 && first !== undefined && (!needsWitness || alone.code === 0);
    const text = first?.text ?? value.findings[0]?.text ?? 'nothing was found';
    this.#claim(what, named, text);
    return { kind, exitCode: code, record, finding: text, named };
  }

  async #handOver({ order, receipt }: Found, disputed: Buffer): Promise<Omit<OutsidersView, 'content'>> {
    const bundle = this.#at('case.asice');
    const { code } = await this.#evidence(
      ...['export', String(order.index), '--archive', this.#at('supplier.db'), '--out', bundle],
    );
    if (code !== 0) throw new Error('the bundle could not be made');
    const { content, ...view } = askOutsider(bundle, this.#at('outsider'), this.#at('pki/ca.pem'), {
      order: order.index,
      receipt: receipt.index,
      time: Math.ceil(Date.parse(order.time) / 1000),
    });
    this.#claim(
      'stock openssl verifies the signature in the unzipped bundle, and gives out order.xml byte for byte',
      content?.equals(disputed) === true,
    );
    this.#claim("it was signed by the buyer's certificate", view.signer === 'CN=Trellis client', view.signer);
    this.#claim(
      "stock openssl verifies the receipt for that order, signed by the supplier's certificate",
      view.receiptVerifies && view.receiptSigner === 'CN=localhost',
      view.receiptSigner,
    );
    this.#claim('with one digit of the order changed, the same openssl says no', view.noticesChange);
    return view;
  }

  #claim(claim: string, held: boolean, detail?: string): void {
    this.#claims.push({ claim, held, ...(detail !== undefined && { detail }) });
  }

  #audit(archive: string, witness?: string): Promise<{ code: number; value: AuditView }> {
    const path = archive.includes('/') ? archive : this.#at(archive);
    return this.#evidence<AuditView>(
      ...['audit', '--archive', path, '--ca', this.#at('pki/ca.pem')],
      ...(witness === undefined ? [] : ['--witness', this.#at(witness)]),
    );
  }

  async #evidence<T>(...words: readonly string[]): Promise<{ code: number; value: T }> {
    const { code, stdout } = await this.#trellis('evidence', ...words, '--json');
    return { code, value: JSON.parse(stdout) as T };
  }

  async #trellis(...words: readonly string[]): Promise<{ code: number; stdout: string }> {
    const ran = await runProgram('src/cli/main.ts', words);
    if (ran.code === 0 || ran.code === 1) return ran;
    throw new Error(
      `trellis ${words.slice(0, 2).join(' ')} exited with ${ran.code}: ${ran.stdout}${ran.stderr}`,
    );
  }

  #at(name: string): string {
    return join(this.#folder, name);
  }
}

interface Found {
  readonly order: FoundRecord;
  readonly receipt: FoundRecord;
}

interface TamperingKind {
  /** Whose archive it is done to. */
  readonly who: 'buyer' | 'supplier';
  readonly what: string;
  /** What an audit must call it. */
  readonly finding: string;
  readonly needsWitness?: true;
}

const TAMPERING: Readonly<Record<Tampering, TamperingKind>> = {
  'changed-byte': {
    who: 'supplier',
    what: 'a changed byte, which makes another quantity of the order: the audit names the record',
    finding: 'content-changed',
  },
  removed: {
    who: 'supplier',
    what: 'a removed record, with the others moved up: the audit names it',
    finding: 'removed',
  },
  reordered: {
    who: 'supplier',
    what: 'two records that have changed places: the audit names the first',
    finding: 'reordered',
  },
  inserted: {
    who: 'supplier',
    what: 'an inserted record, with the others moved down: the audit names it',
    finding: 'inserted',
  },
  'forged-receipt': {
    who: 'buyer',
    what: "a receipt forged in the supplier's name, archived with the archive's own key: the audit names it",
    finding: 'forged-receipt',
  },
  'rewritten-tail': {
    who: 'supplier',
    what: "a tail rewritten without the order, with new checkpoints by the archive's own key: the buyer's archive as witness shows it",
    finding: 'rewritten',
    needsWitness: true,
  },
};

const TAMPERINGS = Object.keys(TAMPERING) as readonly Tampering[];

function covers(
  { record, lastRecord }: { readonly record?: number; readonly lastRecord?: number },
  index: number,
): boolean {
  return record !== undefined && record <= index && index <= (lastRecord ?? record);
}

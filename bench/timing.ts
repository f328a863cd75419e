// npm run timing [-- --scale N] [--json]
//
// Looks for differences in time that would tell a peer something of a secret: in the padding of CBC records (Lucky Thirteen) and
// in the RSA key exchange (Bleichenbacher). As dudect does: two classes of inputs in random order, Welch's t, the slow tail cropped.
// First it must find leaks that are planted here and nowhere else; exit code 1 if it does not, for then it has seen nothing.
// No test: a busy machine sees less. SECURITY.md says what was found.
import crypto from 'node:crypto';
import { parseArgs } from 'node:util';
import { nodeCrypto } from '../src/crypto/node/provider.ts';
import { KeyObjectSigningKey } from '../src/crypto/node/signing-key.ts';
import { PREMASTER_LENGTH, unpadPremaster } from '../src/crypto/premaster.ts';
import { stripMacAndPadding } from '../src/record/tls/mac-then-encrypt.ts';
import { compare, type Difference } from './support/welch.ts';

/** Beyond it, dudect calls a difference found. */
const THRESHOLD = 4.5;
/** Inputs of each class, so that no single one is what is measured. */
const INPUTS = 64;

type Work = (input: Uint8Array) => unknown;
type MakeInput = () => Uint8Array;

interface Experiment {
  readonly name: string;
  readonly planted: boolean;
  readonly samples: number;
  /** Calls in one sample: short work is measured several times over. */
  readonly calls: number;
  readonly first: MakeInput;
  readonly second: MakeInput;
  readonly work: Work;
}

interface Finding extends Difference {
  readonly name: string;
  readonly planted: boolean;
  readonly samples: number;
  readonly found: boolean;
}

const { values } = parseArgs({
  options: { scale: { type: 'string', default: '1' }, json: { type: 'boolean', default: false } },
});
const scale = Number(values.scale);
if (!(scale > 0)) {
  console.error('usage: npm run timing [-- --scale N] [--json]');
  process.exit(2);
}

// ── CBC ──────────────────────────────────────────────────────────────────────────────────────────

const MAC_LENGTH = 20;
const macKey = crypto.randomBytes(MAC_LENGTH);
const head = crypto.randomBytes(13);
/** A record of 32 blocks. */
const RECORD = 512;

/** Blocks as an attacker has them decrypted: the MAC is never right, and the padding is as it says. */
const record =
  (padding: number, wrongAt?: number): MakeInput =>
  () => {
    const blocks = new Uint8Array(crypto.randomBytes(RECORD)).fill(padding, RECORD - 1 - padding);
    if (wrongAt !== undefined) (blocks[RECORD - 1 - wrongAt] as number) ^= 0x80;
    return blocks;
  };

const strip: Work = (blocks) => stripMacAndPadding(nodeCrypto, 'sha1', macKey, head, blocks);

/** Planted: as RFC 2246 suggests it, and as it was done before 2013. */
const leakyStrip: Work = (blocks) => {
  const padding = blocks[blocks.length - 1] as number;
  const length = blocks.length - 1 - padding - MAC_LENGTH;
  if (length < 0 || blocks.subarray(length + MAC_LENGTH).some((byte) => byte !== padding)) return undefined;
  const mac = crypto.createHmac('sha1', macKey).update(head).update(blocks.subarray(0, length)).digest();
  return crypto.timingSafeEqual(mac, blocks.subarray(length, length + MAC_LENGTH)) ? length : undefined;
};

// ── RSA ──────────────────────────────────────────────────────────────────────────────────────────

const MODULUS = 256;
const VERSION = 0x0303;
const { privateKey, publicKey } = crypto.generateKeyPairSync('rsa', { modulusLength: 8 * MODULUS });
const key = new KeyObjectSigningKey(privateKey);
const otherwise = crypto.randomBytes(PREMASTER_LENGTH);

/** `00 02 PS 00 version random[46]`. */
const goodBlock: MakeInput = () => {
  const block = new Uint8Array(crypto.randomBytes(MODULUS).map((byte) => byte || 1));
  block.set([0, 2]);
  block.set([0, VERSION >> 8, VERSION & 0xff], MODULUS - PREMASTER_LENGTH - 1);
  return block;
};
/** Not even its first bytes are right; below the modulus all the same. */
const badBlock: MakeInput = () => {
  const block = goodBlock();
  block.set([0, 1]);
  return block;
};
const encrypted =
  (make: MakeInput): MakeInput =>
  () =>
    crypto.publicEncrypt({ key: publicKey, padding: crypto.constants.RSA_NO_PADDING }, make());

const unpad: Work = (block) => unpadPremaster(block, VERSION, otherwise);
const decrypt: Work = (ciphertext) => unpad(key.decrypt?.(ciphertext) as Uint8Array);

/** Planted: ends at the first byte that is wrong. */
const leakyUnpad: Work = (block) => {
  if (block[0] !== 0 || block[1] !== 2) return otherwise;
  const end = block.indexOf(0, 2);
  if (end !== MODULUS - PREMASTER_LENGTH - 1) return otherwise;
  return block.slice(end + 1);
};
/** Planted: the same behind the decryption, and a word to the log of a server that is well-meant. */
const leakyDecrypt: Work = (ciphertext) => {
  const secret = leakyUnpad(key.decrypt?.(ciphertext) as Uint8Array);
  return secret === otherwise ? new Error('bad premaster secret').stack : secret;
};

// ── what is compared ─────────────────────────────────────────────────────────────────────────────

const cbc = { samples: 30_000, calls: 1 };
const blocks = { samples: 20_000, calls: 20 };
const rsa = { samples: 6_000, calls: 1 };

// biome-ignore format: one experiment a line
const EXPERIMENTS: readonly Experiment[] = [
  { name: 'CBC, planted: padding of 1 and of 256 bytes', planted: true, ...cbc, first: record(0), second: record(255), work: leakyStrip },
  { name: 'CBC, planted: right and wrong padding', planted: true, ...cbc, first: record(15), second: record(15, 8), work: leakyStrip },
  { name: 'RSA unpadding, planted: right and wrong block', planted: true, ...blocks, first: goodBlock, second: badBlock, work: leakyUnpad },
  { name: 'RSA decryption, planted: right and wrong block', planted: true, ...rsa, first: encrypted(goodBlock), second: encrypted(badBlock), work: leakyDecrypt },
  { name: 'CBC: the same class twice', planted: false, ...cbc, first: record(15), second: record(15), work: strip },
  { name: 'CBC: padding of 1 and of 256 bytes', planted: false, ...cbc, first: record(0), second: record(255), work: strip },
  { name: 'CBC: right and wrong padding', planted: false, ...cbc, first: record(15), second: record(15, 8), work: strip },
  { name: 'CBC: long padding, right and wrong', planted: false, ...cbc, first: record(255), second: record(255, 200), work: strip },
  { name: 'RSA unpadding: right and wrong block', planted: false, ...blocks, first: goodBlock, second: badBlock, work: unpad },
  { name: 'RSA decryption: the same class twice', planted: false, ...rsa, first: encrypted(goodBlock), second: encrypted(goodBlock), work: decrypt },
  { name: 'RSA decryption: right and wrong block', planted: false, ...rsa, first: encrypted(goodBlock), second: encrypted(badBlock), work: decrypt },
];

let sink: unknown;

/** Nanoseconds of each sample, by class. */
function measure({ calls, first, second, work }: Experiment, samples: number): [number[], number[]] {
  const inputs = [first, second].map((make) => Array.from({ length: INPUTS }, make)) as [
    Uint8Array[],
    Uint8Array[],
  ];
  const input = new Uint8Array((inputs[0][0] as Uint8Array).length);
  const times: [number[], number[]] = [[], []];
  // Drawn before, and the class chosen by arithmetic alone: nothing beside the work may differ.
  const choices = crypto.randomBytes(2 * samples);
  // The first fifth warms the compiler up.
  for (let i = -Math.ceil(samples / 5); i < samples; i++) {
    const at = i < 0 ? i + samples : i;
    const which = ((choices[2 * at] as number) & 1) as 0 | 1;
    // Always at the same place: where an input lies in memory has its own time.
    input.set(inputs[which][(choices[2 * at + 1] as number) % INPUTS] as Uint8Array);
    const began = process.hrtime.bigint();
    for (let call = 0; call < calls; call++) sink = work(input);
    const took = Number(process.hrtime.bigint() - began) / calls;
    if (i >= 0) times[which].push(took);
  }
  return times;
}

function judge(experiment: Experiment): Finding {
  const { name, planted } = experiment;
  const samples = Math.round(experiment.samples * scale);
  const difference = compare(...measure(experiment, samples));
  return { name, planted, samples, ...difference, found: Math.abs(difference.t) > THRESHOLD };
}

const findings = EXPERIMENTS.map((experiment) => {
  const finding = judge(experiment);
  if (!values.json) console.log(line(finding));
  return finding;
});
const blind = findings.filter(({ planted, found }) => planted && !found);
if (values.json) {
  const { node, openssl } = process.versions;
  console.log(
    JSON.stringify({ node, openssl, threshold: THRESHOLD, sawPlanted: blind.length === 0, findings }),
  );
} else if (blind.length > 0)
  console.error('timing: a planted leak was not found; try a quieter machine, or --scale 4');
// What was computed is looked at, so that nobody can leave it out.
process.exitCode = blind.length > 0 || sink === null ? 1 : 0;

function line({ name, samples, t, nanoseconds, kept, found }: Finding): string {
  const figures = `t ${t.toFixed(1).padStart(8)}  ${nanoseconds.toFixed(0).padStart(8)} ns  ${Math.round(kept * 100)} % of ${samples}`;
  return `${name.padEnd(50)} ${figures.padEnd(46)} ${found ? 'DIFFERENT' : 'no difference seen'}`;
}

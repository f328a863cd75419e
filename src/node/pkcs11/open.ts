import { readFileSync } from 'node:fs';
import { nodeCrypto } from '../../crypto/node/provider.ts';
import type { PublicKey, SignatureAlgorithm, SigningKey } from '../../crypto/provider.ts';
import { canSignWith, SCHEMES, type Scheme, schemeById } from '../../crypto/schemes.ts';
import { equalBytes } from '../../der/bytes.ts';
import { Oid } from '../../der/oids.ts';
import { decodePemBlocks, encodePem } from '../../der/pem.ts';
import { encodeDer, nullValue, octetString, oid, sequence } from '../../der/writer.ts';
import { ConnectionError } from '../../errors/errors.ts';
import { ModuleError } from '../../errors/module.ts';
import { ecdsaToDer } from '../../formats/xml/algorithms.ts';
import { Certificate } from '../../x509/certificate.ts';
import { importAnyPublicKey } from '../../x509/public-key.ts';
import { Mechanism, Mgf } from './codes.ts';
import { Cryptoki, type MechanismUse } from './cryptoki.ts';
import { type PinReader, Token } from './token.ts';
import { type Pkcs11Uri, parsePkcs11Uri } from './uri.ts';

export interface Pkcs11Options {
  /** The certificate of the key and its chain, PEM. Default: those in the token, by the key's id or its label. */
  readonly cert?: string | undefined;
  /** The user PIN, where the URI has none: text, or a function that reads it whenever it is needed. */
  readonly pin?: string | (() => Uint8Array) | undefined;
}

/** A chain in a token that is longer is not completed from there. */
const MAX_CHAIN = 8;
/** RSA of 8,192 bits; ECDSA on P-521 has 132 bytes. */
const MAX_SIGNATURE = 1024;

/** A private key in a PKCS #11 token: a `SigningKey` for the option `key`, and the certificate for `cert`. */
export class Pkcs11Key implements SigningKey {
  readonly schemes: readonly number[];
  readonly publicKey: PublicKey;
  /** PEM, end entity first. */
  readonly cert: string;
  readonly #path: string;
  readonly #library: Cryptoki;
  readonly #token: Token;
  #closed = false;

  private constructor(
    at: { readonly path: string; readonly library: Cryptoki; readonly token: Token },
    chain: readonly Uint8Array[],
    publicKey: PublicKey,
    schemes: readonly number[],
  ) {
    this.#path = at.path;
    this.#library = at.library;
    this.#token = at.token;
    this.cert = chain.map((der) => encodePem('CERTIFICATE', der)).join('');
    this.publicKey = publicKey;
    this.schemes = schemes;
  }

  /**
   * Finds the key that an RFC 7512 URI describes, logs in, and has it sign once, so that what does not fit together is
   * found out now.
   * @throws ModuleError; ConnectionError ERR_TLS_OPTION
   */
  static async open(uri: string, { cert, pin }: Pkcs11Options = {}): Promise<Pkcs11Key> {
    const where = parsePkcs11Uri(uri);
    const path = checkUri(where);
    const readPin = pinReader(where, pin);
    const library = await Cryptoki.open(path);
    const token = new Token(library, where, readPin);
    try {
      const chain = cert === undefined ? await tokenChain(token) : decodePemBlocks(cert, 'CERTIFICATE');
      const { spki } = Certificate.parse(chain[0] as Uint8Array);
      const publicKey = importAnyPublicKey(nodeCrypto, spki);
      const schemes = await schemesOf(token, publicKey);
      const key = new Pkcs11Key({ path, library, token }, chain, publicKey, schemes);
      await key.#prove();
      return key;
    } catch (error) {
      await token.close();
      await Cryptoki.close(path);
      throw error;
    }
  }

  /** @throws ModuleError; when the token was taken out or reset, the next signature looks for it again */
  async sign(scheme: number, data: Uint8Array): Promise<Uint8Array> {
    const { algorithm } = schemeById(scheme) as Scheme;
    const { use, input } = mechanismFor(this.#library, algorithm, data);
    const signature = await this.#token.sign(use, input, MAX_SIGNATURE);
    if (this.publicKey.kind !== 'ec') return signature;
    // PKCS #11 v2.40 §2.3.1: r ‖ s; TLS and CMS have an Ecdsa-Sig-Value.
    const der = ecdsaToDer(signature, this.publicKey.curve);
    if (der !== undefined) return der;
    throw new ModuleError('ERR_MODULE_PROTOCOL', `An ECDSA signature of ${signature.length} bytes`);
  }

  /** Logs out where nobody else in this process uses the token. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#token.close();
    await Cryptoki.close(this.#path);
  }

  /** One signature, of bytes that mean nothing: the certificate belongs to the key, or it does not. */
  async #prove(): Promise<void> {
    const [scheme] = this.schemes;
    if (scheme === undefined) {
      throw new ModuleError(
        'ERR_MODULE_UNSUPPORTED',
        'The PKCS #11 token has no mechanism with which this key could sign for TLS; compare with pkcs11-tool -M',
      );
    }
    const data = nodeCrypto.randomBytes(32);
    const { algorithm } = schemeById(scheme) as Scheme;
    const signature = await this.sign(scheme, data);
    if (nodeCrypto.verify(algorithm, this.publicKey, data, signature)) return;
    throw new ConnectionError(
      'ERR_TLS_OPTION',
      'The private key in the PKCS #11 token does not belong to the certificate; give the certificate that it was made for',
    );
  }
}

/** @returns path of the module */
function checkUri({ type, modulePath }: Pkcs11Uri): string {
  if (type !== undefined && type !== 'private') {
    throw new ConnectionError('ERR_TLS_OPTION', `A private key is needed, and the URI says type=${type}`);
  }
  if (modulePath !== undefined) return modulePath;
  throw new ConnectionError(
    'ERR_TLS_OPTION',
    'The PKCS #11 URI does not say which module to load: add ?module-path=FILE.so',
  );
}

/** @throws ConnectionError ERR_TLS_OPTION when it is given twice */
function pinReader({ pinFile, pinValue }: Pkcs11Uri, pin: Pkcs11Options['pin']): PinReader {
  if (pin !== undefined && (pinFile !== undefined || pinValue !== undefined)) {
    throw new ConnectionError('ERR_TLS_OPTION', 'The PIN is in the PKCS #11 URI and beside it; give one');
  }
  if (typeof pin === 'function') return pin;
  if (pin !== undefined) return () => new TextEncoder().encode(pin);
  if (pinFile !== undefined) return () => readPin(pinFile);
  return () => (pinValue === undefined ? undefined : new Uint8Array(pinValue));
}

/** A file's bytes without its line end. @throws ConnectionError ERR_TLS_OPTION */
function readPin(path: string): Uint8Array {
  try {
    const bytes = readFileSync(path);
    let end = bytes.length;
    while (end > 0 && (bytes[end - 1] === 0x0a || bytes[end - 1] === 0x0d)) end--;
    const pin = new Uint8Array(bytes.subarray(0, end));
    bytes.fill(0);
    return pin;
  } catch (cause) {
    throw new ConnectionError('ERR_TLS_OPTION', `pin-source ${path} cannot be read`, { cause });
  }
}

/** The certificate of the key, then its issuers as far as the token has them. */
async function tokenChain(token: Token): Promise<readonly Uint8Array[]> {
  const { own, all } = await token.certificates();
  const [leaf, second] = own;
  if (leaf === undefined || second !== undefined) {
    throw new ModuleError(
      'ERR_MODULE_NOT_FOUND',
      leaf === undefined
        ? 'The PKCS #11 token has no certificate with the id of this key; give it (--cert FILE, option cert)'
        : 'The PKCS #11 token has several certificates with the id of this key; give the one to show (--cert FILE, option cert)',
    );
  }
  const others = all.map((der) => Certificate.parse(der));
  const chain = [Certificate.parse(leaf)];
  while (chain.length < MAX_CHAIN) {
    const last = chain.at(-1) as Certificate;
    const issuer = others.find(({ subject }) => equalBytes(subject.raw, last.issuer.raw));
    // The anchor itself is not shown (RFC 8446 §4.4.2).
    if (issuer === undefined || equalBytes(issuer.subject.raw, issuer.issuer.raw)) break;
    chain.push(issuer);
  }
  return chain.map(({ raw }) => raw);
}

async function schemesOf(token: Token, key: PublicKey): Promise<number[]> {
  const ids: number[] = [];
  for (const scheme of SCHEMES) {
    if (canSignWith(scheme, key) && (await token.canSign(MECHANISM[scheme.algorithm.kind]))) {
      ids.push(scheme.id);
    }
  }
  return ids;
}

const MECHANISM: Readonly<Record<SignatureAlgorithm['kind'], number>> = {
  ecdsa: Mechanism.ecdsa,
  ed25519: Mechanism.eddsa,
  'rsa-pkcs1': Mechanism.rsaPkcs,
  'rsa-pss': Mechanism.rsaPss,
};

/** The digest is made here, except for Ed25519, which takes the message: less goes to the token, and all of them can do it. */
function mechanismFor(
  library: Cryptoki,
  algorithm: SignatureAlgorithm,
  data: Uint8Array,
): { readonly use: MechanismUse; readonly input: Uint8Array } {
  const mechanism = MECHANISM[algorithm.kind];
  if (algorithm.kind === 'ed25519') return { use: { mechanism }, input: data };
  const { hash } = algorithm;
  const digest = nodeCrypto.digest(hash, data);
  switch (algorithm.kind) {
    case 'ecdsa':
      return { use: { mechanism }, input: digest };
    case 'rsa-pss':
      // CK_RSA_PKCS_PSS_PARAMS; RFC 8446 §4.2.3: MGF1 with the same hash, and a salt as long as it.
      return {
        use: { mechanism, parameter: library.numbers(Mechanism[hash], Mgf[hash], digest.length) },
        input: digest,
      };
    case 'rsa-pkcs1': {
      // DigestInfo, RFC 8017 §9.2.
      const info = sequence(sequence(oid(Oid[hash]), nullValue()), octetString(digest));
      return { use: { mechanism }, input: encodeDer(info) };
    }
  }
}

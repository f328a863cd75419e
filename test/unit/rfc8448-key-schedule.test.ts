import crypto from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { KeyObjectSigningKey } from '../../src/crypto/node/signing-key.ts';
import { schemeById } from '../../src/crypto/schemes.ts';
import { type Suite, suiteById } from '../../src/crypto/suites.ts';
import {
  EarlySecret,
  finishedMac,
  hkdfExpandLabel,
  resumptionPsk,
  trafficKeys,
} from '../../src/handshake/key-schedule.ts';
import { signatureInput } from '../../src/handshake/proofs.ts';
import { Transcript } from '../../src/handshake/transcript.ts';
import { parseCertificate, parseCertificateVerify } from '../../src/messages/authentication.ts';
import { HandshakeJoiner, type HandshakeMessage } from '../../src/messages/handshake.ts';
import { parseNewSessionTicket } from '../../src/messages/post-handshake.ts';
import { CipherSuite, HandshakeType, NamedGroup, SignatureScheme } from '../../src/wire/codepoints.ts';
import { scriptedCrypto } from '../setup/scripted-crypto.ts';
import { certificateKey } from '../vectors/rfc8448/certificate-key.ts';
import {
  clientAuthentication,
  compatibilityMode,
  helloRetryRequest,
  hex,
  resumed0Rtt,
  serverRsaKey,
  simple1Rtt,
  stepsOf,
  type Trace,
  toHex,
  value,
} from '../vectors/rfc8448.ts';

const traces = [simple1Rtt, resumed0Rtt, helloRetryRequest, clientAuthentication, compatibilityMode];
const suite = suiteById(CipherSuite.TLS_AES_128_GCM_SHA256) as Suite;
const hash = suite.hash;

/** The handshake messages of both sides up to the client's Finished, in the order of the transcript. */
function transcriptMessages(trace: Trace): HandshakeMessage[] {
  const payloads = {
    client: stepsOf(trace, 'client', 'send handshake'),
    server: stepsOf(trace, 'server', 'send handshake'),
  };
  const records = (by: 'client' | 'server', from: number, to: number) =>
    payloads[by].slice(from, to).map((step) => hex(step.values?.payload ?? ''));
  const retried = trace === helloRetryRequest ? 1 : 0;
  const order = [
    ...records('client', 0, 1),
    ...(retried ? [...records('server', 0, 1), ...records('client', 1, 2)] : []),
    ...records('server', retried, retried + 2),
    ...records('client', retried + 1, Number.POSITIVE_INFINITY),
  ];
  return order.flatMap((payload) => {
    const joiner = new HandshakeJoiner();
    joiner.push(payload);
    const messages: HandshakeMessage[] = [];
    for (let message = joiner.next(); message !== undefined; message = joiner.next()) messages.push(message);
    return messages;
  });
}

/** The transcript hash after each message, by message; and before it, which is what CertificateVerify and Finished sign. */
function transcriptHashes(
  trace: Trace,
): { message: HandshakeMessage; before: Uint8Array; after: Uint8Array }[] {
  const transcript = new Transcript(nodeCrypto, hash);
  return transcriptMessages(trace).map((message, i) => {
    // The first ServerHello of section 5 is the HelloRetryRequest.
    if (trace === helloRetryRequest && i === 1) transcript.replaceByMessageHash();
    const before = transcript.snapshot();
    transcript.add(message.raw);
    return { message, before, after: transcript.snapshot() };
  });
}

function afterLast(trace: Trace, type: number): Uint8Array {
  return (
    transcriptHashes(trace).findLast(({ message }) => message.type === type)?.after ??
    expect.fail('no such message')
  );
}

function afterServerFinished(trace: Trace): Uint8Array {
  return (
    transcriptHashes(trace).find(({ message }) => message.type === HandshakeType.finished)?.after ??
    expect.fail('none')
  );
}

const expanded = (trace: Trace, by: 'client' | 'server', label: string) =>
  toHex(value(trace, by, `derive secret "tls13 ${label}"`, 'expanded'));
const sharedSecret = (trace: Trace) => value(trace, 'server', 'extract secret "handshake"', 'IKM');
const psk = () => value(simple1Rtt, 'server', 'generate resumption secret', 'expanded');

describe.each(traces)('RFC 8448 section $section, $title', (trace) => {
  test('our key exchange makes the shares and the shared secret', () => {
    const crypto = scriptedCrypto({
      x25519: [...privateKeys(trace, 'client', 'x25519'), ...privateKeys(trace, 'server', 'x25519')],
      secp256r1: [...privateKeys(trace, 'client', 'P-256'), ...privateKeys(trace, 'server', 'P-256')],
    });
    if (trace === helloRetryRequest) {
      const unused = crypto.group(NamedGroup.x25519)?.begin();
      expect(toHex(unused?.share ?? new Uint8Array())).toBe(publicKey(trace, 'client', 'x25519'));
    }
    const [id, name] =
      trace === helloRetryRequest
        ? ([NamedGroup.secp256r1, 'P-256'] as const)
        : ([NamedGroup.x25519, 'x25519'] as const);
    const group = crypto.group(id) ?? expect.fail('no group');
    const client = group.begin();
    expect(toHex(client.share)).toBe(publicKey(trace, 'client', name));
    const server = group.respond(client.share);
    expect(toHex(server.share)).toBe(publicKey(trace, 'server', name));
    expect(toHex(server.secret)).toBe(toHex(sharedSecret(trace)));
    expect(toHex(client.complete(server.share))).toBe(toHex(sharedSecret(trace)));
    expect(crypto.left()).toBe(0);
  });

  test('our key schedule makes every secret from the transcript', () => {
    const early = new EarlySecret(nodeCrypto, hash, trace === resumed0Rtt ? psk() : undefined);
    const handshake = early.handshakeSecret(sharedSecret(trace));
    const serverHello = afterLast(trace, HandshakeType.server_hello);
    const traffic = handshake.trafficSecrets(serverHello);
    expect(toHex(traffic.client)).toBe(expanded(trace, 'server', 'c hs traffic'));
    expect(toHex(traffic.server)).toBe(expanded(trace, 'server', 's hs traffic'));

    const master = handshake.masterSecret();
    const application = master.applicationSecrets(afterServerFinished(trace));
    expect(toHex(application.client)).toBe(expanded(trace, 'server', 'c ap traffic'));
    expect(toHex(application.server)).toBe(expanded(trace, 'server', 's ap traffic'));
    expect(toHex(application.exporter)).toBe(expanded(trace, 'server', 'exp master'));

    const resumption = master.resumption(afterLast(trace, HandshakeType.finished))();
    expect(toHex(resumption)).toBe(expanded(trace, 'client', 'res master'));
  });

  test('our Finished is theirs, on both sides', () => {
    const finished = transcriptHashes(trace).filter(({ message }) => message.type === HandshakeType.finished);
    expect(finished).toHaveLength(2);
    for (const [by, label, at] of [
      ['server', 's hs traffic', finished[0]],
      ['client', 'c hs traffic', finished[1]],
    ] as const) {
      const baseKey = value(trace, 'server', `derive secret "tls13 ${label}"`, 'expanded');
      const mac = finishedMac(nodeCrypto, hash, baseKey, at?.before ?? new Uint8Array());
      expect(toHex(mac)).toBe(toHex(value(trace, by, 'calculate finished', 'finished')));
      expect(toHex(at?.message.body ?? new Uint8Array())).toBe(toHex(mac));
    }
  });

  test('the signatures in CertificateVerify are over what we would have signed', () => {
    const messages = transcriptHashes(trace);
    const certificates = messages.filter(({ message }) => message.type === HandshakeType.certificate);
    const verifies = messages.filter(({ message }) => message.type === HandshakeType.certificate_verify);
    expect(verifies).toHaveLength(certificates.length);
    verifies.forEach(({ message, before }, i) => {
      const { entries } = parseCertificate(certificates[i]?.message.body ?? new Uint8Array());
      const { scheme, signature } = parseCertificateVerify(message.body);
      const key = nodeCrypto.importPublicKey(certificateKey(entries[0]?.certData ?? new Uint8Array()));
      const input = signatureInput(i === 0 ? 'server' : 'client', before);
      const algorithm =
        scheme === SignatureScheme.ecdsa_secp256r1_sha256
          ? ({ kind: 'ecdsa', hash: 'sha256' } as const)
          : ({ kind: 'rsa-pss', hash: 'sha256' } as const);
      expect(nodeCrypto.verify(algorithm, key, input, signature)).toBe(true);
      // The smallest corruption of either must not verify.
      expect(nodeCrypto.verify(algorithm, key, flipLastBit(input), signature)).toBe(false);
      expect(nodeCrypto.verify(algorithm, key, input, flipLastBit(signature))).toBe(false);
    });
  });

  test('every single HKDF and HMAC step, one by one', () => {
    let checked = 0;
    for (const { step, values } of trace.steps) {
      if (values === undefined) continue;
      const of = (name: string) => hex(values[name] ?? expect.fail(`${step} has no ${name}`));
      const label = /"tls13 (.*)"/.exec(step)?.[1];
      if (step.startsWith('extract secret')) {
        expect(toHex(nodeCrypto.hmac(hash, of('salt'), of('IKM')))).toBe(toHex(of('secret')));
      } else if (step.includes('traffic keys')) {
        const keys = trafficKeys(nodeCrypto, suite, of('PRK'));
        expect(toHex(keys.key)).toBe(toHex(of('key expanded')));
        expect(toHex(keys.iv)).toBe(toHex(of('iv expanded')));
      } else if (label !== undefined || step === 'calculate PSK binder') {
        const made = hkdfExpandLabel(nodeCrypto, hash, of('PRK'), label ?? 'finished', of('hash'), 32);
        expect(toHex(made)).toBe(toHex(of('expanded')));
        expect(toHex(nodeCrypto.hkdfExpand(hash, of('PRK'), of('info'), 32))).toBe(toHex(of('expanded')));
      } else {
        continue;
      }
      checked++;
    }
    expect(checked).toBe(trace.steps.filter(({ values }) => values?.PRK ?? values?.salt).length);
  });
});

describe('RFC 8448 section 2, the private key of the server', () => {
  const base64 = (name: keyof typeof serverRsaKey) =>
    Buffer.from(hex(serverRsaKey[name])).toString('base64url');
  const key = crypto.createPrivateKey({
    format: 'jwk',
    key: {
      kty: 'RSA',
      n: base64('modulus (public)'),
      e: base64('public exponent'),
      d: base64('private exponent'),
      p: base64('prime1'),
      q: base64('prime2'),
      dp: base64('exponent1'),
      dq: base64('exponent2'),
      qi: base64('coefficient'),
    },
  });

  test.each([simple1Rtt, helloRetryRequest, compatibilityMode])(
    'is that of the certificate in section $section',
    (trace) => {
      const message = value(trace, 'server', 'construct a Certificate', 'Certificate');
      const { entries } = parseCertificate(message.subarray(4));
      const own = new KeyObjectSigningKey(key);
      expect(toHex(own.publicKey.spki)).toBe(toHex(certificateKey(entries[0]?.certData ?? new Uint8Array())));
      // A signature of our own making verifies under the key of the certificate.
      const scheme = SignatureScheme.rsa_pss_rsae_sha256;
      const signature = own.sign(scheme, message);
      const { algorithm } = schemeById(scheme) ?? expect.fail('no such scheme');
      expect(nodeCrypto.verify(algorithm, own.publicKey, message, signature)).toBe(true);
    },
  );
});

describe('resumption, RFC 8448 sections 3 and 4', () => {
  const resumptionSecret = () => value(simple1Rtt, 'client', 'derive secret "tls13 res master"', 'expanded');

  test("the ticket's nonce makes the PSK", () => {
    const raw = value(simple1Rtt, 'server', 'construct a NewSessionTicket', 'NewSessionTicket');
    const { nonce } = parseNewSessionTicket(raw.subarray(4));
    const made = resumptionPsk(nodeCrypto, hash, resumptionSecret(), nonce);
    expect(toHex(made)).toBe(toHex(psk()));
    expect(toHex(made)).toBe(toHex(value(resumed0Rtt, 'client', 'extract secret "early"', 'IKM')));
  });

  test('another nonce makes another PSK', () => {
    const made = resumptionPsk(nodeCrypto, hash, resumptionSecret(), Uint8Array.of(0, 1));
    expect(toHex(made)).not.toBe(toHex(psk()));
  });

  test('the binder is made over the ClientHello without its binders', () => {
    const prefix = value(resumed0Rtt, 'client', 'calculate PSK binder', 'ClientHello prefix');
    const binderHash = new Transcript(nodeCrypto, hash).snapshotWith(prefix);
    expect(toHex(binderHash)).toBe(
      toHex(value(resumed0Rtt, 'client', 'calculate PSK binder', 'binder hash')),
    );
    const binderKey = new EarlySecret(nodeCrypto, hash, psk()).binderKey('resumption');
    expect(toHex(binderKey)).toBe(toHex(value(resumed0Rtt, 'client', 'calculate PSK binder', 'PRK')));
    const binder = finishedMac(nodeCrypto, hash, binderKey, binderHash);
    expect(toHex(binder)).toBe(toHex(value(resumed0Rtt, 'client', 'calculate PSK binder', 'finished')));
  });

  test('a ClientHello changed in one bit has another binder', () => {
    const prefix = flipLastBit(value(resumed0Rtt, 'client', 'calculate PSK binder', 'ClientHello prefix'));
    const binderKey = new EarlySecret(nodeCrypto, hash, psk()).binderKey('resumption');
    const binder = finishedMac(
      nodeCrypto,
      hash,
      binderKey,
      new Transcript(nodeCrypto, hash).snapshotWith(prefix),
    );
    expect(toHex(binder)).not.toBe(toHex(value(resumed0Rtt, 'client', 'calculate PSK binder', 'finished')));
  });
});

function privateKeys(trace: Trace, by: 'client' | 'server', group: string): Uint8Array[] {
  return stepsOf(trace, by, `create an ephemeral ${group}`).map(({ values }) =>
    hex(values?.['private key'] ?? ''),
  );
}

function publicKey(trace: Trace, by: 'client' | 'server', group: string): string {
  return toHex(value(trace, by, `create an ephemeral ${group}`, 'public key'));
}

function flipLastBit(bytes: Uint8Array): Uint8Array {
  const changed = bytes.slice();
  changed[changed.length - 1] = (changed[changed.length - 1] as number) ^ 1;
  return changed;
}

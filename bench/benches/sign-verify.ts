import { createPrivateKey, sign } from 'node:crypto';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { decodePemBlocks } from '../../src/der/pem.ts';
import { cmsMaker } from '../../src/formats/cms/make.ts';
import { cmsVerifier } from '../../src/formats/cms/verify.ts';
import { SignatureScheme } from '../../src/wire/codepoints.ts';
import { TrustStore } from '../../src/x509/trust-store.ts';
import { defineBench } from '../harness.ts';
import { bare, MESSAGE, signFiles } from '../support/sign.ts';

const OBJECTS = 8_000;

/** Objects of 1 KiB verified one by one, certificates judged anew each time, as an auditor does. P-256, pkcs7. */
export default defineBench({
  name: 'sign-verify',
  unit: 'objects/s',
  higherIsBetter: true,
  peerName: 'bare crypto.verify',
  ours: verifyAll,
  peer: () => bare('verify'),
});

async function verifyAll(): Promise<number> {
  const { ca, cert, key } = await signFiles();
  const now = Date.now();
  const none = new Uint8Array(0);
  const prepared = cmsMaker.prepareObject(nodeCrypto, MESSAGE, {
    signer: {
      chain: decodePemBlocks(cert.toString(), 'CERTIFICATE'),
      scheme: SignatureScheme.ecdsa_secp256r1_sha256,
    },
    binding: {
      version: 1,
      role: 'client',
      kind: 'data',
      sequence: 0,
      contentType: 23,
      application: '',
      peer: none,
      sessionBinding: new Uint8Array(32),
      treeHead: none,
    },
    signingTime: now,
    receiptRequest: true,
    includeCertificates: true,
  });
  const object = prepared.finish(sign('sha256', prepared.toBeSigned, createPrivateKey(key)));
  const context = { trust: TrustStore.fromPem(ca.toString()), now };
  const began = performance.now();
  for (let i = 0; i < OBJECTS; i++) cmsVerifier.verifyObject(nodeCrypto, object, context);
  return (OBJECTS / (performance.now() - began)) * 1000;
}

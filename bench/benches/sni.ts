import nodeTls from 'node:tls';
import { connect, createSecureContext, createServer } from '../../src/index.ts';
import { defineBench } from '../harness.ts';
import { handshakesPerSecond } from '../support/handshakes.ts';
import { CERTIFICATES, hostName, manyCertificates, type NamedCertificate } from '../support/sni.ts';
import type { Files, Stack } from '../support/stacks.ts';

const HANDSHAKES = 1000;
const COMMON = { ciphers: 'TLS_AES_128_GCM_SHA256', ecdhCurve: 'X25519' } as const;

/** Full handshakes with a server that has 10,000 certificates, each by another name, found by SNI. */
export default defineBench({
  name: 'sni',
  unit: 'handshakes/s',
  higherIsBetter: true,
  peerName: 'node:tls',
  ours: () => handshakesPerSecond(ours, HANDSHAKES),
  peer: () => handshakesPerSecond(nodes, HANDSHAKES),
});

let next = 0;
/** Another one each time, spread over all of them. */
function anyName(): string {
  next = (next + 7919) % CERTIFICATES;
  return hostName(next);
}

let ourCertificates: { readonly cert: string[]; readonly key: NamedCertificate['key'][] } | undefined;

function ours(_files: Files): Stack {
  const { ca, certificates } = manyCertificates();
  ourCertificates ??= { cert: certificates.map(({ cert }) => cert), key: certificates.map(({ key }) => key) };
  const secureContext = createSecureContext({ ca, ...COMMON });
  const served = createSecureContext({ ...ourCertificates, ...COMMON });
  return {
    name: 'trellis',
    serve: (onSession) => createServer({ secureContext: served }, onSession),
    dial: (port) => connect({ host: '127.0.0.1', port, servername: anyName(), secureContext }),
  };
}

let nodeContexts: Map<string, nodeTls.SecureContext> | undefined;

/** node:tls with a Map of its own contexts, which is the fastest that it can do. */
function nodes(_files: Files): Stack {
  const { ca, certificates } = manyCertificates();
  nodeContexts ??= new Map(
    certificates.map(({ name, cert, keyPem }) => [
      name,
      nodeTls.createSecureContext({ cert, key: keyPem, ...COMMON }),
    ]),
  );
  const contexts = nodeContexts;
  const secureContext = nodeTls.createSecureContext({ ca, ...COMMON });
  return {
    name: 'node:tls',
    serve: (onSession) =>
      nodeTls.createServer(
        { ...COMMON, SNICallback: (name, done) => done(null, contexts.get(name)) },
        onSession,
      ),
    dial: (port) => nodeTls.connect({ host: '127.0.0.1', port, servername: anyName(), secureContext }),
  };
}

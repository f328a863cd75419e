import type { SubProtocolLink } from '../../src/connection/sub-protocol.ts';
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { CipherSuite, ProtocolVersion } from '../../src/wire/codepoints.ts';

/** What a sub-protocol can do with a session that is not there; tests put what they watch in place of it. */
export const UNUSED_LINK: Omit<SubProtocolLink, 'role' | 'send'> = {
  session: {
    version: ProtocolVersion.tls13,
    cipherSuite: CipherSuite.TLS_AES_128_GCM_SHA256,
    resumed: false,
    transcriptHash: new Uint8Array(32),
    peer: undefined,
    identities: [],
  },
  writable: true,
  crypto: nodeCrypto,
  neighbour: () => undefined,
  sendHandshake: () => {
    throw new Error('no handshake message is expected');
  },
  exportKeyingMaterial: (_label, _context, length) => new Uint8Array(length),
  fail: () => {},
};

// What all that take part in the benches of DTLS are told.

/** Who the server shows to be: by a certificate on P-256, or by a key that both have. */
export type Auth = 'cert' | 'psk';

export type StackName = 'ours' | 'werift' | 'node-dtls-client';

export const HOST = '127.0.0.1';
/** By OpenSSL's name. */
export const SUITE = { cert: 'ECDHE-ECDSA-AES128-GCM-SHA256', psk: 'PSK-AES128-GCM-SHA256' } as const;
/** s_server's default. */
export const PSK_IDENTITY = 'Client_identity';
export const PSK_KEY = Buffer.from('0123456789abcdef');
/** Loopback carries more; 1,200 bytes of data shall fit. */
export const MTU = 1_400;

/** The package, which is no dependency: it brings native code. */
export const NODE_DTLS_CLIENT = 'node-dtls-client';

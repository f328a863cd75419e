import type { Bench } from '../harness.ts';

/**
 * Every bench by its name, in the order of `npm run bench`. One is loaded when it runs: what all of them import would be in
 * the heap of each, and count among what is measured.
 */
export const benches: Readonly<Record<string, () => Promise<Bench>>> = {
  bulk: async () => (await import('./bulk.ts')).default,
  handshake: async () => (await import('./handshake.ts')).default,
  'handshake-12': async () => (await import('./handshake-12.ts')).default,
  'dtls-handshake': async () => (await import('./dtls.ts')).dtlsHandshake,
  'dtls-datagrams': async () => (await import('./dtls.ts')).dtlsDatagrams,
  'dtls-loss': async () => (await import('./dtls-loss.ts')).dtlsLoss,
  'dtls-memory': async () => (await import('./dtls.ts')).dtlsMemory,
  resume: async () => (await import('./resume.ts')).default,
  'resume-12': async () => (await import('./resume-12.ts')).default,
  mlkem: async () => (await import('./mlkem.ts')).default,
  sni: async () => (await import('./sni.ts')).default,
  open: async () => (await import('./open.ts')).default,
  idle: async () => (await import('./idle.ts')).default,
  tunnel: async () => (await import('./tunnel.ts')).default,
  'mux-open': async () => (await import('./mux.ts')).muxOpen,
  'mux-bulk': async () => (await import('./mux.ts')).muxBulk,
  'mux-many': async () => (await import('./mux.ts')).muxMany,
  'mux-latency': async () => (await import('./mux.ts')).muxLatency,
  'mux-memory': async () => (await import('./mux.ts')).muxMemoryBench,
  'mux-slow': async () => (await import('./mux.ts')).muxSlow,
  records: async () => (await import('./records.ts')).default,
  sign: async () => (await import('./sign.ts')).default,
  'sign-receipts': async () => (await import('./sign-receipts.ts')).default,
  'sign-verify': async () => (await import('./sign-verify.ts')).default,
  'sign-stream': async () => (await import('./sign-stream.ts')).default,
  'sign-archive': async () => (await import('./sign-archive.ts')).default,
  audit: async () => (await import('./audit.ts')).default,
  module: async () => (await import('./module.ts')).default,
};

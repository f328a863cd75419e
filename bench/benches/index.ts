import type { Bench } from '../harness.ts';
import audit from './audit.ts';
import bulk from './bulk.ts';
import { dtlsDatagrams, dtlsHandshake, dtlsMemory } from './dtls.ts';
import { dtlsLoss } from './dtls-loss.ts';
import handshake from './handshake.ts';
import handshake12 from './handshake-12.ts';
import idle from './idle.ts';
import mlkem from './mlkem.ts';
import module from './module.ts';
import { muxBulk, muxLatency, muxMany, muxMemoryBench, muxOpen, muxSlow } from './mux.ts';
import open from './open.ts';
import records from './records.ts';
import resume from './resume.ts';
import resume12 from './resume-12.ts';
import sign from './sign.ts';
import signArchive from './sign-archive.ts';
import signReceipts from './sign-receipts.ts';
import signStream from './sign-stream.ts';
import signVerify from './sign-verify.ts';
import sni from './sni.ts';
import tunnel from './tunnel.ts';

/** Every bench, in the order of `npm run bench`. Named one by one, since the benches run as one bundle. */
export const benches: readonly Bench[] = [
  bulk,
  handshake,
  handshake12,
  dtlsHandshake,
  dtlsDatagrams,
  dtlsLoss,
  dtlsMemory,
  resume,
  resume12,
  mlkem,
  sni,
  open,
  idle,
  tunnel,
  muxOpen,
  muxBulk,
  muxMany,
  muxLatency,
  muxMemoryBench,
  muxSlow,
  records,
  sign,
  signReceipts,
  signVerify,
  signStream,
  signArchive,
  audit,
  module,
];

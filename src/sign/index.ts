/**
 * TLS Sign: signed data, receipts and evidence in a session (docs/tls-sign.md).
 *
 * ```
 * extension.ts         the signature extension, in both spellings
 * negotiation.ts       what is offered, answered, agreed
 * protocol.ts          both on the engine's seam
 * session.ts           what an adapter sees: a loop of wanted work, events and output
 * sender.ts            numbers, signs, keeps and sends; turns.ts and outbox.ts have the order
 * receiver.ts          assembles, verifies, keeps, delivers, acknowledges; frame.ts and assembler.ts read the wire
 * certificate-sign.ts  the handshake message
 * judge.ts             whose signature counts
 * evidence.ts          what an archive has to be able to do
 * limits.ts            every bound
 * ```
 */
export type {
  EvidenceContent,
  EvidenceEntry,
  EvidenceSession,
  EvidenceSessionRef,
  EvidenceSink,
  EvidenceWriter,
} from './evidence.ts';
export { EvidenceFlag } from './evidence.ts';
export type { SignatureRequest, SignType, Spelling } from './extension.ts';
export { decodeSignatureRequests, encodeSignatureRequests } from './extension.ts';
export type {
  Place,
  ReceivedMessage,
  ReceivedReceipt,
  ReceivedStream,
  SentMessage,
  SentStream,
  SignEvent,
  SignWanted,
  StreamedObject,
  StreamVerdict,
  WantedEntry,
} from './messages.ts';
export type { SignAgreement } from './negotiation.ts';
export type { SignClientOptions, SigningIdentity, SignOptions, SignServerOptions } from './options.ts';
export { type SignFactory, Signing, signClient, signServer } from './protocol.ts';
export type { SendOptions } from './sender.ts';
export { SigningSession } from './session.ts';

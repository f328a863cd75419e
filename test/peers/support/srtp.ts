import { createCipheriv, createDecipheriv } from 'node:crypto';

/** Labels of RFC 3711 §4.3.1. */
const ENCRYPTION = 0;
const SALT = 2;
const SALT_LENGTH = 12;
const TAG = 16;

/**
 * Opens an SRTP packet of AEAD_AES_128_GCM or AEAD_AES_256_GCM (RFC 7714) within the first 2^16 packets.
 * @returns its payload; `undefined` when it is not genuine under these keys
 */
export function openSrtp(packet: Buffer, key: Uint8Array, salt: Uint8Array): Buffer | undefined {
  const sessionKey = derive(key, salt, ENCRYPTION, key.length);
  const nonce = derive(key, salt, SALT, SALT_LENGTH);
  // 0x0000 ‖ SSRC ‖ rollover counter ‖ sequence number, over the salt (RFC 7714 §8.1).
  for (let i = 0; i < 4; i++) nonce[2 + i] = (nonce[2 + i] as number) ^ (packet[8 + i] as number);
  for (let i = 0; i < 2; i++) nonce[10 + i] = (nonce[10 + i] as number) ^ (packet[2 + i] as number);
  const header = headerLength(packet);
  const decipher = createDecipheriv(`aes-${key.length === 16 ? 128 : 256}-gcm`, sessionKey, nonce);
  decipher.setAAD(packet.subarray(0, header));
  decipher.setAuthTag(packet.subarray(packet.length - TAG));
  try {
    return Buffer.concat([decipher.update(packet.subarray(header, packet.length - TAG)), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** RTP and not RTCP (RFC 5761 §4), by the first two bytes. */
export function isRtp(datagram: Buffer): boolean {
  const [first = 0, second = 0] = datagram;
  const type = second & 0x7f;
  return first >= 128 && first <= 191 && !(type >= 64 && type <= 95);
}

/** RFC 3550 §5.1, §5.3.1. */
function headerLength(packet: Buffer): number {
  const first = packet[0] as number;
  const fixed = 12 + 4 * (first & 0x0f);
  return (first & 0x10) === 0 ? fixed : fixed + 4 + 4 * packet.readUInt16BE(fixed + 2);
}

/** RFC 3711 §4.3.3, with the salt of 96 bits as RFC 7714 §11 has it; keys are derived once. */
function derive(key: Uint8Array, salt: Uint8Array, label: number, length: number): Buffer {
  const counter = Buffer.alloc(16);
  counter.set(salt);
  counter[7] = (counter[7] as number) ^ label;
  const cipher = createCipheriv(`aes-${key.length === 16 ? 128 : 256}-ctr`, key, counter);
  return cipher.update(Buffer.alloc(length));
}

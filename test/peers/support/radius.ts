import { createHash, createHmac, randomBytes } from 'node:crypto';

/*
 * As much of RADIUS (RFC 2865, RFC 3579, RFC 2548) as carries EAP between our module and software that no one here
 * wrote: EAP-Message, Message-Authenticator, State, and the keys of Microsoft's attributes.
 */

export const RadiusCode = {
  accessRequest: 1,
  accessAccept: 2,
  accessReject: 3,
  accessChallenge: 11,
} as const;
const Attribute = {
  userName: 1,
  nasIp: 4,
  state: 24,
  vendor: 26,
  eapMessage: 79,
  authenticator: 80,
} as const;
const MICROSOFT = 311;
const MPPE_SEND = 16;
const MPPE_RECV = 17;
const MAX_ATTRIBUTE = 253;
const HEADER = 20;

export interface RadiusPacket {
  readonly code: number;
  readonly identifier: number;
  readonly authenticator: Buffer;
  readonly attributes: readonly (readonly [number, Buffer])[];
}

export function parseRadius(bytes: Buffer): RadiusPacket {
  const attributes: [number, Buffer][] = [];
  for (let at = HEADER; at < bytes.readUInt16BE(2); at += bytes[at + 1] as number) {
    attributes.push([bytes[at] as number, bytes.subarray(at + 2, at + (bytes[at + 1] as number))]);
  }
  return {
    code: bytes[0] as number,
    identifier: bytes[1] as number,
    authenticator: bytes.subarray(4, HEADER),
    attributes,
  };
}

export function eapOf({ attributes }: RadiusPacket): Buffer {
  return Buffer.concat(attributes.flatMap(([type, value]) => (type === Attribute.eapMessage ? [value] : [])));
}

export function stateOf({ attributes }: RadiusPacket): Buffer | undefined {
  return attributes.find(([type]) => type === Attribute.state)?.[1];
}

/** An Access-Request of a NAS. */
export function buildRequest(
  identifier: number,
  secret: string,
  eap: Uint8Array,
  state: Buffer | undefined,
  user: string,
): { bytes: Buffer; authenticator: Buffer } {
  const authenticator = randomBytes(16);
  const attributes = [
    attribute(Attribute.userName, Buffer.from(user)),
    attribute(Attribute.nasIp, Buffer.from([127, 0, 0, 1])),
    ...(state === undefined ? [] : [attribute(Attribute.state, state)]),
    ...eapAttributes(eap),
  ];
  const bytes = signed(RadiusCode.accessRequest, identifier, authenticator, attributes, secret);
  return { bytes, authenticator };
}

/** A server's answer; with `msk`, its keys go with it (RFC 2548 §2.4.2, §2.4.3). */
export function buildResponse(
  code: number,
  request: RadiusPacket,
  secret: string,
  eap: Uint8Array,
  msk?: Uint8Array,
): Buffer {
  const { identifier, authenticator } = request;
  const keys =
    msk === undefined
      ? []
      : [
          mppe(MPPE_RECV, msk.subarray(0, 32), secret, authenticator),
          mppe(MPPE_SEND, msk.subarray(32, 64), secret, authenticator),
        ];
  const attributes = [
    ...eapAttributes(eap),
    ...(code === RadiusCode.accessChallenge ? [attribute(Attribute.state, Buffer.from('s'))] : []),
    ...keys,
  ];
  const bytes = signed(code, identifier, authenticator, attributes, secret);
  const digest = createHash('md5').update(bytes).update(secret).digest();
  digest.copy(bytes, 4);
  return bytes;
}

/** MSK out of an Access-Accept: MS-MPPE-Recv-Key, then MS-MPPE-Send-Key. */
export function mskOf({ attributes }: RadiusPacket, secret: string, requestAuthenticator: Buffer): Buffer {
  const key = (type: number): Buffer => {
    const found = attributes.find(
      ([kind, value]) =>
        kind === Attribute.vendor && value.readUInt32BE(0) === MICROSOFT && value[4] === type,
    );
    if (found === undefined) throw new Error(`no MS-MPPE key ${type}`);
    const value = found[1].subarray(6);
    const clear = crypt(value.subarray(2), value.subarray(0, 2), secret, requestAuthenticator, true);
    return clear.subarray(1, 1 + (clear[0] as number));
  };
  return Buffer.concat([key(MPPE_RECV), key(MPPE_SEND)]);
}

function attribute(type: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type, value.length + 2]), value]);
}

function eapAttributes(eap: Uint8Array): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0; at < eap.length; at += MAX_ATTRIBUTE) {
    pieces.push(attribute(Attribute.eapMessage, Buffer.from(eap.subarray(at, at + MAX_ATTRIBUTE))));
  }
  return pieces;
}

function signed(
  code: number,
  identifier: number,
  authenticator: Buffer,
  attributes: Buffer[],
  secret: string,
): Buffer {
  const body = Buffer.concat([...attributes, attribute(Attribute.authenticator, Buffer.alloc(16))]);
  const header = Buffer.alloc(4);
  header[0] = code;
  header[1] = identifier;
  header.writeUInt16BE(HEADER + body.length, 2);
  const bytes = Buffer.concat([header, authenticator, body]);
  createHmac('md5', secret)
    .update(bytes)
    .digest()
    .copy(bytes, bytes.length - 16);
  return bytes;
}

function mppe(type: number, key: Uint8Array, secret: string, requestAuthenticator: Buffer): Buffer {
  const salt = Buffer.from([0x80 | type, type]);
  const length = 16 * Math.ceil((key.length + 1) / 16);
  const clear = Buffer.alloc(length);
  clear[0] = key.length;
  clear.set(key, 1);
  const value = Buffer.concat([salt, crypt(clear, salt, secret, requestAuthenticator, false)]);
  const vendor = Buffer.alloc(6);
  vendor.writeUInt32BE(MICROSOFT);
  vendor[4] = type;
  vendor[5] = value.length + 2;
  return attribute(Attribute.vendor, Buffer.concat([vendor, value]));
}

/** RFC 2548 §2.4.2: blocks of 16, each under MD5 of the secret and the ciphertext before it. */
function crypt(
  input: Buffer,
  salt: Buffer,
  secret: string,
  authenticator: Buffer,
  isCipher: boolean,
): Buffer {
  const out = Buffer.alloc(input.length);
  let before = Buffer.concat([authenticator, salt]);
  for (let at = 0; at < input.length; at += 16) {
    const pad = createHash('md5').update(secret).update(before).digest();
    for (let i = 0; i < 16; i++) out[at + i] = (input[at + i] as number) ^ (pad[i] as number);
    before = Buffer.from((isCipher ? input : out).subarray(at, at + 16));
  }
  return out;
}

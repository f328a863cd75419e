import { Name } from '../der/name.ts';
import type { DerReader } from '../der/reader.ts';
import { contextConstructed, contextPrimitive } from '../der/tags.ts';
import { DecodeError } from '../errors/errors.ts';
import { formatIp } from './ip.ts';

/** GeneralName, RFC 5280 §4.2.1.6. */
export type GeneralName =
  | { readonly kind: 'dns'; readonly name: string }
  /** 4 or 16 bytes; as a name constraint 8 or 32, address and mask. */
  | { readonly kind: 'ip'; readonly address: Uint8Array }
  | { readonly kind: 'email'; readonly address: string }
  | { readonly kind: 'uri'; readonly uri: string }
  | { readonly kind: 'directory'; readonly name: Name }
  /** otherName [0], x400Address [3], ediPartyName [5], registeredID [8]: kept as they are. */
  | { readonly kind: 'other'; readonly number: number; readonly raw: Uint8Array };

/** @param ipLengths the lengths that an iPAddress may have here */
export function readGeneralName(reader: DerReader, ipLengths: readonly [number, number]): GeneralName {
  switch (reader.tag) {
    case contextPrimitive(1):
      return { kind: 'email', address: reader.ia5String(contextPrimitive(1)) };
    case contextPrimitive(2):
      return { kind: 'dns', name: reader.ia5String(contextPrimitive(2)) };
    case contextConstructed(4): {
      // Name is a CHOICE, so its tag is explicit (X.680 §31.2.7).
      const name = reader.explicit(4, Name.read, 'directoryName');
      // Decoded at once, so that whoever compares it later meets no malformed one.
      void name.rdnKeys;
      return { kind: 'directory', name };
    }
    case contextPrimitive(6):
      return { kind: 'uri', uri: reader.ia5String(contextPrimitive(6)) };
    case contextPrimitive(7): {
      const address = reader.octetString(contextPrimitive(7));
      if (!ipLengths.includes(address.length)) throw new DecodeError(`iPAddress of ${address.length} bytes`);
      return { kind: 'ip', address };
    }
    case contextConstructed(0):
    case contextConstructed(3):
    case contextConstructed(5):
    case contextPrimitive(8):
      return { kind: 'other', number: (reader.tag as number) & 0x1f, raw: reader.encoded() };
    default:
      throw new DecodeError('GeneralName of unknown kind');
  }
}

/** "DNS:www.example.com", "IP Address:192.0.2.1", … as `node:tls` and OpenSSL print them. */
export function formatGeneralName(name: GeneralName): string {
  switch (name.kind) {
    case 'dns':
      return `DNS:${quote(name.name)}`;
    case 'ip':
      return `IP Address:${formatIp(name.address)}`;
    case 'email':
      return `email:${quote(name.address)}`;
    case 'uri':
      return `URI:${quote(name.uri)}`;
    case 'directory':
      return `DirName:${quote(name.name.toString())}`;
    case 'other':
      return name.number === 8 ? 'Registered ID:<unread>' : 'othername:<unsupported>';
  }
}

/** A name with a comma or a control character could pass for several names; JSON keeps it one (CVE-2021-44532). */
function quote(text: string): string {
  return /^[!#-+\--~]*$/.test(text) ? text : JSON.stringify(text);
}

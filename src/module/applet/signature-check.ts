import type { Role } from '../../connection/sub-protocol.ts';
import type { CryptoProvider } from '../../crypto/provider.ts';
import { schemeById } from '../../crypto/schemes.ts';
import { equalBytes } from '../../der/bytes.ts';
import { DerReader } from '../../der/reader.ts';
import { Tag } from '../../der/tags.ts';
import { DecodeError, SignatureError } from '../../errors/errors.ts';
import { type Binding, decodeBinding } from '../../formats/binding.ts';
import { readSignedAttributes } from '../../formats/cms/attributes.ts';
import { signatureUri } from '../../formats/xml/algorithms.ts';
import { parseSignedInfo } from '../../formats/xml/read.ts';
import { Status } from '../apdu/status.ts';
import { Refused } from './refused.ts';

/**
 * What the module signs is signedAttrs of TLS Sign that name this session and this side (docs/tls-sign.md): nothing that
 * could be taken for a handshake, for a certificate, or for something said elsewhere.
 *
 * @param attributes SET OF Attribute, DER, as it is signed (RFC 5652 §5.4)
 * @throws Refused 6A80 for anything else; 6982 for a binding to another session or another role
 */
export function checkSignedAttributes(attributes: Uint8Array, expected: ExpectedBinding): Binding {
  // The reader takes the IMPLICIT tag as well, under which they travel; signed is the SET.
  if (attributes[0] !== Tag.set) throw new Refused(Status.malformed);
  const { contentType, messageDigest, binding } = read(attributes);
  // RFC 5652 §5.3: signedAttrs MUST have content-type and message-digest.
  if (contentType === undefined || messageDigest === undefined || binding === undefined) {
    throw new Refused(Status.malformed);
  }
  return checkPlace(binding, expected);
}

/**
 * The same for XML signatures: a SignedInfo of the profile (formats/xml/names.ts) in canonical form, with the digest of a
 * binding that names this session and this side.
 *
 * @throws Refused 6A80, 6982
 */
export function checkSignedInfo(
  crypto: CryptoProvider,
  signed: { readonly scheme: number; readonly binding: Uint8Array; readonly signedInfo: Uint8Array },
  expected: ExpectedBinding,
): Binding {
  const { info, binding } = malformed(() => ({
    info: parseSignedInfo(signed.signedInfo),
    binding: decodeBinding(signed.binding),
  }));
  const [data, bound, properties, ...more] = info.references;
  const isProfile =
    data?.name === 'data' &&
    bound?.name === 'binding' &&
    properties?.name === 'properties' &&
    more.length === 0 &&
    data.isReceipt === (binding.kind === 'receipt');
  const algorithm = schemeById(signed.scheme)?.algorithm;
  const isScheme = algorithm !== undefined && signatureUri(algorithm) === signatureUri(info.algorithm);
  if (!isProfile || !isScheme) throw new Refused(Status.malformed);
  if (!equalBytes(crypto.digest(bound.hash, signed.binding), bound.digest)) {
    throw new Refused(Status.malformed);
  }
  return checkPlace(binding, expected);
}

/** Which binding may be signed in a session. */
export interface ExpectedBinding {
  readonly role: Role;
  readonly sessionBinding: Uint8Array;
}

function checkPlace(binding: Binding, { role, sessionBinding }: ExpectedBinding): Binding {
  if (binding.role === role && equalBytes(binding.sessionBinding, sessionBinding)) return binding;
  throw new Refused(Status.notPermitted);
}

function read(attributes: Uint8Array) {
  return malformed(() => {
    // What is behind the SET would be signed with it.
    const whole = new DerReader(attributes, 'signed attributes');
    whole.encoded(Tag.set);
    whole.end();
    return readSignedAttributes(attributes, false);
  });
}

function malformed<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof DecodeError || error instanceof SignatureError) throw new Refused(Status.malformed);
    throw error;
  }
}

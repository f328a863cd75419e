import type { Role } from '../../connection/sub-protocol.ts';
import { equalBytes } from '../../der/bytes.ts';
import { DerReader } from '../../der/reader.ts';
import { Tag } from '../../der/tags.ts';
import { DecodeError, SignatureError } from '../../errors/errors.ts';
import type { Binding } from '../../formats/binding.ts';
import { readSignedAttributes } from '../../formats/cms/attributes.ts';
import { Status } from '../apdu/status.ts';
import { Refused } from './refused.ts';

/**
 * What the module signs is signedAttrs of TLS Sign that name this session and this side (docs/tls-sign.md): nothing that
 * could be taken for a handshake, for a certificate, or for something said elsewhere.
 *
 * @param attributes SET OF Attribute, DER, as it is signed (RFC 5652 §5.4)
 * @throws Refused 6A80 for anything else; 6982 for a binding to another session or another role
 */
export function checkSignedAttributes(
  attributes: Uint8Array,
  expected: { readonly role: Role; readonly sessionBinding: Uint8Array },
): Binding {
  // The reader takes the IMPLICIT tag as well, under which they travel; signed is the SET.
  if (attributes[0] !== Tag.set) throw new Refused(Status.malformed);
  const { contentType, messageDigest, binding } = read(attributes);
  // RFC 5652 §5.3: signedAttrs MUST have content-type and message-digest.
  if (contentType === undefined || messageDigest === undefined || binding === undefined) {
    throw new Refused(Status.malformed);
  }
  const isHere =
    binding.role === expected.role && equalBytes(binding.sessionBinding, expected.sessionBinding);
  if (!isHere) throw new Refused(Status.notPermitted);
  return binding;
}

function read(attributes: Uint8Array) {
  try {
    // What is behind the SET would be signed with it.
    const whole = new DerReader(attributes, 'signed attributes');
    whole.encoded(Tag.set);
    whole.end();
    return readSignedAttributes(attributes, false);
  } catch (error) {
    if (error instanceof DecodeError || error instanceof SignatureError) throw new Refused(Status.malformed);
    throw error;
  }
}

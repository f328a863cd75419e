import { Oid } from '../../der/oids.ts';
import { cmsVerifierFor } from '../cms/verify.ts';
import { decodeEntity, decodeSmime } from './mime.ts';

/** Verifies what `make.ts` makes. Of objects that other software made, the content is the whole MIME entity. */
export const smimeVerifier = cmsVerifierFor('smime', (object, lenient) => {
  const { type, signedData } = decodeSmime(object, lenient);
  return {
    signedData,
    contentType: type === 'signed-receipt' ? Oid.receipt : Oid.data,
    unwrap: (content) => (lenient ? content : decodeEntity(content)),
  };
});

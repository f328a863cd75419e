import { Oid } from '../../der/oids.ts';
import { cmsMakerFor } from '../cms/make.ts';
import { checkContentSize, encodeEntity, encodeSmime } from './mime.ts';

/** S/MIME 4.0 (RFC 8551): the SignedData of pkcs7 over a MIME entity, as a MIME entity itself. At most 16 MiB. */
export const smimeMaker = cmsMakerFor('smime', {
  wrap: (content) => {
    checkContentSize(content.length);
    return encodeEntity(content);
  },
  seal: (signedData, contentType) =>
    encodeSmime(signedData, contentType === Oid.receipt ? 'signed-receipt' : 'signed-data'),
});

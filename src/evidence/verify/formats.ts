import { cmsVerifier } from '../../formats/cms/verify.ts';
import type { ContentFormat, ObjectVerifier } from '../../formats/format.ts';
import { smimeVerifier } from '../../formats/smime/verify.ts';
import { xmlVerifier } from '../../formats/xml/verify.ts';

/** Who verifies what. */
export const VERIFIERS: Readonly<Record<ContentFormat, ObjectVerifier>> = {
  pkcs7: cmsVerifier,
  smime: smimeVerifier,
  xmldsig: xmlVerifier,
};

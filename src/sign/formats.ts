import { cmsMaker } from '../formats/cms/make.ts';
import { cmsVerifier } from '../formats/cms/verify.ts';
import type { ContentFormat, ObjectMaker, ObjectVerifier } from '../formats/format.ts';
import { smimeMaker } from '../formats/smime/make.ts';
import { smimeVerifier } from '../formats/smime/verify.ts';

export interface FormatSupport {
  readonly maker: ObjectMaker;
  readonly verifier: ObjectVerifier;
}

/** Formats that can be agreed on, best first. xmldsig has a number in the hello, and is not spoken yet. */
export const FORMATS: Readonly<Record<ContentFormat, FormatSupport | undefined>> = {
  pkcs7: { maker: cmsMaker, verifier: cmsVerifier },
  smime: { maker: smimeMaker, verifier: smimeVerifier },
  xmldsig: undefined,
};

export const SPOKEN_FORMATS: readonly ContentFormat[] = ['pkcs7', 'smime'];

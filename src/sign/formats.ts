import { cmsMaker } from '../formats/cms/make.ts';
import { cmsVerifier } from '../formats/cms/verify.ts';
import type { ContentFormat, ObjectMaker, ObjectVerifier } from '../formats/format.ts';
import { smimeMaker } from '../formats/smime/make.ts';
import { smimeVerifier } from '../formats/smime/verify.ts';
import { xmlMaker } from '../formats/xml/make.ts';
import { xmlVerifier } from '../formats/xml/verify.ts';

export interface FormatSupport {
  readonly maker: ObjectMaker;
  readonly verifier: ObjectVerifier;
}

export const FORMATS: Readonly<Record<ContentFormat, FormatSupport>> = {
  pkcs7: { maker: cmsMaker, verifier: cmsVerifier },
  smime: { maker: smimeMaker, verifier: smimeVerifier },
  xmldsig: { maker: xmlMaker, verifier: xmlVerifier },
};

/** Formats that can be agreed on, best first. */
export const SPOKEN_FORMATS: readonly ContentFormat[] = ['pkcs7', 'smime', 'xmldsig'];

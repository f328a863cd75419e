import { resumptionBench } from '../support/resumption.ts';
import { TLS12 } from '../support/stacks.ts';

/** TLS 1.2. */
export default resumptionBench('resume-12', TLS12);

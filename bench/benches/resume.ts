import { resumptionBench } from '../support/resumption.ts';

/** TLS 1.3. */
export default resumptionBench('resume', {});

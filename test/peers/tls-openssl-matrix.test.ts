import { describeWith } from '../setup/need.ts';
import { GROUPS } from './support/algorithms.ts';
import { openssl } from './support/openssl.ts';
import { opensslMatrix } from './support/openssl-matrix.ts';

describeWith(openssl, 'OpenSSL', () => {
  opensslMatrix('openssl', openssl.path, GROUPS);
});

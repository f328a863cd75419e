// The auditing process of the bench of audits, which holds nothing else: says how long it took and the most memory.
//   audit.ts ARCHIVE
import { nodeCrypto } from '../../src/crypto/node/provider.ts';
import { openSqliteReader } from '../../src/evidence/archive/sqlite/store.ts';
import { audit } from '../../src/evidence/verify/audit.ts';

const reader = openSqliteReader(process.argv[2] ?? '');
const began = performance.now();
const report = await audit(nodeCrypto, reader, { signatures: 'none' });
const seconds = (performance.now() - began) / 1000;
await reader.close();
const { ok, records } = report;
// maxRSS is in KiB.
console.log(JSON.stringify({ ok, records, seconds, mebibytes: process.resourceUsage().maxRSS / 1024 }));

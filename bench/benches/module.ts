import { defineBench } from '../harness.ts';
import { bundleSize } from '../support/module-bundle.ts';
import { bulkRates, handshakeTable, memoryPerSession, oneHandshake } from '../support/module-run.ts';

/**
 * A full TLS 1.3 handshake of a client whose engine is in a module in another process, behind a Unix socket, with client
 * certificate; beside the same without a module. The details have every transport, every size of fragments, bulk data
 * and sizes.
 */
export default defineBench({
  name: 'module',
  unit: 'ms',
  higherIsBetter: false,
  peerName: 'the same engine in the host',
  ours: () => oneHandshake('module'),
  peer: () => oneHandshake('host'),
  details: async () => ({
    handshakes: await handshakeTable(),
    bulk: await bulkRates(),
    appletBundle: await bundleSize(),
    memory: await memoryPerSession(),
  }),
});

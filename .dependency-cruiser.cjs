const { FLOORS, SANS_IO } = require('./scripts/floors.cjs');

/** @param {readonly string[]} floors */
const inAny = (floors) => `^src/(${floors.join('|')})/`;

/**
 * One rule per floor: nothing above it, and not the public face, which stands on top of all.
 *
 * @type {import('dependency-cruiser').IForbiddenRuleType[]}
 */
const downOnly = FLOORS.map((floor, height) => ({
  name: `down-only-from-${floor}`,
  comment: `src/${floor} may import only the floors below it: ${FLOORS.slice(0, height).join(', ') || 'none'}.`,
  severity: 'error',
  from: { path: `^src/${floor}/` },
  to: { path: [...FLOORS.slice(height + 1).map((above) => `^src/${above}/`), '^src/[^/]+\\.ts$'] },
}));

/** @type {{ forbidden: import('dependency-cruiser').IForbiddenRuleType[], options: import('dependency-cruiser').ICruiseOptions }} */
module.exports = {
  forbidden: [
    ...downOnly,
    {
      name: 'public-face-is-a-library',
      comment: 'Whoever imports the library must not get the commands and what they bring along.',
      severity: 'error',
      from: { path: '^src/[^/]+\\.ts$' },
      to: { path: inAny(['tunnel', 'cli']) },
    },
    {
      name: 'sans-io',
      comment:
        'Sockets, timers, clocks, files, process and randomness come in as arguments here. Move it to src/node, or ask for it through an argument.',
      severity: 'error',
      from: { path: inAny(SANS_IO), pathNot: '^src/crypto/node/' },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'crypto-node-imports-only-crypto',
      comment: 'And node:module, to load a library for what node:crypto lacks when it is needed.',
      severity: 'error',
      from: { path: '^src/crypto/node/' },
      to: {
        dependencyTypes: ['core'],
        dependencyTypesNot: ['type-only'],
        pathNot: '^(node:)?(crypto|module)$',
      },
    },
    {
      name: 'one-place-for-node-crypto',
      comment:
        'Only src/crypto/node imports node:crypto (others its types at most) and gives a CryptoProvider.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/crypto/node/' },
      to: { path: '^(node:)?crypto$', dependencyTypes: ['core'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'provider-is-passed-in',
      comment:
        'The engine gets its CryptoProvider as an argument; which one is chosen in src/node and above.',
      severity: 'error',
      from: { path: inAny(SANS_IO), pathNot: '^src/crypto/node/' },
      to: { path: '^src/crypto/node/' },
    },
    {
      name: 'engine-without-packages',
      comment: 'Below src/node only crypto/ may use a package (an algorithm that node:crypto lacks).',
      severity: 'error',
      from: { path: inAny(SANS_IO), pathNot: '^src/crypto/' },
      to: { path: '(^|/)node_modules/' },
    },
    {
      name: 'src-stands-alone',
      comment: 'What is published must not need tests, tools or development dependencies.',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|bench|fuzz|demo|examples|scripts)/' },
    },
    {
      name: 'no-dev-dependency',
      severity: 'error',
      from: { path: '^src/' },
      // An optional peer is installed for the tests as well.
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only', 'npm-peer'] },
    },
    { name: 'no-circle', severity: 'error', from: { path: '^src/' }, to: { circular: true } },
    {
      name: 'resolvable',
      comment: 'Not found, or not in package.json.',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true, dependencyTypesNot: ['core'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // `import type` counts: a floor that knows another's types knows it.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};

/**
 * The floors of src/, lowest first (docs/architecture.md). Imports go down only.
 * `.dependency-cruiser.cjs` and `check-purity.mjs` both read this list, so that a new floor is added in one place.
 */
const FLOORS = [
  'errors',
  'wire',
  'der',
  'crypto',
  'messages',
  'x509',
  'record',
  'handshake',
  'connection',
  'mux',
  'formats',
  'module',
  'sign',
  'evidence',
  'node',
  'tunnel',
  'cli',
];

/** These open sockets and files, wait and ask the time; all others are given bytes, times and keys as arguments. */
const WITH_IO = ['evidence', 'node', 'tunnel', 'cli'];

const SANS_IO = FLOORS.filter((floor) => !WITH_IO.includes(floor));

module.exports = { FLOORS, SANS_IO };

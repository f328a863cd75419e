/**
 * What a test run came to. The reporter fills it, the test command adds its own steps, both print it.
 *
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts
 * @typedef {{ layer: string, test: string, why: string }} Remark
 * @typedef {{ layers: Record<string, Counts>, failures: Remark[], skips: Remark[] }} Tally
 */

/** @returns {Tally} */
export function emptyTally() {
  return { layers: {}, failures: [], skips: [] };
}

/**
 * @param {Tally} tally
 * @param {string} layer
 * @returns {Counts} the layer's counts, to be added to
 */
export function countsOf(tally, layer) {
  tally.layers[layer] ??= { passed: 0, failed: 0, skipped: 0 };
  return tally.layers[layer];
}

/**
 * @param {Tally} tally
 * @returns {Counts}
 */
export function total(tally) {
  const sum = { passed: 0, failed: 0, skipped: 0 };
  for (const { passed, failed, skipped } of Object.values(tally.layers)) {
    sum.passed += passed;
    sum.failed += failed;
    sum.skipped += skipped;
  }
  return sum;
}

/**
 * The table at the end of a run. Its last line stands alone: `N passed, N failed, N skipped`.
 *
 * @param {Tally} tally
 */
export function renderTally(tally) {
  const rows = [
    ['layer', 'passed', 'failed', 'skipped'],
    ...Object.entries(tally.layers).map(([layer, counts]) => [
      layer,
      `${counts.passed}`,
      `${counts.failed}`,
      `${counts.skipped}`,
    ]),
  ];
  const sum = total(tally);
  return [
    ...rows.map(
      ([layer = '', ...cells]) => layer.padEnd(10) + cells.map((cell) => cell.padStart(9)).join(''),
    ),
    ...section('skipped', skipsByReason(tally.skips)),
    // Last, because it is the end of a long log that people see, and what is cut off is its beginning.
    ...section(
      'failed',
      tally.failures.map(({ layer, test, why }) => `${layer}: ${test}: ${why}`),
    ),
    '',
    `${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`,
  ].join('\n');
}

/**
 * One line for all tests of a file that lack the same thing: sixty of them would bury a failure.
 *
 * @param {readonly Remark[]} skips
 */
function skipsByReason(skips) {
  /** @type {Map<string, { first: Remark, file: string, count: number }>} */
  const groups = new Map();
  for (const skip of skips) {
    const [file = ''] = skip.test.split(' > ');
    const key = JSON.stringify([skip.layer, file, skip.why]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { first: skip, file, count: 1 });
    else group.count += 1;
  }
  return [...groups.values()].map(
    ({ first: { layer, test, why }, file, count }) =>
      `${layer}: ${count === 1 ? test : `${file} (${count} tests)`}: ${why}`,
  );
}

/**
 * @param {string} title
 * @param {readonly string[]} lines
 */
function section(title, lines) {
  return lines.length === 0 ? [] : ['', title, ...lines.map((line) => `  ${line}`)];
}

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
    ...remarks('failed', tally.failures),
    ...remarks('skipped', tally.skips),
    '',
    `${sum.passed} passed, ${sum.failed} failed, ${sum.skipped} skipped`,
  ].join('\n');
}

/**
 * @param {string} title
 * @param {readonly Remark[]} list
 */
function remarks(title, list) {
  if (list.length === 0) return [];
  return ['', title, ...list.map(({ layer, test, why }) => `  ${layer}: ${test}: ${why}`)];
}

import { writeFileSync } from 'node:fs';
import type { SerializedError } from 'vitest';
import type { Reporter, TestCase, TestModule, TestSuite, Vitest } from 'vitest/node';
import { countsOf, emptyTally, renderTally, type Tally } from '../../scripts/tally.mjs';

/** Enough of an assertion's message to see what was wrong, when the table is all that one has. */
const WHY_LENGTH = 600;

/**
 * Counts by layer (a vitest project is a layer) and gives each skipped test's reason. Prints the table, or writes it as
 * JSON to the file that `TRELLIS_TEST_TALLY` names, for scripts/test.mjs to print after all else.
 */
export default class TallyReporter implements Reporter {
  #layers: readonly string[] = [];
  readonly #ended: TestModule[] = [];

  onInit(vitest: Vitest): void {
    this.#layers = vitest.projects.map(({ name }) => name);
  }

  /** A run that is ended before its end shall still tell what failed in it. */
  onTestModuleEnd(module: TestModule): void {
    this.#ended.push(module);
    const file = process.env.TRELLIS_TEST_TALLY;
    if (file !== undefined) writeFileSync(file, JSON.stringify(this.#tally(this.#ended)));
  }

  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly SerializedError[]): void {
    const tally = this.#tally(modules);
    for (const error of unhandled) addFailure(tally, 'run', 'an error outside any test', error.message);
    const file = process.env.TRELLIS_TEST_TALLY;
    if (file === undefined) console.log(`\n${renderTally(tally)}`);
    else writeFileSync(file, JSON.stringify(tally));
  }

  #tally(modules: readonly TestModule[]): Tally {
    const tally = emptyTally();
    // In their own order, and also those that had nothing to run.
    for (const layer of this.#layers) countsOf(tally, layer);
    for (const module of modules) addModule(tally, module);
    return tally;
  }
}

function addModule(tally: Tally, module: TestModule): void {
  const layer = module.project.name;
  // What fails outside a test (an import, a beforeAll) has no test to be counted by: it counts as one failure.
  for (const place of [module, ...module.children.allSuites()]) {
    const [error] = place.errors();
    if (error !== undefined) addFailure(tally, layer, nameOf(place), error.message);
  }
  for (const test of module.children.allTests()) addTest(tally, layer, test);
}

function addTest(tally: Tally, layer: string, test: TestCase): void {
  const result = test.result();
  switch (result.state) {
    case 'passed':
      countsOf(tally, layer).passed += 1;
      return;
    case 'failed':
      addFailure(tally, layer, nameOf(test), result.errors[0]?.message ?? 'failed');
      return;
    case 'skipped':
      countsOf(tally, layer).skipped += 1;
      tally.skips.push({ layer, test: nameOf(test), why: result.note ?? skipReason(test) });
      return;
    case 'pending':
      addFailure(tally, layer, nameOf(test), 'did not come to its end');
  }
}

function skipReason(test: TestCase): string {
  const given = test.meta().skipReason;
  if (given !== undefined) return given;
  for (let place = test.parent; place.type === 'suite'; place = place.parent) {
    if (place.errors().length > 0) return 'its suite failed before it';
  }
  return test.options.mode === 'todo' ? 'still to be written' : 'no reason given';
}

function addFailure(tally: Tally, layer: string, test: string, message: string): void {
  countsOf(tally, layer).failed += 1;
  tally.failures.push({ layer, test, why: message.replaceAll(/\s*\n\s*/g, ' ').slice(0, WHY_LENGTH) });
}

function nameOf(place: TestCase | TestSuite | TestModule): string {
  return place.type === 'module'
    ? place.relativeModuleId
    : `${place.module.relativeModuleId} > ${place.fullName}`;
}

// What import rules cannot see: globals that bring time, chance or the outside into the sans-IO floors.
//   node scripts/check-purity.mjs
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import ts from 'typescript';
import { SANS_IO } from './floors.cjs';
import { ROOT } from './root.mjs';

/** Never, under any name: they are the outside. */
const FORBIDDEN_GLOBALS = new Set([
  'Buffer',
  'clearImmediate',
  'clearInterval',
  'clearTimeout',
  'console',
  'fetch',
  'globalThis',
  'performance',
  'process',
  'queueMicrotask',
  'require',
  'setImmediate',
  'setInterval',
  'setTimeout',
]);

const FORBIDDEN_MEMBERS = new Set([
  'Date.now',
  'Math.random',
  'crypto.getRandomValues',
  'crypto.randomUUID',
  'crypto.subtle',
]);

/**
 * @param {string} file
 * @param {string} text TypeScript
 * @returns {string[]} one line per fault, `file:line: what`
 */
export function impurities(file, text) {
  /** @type {string[]} */
  const faults = [];
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const ownNames = declaredNames(source);
  visit(source);
  return faults;

  /** @param {ts.Node} node */
  function visit(node) {
    const what = impurity(node);
    if (what !== undefined && !ownNames.has(what)) {
      const { line } = source.getLineAndCharacterOfPosition(node.getStart());
      faults.push(`${file}:${line + 1}: ${what} is not for a sans-IO floor: take it as an argument`);
    }
    // A type or a comment does nothing at run time.
    ts.forEachChild(node, (child) => (ts.isTypeNode(child) ? undefined : visit(child)));
  }
}

/**
 * A parameter or an import called `process` is not the global.
 *
 * @param {ts.SourceFile} source
 */
function declaredNames(source) {
  /** @type {Set<string>} */
  const names = new Set();
  collect(source);
  return names;

  /** @param {ts.Node} node */
  function collect(node) {
    const binds =
      ts.isParameter(node) ||
      ts.isVariableDeclaration(node) ||
      ts.isBindingElement(node) ||
      ts.isFunctionDeclaration(node) ||
      ts.isImportSpecifier(node);
    if (binds && node.name !== undefined && ts.isIdentifier(node.name)) names.add(node.name.text);
    ts.forEachChild(node, collect);
  }
}

/**
 * @param {ts.Node} node
 * @returns {string | undefined}
 */
function impurity(node) {
  if (ts.isIdentifier(node) && FORBIDDEN_GLOBALS.has(node.text) && isReference(node)) return node.text;
  if (ts.isPropertyAccessExpression(node)) {
    const member = `${node.expression.getText()}.${node.name.text}`;
    return FORBIDDEN_MEMBERS.has(member) ? member : undefined;
  }
  const clock =
    (ts.isNewExpression(node) || ts.isCallExpression(node)) &&
    node.expression.getText() === 'Date' &&
    (ts.isCallExpression(node) || !node.arguments?.length);
  return clock ? 'the present time (Date)' : undefined;
}

/**
 * Whether an identifier is used as a value, not as the name of a member, a property or a declaration.
 *
 * @param {ts.Identifier} node
 */
function isReference(node) {
  const { parent } = node;
  const isName = 'name' in parent && parent.name === node;
  return !isName || ts.isShorthandPropertyAssignment(parent);
}

function sansIoFiles() {
  return SANS_IO.map((floor) => join(ROOT, 'src', floor))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder, { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(ROOT, join(entry.parentPath, entry.name)))
    .filter((file) => !file.startsWith(join('src', 'crypto', 'node')));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const files = sansIoFiles();
  const faults = files.flatMap((file) => impurities(file, readFileSync(join(ROOT, file), 'utf8')));
  for (const fault of faults) console.error(fault);
  console.log(`${files.length} files, ${faults.length} faults`);
  process.exit(faults.length === 0 ? 0 : 1);
}

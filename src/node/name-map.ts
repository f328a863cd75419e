/**
 * Values by the names that clients ask for. A pattern may have '*' for any characters but the dot, as in node:tls; names
 * compare without case, and of several that match, what was added last counts. Plain names and `*.domain`, which is
 * nearly all there is, are found at once, however many there are; other patterns are tried one after the other.
 */
export class NameMap<T> {
  readonly #exact = new Map<string, Entry<T>>();
  readonly #underDomain = new Map<string, Entry<T>>();
  readonly #patterns: (Entry<T> & { readonly expression: RegExp })[] = [];
  #order = 0;

  add(pattern: string, value: T): void {
    const name = pattern.toLowerCase();
    const entry = { order: this.#order++, value };
    if (!name.includes('*')) this.#exact.set(name, entry);
    else if (name.startsWith('*.') && !name.includes('*', 1)) this.#underDomain.set(name.slice(1), entry);
    else this.#patterns.push({ ...entry, expression: expressionFor(name) });
  }

  find(serverName: string): T | undefined {
    const name = serverName.toLowerCase();
    const dot = name.indexOf('.');
    const pattern = this.#patterns.findLast(({ expression }) => expression.test(name));
    const found = [
      this.#exact.get(name),
      dot === -1 ? undefined : this.#underDomain.get(name.slice(dot)),
      pattern,
    ];
    let last: Entry<T> | undefined;
    for (const entry of found) if (entry !== undefined && entry.order > (last?.order ?? -1)) last = entry;
    return last?.value;
  }
}

interface Entry<T> {
  readonly order: number;
  readonly value: T;
}

function expressionFor(pattern: string): RegExp {
  const escaped = pattern.replace(/[.^$+?\-\\[\]{}()|]/g, '\\$&').replaceAll('*', '[^.]*');
  return new RegExp(`^${escaped}$`);
}

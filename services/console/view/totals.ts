/** Counters by name. */
export type Counts = Readonly<Record<string, number>>;

/**
 * The sum of many processes' counters, which only grows: a counter that fell began anew with its process, and what
 * a process had counted before it was seen counts for nothing.
 */
export class Totals {
  readonly #last = new Map<string, Counts>();
  readonly #sum: Record<string, number> = {};

  take(process: string, counts: Counts): void {
    const before = this.#last.get(process);
    for (const [name, count] of Object.entries(counts)) {
      const last = before?.[name];
      const grown = before === undefined ? 0 : last === undefined || count < last ? count : count - last;
      this.#sum[name] = (this.#sum[name] ?? 0) + grown;
    }
    this.#last.set(process, counts);
  }

  /** Forgets processes that are gone. */
  keep(processes: ReadonlySet<string>): void {
    for (const process of this.#last.keys()) if (!processes.has(process)) this.#last.delete(process);
  }

  sum(): Counts {
    return { ...this.#sum };
  }
}

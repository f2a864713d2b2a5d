/** What is plotted over time, one point a second. */
const SERIES = [
  'at',
  'inPerSecond',
  'scoredPerSecond',
  'p50Ms',
  'p99Ms',
  'lagMs',
  'workers',
  'replicas',
  'replicasDesired',
  'shards',
  'shardsDesired',
] as const;
export type Point = Partial<Record<(typeof SERIES)[number], number | undefined>> & { at: number };
export type Columns = Record<(typeof SERIES)[number], (number | null)[]>;

/** Points kept: 15 min. */
const POINTS = 900;
/** A longer time without a point is a gap: nobody looked. In ms. */
const GAP_MS = 5_000;

/** The last minutes, for pages that are opened later. What nobody looked at was not read: that is a gap, not a line. */
export class History {
  readonly #points: Point[] = [];

  add(point: Point): void {
    const last = this.#points.at(-1);
    if (last && point.at - last.at > GAP_MS) this.#points.push({ at: last.at + 1_000 });
    this.#points.push(point);
    while (this.#points.length > POINTS) this.#points.shift();
  }

  columns(): Columns {
    return Object.fromEntries(
      SERIES.map((name) => [name, this.#points.map((point) => point[name] ?? null)]),
    ) as Columns;
  }
}

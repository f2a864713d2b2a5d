/** One sample of the Prometheus text format. */
export interface Sample {
  name: string;
  labels: Readonly<Record<string, string>>;
  value: number;
}

/** The samples of a `/metrics` page (text exposition format 0.0.4). */
export function parseMetrics(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split('\n')) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match) continue;
    const [, name = '', labelText = '', value = ''] = match;
    const labels: Record<string, string> = {};
    for (const [, key = '', raw = ''] of labelText.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)) {
      labels[key] = raw.replace(/\\(.)/g, (_, c: string) => (c === 'n' ? '\n' : c));
    }
    samples.push({ name, labels, value: value === '+Inf' ? Number.POSITIVE_INFINITY : Number(value) });
  }
  return samples;
}

/** The sum of a metric's samples whose labels hold all of `where`. */
export function sumOf(samples: readonly Sample[], name: string, where: Record<string, string> = {}): number {
  return matching(samples, name, where).reduce((sum, sample) => sum + sample.value, 0);
}

/** The largest of a metric's samples; 0 when there are none. */
export function maxOf(samples: readonly Sample[], name: string): number {
  return Math.max(0, ...matching(samples, name, {}).map((sample) => sample.value));
}

/** How many observations were at most `bound`. */
export interface Bucket {
  bound: number;
  count: number;
}

/** The buckets of a histogram without labels of its own, smallest bound first, the last one infinite. */
export function bucketsOf(samples: readonly Sample[], name: string): Bucket[] {
  return matching(samples, `${name}_bucket`, {})
    .map(({ labels, value }) => ({
      bound: labels.le === '+Inf' ? Infinity : Number(labels.le),
      count: value,
    }))
    .sort((a, b) => a.bound - b.bound);
}

/**
 * A quantile of a histogram, linear within its bucket as Prometheus's `histogram_quantile`.
 *
 * @param buckets smallest bound first.
 * @returns undefined when the histogram is empty; the last bound when it lies beyond that.
 */
export function quantileOf(buckets: readonly Bucket[], quantile: number): number | undefined {
  const total = buckets.at(-1)?.count ?? 0;
  if (total === 0) return undefined;
  const rank = quantile * total;
  let lower = { bound: 0, count: 0 };
  for (const bucket of buckets) {
    if (bucket.count >= rank) {
      if (bucket.bound === Infinity) return lower.bound;
      const share = (rank - lower.count) / (bucket.count - lower.count);
      return lower.bound + (bucket.bound - lower.bound) * share;
    }
    lower = bucket;
  }
  return lower.bound;
}

function matching(samples: readonly Sample[], name: string, where: Record<string, string>): Sample[] {
  const wanted = Object.entries(where);
  return samples.filter((s) => s.name === name && wanted.every(([key, value]) => s.labels[key] === value));
}

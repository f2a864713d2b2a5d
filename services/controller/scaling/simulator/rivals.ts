import { type Bounds, maxLag, type Policy } from './policy.ts';

/** The HorizontalPodAutoscaler's own rules, which KEDA's metrics go through as well: autoscaling/v2 with its defaults. */
class Hpa {
  readonly #bounds: Bounds;
  #peaks: { at: number; value: number }[] = [];
  #ups: { at: number; added: number }[] = [];

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  /** @param wanted by the metric; `undefined` while there is none, which leaves the replicas alone. */
  next(t: number, current: number, wanted: number | undefined): number {
    const ratio = wanted === undefined || current === 0 ? 1 : wanted / current;
    const recommended = wanted === undefined || Math.abs(ratio - 1) <= 0.1 ? current : wanted;
    this.#peaks = this.#peaks.filter(({ at }) => at > t - 300);
    this.#peaks.push({ at: t, value: recommended });
    this.#ups = this.#ups.filter(({ at }) => at > t - 15);
    const start = current - this.#ups.reduce((sum, { added }) => sum + added, 0);
    const limit = Math.max(start + 4, start * 2);
    const stable = recommended > current ? recommended : Math.max(...this.#peaks.map(({ value }) => value));
    const next = Math.min(
      Math.max(Math.min(stable, Math.max(limit, current)), this.#bounds.min),
      this.#bounds.max,
    );
    if (next > current) this.#ups.push({ at: t, added: next - current });
    return next;
  }
}

/** Always the same. */
export function staticPolicy(replicas: number): Policy {
  return { name: 'static', tick: () => ({ replicas }) };
}

/** KEDA's scaler `aws-kinesis-stream`: open shards over `shardCount`, whose default is 2. It knows no lag. */
export function kedaKinesisPolicy(bounds: Bounds, shardCount = 2): Policy {
  const hpa = new Hpa(bounds);
  return {
    name: 'keda-kinesis',
    tick({ t, stream, group, blackout }) {
      const wanted = blackout ? undefined : Math.ceil(stream.open.length / shardCount);
      return { replicas: hpa.next(t, group.replicas, wanted) };
    },
  };
}

/**
 * KEDA's scaler `aws-cloudwatch` on `GetRecords.IteratorAgeMilliseconds`: one maximum a minute, which CloudWatch shows
 * 90 s after the minute is over. A target of type AverageValue, KEDA's default.
 *
 * @param targetSeconds of age for each replica.
 */
export function kedaIteratorAgePolicy(bounds: Bounds, targetSeconds: number): Policy {
  const hpa = new Hpa(bounds);
  const minutes = new Map<number, number>();
  return {
    name: 'keda-iterator-age',
    tick({ t, stream, group, blackout }) {
      const minute = Math.floor(t / 60);
      minutes.set(minute, Math.max(minutes.get(minute) ?? 0, maxLag(stream, t)));
      const age = blackout ? undefined : minutes.get(Math.floor((t - 90) / 60) - 1);
      return {
        replicas: hpa.next(t, group.replicas, age === undefined ? undefined : Math.ceil(age / targetSeconds)),
      };
    },
  };
}

/** HPA on CPU: the average of the ready pods, which the metrics API shows 30 s late. */
export function hpaCpuPolicy(bounds: Bounds, targetShare: number): Policy {
  const hpa = new Hpa(bounds);
  const seen: number[] = [];
  return {
    name: 'hpa-cpu',
    tick({ t, group, cpu, blackout }) {
      const ready = group.ready(t);
      seen.push(ready > 0 ? cpu / ready : 0);
      if (seen.length > 3) seen.shift();
      const share = seen[0] ?? 0;
      return {
        replicas: hpa.next(
          t,
          group.replicas,
          blackout ? undefined : Math.ceil((ready * share) / targetShare),
        ),
      };
    },
  };
}

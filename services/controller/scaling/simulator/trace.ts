/** What happens to the system in one simulation, by time in seconds from its start. All rates are records a second. */
export interface Trace {
  name: string;
  description: string;
  seconds: number;
  /** What producers send, keys spread evenly. */
  offered(t: number): number;
  /** What one single partition key gets on top. Default none. */
  hotKey?(t: number): number;
  /** Share of its rate that each pod still has, 0-1. Default 1. */
  podSpeed?(t: number): number;
  /** What the sink takes from all pods together. Default no limit. */
  sinkLimit?(t: number): number;
  /** True while no autoscaler gets any metric. Default never. */
  blackout?(t: number): boolean;
}

const MINUTE = 60;
const HOUR = 3_600;

/** Noise that is the same in each run: up to 4 % up or down, another value every 10 s. */
function noisy(rate: number, t: number): number {
  const slot = Math.floor(t / 10);
  const hash = Math.imul(slot ^ 0x9e3779b9, 0x85ebca6b) >>> 0;
  return rate * (0.96 + (0.08 * hash) / 2 ** 32);
}

const between = (t: number, from: number, to: number) => t >= from && t < to;

/** The value at `t` on the straight lines between points. */
function along(points: readonly (readonly [number, number])[], t: number): number {
  const next = points.findIndex(([at]) => at > t);
  if (next === 0) return points[0]?.[1] ?? 0;
  const [t1, v1] = points[next - 1] ?? points.at(-1) ?? [0, 0];
  const [t2, v2] = points[next] ?? [t1 + 1, v1];
  return next < 0 ? (points.at(-1)?.[1] ?? 0) : v1 + ((v2 - v1) * (t - t1)) / (t2 - t1);
}

export const TRACES: readonly Trace[] = [
  {
    name: 'diurnal',
    description: 'a day: 800/s at night, 6,000/s at its peak',
    seconds: 24 * HOUR,
    offered: (t) => noisy(800 + 5_200 * ((1 - Math.cos((2 * Math.PI * t) / (24 * HOUR))) / 2) ** 2, t),
  },
  {
    name: 'spike',
    description: '1,000/s, six times as much for 10 min',
    seconds: 3 * HOUR,
    offered: (t) => noisy(between(t, 30 * MINUTE, 40 * MINUTE) ? 6_000 : 1_000, t),
  },
  {
    name: 'ramp',
    description: 'from 1,000/s to 8,000/s in 90 min, and back',
    seconds: 5 * HOUR,
    offered: (t) =>
      noisy(
        along(
          [
            [0, 1_000],
            [30 * MINUTE, 1_000],
            [2 * HOUR, 8_000],
            [3 * HOUR, 8_000],
            [4 * HOUR, 1_000],
          ],
          t,
        ),
        t,
      ),
  },
  {
    name: 'step',
    description: 'from 1,500/s to 4,500/s at once, for good',
    seconds: 3 * HOUR,
    offered: (t) => noisy(t < 30 * MINUTE ? 1_500 : 4_500, t),
  },
  {
    name: 'hot key',
    description: '2,000/s, and one key that gets 850/s for an hour',
    seconds: 3 * HOUR,
    offered: (t) => noisy(2_000, t),
    hotKey: (t) => (between(t, 30 * MINUTE, 90 * MINUTE) ? 850 : 0),
  },
  {
    name: 'slow consumer',
    description: '3,000/s; pods do 40 % of their rate for 40 min',
    seconds: 3 * HOUR,
    offered: (t) => noisy(3_000, t),
    podSpeed: (t) => (between(t, 30 * MINUTE, 70 * MINUTE) ? 0.4 : 1),
  },
  {
    name: 'dead sink',
    description: '3,000/s; the sink takes nothing for 15 min',
    seconds: 3 * HOUR,
    offered: (t) => noisy(3_000, t),
    sinkLimit: (t) => (between(t, 30 * MINUTE, 45 * MINUTE) ? 0 : Number.POSITIVE_INFINITY),
  },
  {
    name: 'blackout',
    description: 'from 2,000/s to 5,000/s and back; no metrics for 20 min on the way down',
    seconds: 3 * HOUR,
    offered: (t) =>
      noisy(
        along(
          [
            [0, 2_000],
            [20 * MINUTE, 2_000],
            [60 * MINUTE, 5_000],
            [90 * MINUTE, 5_000],
            [120 * MINUTE, 2_000],
          ],
          t,
        ),
        t,
      ),
    blackout: (t) => between(t, 95 * MINUTE, 115 * MINUTE),
  },
  {
    name: 'patchy',
    description: 'from 5,000/s to 1,500/s; of every four minutes half of one is without metrics',
    seconds: 3 * HOUR,
    offered: (t) => noisy(t < 30 * MINUTE ? 5_000 : 1_500, t),
    blackout: (t) => t % (4 * MINUTE) >= 3.5 * MINUTE,
  },
];

/** A trace out of measured points: the rate between two of them is that of the first. */
export function traceOfPoints(name: string, points: readonly { seconds: number; rate: number }[]): Trace {
  const start = points[0]?.seconds ?? 0;
  const end = points.at(-1)?.seconds ?? 0;
  const step = points.length > 1 ? (end - start) / (points.length - 1) : 60;
  return {
    name,
    description: `${points.length} points`,
    seconds: Math.ceil(end - start + step),
    offered(t) {
      let low = 0;
      let high = points.length - 1;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if ((points[middle]?.seconds ?? 0) - start <= t) low = middle;
        else high = middle - 1;
      }
      return points[low]?.rate ?? 0;
    },
  };
}

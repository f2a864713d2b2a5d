import type { LeaseReport } from '../../shared/kcl/lease-row.ts';
import { putsOf, type Throughput } from './observation.ts';

/** How the work on a shard goes, by a report that is fresh. */
interface Progress {
  lagSeconds: number | undefined;
  arrival: Throughput | undefined;
  processed: Throughput;
  busyShare: number;
  workerUtilization: number | undefined;
}

interface Seen {
  firstSeen: number;
  report: LeaseReport | undefined;
  /** Monotonic ms at which the report was first seen to be this one; `undefined` when it was old already. */
  reportSeenAt: number | undefined;
  owner: string | undefined;
  arrival: Throughput | undefined;
  /** Since the last sample of what arrives: what was done (amounts, not rates), and over how many seconds of the stream it went. */
  since: { done: Throughput; walked: number };
}

const NOTHING: Seen['since'] = { done: { records: 0, puts: 0, bytes: 0 }, walked: 0 };

/** A rate that is so much higher than before is believed at once. */
const JUMP = 1.25;
/** Records a second that are none, when none came last: halving alone gets to zero only after hours, and pods would stay for it. */
const NEXT_TO_NONE = 0.001;
/** Weight of a new arrival rate: reports are of a few seconds, and records come in bursts. */
const SMOOTHING = 0.5;

/**
 * What was seen of each shard before: tells a report that still changes from one that was left behind, by our own
 * clock, since the owner's may be wrong; and how fast records arrive, which takes two reports.
 */
export class ShardHistory {
  readonly #timeoutMs: number;
  readonly #seen = new Map<string, Seen>();

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @param now ms since the epoch: only to judge a report that is seen for the first time.
   * @param monotonic ms.
   * @returns the progress, unless nobody owns the shard or its owner no longer reports.
   */
  take(
    shardId: string,
    owner: string | undefined,
    report: LeaseReport | undefined,
    now: number,
    monotonic: number,
  ): Progress | undefined {
    const before = this.#seen.get(shardId);
    const isNew = report?.reportedAt !== before?.report?.reportedAt;
    const fresh = before
      ? true
      : report !== undefined && Math.abs(now - report.reportedAt) <= this.#timeoutMs;
    const reportSeenAt = isNew ? (fresh ? monotonic : undefined) : before?.reportSeenAt;
    const { arrival, since = NOTHING } =
      isNew && report ? this.#arrival(before, report, owner) : (before ?? { arrival: undefined });
    const firstSeen = before?.firstSeen ?? now;
    this.#seen.set(shardId, { firstSeen, report, reportSeenAt, owner, arrival, since });
    if (!report || owner === undefined || reportSeenAt === undefined) return undefined;
    if (monotonic - reportSeenAt > this.#timeoutMs) return undefined;
    const { millisBehindLatest, busyShare, workerUtilization } = report;
    return {
      lagSeconds: millisBehindLatest === undefined ? undefined : Math.max(0, millisBehindLatest) / 1000,
      arrival,
      processed: processedOf(report),
      busyShare: share(busyShare),
      workerUtilization: workerUtilization === undefined ? undefined : share(workerUtilization),
    };
  }

  /** When a shard was first seen here, in ms since the epoch. */
  firstSeen(shardId: string): number | undefined {
    return this.#seen.get(shardId)?.firstSeen;
  }

  keep(shardIds: ReadonlySet<string>): void {
    for (const shardId of this.#seen.keys()) if (!shardIds.has(shardId)) this.#seen.delete(shardId);
  }

  /**
   * What came in, from what was done and how the lag moved meanwhile: in `dt` seconds the consumer went over `dt - dLag` seconds
   * of the stream. Its position moves when a slice of records is done with, which may take longer than reports are apart: what was
   * done while it stood still belongs to the way that it then goes at once.
   */
  #arrival(
    before: Seen | undefined,
    report: LeaseReport,
    owner: string | undefined,
  ): Pick<Seen, 'arrival' | 'since'> {
    const lag = report.millisBehindLatest;
    const processed = processedOf(report);
    const lagBefore = before?.report?.millisBehindLatest;
    const old = before?.arrival;
    if (!before?.report || before.owner !== owner || lag === undefined || lagBefore === undefined) {
      // At the tip: what is done is what comes.
      return { arrival: lag === 0 ? settle(old, processed) : old, since: NOTHING };
    }
    const seconds = (report.reportedAt - before.report.reportedAt) / 1000;
    if (!(seconds > 0)) return { arrival: old, since: before.since };
    const walked = seconds - (lag - lagBefore) / 1000;
    // It began again further back (from a checkpoint): what it does there came before. Reports jitter, hence the margin.
    if (walked < -Math.max(seconds, 1)) return { arrival: old, since: NOTHING };
    const since = {
      done: plus(before.since.done, times(processed, seconds)),
      walked: before.since.walked + walked,
    };
    if (since.walked < seconds / 20) return { arrival: old, since };
    return { arrival: settle(old, times(since.done, 1 / since.walked)), since: NOTHING };
  }
}

const share = (value: number) => Math.min(1, Math.max(0, value));

/** A sample into what was known. */
function settle(old: Throughput | undefined, sample: Throughput): Throughput {
  if (!old || sample.records > old.records * JUMP) return sample;
  const mixed = plus(times(old, 1 - SMOOTHING), times(sample, SMOOTHING));
  return sample.records === 0 && mixed.records < NEXT_TO_NONE ? sample : mixed;
}

function plus(a: Throughput, b: Throughput): Throughput {
  return { records: a.records + b.records, puts: putsOf(a) + putsOf(b), bytes: a.bytes + b.bytes };
}

function times({ records, puts, bytes }: Throughput, factor: number): Throughput {
  return {
    records: records * factor,
    bytes: bytes * factor,
    ...(puts === undefined ? {} : { puts: puts * factor }),
  };
}

function processedOf({ recordsPerSecond, putsPerSecond, bytesPerSecond }: LeaseReport): Throughput {
  return {
    records: recordsPerSecond,
    bytes: bytesPerSecond,
    ...(putsPerSecond === undefined ? {} : { puts: putsPerSecond }),
  };
}

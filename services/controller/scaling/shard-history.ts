import type { LeaseReport } from '../../shared/kcl/lease-row.ts';
import { arrivalRate } from './load.ts';
import { putsOf, type Throughput } from './observation.ts';

/** How the work on a shard goes, by a report that is fresh. */
interface Progress {
  lagSeconds: number | undefined;
  arrival: Throughput | undefined;
  processed: Throughput;
  busyShare: number;
}

interface Seen {
  firstSeen: number;
  report: LeaseReport | undefined;
  /** Monotonic ms at which the report was first seen to be this one; `undefined` when it was old already. */
  reportSeenAt: number | undefined;
  owner: string | undefined;
  arrival: Throughput | undefined;
}

/** A rate that is so much higher than before is believed at once. */
const JUMP = 1.25;
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
    const arrival = isNew && report ? this.#arrival(before, report, owner) : before?.arrival;
    this.#seen.set(shardId, { firstSeen: before?.firstSeen ?? now, report, reportSeenAt, owner, arrival });
    if (!report || owner === undefined || reportSeenAt === undefined) return undefined;
    if (monotonic - reportSeenAt > this.#timeoutMs) return undefined;
    const { millisBehindLatest, busyShare } = report;
    return {
      lagSeconds: millisBehindLatest === undefined ? undefined : Math.max(0, millisBehindLatest) / 1000,
      arrival,
      processed: processedOf(report),
      busyShare: Math.min(1, Math.max(0, busyShare)),
    };
  }

  /** When a shard was first seen here, in ms since the epoch. */
  firstSeen(shardId: string): number | undefined {
    return this.#seen.get(shardId)?.firstSeen;
  }

  keep(shardIds: ReadonlySet<string>): void {
    for (const shardId of this.#seen.keys()) if (!shardIds.has(shardId)) this.#seen.delete(shardId);
  }

  #arrival(before: Seen | undefined, report: LeaseReport, owner: string | undefined): Throughput | undefined {
    const lag = report.millisBehindLatest;
    const processed = processedOf(report);
    const lagBefore = before?.report?.millisBehindLatest;
    let sample: Throughput | undefined;
    if (before?.report && before.owner === owner && lag !== undefined && lagBefore !== undefined) {
      const dt = (report.reportedAt - before.report.reportedAt) / 1000;
      sample = arrivalRate(processed, dt, (lag - lagBefore) / 1000);
    } else if (lag === 0) sample = processed; // at the tip: what is done is what comes
    if (!sample) return before?.arrival;
    const old = before?.arrival;
    if (!old || sample.records > old.records * JUMP) return sample;
    const mix = (before: number, now: number) => before + (now - before) * SMOOTHING;
    return {
      records: mix(old.records, sample.records),
      puts: mix(putsOf(old), putsOf(sample)),
      bytes: mix(old.bytes, sample.bytes),
    };
  }
}

function processedOf({ recordsPerSecond, putsPerSecond, bytesPerSecond }: LeaseReport): Throughput {
  return {
    records: recordsPerSecond,
    bytes: bytesPerSecond,
    ...(putsPerSecond === undefined ? {} : { puts: putsPerSecond }),
  };
}

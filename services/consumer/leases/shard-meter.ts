import type { Clock } from '../../shared/clock.ts';
import type { LeaseReport } from '../../shared/kcl/lease-row.ts';

/** What `ShardMeter` counted up to a report; given back when that report was written. */
export interface Reading {
  report: LeaseReport;
  /** Opaque to others. */
  totals: Totals;
}

interface Totals {
  at: number;
  records: number;
  puts: number;
  bytes: number;
  busyMs: number;
}

/**
 * Measures the work on one shard for the report that rides on the lease's renewals. Rates are over the time since
 * the last report that was written: one that failed to be written is made up for by the next.
 */
export class ShardMeter {
  readonly #clock: Clock;
  readonly #staleAfterMs: number;
  #records = 0;
  #puts = 0;
  #bytes = 0;
  #busyMs = 0;
  #busySince: number | undefined;
  #lastArrivalAt: number | undefined;
  /** The last read's, with when (monotonic ms) it was. */
  #behind: { ms: number; readAt: number } | undefined;
  /** Arrival of the oldest record that was fetched and isn't done with. */
  #oldestInHand: number | undefined;
  #reported: Totals;

  /** @param staleAfterMs without a read for that long, how far behind the shard is counts as unknown. */
  constructor(clock: Clock, staleAfterMs: number) {
    this.#clock = clock;
    this.#staleAfterMs = staleAfterMs;
    this.#reported = { at: clock.monotonic(), records: 0, puts: 0, bytes: 0, busyMs: 0 };
  }

  /** A read of the shard was answered. */
  fetched(millisBehindLatest: number): void {
    this.#behind = { ms: millisBehindLatest, readAt: this.#clock.monotonic() };
  }

  /** Processing of records begins. @param oldestArrivalAt of them, ms since the epoch. */
  begin(oldestArrivalAt: number): void {
    this.#busySince = this.#clock.monotonic();
    this.#oldestInHand = oldestArrivalAt;
  }

  /** Processing ended, well or not. */
  end(): void {
    if (this.#busySince !== undefined) this.#busyMs += this.#clock.monotonic() - this.#busySince;
    this.#busySince = undefined;
    this.#oldestInHand = undefined;
  }

  /**
   * Records are done with.
   *
   * @param puts Kinesis records that they came in.
   * @param lastArrivalAt of the last of them, ms since the epoch.
   */
  done(records: number, puts: number, bytes: number, lastArrivalAt: number): void {
    this.#records += records;
    this.#puts += puts;
    this.#bytes += bytes;
    this.#lastArrivalAt = lastArrivalAt;
  }

  /**
   * How far processing is behind, in ms: as the last read said, or the age of the oldest record in hand where that is
   * more, since a read at the tip says nothing of records that then wait for a throttled table. `undefined` before
   * the first read, and when neither reads nor records got on for a while.
   */
  millisBehindLatest(): number | undefined {
    const waiting =
      this.#oldestInHand === undefined ? undefined : Math.max(0, this.#clock.now() - this.#oldestInHand);
    const { ms, readAt } = this.#behind ?? { ms: undefined, readAt: Number.NEGATIVE_INFINITY };
    if (waiting !== undefined) return Math.max(waiting, ms ?? 0);
    return this.#clock.monotonic() - readAt > this.#staleAfterMs ? undefined : ms;
  }

  read(): Reading {
    const at = this.#clock.monotonic();
    const busyMs = this.#busyMs + (this.#busySince === undefined ? 0 : at - this.#busySince);
    const totals: Totals = { at, records: this.#records, puts: this.#puts, bytes: this.#bytes, busyMs };
    const last = this.#reported;
    const elapsedMs = Math.max(1, at - last.at);
    const perSecond = (now: number, before: number) => round((now - before) / (elapsedMs / 1000));
    const behind = this.millisBehindLatest();
    return {
      totals,
      report: {
        reportedAt: this.#clock.now(),
        millisBehindLatest: behind === undefined ? undefined : Math.round(behind),
        recordsPerSecond: perSecond(totals.records, last.records),
        putsPerSecond: perSecond(totals.puts, last.puts),
        bytesPerSecond: perSecond(totals.bytes, last.bytes),
        busyShare: Math.min(1, round((busyMs - last.busyMs) / elapsedMs)),
        lastArrivalAt: this.#lastArrivalAt,
      },
    };
  }

  /** The report of this reading is in the row. */
  written({ totals }: Reading): void {
    this.#reported = totals;
  }

  /** Monotonic ms of the last report that was written. */
  get reportedAt(): number {
    return this.#reported.at;
  }
}

/** To a thousandth: more is noise, and digits cost bytes. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

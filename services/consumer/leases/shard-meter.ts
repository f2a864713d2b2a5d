import type { Clock } from '../../shared/clock.ts';
import type { LeaseReport } from '../../shared/kcl/lease-row.ts';
import { type LoadTotals, utilization, type WorkerLoad } from '../worker-load.ts';

/** What `ShardMeter` counted up to a report; given back when that report was written. */
export interface Reading {
  report: LeaseReport;
  /** The rest is for the meter. */
  at: number;
  totals: Totals;
  rates: Rates;
}

/** User records that go through the pipeline at once, at most: bounds memory, and the time the event loop is held (~2 ms). */
export const FULL_SLICE = 500;
/** Records that are done with so long after they came, or were read so far behind the tip, wait for this worker. */
const LATE_MS = 1_000;

interface Totals {
  /** Monotonic ms up to which was counted. */
  at: number;
  records: number;
  puts: number;
  bytes: number;
  busyMs: number;
  /** As `busyMs`, weighted by how full the slices were. */
  fullMs: number;
  worker: LoadTotals;
}

type Rates = Pick<
  LeaseReport,
  'recordsPerSecond' | 'putsPerSecond' | 'bytesPerSecond' | 'busyShare' | 'workerUtilization'
>;

/** The slice that is being worked on. */
interface InHand {
  /** Monotonic ms at which the work on it began first: one that fails is tried again. */
  since: number;
  records: number;
}

/**
 * Measures the work on one shard for the report that rides on the lease's renewals. Rates are over the time since
 * the last report that was written: one that failed to be written is made up for by the next. They are those of whole
 * slices: of one that takes longer than the reports are apart, they would be nothing, nothing and then too much.
 */
export class ShardMeter {
  readonly #clock: Clock;
  readonly #staleAfterMs: number;
  readonly #load: WorkerLoad;
  /** When the last slice was done with. */
  #done: Totals;
  #inHand: InHand | undefined;
  #busyMs = 0;
  #fullMs = 0;
  #busySince: number | undefined;
  #lastArrivalAt: number | undefined;
  /** The last read's, with when (monotonic ms) it was. */
  #behind: { ms: number; readAt: number } | undefined;
  /** Arrival of the oldest record that was fetched and isn't done with. */
  #oldestInHand: number | undefined;
  /** The end of what reports tell of, and what the last one told. */
  #told: Totals;
  #rates: Rates | undefined;
  #writtenAt: number;

  /** @param staleAfterMs without a read for that long, how far behind the shard is counts as unknown. */
  constructor(clock: Clock, staleAfterMs: number, load: WorkerLoad) {
    this.#clock = clock;
    this.#staleAfterMs = staleAfterMs;
    this.#load = load;
    this.#writtenAt = clock.monotonic();
    const worker = load.read();
    this.#done = { at: this.#writtenAt, records: 0, puts: 0, bytes: 0, busyMs: 0, fullMs: 0, worker };
    this.#told = this.#done;
  }

  /** A read of the shard was answered. */
  fetched(millisBehindLatest: number): void {
    this.#behind = { ms: millisBehindLatest, readAt: this.#clock.monotonic() };
  }

  /** Processing of so many records begins. @param oldestArrivalAt of them, ms since the epoch. */
  begin(records: number, oldestArrivalAt: number): void {
    this.#busySince = this.#clock.monotonic();
    this.#inHand = { since: this.#inHand?.since ?? this.#busySince, records };
    this.#oldestInHand = oldestArrivalAt;
  }

  /** Processing ended, well or not. */
  end(): void {
    const { busyMs, fullMs } = this.#busyUntil(this.#clock.monotonic());
    this.#busyMs = busyMs;
    this.#fullMs = fullMs;
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
    const before = this.#done;
    this.#done = {
      at: this.#clock.monotonic(),
      records: before.records + records,
      puts: before.puts + puts,
      bytes: before.bytes + bytes,
      busyMs: this.#busyMs,
      fullMs: this.#fullMs,
      worker: this.#load.read(),
    };
    this.#inHand = undefined;
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
    const { totals, rates } = this.#measure(at);
    const behind = this.millisBehindLatest();
    return {
      at,
      totals,
      rates,
      report: {
        reportedAt: this.#clock.now(),
        millisBehindLatest: behind === undefined ? undefined : Math.round(behind),
        ...rates,
        lastArrivalAt: this.#lastArrivalAt,
      },
    };
  }

  /** The report of this reading is in the row. */
  written({ at, totals, rates }: Reading): void {
    this.#writtenAt = at;
    this.#told = totals;
    this.#rates = rates;
  }

  /** Monotonic ms of the last report that was written. */
  get reportedAt(): number {
    return this.#writtenAt;
  }

  #measure(at: number): { totals: Totals; rates: Rates } {
    const told = this.#told;
    const totals = { ...this.#done, at, ...this.#busyUntil(at), worker: this.#load.read() };
    if (this.#busySince === undefined || !this.#inHand) return { totals, rates: ratesOf(told, totals) };
    if (this.#done.records > told.records) return { totals: this.#done, rates: ratesOf(told, this.#done) };
    // Nothing is done since then, and something is being done: as fast as before, unless it takes longer by now.
    const { since, records } = this.#inHand;
    const { recordsPerSecond = 0, putsPerSecond = 0, bytesPerSecond = 0 } = this.#rates ?? {};
    const atMost = records / (Math.max(1, at - since) / 1_000);
    const factor = recordsPerSecond > atMost ? atMost / recordsPerSecond : 1;
    const rates: Rates = {
      ...ratesOf(told, totals),
      recordsPerSecond: round(recordsPerSecond * factor),
      putsPerSecond: round(putsPerSecond * factor),
      bytesPerSecond: round(bytesPerSecond * factor),
    };
    return { totals: told, rates };
  }

  /**
   * The times of work, with that on what is in hand. A shard whose records are done with as they come has room: the more come, the
   * larger its slices get, which hardly take longer. Of one that is behind, the whole of the time counts.
   */
  #busyUntil(at: number): { busyMs: number; fullMs: number } {
    if (this.#busySince === undefined) return { busyMs: this.#busyMs, fullMs: this.#fullMs };
    const ms = at - this.#busySince;
    const lateMs = (this.#behind?.ms ?? 0) + ms;
    const fullness = Math.min(1, Math.max((this.#inHand?.records ?? 0) / FULL_SLICE, lateMs / LATE_MS));
    return { busyMs: this.#busyMs + ms, fullMs: this.#fullMs + ms * fullness };
  }
}

function ratesOf(from: Totals, to: Totals): Rates {
  const elapsedMs = Math.max(1, to.at - from.at);
  const perSecond = (count: number) => round(count / (elapsedMs / 1_000));
  return {
    recordsPerSecond: perSecond(to.records - from.records),
    putsPerSecond: perSecond(to.puts - from.puts),
    bytesPerSecond: perSecond(to.bytes - from.bytes),
    busyShare: Math.min(1, round((to.busyMs - from.busyMs) / elapsedMs)),
    workerUtilization: round(
      Math.min(1, Math.max((to.fullMs - from.fullMs) / elapsedMs, utilization(from.worker, to.worker))),
    ),
  };
}

/** To a thousandth: more is noise, and digits cost bytes. */
function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

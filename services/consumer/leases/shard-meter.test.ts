import { describe, expect, it } from 'vitest';
import type { Clock } from '../../shared/clock.ts';
import { WorkerLoad } from '../worker-load.ts';
import { ShardMeter } from './shard-meter.ts';

const EPOCH = 1_795_000_000_000;

function setUp() {
  let at = 0;
  const clock: Clock = { now: () => EPOCH + at, monotonic: () => at, sleep: async () => {} };
  const eventLoop = { active: 0, idle: 0, utilization: 0 };
  const limit = { usedMs: 0 };
  const load = new WorkerLoad(clock, [limit], () => ({ ...eventLoop }));
  const meter = new ShardMeter(clock, 10_000, load);
  /** @param cpu share of it in which the event loop was busy. @param calls share of the limit that was used. */
  const advance = (ms: number, cpu = 0, calls = 0) => {
    at += ms;
    eventLoop.active += ms * cpu;
    eventLoop.idle += ms * (1 - cpu);
    limit.usedMs += ms * calls;
  };
  return { meter, advance };
}

describe('ShardMeter', () => {
  it('measures rates and busy share over the time since the last report that was written', () => {
    const { meter, advance } = setUp();
    meter.fetched(0);
    meter.begin(400, EPOCH - 100);
    advance(500);
    meter.end();
    meter.done(400, 20, 80_000, EPOCH - 50);
    advance(1_500);
    const lost = meter.read();
    expect(lost.report).toMatchObject({
      reportedAt: EPOCH + 2_000,
      recordsPerSecond: 200,
      putsPerSecond: 10,
      bytesPerSecond: 40_000,
      busyShare: 0.25,
      lastArrivalAt: EPOCH - 50,
    });
    advance(2_000);
    const second = meter.read(); // the first failed to be written: nothing of it is lost
    expect(second.report).toMatchObject({ recordsPerSecond: 100, busyShare: 0.125 });
    meter.written(second);
    advance(1_000);
    expect(meter.read().report).toMatchObject({ recordsPerSecond: 0, bytesPerSecond: 0, busyShare: 0 });
  });

  it('counts work that is still going on as busy', () => {
    const { meter, advance } = setUp();
    meter.begin(1, EPOCH);
    advance(3_000);
    const first = meter.read();
    expect(first.report).toMatchObject({ busyShare: 1, workerUtilization: 1 });
    meter.written(first);
    advance(3_000);
    expect(meter.read().report.busyShare).toBe(1);
  });

  it('tells the rate of a slice that takes longer than reports are apart, and less and less of one that does not end', () => {
    const { meter, advance } = setUp();
    const tell = (ms: number) => {
      advance(ms);
      const reading = meter.read();
      meter.written(reading);
      return reading.report;
    };
    const slice = (ms: number) => {
      meter.begin(500, EPOCH);
      advance(ms);
      meter.end();
      meter.done(500, 500, 50_000, EPOCH);
    };
    slice(10_000);
    meter.begin(500, EPOCH);
    const half = tell(4_000);
    expect(half).toMatchObject({
      recordsPerSecond: 50,
      putsPerSecond: 50,
      bytesPerSecond: 5_000,
      busyShare: 1,
    });
    expect(tell(4_000)).toMatchObject({ recordsPerSecond: 50, busyShare: 1 });
    advance(2_000);
    meter.end();
    meter.done(500, 500, 50_000, EPOCH);
    meter.begin(500, EPOCH);
    expect(tell(2_000)).toMatchObject({ recordsPerSecond: 50, busyShare: 1 });
    // The table hangs, and the slice is tried again: that is no progress.
    expect(tell(18_000)).toMatchObject({ recordsPerSecond: 25, busyShare: 1 });
    meter.end();
    advance(20_000);
    meter.begin(500, EPOCH);
    expect(tell(10_000).recordsPerSecond).toBe(10);
    meter.end();
    expect(tell(1_000).recordsPerSecond).toBe(0);
  });

  it('tells how full the worker is: its event loop, its calls to the table, or this shard', () => {
    const { meter, advance } = setUp();
    const slices = (count: number, records: number, ms: number, cpu: number, calls: number) => {
      for (let i = 0; i < count; i++) {
        meter.begin(records, EPOCH);
        advance(ms, cpu, calls);
        meter.end();
        meter.done(records, records, 100, EPOCH);
        advance(ms);
      }
      const reading = meter.read();
      meter.written(reading);
      return reading.report;
    };
    meter.fetched(0);
    // One record a slice, at the tip: half of the time goes into waiting for the table, and next to nothing is used.
    expect(slices(100, 1, 10, 0.04, 0.06)).toMatchObject({ busyShare: 0.5, workerUtilization: 0.03 });
    expect(slices(100, 1, 10, 0.5, 0.06)).toMatchObject({ busyShare: 0.5, workerUtilization: 0.25 });
    expect(slices(100, 1, 10, 0.04, 0.9)).toMatchObject({ busyShare: 0.5, workerUtilization: 0.45 });
    expect(slices(100, 500, 10, 0.04, 0.06)).toMatchObject({ busyShare: 0.5, workerUtilization: 0.5 });
    // Slow, or behind: more records would not be done with sooner.
    expect(slices(5, 1, 1_000, 0, 0)).toMatchObject({ busyShare: 0.5, workerUtilization: 0.5 });
    meter.fetched(5_000);
    expect(slices(100, 1, 10, 0, 0)).toMatchObject({ busyShare: 0.5, workerUtilization: 0.5 });
  });

  it('tells how far processing is behind, not only reading, and nothing when it does not know', () => {
    const { meter, advance } = setUp();
    expect(meter.read().report.millisBehindLatest).toBeUndefined();
    meter.fetched(700);
    expect(meter.millisBehindLatest()).toBe(700);
    meter.fetched(0);
    meter.begin(1, EPOCH);
    advance(20_000); // the table throttles
    expect(meter.millisBehindLatest()).toBe(20_000);
    meter.end();
    expect(meter.millisBehindLatest()).toBeUndefined(); // and no read went through meanwhile
    meter.fetched(0);
    expect(meter.millisBehindLatest()).toBe(0);
  });
});

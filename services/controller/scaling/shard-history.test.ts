import { describe, expect, it } from 'vitest';
import { ShardHistory } from './shard-history.ts';

const START = Date.UTC(2026, 0, 1);

/** Reports 15 s apart, each with a lag in seconds. @returns what arrives, after each. */
function arrivals(lags: number[], rates: { records: number; puts?: number } = { records: 100 }, tick = 15) {
  const history = new ShardHistory(30_000);
  return lags.map((lag, i) => {
    const report = {
      reportedAt: START + i * tick * 1_000,
      millisBehindLatest: lag * 1_000,
      recordsPerSecond: rates.records,
      putsPerSecond: rates.puts,
      bytesPerSecond: rates.records * 10,
      busyShare: 1,
      lastArrivalAt: undefined,
    };
    return history.take('s', 'pod', report, report.reportedAt, i * tick * 1_000)?.arrival;
  });
}

describe('what arrives at a shard', () => {
  it('is known from progress and the movement of the lag', () => {
    expect(arrivals([60])).toEqual([undefined]);
    expect(arrivals([60, 60])[1]).toMatchObject({ records: 100, bytes: 1_000 });
    expect(arrivals([60, 67.5])[1]).toMatchObject({ records: 200, bytes: 2_000 });
    expect(arrivals([60, 45], { records: 100, puts: 4 })[1]).toEqual({ records: 50, puts: 2, bytes: 500 });
    expect(arrivals([60, 75])[1]).toBeUndefined();
    expect(arrivals([60, 60], undefined, 0)[1]).toBeUndefined();
    expect(arrivals([0])[0]).toMatchObject({ records: 100 });
  });

  it('is known again at the next report of a consumer that began again further back', () => {
    expect(arrivals([0, 300, 300]).map((arrival) => arrival?.records)).toEqual([100, 100, 100]);
    expect(arrivals([60, 600, 600])[2]).toMatchObject({ records: 100 });
  });

  it('is nothing a few minutes after the last record, and not at the first report without one', () => {
    const history = new ShardHistory(30_000);
    const rates = [10_000, ...new Array<number>(24).fill(0)].map((recordsPerSecond, i) => {
      const report = {
        reportedAt: START + i * 15_000,
        millisBehindLatest: 0,
        recordsPerSecond,
        putsPerSecond: undefined,
        bytesPerSecond: recordsPerSecond * 10,
        busyShare: 0,
        lastArrivalAt: undefined,
      };
      return history.take('s', 'pod', report, report.reportedAt, i * 15_000)?.arrival?.records;
    });
    expect(rates[1]).toBe(5_000);
    expect(rates.at(-1)).toBe(0);
  });

  it('is not told less of by a consumer whose slices take longer than reports are apart', () => {
    // A slice a minute, in which half a minute of the stream is done with: 100 done a second are 200 that arrive.
    const lags = Array.from({ length: 40 }, (_, i) => 600 + i * 15 - Math.floor(i / 4) * 30);
    for (const arrival of arrivals(lags).slice(8)) expect(arrival?.records).toBeCloseTo(200, 0);
  });
});

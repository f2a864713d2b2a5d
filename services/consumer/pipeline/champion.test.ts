import { setImmediate } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import type { BatchDetector, Detector, ScorableEvent } from '../../detectors/detector.ts';
import type { Clock } from '../../shared/clock.ts';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import type { StreamRecord } from '../record.ts';
import type { ShardProcessor } from '../shard-processor.ts';
import {
  chainDetector,
  type PipelineOptions,
  replay,
  streamRecord,
  testPipeline,
  WHOLE_RANGE,
} from './fixtures.ts';

const own = ownStack();

function worker(options: PipelineOptions) {
  const { pipeline, close, registry } = testPipeline(own.stack.dynamodb, own.stack.resources, options);
  own.onEnd(close);
  const processor = pipeline.open({ hashKeyRange: WHOLE_RANGE });
  const metric = async (name: string, labels: string) =>
    Number(
      new RegExp(`^${name}\\{${labels}[^}]*\\} (.*)$`, 'm').exec(await registry.metrics())?.[1] ?? Number.NaN,
    );
  return { processor, metric };
}

/** The chain in batches, with what `then` adds once all events are in their states. */
function inBatches(
  name: string,
  then: (events: readonly ScorableEvent[]) => unknown = () => {},
): BatchDetector {
  const { score, ...keeper } = chainDetector(name);
  return {
    ...keeper,
    encode: (state) => keeper.encode(state as never),
    async scoreBatch(batch) {
      const verdicts = batch.map(({ state, event }) => score(state as never, event));
      await then(batch.map(({ event }) => event));
      return verdicts;
    },
  };
}

const noWaits: Clock = { now: () => Date.now(), monotonic: () => 0, sleep: () => setImmediate() };
const { signal } = new AbortController();
const feed = (processor: ShardProcessor, records: readonly StreamRecord[]) =>
  processor.process(records, signal, () => {});
const flush = (processor: ShardProcessor) => processor.flush(signal, () => {});
const records = Array.from({ length: 200 }, (_, n) => streamRecord(n, `s${n % 4}`, n));

describe('champion and challengers', () => {
  it('changes places in mid-stream: each record is scored once, the table says by whom, the new one is warm', async () => {
    const [a, b] = [chainDetector('a'), chainDetector('b')];
    const before = worker({ champion: a, challengers: [b] }).processor;
    await feed(before, records.slice(0, 90));
    await flush(before);
    await feed(before, records.slice(90, 110)); // in the old worker's memory when the new configuration comes
    const after = worker({ champion: b, challengers: [a] }).processor;
    await feed(after, records.slice(90));
    await flush(before); // as a zombie
    await flush(after);

    const { verdicts } = replay(records);
    const items = await own.stack.records();
    expect(items).toHaveLength(records.length);
    for (const { id, anomaly_score } of items) expect(anomaly_score).toBe(verdicts.get(String(id))?.score);
    const decidedBy = (method: string) => items.filter((item) => item.detection_method === method).length;
    expect([decidedBy('a_v1'), decidedBy('b_v1')]).toEqual([90, 110]);
    for (const row of await own.stack.states()) {
      expect(row['detector:a@1']).toEqual(row['detector:b@1']);
    }
  });

  it('counts agreement, verdicts and time, and lets a challenger decide nothing', async () => {
    const contrary: Detector = {
      ...chainDetector('contrary'),
      score: () => ({ score: 9, isAnomaly: true, method: 'contrary' }),
    } as Detector;
    const { processor, metric } = worker({ champion: chainDetector(), challengers: [contrary] });
    await feed(processor, records);
    const anomalies = Array.from(replay(records).verdicts.values()).filter((v) => v.isAnomaly).length;
    expect(anomalies).toBeGreaterThan(0);
    const items = await own.stack.records();
    expect(items.filter((item) => item.is_anomaly)).toHaveLength(anomalies);
    const agreement = 'weir_consumer_challenger_agreement_total';
    expect(await metric(agreement, 'challenger="contrary",verdict="agreed"')).toBe(anomalies);
    expect(await metric(agreement, 'challenger="contrary",verdict="differed"')).toBe(200 - anomalies);
    const verdicts = 'weir_consumer_verdicts_total';
    expect(await metric(verdicts, 'detector="contrary",role="challenger",verdict="anomaly"')).toBe(200);
    expect(await metric('weir_consumer_detector_seconds_total', 'detector="contrary"')).toBeGreaterThan(0);
  });

  it.each(['throws', 'is slow'])('cuts off a challenger that %s, and goes on', async (what) => {
    const bad = chainDetector('bad');
    const now = { ms: 0 };
    const challenger: Detector = {
      ...bad,
      score: (state: never, event: { source: string; amount: number; timestamp: number }) => {
        if (what === 'throws' && event.amount === 30) throw new TypeError('a bug');
        if (what === 'is slow') now.ms += 1;
        return bad.score(state, event);
      },
    } as Detector;
    const { processor, metric } = worker({
      challengers: [challenger],
      challengerLimitMicros: 500, // and 5 ms: 15 ms for a slice of 20
      clock: { now: () => Date.now(), monotonic: () => now.ms, sleep: async () => {} },
    });
    for (let i = 0; i < 200; i += 20) await feed(processor, records.slice(i, i + 20));
    await flush(processor);
    const reason = what === 'throws' ? 'threw' : 'slow';
    expect(await metric('weir_consumer_challenger_cut_offs_total', `detector="bad",reason="${reason}"`)).toBe(
      1,
    );
    const seen = await metric(
      'weir_consumer_verdicts_total',
      'detector="bad",role="challenger",verdict="normal"',
    );
    expect(seen).toBeLessThan(60);
    expect(await own.stack.countRecords()).toBe(200);
    for (const row of await own.stack.states()) expect(row['detector:bad@1']).toBeUndefined();
  });

  it('takes a champion and challengers that score in batches, and waits for none that does not answer', async () => {
    const { processor, metric } = worker({
      champion: inBatches('batches'),
      challengers: [inBatches('twin'), inBatches('silent', () => new Promise(() => {}))],
      clock: noWaits,
    });
    await feed(processor, records.slice(0, 100));
    await feed(processor, records.slice(100));
    await flush(processor);
    const { verdicts } = replay(records);
    for (const { id, anomaly_score } of await own.stack.records()) {
      expect(anomaly_score).toBe(verdicts.get(String(id))?.score);
    }
    const agreement = 'weir_consumer_challenger_agreement_total';
    expect(await metric(agreement, 'challenger="twin",verdict="agreed"')).toBe(200);
    expect(await metric('weir_consumer_challenger_cut_offs_total', 'detector="silent",reason="threw"')).toBe(
      1,
    );
  });

  it('gives up the one record of a batch that a champion fails on, and scores the others as if it had not come', async () => {
    let calls = 0;
    const { processor, metric } = worker({
      champion: inBatches('chain', (events) => {
        calls++;
        if (events.some(({ amount }) => amount === 30 || amount === 37)) throw new Error('poison');
      }),
      clock: noWaits,
    });
    await feed(processor, records.slice(0, 100));
    await feed(processor, records.slice(100));
    await flush(processor);
    const { verdicts } = replay(records.filter((_, n) => n !== 30 && n !== 37));
    const items = await own.stack.records();
    expect(items).toHaveLength(198);
    for (const { id, anomaly_score } of items) expect(anomaly_score).toBe(verdicts.get(String(id))?.score);
    const letters = await own.stack.deadLetters();
    expect(letters.map(({ sequence_number }) => sequence_number).sort()).toEqual(['1030', '1037']);
    expect(letters[0]).toMatchObject({ reason: 'processing-failed', message: 'Error: poison' });
    expect(
      await metric('weir_consumer_verdicts_total', 'detector="chain",role="champion",verdict="normal"'),
    ).toBe(Array.from(verdicts.values()).filter(({ isAnomaly }) => !isAnomaly).length);
    expect(calls).toBeLessThan(40);
  });

  it('gives up a record that comes alone after five attempts, and none to a champion that fails on everything', async () => {
    const everything = worker({
      champion: inBatches('chain', () => {
        throw new Error('no memory');
      }),
      clock: noWaits,
    });
    await expect(feed(everything.processor, records.slice(0, 50))).rejects.toThrow('no memory');
    expect(await own.stack.deadLetters()).toEqual([]);
    expect(await own.stack.countRecords()).toBe(0);

    let calls = 0;
    const { processor } = worker({
      champion: inBatches('chain', ([event]) => {
        calls++;
        if (event?.amount === 1) throw new Error('poison');
      }),
      clock: noWaits,
    });
    await feed(processor, records.slice(1, 2));
    expect(calls).toBe(5 + 1); // and a probe
    expect(await own.stack.deadLetters()).toHaveLength(1);
  });

  it('begins beside the states of a version that it can not read, and takes over those that it can', async () => {
    const first = worker({ champion: chainDetector('d', 1) }).processor;
    await feed(first, records.slice(0, 100));
    await flush(first);
    const fresh = worker({ champion: chainDetector('d', 2) });
    await feed(fresh.processor, records.slice(100, 120));
    await flush(fresh.processor);
    expect(await fresh.metric('weir_consumer_state_resets_total', 'part="d"')).toBe(4);
    const migrating = {
      ...chainDetector('d', 3),
      decode: (bytes: Uint8Array) => chainDetector('d', 2).decode(bytes, 2),
    };
    const third = worker({ champion: migrating }).processor;
    await feed(third, records.slice(120));
    await flush(third);
    const { verdicts } = replay(records.slice(100));
    for (const item of await own.stack.records()) {
      const expected = verdicts.get(String(item.id));
      if (expected) expect(item.anomaly_score).toBe(expected.score);
    }
    for (const row of await own.stack.states()) {
      expect(Object.keys(row).filter((name) => name.startsWith('detector:'))).toHaveLength(3);
    }
  });
});

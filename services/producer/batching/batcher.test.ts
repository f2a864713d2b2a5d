import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../shared/clock.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { NotStoredError } from '../errors.ts';
import { createProducerMetrics } from '../metrics.ts';
import { type PutOutcome, type Sink, SinkError, type SinkFailure, type SinkRecord } from '../sink/sink.ts';
import { Batcher, type BatcherLimits } from './batcher.ts';
import { MAX_CALL_BYTES, MAX_CALL_RECORDS, MAX_RECORD_BYTES } from './policy.ts';

const LIMITS: BatcherLimits = {
  sourceOrder: 'relaxed',
  lingerMs: 2,
  maxInFlightCalls: 4,
  eventDeadlineMs: 2_000,
  bufferMaxBytes: 64 * 1024 * 1024,
  bufferMaxRecords: 10_000,
  bufferMaxAgeMs: 60_000,
  aggregation: 'off',
};
/** Nobody knows the shards. */
const NO_MAP = { map: undefined, mispredicted() {}, refresh: async () => {} };

/** Kinesis as a script: what each record's attempt comes to, and how long a call takes. */
class ScriptedKinesis implements Sink {
  /** What is in the stream, in order. */
  readonly stored: { key: string; text: string }[] = [];
  readonly calls: SinkRecord[][] = [];
  /** Keys with a call under way; one in two calls at a time would be a race for the order. */
  readonly #underWay = new Map<string, number>();
  overlaps = 0;
  readonly #script: (record: SinkRecord, call: number) => SinkFailure | 'stored' | 'lost-answer';
  readonly #delayTicks: (call: number) => number;

  constructor(
    script: (record: SinkRecord, call: number) => SinkFailure | 'stored' | 'lost-answer' = () => 'stored',
    delayTicks: (call: number) => number = () => 1,
  ) {
    this.#script = script;
    this.#delayTicks = delayTicks;
  }

  async put(records: readonly SinkRecord[]): Promise<PutOutcome[]> {
    const call = this.calls.length;
    this.calls.push([...records]);
    const keys = new Set(records.map((r) => r.partitionKey));
    for (const key of keys) {
      const n = (this.#underWay.get(key) ?? 0) + 1;
      this.#underWay.set(key, n);
      if (n > 1) this.overlaps++;
    }
    for (let i = 0; i < this.#delayTicks(call); i++) await new Promise((resolve) => setImmediate(resolve));
    for (const key of keys) this.#underWay.set(key, (this.#underWay.get(key) ?? 1) - 1);
    let lost = false;
    const outcomes = records.map((record): PutOutcome => {
      const outcome = this.#script(record, call);
      if (outcome !== 'stored' && outcome !== 'lost-answer') return { failure: outcome };
      lost ||= outcome === 'lost-answer';
      this.stored.push({ key: record.partitionKey, text: Buffer.from(record.data).toString() });
      return { shardId: 'shardId-000000000000', sequenceNumber: String(this.stored.length) };
    });
    if (lost) throw new SinkError('unavailable', 'the answer was lost');
    return outcomes;
  }
}

function batcherOn(
  sink: Sink,
  limits: Partial<BatcherLimits> = {},
  log = pino({ level: 'silent' }),
): Batcher {
  return new Batcher({
    sink,
    router: NO_MAP,
    limits: { ...LIMITS, ...limits },
    clock: systemClock,
    random: () => 0.01,
    log,
    metrics: createProducerMetrics(createRegistry('test')),
  });
}

describe('the batcher', () => {
  it('sends a lone event at once, and answers with its own position', async () => {
    const kinesis = new ScriptedKinesis();
    const batcher = batcherOn(kinesis, { lingerMs: 1_000 });
    expect(await batcher.submit('a', Buffer.from('1'))).toEqual({
      shardId: 'shardId-000000000000',
      sequenceNumber: '1',
    });
    expect(await batcher.submit('a', Buffer.from('2'))).toMatchObject({ sequenceNumber: '2' });
    expect(kinesis.calls.map((call) => call.length)).toEqual([1, 1]);
    expect(batcher.bufferedBytes).toBe(0);
  });

  it('gathers while calls are in flight, and keeps to the limits of the API', async () => {
    const kinesis = new ScriptedKinesis(undefined, () => 5);
    const batcher = batcherOn(kinesis, { lingerMs: 1_000 });
    const data = Buffer.alloc(20_000);
    await Promise.all(Array.from({ length: 1_500 }, (_, i) => batcher.submit(`k${i}`, data)));
    for (const call of kinesis.calls) {
      expect(call.length).toBeLessThanOrEqual(MAX_CALL_RECORDS);
      const bytes = call.reduce((sum, r) => sum + r.data.byteLength + Buffer.byteLength(r.partitionKey), 0);
      expect(bytes).toBeLessThanOrEqual(MAX_CALL_BYTES);
    }
    expect(kinesis.calls.length).toBe(6); // 262 of them fill 5 MiB
    expect(kinesis.stored).toHaveLength(1_500);
  });

  it('says no before it takes what it has no room for', async () => {
    const kinesis = new ScriptedKinesis(undefined, () => 3);
    const batcher = batcherOn(kinesis, { bufferMaxRecords: 2 });
    const taken = [batcher.submit('a', Buffer.from('1')), batcher.submit('b', Buffer.from('2'))];
    await expect(batcher.submit('c', Buffer.from('3'))).rejects.toMatchObject({ code: 'buffer-full' });
    await Promise.all(taken);
    await expect(batcher.submit('c', Buffer.from('3'))).resolves.toBeDefined();
    const small = batcherOn(kinesis, { bufferMaxBytes: 10 });
    await expect(small.submit('c', Buffer.alloc(10))).rejects.toMatchObject({ code: 'buffer-full' });
  });

  it.each([
    ['throttled', 'throttled'],
    ['unavailable', 'sink-unavailable'],
  ] as const)('tells the caller at the deadline when records stay %s', async (failure, code) => {
    const batcher = batcherOn(new ScriptedKinesis(() => failure), { eventDeadlineMs: 60 });
    await expect(batcher.submit('a', Buffer.from('1'))).rejects.toMatchObject({ code, retryable: true });
    expect(batcher.bufferedRecords).toBe(0);
  });

  it('does not try again what will never succeed', async () => {
    const kinesis = new ScriptedKinesis(() => 'rejected');
    const batcher = batcherOn(kinesis);
    await expect(batcher.submit('a', Buffer.from('1'))).rejects.toMatchObject({ code: 'sink-unavailable' });
    expect(kinesis.calls).toHaveLength(1);
  });

  it('drains: takes nothing more, answers everybody, and counts what it could not store', async () => {
    const kinesis = new ScriptedKinesis(({ partitionKey }) =>
      partitionKey === 'bad' ? 'throttled' : 'stored',
    );
    const batcher = batcherOn(kinesis, { eventDeadlineMs: 80, lingerMs: 1_000 });
    const answers = ['a', 'bad', 'b'].map((key) => batcher.submit(key, Buffer.from(key)));
    const drained = batcher.drain();
    await expect(batcher.submit('late', Buffer.from('x'))).rejects.toMatchObject({ code: 'draining' });
    const settled = await Promise.allSettled(answers);
    expect(settled.map((s) => s.status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await drained;
    expect(batcher.notStored).toBe(1);
  });

  it('keeps the order of each key and loses nothing, whatever fails', async () => {
    const scenario = fc.record({
      keys: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 120 }),
      faults: fc.array(
        fc.constantFrom('stored', 'stored', 'throttled', 'unavailable', 'lost-answer' as const),
        {
          minLength: 1,
          maxLength: 40,
        },
      ),
      ticks: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 10 }),
    });
    await fc.assert(
      fc.asyncProperty(scenario, async ({ keys, faults, ticks }) => {
        let fault = 0;
        const kinesis = new ScriptedKinesis(
          () => (fault < 60 ? faults[fault++ % faults.length]! : 'stored') as 'stored',
          (call) => ticks[call % ticks.length]!,
        );
        const batcher = batcherOn(kinesis, { eventDeadlineMs: 10_000 });
        // A sender for each key that waits for each answer, as a client that cares for order does.
        const senders = [0, 1, 2, 3, 4].map(async (key) => {
          for (const [i, k] of keys.entries()) {
            if (k === key) await batcher.submit(`k${key}`, Buffer.from(`${i}`));
          }
        });
        await Promise.all(senders);
        for (const key of [0, 1, 2, 3, 4]) {
          const sent = keys.flatMap((k, i) => (k === key ? [`${i}`] : []));
          const stored = kinesis.stored.filter((r) => r.key === `k${key}`).map((r) => r.text);
          // A lost answer stores a record twice, side by side; the consumer counts it once.
          expect(stored.filter((text, i) => text !== stored[i - 1])).toEqual(sent);
        }
      }),
      { numRuns: 40 },
    );
  });

  it('never has a key in two calls, and sends failed records before later ones of their key', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 2, maxLength: 200 }),
        fc.array(fc.boolean(), { minLength: 1, maxLength: 7 }),
        async (keys, callFails) => {
          // Whole calls fail, so that the order within a call, which is Kinesis's to keep, plays no part.
          const kinesis = new ScriptedKinesis(
            (_, call) => (call < 12 && callFails[call % callFails.length] ? 'throttled' : 'stored'),
            (call) => 1 + (call % 4),
          );
          const batcher = batcherOn(kinesis, { eventDeadlineMs: 10_000, lingerMs: 0 });
          const pending: Promise<unknown>[] = [];
          for (const [i, key] of keys.entries()) {
            pending.push(batcher.submit(`k${key}`, Buffer.from(`${i}`)));
            if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
          }
          await Promise.all(pending);
          expect(kinesis.overlaps).toBe(0);
          for (const key of [0, 1, 2, 3]) {
            const sent = keys.flatMap((k, i) => (k === key ? [`${i}`] : []));
            expect(kinesis.stored.filter((r) => r.key === `k${key}`).map((r) => r.text)).toEqual(sent);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  it('in strict order stores each event once, in the order of its source, whichever records of a call fail', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 2, maxLength: 60 }),
        fc.array(fc.constantFrom('stored', 'stored', 'throttled', 'unavailable' as const), {
          minLength: 1,
          maxLength: 40,
        }),
        async (keys, faults) => {
          let attempt = 0;
          const kinesis = new ScriptedKinesis(
            () => (attempt < 60 ? faults[attempt++ % faults.length]! : 'stored') as 'stored',
            (call) => 1 + (call % 4),
          );
          const batcher = batcherOn(kinesis, {
            sourceOrder: 'strict',
            eventDeadlineMs: 10_000,
            lingerMs: 0,
          });
          const positions = await Promise.all(
            keys.map((key, i) => batcher.submit(`k${key}`, Buffer.from(`${i}`))),
          );
          for (const key of [0, 1, 2, 3]) {
            const sent = keys.flatMap((k, i) => (k === key ? [`${i}`] : []));
            expect(kinesis.stored.filter((r) => r.key === `k${key}`).map((r) => r.text)).toEqual(sent);
          }
          // And each caller was told the place of its own event.
          const told = positions.map(
            ({ sequenceNumber }) => kinesis.stored[Number(sequenceNumber) - 1]!.text,
          );
          expect(told).toEqual(keys.map((_, i) => `${i}`));
        },
      ),
      { numRuns: 40 },
    );
  });

  it('sends again only what failed, and the rest of the call is answered meanwhile', async () => {
    const kinesis = new ScriptedKinesis(({ partitionKey }, call) =>
      partitionKey === 'b' && call === 0 ? 'throttled' : 'stored',
    );
    const batcher = batcherOn(kinesis);
    const order: string[] = [];
    await Promise.all(
      ['a', 'b', 'c'].map(async (key) => {
        await batcher.submit(key, Buffer.from(key));
        order.push(key);
      }),
    );
    expect(kinesis.calls.map((call) => call.map((r) => r.partitionKey))).toEqual([['a', 'b', 'c'], ['b']]);
    expect(order).toEqual(['a', 'c', 'b']);
  });

  it('refuses a record that would fail the whole call, and the events of others in it', async () => {
    const kinesis = new ScriptedKinesis();
    const batcher = batcherOn(kinesis);
    const tooLarge = batcher.submit('key', Buffer.alloc(MAX_RECORD_BYTES - 2));
    await expect(tooLarge).rejects.toMatchObject({ code: 'record-too-large', retryable: false });
    await expect(batcher.submit('key', Buffer.alloc(MAX_RECORD_BYTES - 3))).resolves.toBeDefined();
    expect(kinesis.calls).toHaveLength(1);
  });

  it('does not fill the log while Kinesis is down', async () => {
    const lines: string[] = [];
    let calls = 0;
    const down: Sink = {
      put: async () => {
        calls++;
        throw new SinkError('unavailable', 'connection refused');
      },
    };
    const batcher = batcherOn(
      down,
      { eventDeadlineMs: 300 },
      pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }),
    );
    const refused = Array.from({ length: 10 }, (_, i) => batcher.submit(`k${i}`, Buffer.from('x')));
    expect((await Promise.allSettled(refused)).every((r) => r.status === 'rejected')).toBe(true);
    expect(calls).toBeGreaterThan(3);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain('connection refused');
    expect(batcher.notStored).toBe(10);
  });

  it('never lets a caller hang when Kinesis lies about how many records it took', async () => {
    const batcher = batcherOn({ put: async () => [] }, { eventDeadlineMs: 60 });
    await expect(batcher.submit('a', Buffer.from('1'))).rejects.toBeInstanceOf(NotStoredError);
  });
});

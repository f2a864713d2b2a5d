import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { systemClock as clock } from '../../shared/clock.ts';
import { DynamoDBJson } from '../../shared/dynamodb-json.ts';
import type { Row } from '../../shared/kcl/lease-row.ts';
import { createRegistry } from '../../shared/metrics.ts';
import { ScaledClock } from '../../testkit/scaled-clock.ts';
import { ownStack } from '../../testkit/vitest/own-stack.ts';
import { proxiedDynamoDB } from '../../testkit/vitest/proxied-dynamodb.ts';
import { StoppedError } from '../errors.ts';
import { createConsumerMetrics } from '../metrics.ts';
import { AdaptiveLimit } from './adaptive-limit.ts';
import { BatchWriter } from './batch-writer.ts';
import { recordKey, recordKeyWith } from './item.ts';
import { rowJson } from './wire.ts';

const behind = proxiedDynamoDB(1);
const own = ownStack();
let dynamodb: DynamoDBJson;
let writer: BatchWriter;
const registry = createRegistry('test');
const metrics = createConsumerMetrics(registry);

beforeAll(() => {
  dynamodb = new DynamoDBJson(behind.client);
});
afterAll(() => dynamodb.close());

beforeEach(() => {
  behind.proxy.plan('BatchWriteItem');
  writer = new BatchWriter({
    dynamodb,
    table: own.stack.resources.recordsTable,
    keyOf: recordKey,
    keyWith: recordKeyWith,
    retryMs: 30_000,
    limit: new AdaptiveLimit(4, clock),
    clock,
    random: () => 0.01,
    log: pino({ level: 'silent' }),
    metrics,
  });
});

const rows = (count: number): Row[] =>
  Array.from({ length: count }, (_, n) => ({ id: { S: `id-${n}` }, n: { N: String(n) } }));
const write = (items: Row[], signal = new AbortController().signal) =>
  writer.write(
    items.map((row) => ({ key: String(row.id?.S), json: rowJson(row) })),
    signal,
    () => {},
  );
const storedIds = async () => (await own.stack.records()).map((item) => String(item.id)).sort();

describe('the batch writer', () => {
  it('writes in calls of 25', async () => {
    const before = behind.proxy.operations.length;
    expect(await write(rows(60))).toEqual([]);
    expect(behind.proxy.operations.slice(before)).toEqual(Array(3).fill('BatchWriteItem'));
    expect(await own.stack.countRecords()).toBe(60);
  });

  it('keeps a call below the 16 MB that DynamoDB reads, and returns an item above that without a call', async () => {
    const large = rows(14).map((row) => ({ ...row, pad: { S: 'x'.repeat(390_000) } }));
    const before = behind.proxy.operations.length;
    const [refused] = await write([...large, { id: { S: 'huge' }, pad: { S: 'x'.repeat(4_000_000) } }]);
    expect(refused).toMatchObject({ key: 'huge', error: { code: 'item-too-large' } });
    expect(behind.proxy.operations.slice(before)).toHaveLength(2);
    expect(await own.stack.countRecords()).toBe(14);
  });

  it.each([
    ['unprocessed items', { kind: 'unprocessed', n: 7 }],
    ['nothing processed', { kind: 'unprocessed', n: 1 }],
    ['throttles', { kind: 'error', status: 400, type: 'ProvisionedThroughputExceededException' }],
    ['internal errors', { kind: 'error', status: 500, type: 'InternalServerError' }],
    ['no access for now', { kind: 'error', status: 400, type: 'AccessDeniedException' }],
    ['broken connections', { kind: 'reset' }],
    ['lost answers', { kind: 'lost-answer' }],
    ['slow answers', { kind: 'latency', ms: 50 }],
  ] as const)('stores every row through %s', async (_, fault) => {
    behind.proxy.plan('BatchWriteItem', fault, fault, fault);
    expect(await write(rows(40))).toEqual([]);
    expect(await storedIds()).toEqual(
      rows(40)
        .map((row) => String(row.id?.S))
        .sort(),
    );
  });

  it.each([
    '{}',
    '[]',
    '""',
    'null',
    '<html>Please log in</html>',
    '{"UnprocessedItems":null}',
    '{"UnprocessedItems":[]}',
    '{"message":"ok"}',
  ])('does not take %s for an answer, whatever its status', async (text) => {
    behind.proxy.plan('BatchWriteItem', { kind: 'answer', text }, { kind: 'answer', text });
    expect(await write(rows(40))).toEqual([]);
    expect(await own.stack.countRecords()).toBe(40);
  });

  it('gives back the rows that DynamoDB will never take, and stores the others', async () => {
    const items = rows(50);
    items[13] = { id: { S: 'id-13' }, pad: { S: 'x'.repeat(410_000) } };
    items[41] = { id: { S: '' } };
    const refused = await write(items);
    expect(refused.map(({ key }) => key).sort()).toEqual(['', 'id-13']);
    expect(refused[0]?.error.name).toBe('ValidationException');
    expect(await own.stack.countRecords()).toBe(48);
  });

  describe('when an item fails again and again', () => {
    const RETRY_MS = 30_000;
    const down = () => Object.assign(new Error('planned'), { name: 'InternalServerError' });
    /** A table for which `fails` decides, on a clock that is quick. */
    function writerFor(fails: (body: string) => boolean | Error, retryMs = RETRY_MS) {
      const quick = new ScaledClock(500);
      const call = async (_operation: string, body: string) => {
        const failure = fails(body);
        if (failure) throw failure === true ? down() : failure;
        return '{"UnprocessedItems":{}}';
      };
      const suspicious = new BatchWriter({
        dynamodb: { call } as unknown as DynamoDBJson,
        table: 'records',
        keyOf: recordKey,
        keyWith: recordKeyWith,
        retryMs,
        limit: new AdaptiveLimit(4, clock),
        clock: quick,
        random: () => 0.5,
        log: pino({ level: 'silent' }),
        metrics,
      });
      const tryAll = async (count: number) => {
        const startedAt = quick.monotonic();
        const items = rows(count).map((row) => ({ key: String(row.id?.S), json: rowJson(row) }));
        const refused = await suspicious.write(items, new AbortController().signal, () => {});
        return { keys: refused.map(({ key }) => key), tookMs: quick.monotonic() - startedAt };
      };
      return { quick, tryAll };
    }

    it('gives it back, alone, after that time', async () => {
      const { keys, tookMs } = await writerFor((body) => body.includes('id-13"')).tryAll(60);
      expect(keys).toEqual(['id-13']);
      expect(tookMs).toBeGreaterThan(RETRY_MS);
    });

    it('suspects it after 5 failures, and gives it back after 5 more', async () => {
      const calls: string[] = [];
      const { keys } = await writerFor((body) => {
        calls.push(body.includes('PutRequest') ? 'put' : 'probe');
        return calls.at(-1) === 'put';
      }, 0).tryAll(1);
      expect(keys).toEqual(['id-0']);
      const five = Array(5).fill('put');
      expect(calls).toEqual([...five, 'probe', ...five, 'probe']);
    });

    it('does so too when nothing else is written, since the table takes a write that changes nothing', async () => {
      const { keys, tookMs } = await writerFor((body) => body.includes('PutRequest')).tryAll(1);
      expect(keys).toEqual(['id-0']);
      expect(tookMs).toBeGreaterThan(RETRY_MS);
    });

    it.each([
      ['an outage', [true]],
      ['the second outage', [true, false, true]],
    ])(
      'tries it again first, since %s may have ended while its last call was under way',
      async (_, takes) => {
        let asked = 0;
        const { keys } = await writerFor((body) =>
          body.includes('DeleteRequest') ? !takes[asked++] : asked < takes.length,
        ).tryAll(1);
        expect(keys).toEqual([]);
        expect(asked).toBe(takes.length);
      },
    );

    it('does not for being throttled after an outage, while others are not', async () => {
      const throttled = Object.assign(new Error('planned'), { name: 'ThrottlingException' });
      let outage = true;
      let throttles = 0;
      const { quick, tryAll } = writerFor((body) => {
        if (outage) return true;
        return body.includes('PutRequest') && throttles++ < 20 && throttled;
      });
      void quick.sleep(2 * RETRY_MS).then(() => {
        outage = false;
      });
      expect((await tryAll(1)).keys).toEqual([]);
      expect(throttles).toBe(21);
    });

    it('waits for a table that takes nothing, however long that is', async () => {
      const table = { downUntil: Number.POSITIVE_INFINITY };
      const { quick, tryAll } = writerFor(() => quick.monotonic() < table.downUntil);
      table.downUntil = quick.monotonic() + 5 * RETRY_MS;
      const { keys, tookMs } = await tryAll(30);
      expect(keys).toEqual([]);
      expect(tookMs).toBeGreaterThan(5 * RETRY_MS);
    });
  });

  it('does not hold the failures of a call against the items that it left unprocessed', async () => {
    const reset = { kind: 'reset' } as const;
    behind.proxy.plan('BatchWriteItem', reset, reset, reset, { kind: 'unprocessed', n: 1 }, reset, reset);
    expect(await write(rows(2))).toEqual([]);
    expect(await storedIds()).toEqual(['id-0', 'id-1']);
  });

  it('goes on for as long as the store is down, and counts why', async () => {
    const down = Array.from(
      { length: 8 },
      () => ({ kind: 'error', status: 503, type: 'ServiceUnavailable' }) as const,
    );
    behind.proxy.plan('BatchWriteItem', ...down);
    await write(rows(1));
    expect(await own.stack.countRecords()).toBe(1);
    expect(await registry.metrics()).toMatch(
      /weir_consumer_write_retries_total\{reason="error",[^}]*\} (8|9|\d\d)/,
    );
  });

  it('gives up when it is told to, without a word too much', async () => {
    const stop = new AbortController();
    behind.proxy.plan('BatchWriteItem', ...Array(50).fill({ kind: 'reset' }));
    const writing = write(rows(1), stop.signal);
    setTimeout(() => stop.abort(), 30);
    await expect(writing).rejects.toBeInstanceOf(StoppedError);
  });
});

import { setTimeout as sleep } from 'node:timers/promises';
import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { MergeShardsCommand, SplitShardCommand } from '@aws-sdk/client-kinesis';
import { marshall } from '@aws-sdk/util-dynamodb';
import { afterEach, describe, expect, inject, it, vi } from 'vitest';
import { Aggregator } from '../services/shared/kpl/aggregate.ts';
import { startFaultProxy } from '../services/testkit/fault-proxy.ts';
import { streamActive } from '../services/testkit/provision.ts';
import { TestStack } from '../services/testkit/stack.ts';

const endpoints = { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') };
const FROM_START = { STARTING_POSITION: 'TRIM_HORIZON' };
const stacks: TestStack[] = [];

type Item = Record<string, unknown>;

async function newStack(options?: Parameters<typeof TestStack.create>[1]): Promise<TestStack> {
  const stack = await TestStack.create(endpoints, options);
  stacks.push(stack);
  return stack;
}

afterEach(async () => {
  await Promise.all(stacks.splice(0).map((stack) => stack.close()));
});

const json = (key: string, value: unknown) => ({ key, data: JSON.stringify(value) });

/** The n-th event of a source, as the producer puts it on the stream. */
function event(source: string, n: number) {
  return json(source, {
    source,
    amount: n,
    timestamp: '2026-01-01T00:00:00Z',
    n,
    ingestion_timestamp: '2026-01-01T00:00:00.000Z',
    source_ip: '127.0.0.1',
    request_id: `${source}-${n}`,
  });
}

function events(count: number, sources = 7) {
  return Array.from({ length: count }, (_, n) => event(`s${n % sources}`, n));
}

/** Waits until the consumer has dealt with this many records. */
async function until(stack: TestStack, stored: number, dead = 0): Promise<void> {
  await vi.waitFor(
    async () => {
      expect((await stack.deadLetters()).length).toBe(dead);
      expect(await stack.countRecords()).toBe(stored);
    },
    { timeout: 30_000, interval: 200 },
  );
}

/** The table without what may differ between two runs. */
async function table(stack: TestStack): Promise<unknown[]> {
  const items = await stack.records();
  for (const item of items) delete item.processed_at;
  return items.sort((a, b) => String(a.id).localeCompare(String(b.id)));
}

const checkpoints = async (stack: TestStack) =>
  new Map((await stack.leases()).map((row) => [row.leaseKey, row.checkpoint]));

describe('the consumer process', () => {
  it('leaves the same table when it is killed in mid-stream and restarted', { timeout: 60_000 }, async () => {
    const undisturbed = await newStack();
    const disturbed = await newStack({ stream: undisturbed.resources.stream });
    const sent = events(3_000);
    await undisturbed.put([...sent.slice(0, 2_000), { key: 's0', data: 'not json' }]);

    await undisturbed.start('consumer', FROM_START);
    const env = { ...FROM_START, LEASE_DURATION_MS: '1000', CHECKPOINT_INTERVAL_MS: '200' };
    const atKill: number[] = [];
    for (const killAfter of [200, 800]) {
      const victim = await disturbed.start('consumer', env);
      while ((await disturbed.countRecords()) < killAfter) await sleep(5);
      victim.signal('SIGKILL');
      expect(await victim.exited).toMatchObject({ signal: 'SIGKILL' });
      atKill.push(await disturbed.countRecords());
    }
    expect(Math.min(...atKill)).toBeLessThan(2_000);
    await undisturbed.put(sent.slice(2_000));
    await disturbed.start('consumer', env);
    await until(undisturbed, 3_000, 1);
    await until(disturbed, 3_000, 1);

    expect(await table(disturbed)).toEqual(await table(undisturbed));
    const letter = (stack: TestStack) =>
      stack.deadLetters().then(([found]) => ({ ...found, failed_at: undefined }));
    expect(await letter(disturbed)).toEqual(await letter(undisturbed));
  });

  it('stops on SIGTERM with its work checkpointed, and another goes on from there at once', async () => {
    const stack = await newStack();
    await stack.put(events(1_000));
    const first = await stack.start('consumer', FROM_START);
    await until(stack, 1_000);
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    const before = await stack.leases();
    expect(before.map((row) => row.leaseOwner)).toEqual([undefined, undefined]);
    const done = await checkpoints(stack);
    const items = await stack.records();
    for (const [shard, checkpoint] of done) {
      const read = items
        .map((item) => item.kinesis_metadata as Record<string, string>)
        .filter((metadata) => metadata.shard_id === shard)
        .map((metadata) => String(metadata.sequence_number));
      // One length within a shard, so the text order is the order.
      expect(String(checkpoint)).toBe(read.sort().at(-1));
    }
    await stack.put(events(1_500).slice(1_000));
    const second = await stack.start('consumer', FROM_START);
    await until(stack, 1_500);
    const admin = `http://127.0.0.1:${second.ports.adminPort}`;
    const metrics = await (await fetch(`${admin}/metrics`)).text();
    expect(metrics).toMatch(/weir_consumer_records_total\{outcome="stored",[^}]*\} 500\n/);
    expect((await fetch(`${admin}/livez`)).status).toBe(200);
    expect((await fetch(`${admin}/readyz`)).status).toBe(200);
  });

  it('leaves in time, at a stop, what a table does not take: leases are given back, and it says what was left', async () => {
    const stack = await newStack({ shards: 1 });
    const mute = await startFaultProxy(endpoints.dynamodb);
    mute.always('BatchWriteItem', { kind: 'latency', ms: 600_000 });
    try {
      await stack.put(events(10));
      const consumer = await stack.start('consumer', {
        ...FROM_START,
        AWS_ENDPOINT_URL_DYNAMODB: mute.endpoint,
        SHUTDOWN_TIMEOUT_MS: '4000',
      });
      await vi.waitFor(() => expect(mute.operations).toContain('BatchWriteItem'), 20_000);
      expect(await consumer.stop()).toMatchObject({ code: 1 });
      const lines = consumer.lastLines().join('\n');
      expect(lines).toContain('"code":"stop-forced"');
      expect(lines).toContain('"left":["worker"]');
      expect(lines).not.toContain('stop took longer than');
      const [lease] = await stack.leases();
      expect(lease).toMatchObject({ checkpoint: 'TRIM_HORIZON' });
      expect(lease).not.toHaveProperty('leaseOwner');
    } finally {
      await mute.stop();
    }
  });

  it('keeps what it can not process as dead letters, with its bytes, and goes on', async () => {
    const stack = await newStack({ shards: 1 });
    const deep = `{"amount":1,"a":${'['.repeat(40)}${']'.repeat(40)}}`;
    const huge = JSON.stringify({ source: 's', amount: 1, request_id: 'huge', pad: 'x'.repeat(600_000) });
    const poison = [
      '{"amount":',
      '{"source":"s"}',
      '[1]',
      deep,
      '{"amount":1,"__proto__":{"admin":true}}',
      JSON.stringify({ amount: 1, request_id: 'x'.repeat(3_000) }),
      JSON.stringify({ amount: 1, request_id: 7 }),
      huge,
    ];
    await stack.put([
      event('s', 0),
      ...poison.map((data) => ({ key: 's', data })),
      { key: 's', data: new Uint8Array([0xff, 0xfe, 0x00]) },
      event('s', 1),
    ]);
    await stack.start('consumer', FROM_START);
    await until(stack, 2, poison.length + 2); // one more that is not UTF-8, and the huge one has two chunks
    const letters = await stack.deadLetters();
    const bytes = new Map<string, Buffer[]>();
    for (const letter of letters.sort((a, b) => Number(a.chunk) - Number(b.chunk))) {
      const id = String(letter.id);
      bytes.set(id, [...(bytes.get(id) ?? []), Buffer.from(letter.data as Uint8Array)]);
    }
    const found = Array.from(bytes.values(), (chunks) => Buffer.concat(chunks).toString('latin1')).sort();
    expect(found).toEqual([...poison, '\xff\xfe\x00'].sort());
    const heads = letters.filter((letter) => letter.chunk === 0);
    expect(
      heads.every((head) => head.shard_id === 'shardId-000000000000' && head.partition_key === 's'),
    ).toBe(true);
    expect(new Set(heads.map((head) => head.reason))).toEqual(
      new Set([
        'record-not-json',
        'event-invalid',
        'event-too-deep',
        'event-unsafe',
        'item-refused',
        'record-not-utf8',
      ]),
    );
  });

  it('reads aggregates, poison and all, and goes on inside one where a KCL worker left off', async () => {
    const whole = await newStack({ shards: 1 });
    const resumed = await newStack({ stream: whole.resources.stream });
    const aggregator = new Aggregator();
    for (const { key, data } of [...events(700), { key: 's0', data: 'not json' }]) {
      aggregator.add({ partitionKey: key, data: Buffer.from(data) });
    }
    const corrupt = Buffer.concat([aggregator.encode(), Buffer.from([1])]);
    await whole.put([
      { key: 'a', data: aggregator.encode() },
      event('s1', 1_000),
      { key: 'a', data: corrupt },
    ]);
    const first = await whole.start('consumer', FROM_START);
    await until(whole, 701, 2);
    const items = await whole.records();
    const inside = items.filter((item) => (item.kinesis_metadata as Item).sub_sequence_number !== undefined);
    expect(inside).toHaveLength(700);
    for (const item of inside) {
      expect((item.kinesis_metadata as Item).sub_sequence_number).toBe((item.payload as Item).n);
    }
    const letters = await whole.deadLetters();
    expect(letters.map((letter) => letter.sub_sequence_number)).toEqual(
      expect.arrayContaining([700, undefined]),
    );
    await first.stop();

    // The lease as KCL leaves it with the user records up to 299 done.
    const [lease] = await whole.leases();
    const { sequence_number } = inside[0]!.kinesis_metadata as Record<string, string>;
    await resumed.dynamodb.send(
      new PutItemCommand({
        TableName: resumed.resources.leaseTable,
        Item: marshall({ ...lease, checkpoint: sequence_number, checkpointSubSequenceNumber: 299 }),
      }),
    );
    await resumed.start('consumer', FROM_START);
    await until(resumed, 401, 2);
    expect(
      (await resumed.records()).map((item) => Number((item.payload as Item).n)).sort((a, b) => a - b),
    ).toEqual([...Array.from({ length: 400 }, (_, i) => 300 + i), 1_000]);
  });

  it('reads children after their parents through a split and a merge', async () => {
    const stack = await newStack({ shards: 1 });
    const { stream } = stack.resources;
    await stack.put(events(200));
    await stack.kinesis.send(
      new SplitShardCommand({
        StreamName: stream,
        ShardToSplit: 'shardId-000000000000',
        NewStartingHashKey: String(2n ** 127n),
      }),
    );
    await streamActive(stack.kinesis, stream);
    await stack.put(events(400).slice(200));
    await stack.start('consumer', FROM_START);
    await until(stack, 400);
    await stack.kinesis.send(
      new MergeShardsCommand({
        StreamName: stream,
        ShardToMerge: 'shardId-000000000001',
        AdjacentShardToMerge: 'shardId-000000000002',
      }),
    );
    await streamActive(stack.kinesis, stream);
    await stack.put(events(600).slice(400));
    await until(stack, 600);
    const done = await checkpoints(stack);
    for (const shard of [1, 2]) expect(done.get(`shardId-00000000000${shard}`)).toBe('SHARD_END');
    const merged = (await stack.leases()).find((row) => row.leaseKey === 'shardId-000000000003');
    expect(merged?.parentShardId).toEqual(new Set(['shardId-000000000001', 'shardId-000000000002']));
  });

  it('shares the shards with a second consumer, which takes over at once when the first stops', async () => {
    const stack = await newStack({ shards: 4 });
    const first = await stack.start('consumer', FROM_START);
    const owners = async () => {
      const found = (await stack.leases()).map((row) => String(row.leaseOwner));
      return [...new Set(found)].map((owner) => found.filter((other) => other === owner).length);
    };
    await vi.waitFor(async () => expect(await owners()).toEqual([4]), 10_000);
    await stack.start('consumer', FROM_START);
    await vi.waitFor(async () => expect(await owners()).toEqual([2, 2]), 10_000);
    await stack.put(events(400));
    await until(stack, 400);
    expect(await first.stop()).toEqual({ code: 0, signal: null });
    await stack.put(events(800).slice(400));
    // Far less than the 10 s after which a lease would expire.
    await vi.waitFor(async () => expect(await stack.countRecords()).toBe(800), 5_000);
  });

  it('falls silent when it wakes up as a zombie: it moves no checkpoint, and the table is the same', async () => {
    const undisturbed = await newStack({ shards: 1 });
    const disturbed = await newStack({ stream: undisturbed.resources.stream });
    const env = { ...FROM_START, LEASE_DURATION_MS: '1000', CHECKPOINT_INTERVAL_MS: '100' };
    const sent = events(2_500);
    await undisturbed.put(sent.slice(0, 2_000));
    const zombie = await disturbed.start('consumer', env);
    while ((await disturbed.countRecords()) < 200) await sleep(5);
    zombie.signal('SIGSTOP');
    const [held] = await disturbed.leases();
    await disturbed.start('consumer', env);
    await until(disturbed, 2_000);
    await undisturbed.put(sent.slice(2_000));
    await until(disturbed, 2_500);
    const [before] = await disturbed.leases();
    expect(before?.leaseOwner).not.toBe(held?.leaseOwner);
    zombie.signal('SIGCONT');
    await vi.waitFor(() => expect(zombie.lastLines().join('\n')).toContain('"outcome":"lost"'), 10_000);
    const [after] = await disturbed.leases();
    expect(after?.leaseOwner).toBe(before?.leaseOwner);
    expect(BigInt(String(after?.checkpoint))).toBeGreaterThanOrEqual(BigInt(String(before?.checkpoint)));
    await undisturbed.start('consumer', FROM_START);
    await until(undisturbed, 2_500);
    expect(await table(disturbed)).toEqual(await table(undisturbed));
  });

  it('begins at LATEST, or at a time, when it is told to', async () => {
    const latest = await newStack();
    await latest.put(events(50));
    await sleep(1_100);
    const from = new Date().toISOString();
    await sleep(100);
    const atTime = await newStack({ stream: latest.resources.stream });
    await latest.start('consumer', { STARTING_POSITION: 'LATEST' });
    await vi.waitFor(async () => expect(await latest.leases()).toHaveLength(2), 10_000);
    await sleep(500);
    await latest.put(events(80).slice(50));
    await atTime.start('consumer', { STARTING_POSITION: from });
    await until(latest, 30);
    await until(atTime, 30);
  });
});

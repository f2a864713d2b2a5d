import { afterEach, describe, expect, inject, it, vi } from 'vitest';
import { TestStack } from '../services/testkit/stack.ts';

const endpoints = { kinesis: inject('kinesisEndpoint'), dynamodb: inject('dynamodbEndpoint') };
const stacks: TestStack[] = [];

async function stack(options?: Parameters<typeof TestStack.create>[1]): Promise<TestStack> {
  const created = await TestStack.create(endpoints, options);
  stacks.push(created);
  return created;
}

afterEach(async () => {
  await Promise.all(stacks.splice(0).map((s) => s.close()));
});

const event = (source: string, n: number, amount: number) => ({
  key: source,
  data: JSON.stringify({
    source,
    amount,
    timestamp: '2026-01-01T00:00:00Z',
    n,
    ingestion_timestamp: new Date().toISOString(),
    source_ip: '127.0.0.1',
    request_id: `${source}-${n}`,
  }),
});

describe('the consumer process', () => {
  it('stores each event once and checkpoints on SIGTERM', async () => {
    const s = await stack();
    const events = Array.from({ length: 1000 }, (_, n) => event(`s${n % 7}`, n, n * 3));
    await s.put(events);
    const consumer = await s.start('consumer', { STARTING_POSITION: 'TRIM_HORIZON' });
    await vi.waitFor(async () => expect(await s.records()).toHaveLength(1000), 15_000);
    expect(await consumer.stop()).toEqual({ code: 0, signal: null });
  });
});
